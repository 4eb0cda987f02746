//! `slack`: messages to granted channels, at the channel's pace; shown instead of sent in preview.

mod disarm;
mod pieces;

use std::borrow::Cow;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::Answered;
use crate::bindings::slack::{Error, Host, Message};
use crate::calls::endings::{Change, Ending, Reported, change_of};
use crate::calls::recorder::cut;
use crate::limits;
use crate::sandbox::state::{Powers, State};
use crate::slack::holds::{self, Hold, Permit, Refusal};
use crate::slack::message_ref::PostedMessage;
use crate::slack::preview;
use crate::slack::{Method, SlackFailure};
use alert_manager_core::alert::StepKind;
use alert_manager_core::journal::{CallKind, Dependency};
use alert_manager_core::shapes;

use super::{Done, NOT_IN_DESCRIBE, Plan, check_key, may_start, name_of, optional};

use disarm::{Outside, Unfit};

/// Stands where Slack's id of a channel would: the message was shown, not posted.
const PREVIEW_CHANNEL_ID: &str = "preview";

/// A reply as it is recorded: the reference, empty for a reaction.
type Reply = Result<String, Error>;

/// One call of Slack, checked.
struct Outgoing {
    method: Method,
    /// In the grants.
    channel: String,
    /// Slack's id of the channel that the message which it is about is in.
    at: Option<String>,
    /// At Slack: a name with `#`, or an id.
    target: String,
    body: Map<String, Value>,
    /// What was changed in it, for the story.
    changed: Option<String>,
}

impl Outgoing {
    /// Returns what it is to holds.
    fn as_call<'a>(&'a self, powers: &'a Powers) -> holds::Call<'a> {
        holds::Call {
            settings: &powers.services.slack.settings,
            channel: &self.channel,
            at: self.at.as_deref(),
        }
    }
}

impl Host for State {
    async fn post(&mut self, message: Message) -> wasmtime::Result<Result<String, Error>> {
        self.count_any()?;
        let name = name_of(message.key.as_deref(), &parts(b"post", b"", &message));
        let request = format!("post to {}", message.channel);
        let plan = Plan::new(CallKind::Slack, name, request, true);
        let bytes = message_bytes(&message);
        self.perform(plan, bytes, |powers| outgoing_post(powers, message))
            .await
    }

    async fn update(
        &mut self,
        at: String,
        message: Message,
    ) -> wasmtime::Result<Result<String, Error>> {
        self.count_any()?;
        // The message's channel and thread are not looked at, so they are no part of its name.
        let looked_at = Message {
            channel: String::new(),
            thread: None,
            ..message
        };
        let key = looked_at.key.as_deref();
        let name = name_of(key, &parts(b"update", at.as_bytes(), &looked_at));
        let plan = Plan::new(CallKind::Slack, name, "update a message".to_owned(), true);
        let bytes = message_bytes(&looked_at);
        self.perform(plan, bytes, |powers| {
            outgoing_update(powers, &at, looked_at)
        })
        .await
    }

    async fn react(&mut self, at: String, emoji: String) -> wasmtime::Result<Result<(), Error>> {
        self.count_any()?;
        let name = name_of(None, &[b"react", at.as_bytes(), emoji.as_bytes()]);
        let plan = Plan::new(CallKind::Slack, name, format!("react with :{emoji}:"), true);
        let reply = self
            .perform(plan, emoji.len(), |powers| {
                outgoing_reaction(powers, &at, &emoji)
            })
            .await?;
        Ok(reply.map(|_| ()))
    }
}

impl State {
    async fn perform(
        &mut self,
        plan: Plan,
        bytes_out: usize,
        check: impl FnOnce(&Powers) -> Result<Outgoing, Error>,
    ) -> wasmtime::Result<Reply> {
        let Some(powers) = &mut self.powers else {
            return Ok(Err(Error::Denied(NOT_IN_DESCRIBE.to_owned())));
        };
        if powers.step == StepKind::Enrich {
            let why =
                "Slack is denied during enrich: post from act, which is given what enrich found";
            let done = Done::refused(Err(Error::Denied(why.to_owned())), why);
            return self.finish(plan, done).await;
        }
        if let Err(hit) = powers.count(CallKind::Slack, bytes_out) {
            self.recorder.turned_away(CallKind::Slack, hit.limit);
            return Ok(Err(Error::BudgetExhausted(hit.to_string())));
        }
        if let Some(reply) = self.recorded::<Reply>(&plan)? {
            return Ok(reply);
        }
        let done = self.perform_live(&plan, check).await?;
        self.finish(plan, done).await
    }

    async fn perform_live(
        &mut self,
        plan: &Plan,
        check: impl FnOnce(&Powers) -> Result<Outgoing, Error>,
    ) -> wasmtime::Result<Done<Reply>> {
        let Some(powers) = &self.powers else {
            return Ok(failed(Error::Denied(NOT_IN_DESCRIBE.to_owned())));
        };
        let outgoing = match check(powers) {
            Ok(outgoing) => outgoing,
            Err(error) => return Ok(failed(error)),
        };
        if powers.dry_run {
            return Ok(shown(powers, plan, &outgoing, false));
        }
        if let Err(hit) = powers.check_record() {
            self.recorder.met(hit.limit);
            return Ok(failed(Error::BudgetExhausted(hit.to_string())));
        }
        if let Err(why) = may_start(Some(powers))? {
            return Ok(failed(Error::Unavailable(why)));
        }
        if powers.services.slack.settings.preview {
            return Ok(shown(powers, plan, &outgoing, true));
        }
        let asked = powers
            .services
            .holds
            .ask(outgoing.as_call(powers), Instant::now());
        let permit = match asked {
            Ok(permit) => permit,
            Err(hold) => return Ok(self.met(hold)),
        };
        if let Err(wait) = take_turn(powers, &outgoing) {
            return Ok(self.waits(powers, &outgoing, wait));
        }
        if let Err(why) = self.note(plan).await? {
            return Ok(failed(Error::Unavailable(why)));
        }
        self.begin(plan);
        Ok(self.exchange(outgoing, permit).await)
    }

    async fn exchange(&mut self, mut outgoing: Outgoing, permit: Permit) -> Done<Reply> {
        let Some(powers) = &self.powers else {
            return failed(Error::Denied(NOT_IN_DESCRIBE.to_owned()));
        };
        let (method, body) = (outgoing.method, std::mem::take(&mut outgoing.body));
        let services = &powers.services;
        // Also if the invocation's time ends before the answer.
        self.recorder.needs(Dependency::Slack);
        let called = services
            .slack
            .call(method, &outgoing.target, body, powers.time_left())
            .await;
        match called {
            Ok(posted) => {
                let call = outgoing.as_call(powers);
                services.holds.take_token(call);
                self.recorder.has(Dependency::Slack);
                // That it takes an emoji does not say that the channel takes messages.
                if method != Method::AddReaction
                    && services.holds.take_message(call, &posted.channel_id)
                {
                    let channel = Dependency::SlackChannel(outgoing.channel.clone());
                    self.recorder.has(channel);
                }
                let mut result = format!("ok, {} {}", posted.channel_id, posted.ts);
                if let Some(code) = &posted.degraded {
                    result = format!(
                        "{result}; Slack refused the blocks ({code}), so the text went out alone"
                    );
                    tracing::warn!(
                        handler = %powers.handler, delivery = %powers.delivery,
                        "Slack refused the blocks of {}'s message ({code}): it was posted as plain text",
                        powers.handler
                    );
                }
                if let Some(changed) = &outgoing.changed {
                    result = format!("{result}; {changed}");
                }
                let reference = match method {
                    Method::AddReaction => String::new(),
                    Method::PostMessage | Method::Update => powers.services.ref_key.seal(
                        &powers.handler,
                        &PostedMessage {
                            channel: outgoing.channel,
                            channel_id: posted.channel_id,
                            ts: posted.ts,
                        },
                    ),
                };
                Done {
                    change: change_of(Ending::SlackOk),
                    ..Done::live(Ok(reference), result)
                }
            }
            Err(failure) => self.explain_failure(powers, failure, &outgoing, permit),
        }
    }

    /// A message waits for its permit: because of our own rate limit, unless Slack has said to wait.
    fn waits(
        &self,
        powers: &Powers,
        outgoing: &Outgoing,
        wait: std::time::Duration,
    ) -> Done<Reply> {
        let slack = &powers.services.slack;
        let done = failed(rate_limited(wait));
        if slack.paces.check(&outgoing.target, Instant::now()).is_err() {
            return done;
        }
        let why = format!(
            "waiting for this channel's rate limit ({} a second, slack.rate)",
            slack.settings.rate.per_second
        );
        let result = format!("{why}: {} ms", wait.as_millis());
        self.recorder.waits_for_rate(why);
        Done { result, ..done }
    }

    /// Slack refuses what only the operator can mend: the guest is told to try later, and whatever it makes of that, the step
    /// waits.
    fn met(&self, hold: Hold) -> Done<Reply> {
        let why = hold.to_string();
        self.recorder.meets(hold);
        failed(Error::Unavailable(why))
    }

    fn explain_failure(
        &self,
        powers: &Powers,
        failure: SlackFailure,
        outgoing: &Outgoing,
        permit: Permit,
    ) -> Done<Reply> {
        let holds = &powers.services.holds;
        let (channel, call) = (&outgoing.channel, outgoing.as_call(powers));
        match &failure {
            // It is not known whether the token is good, or Slack in order.
            SlackFailure::Unavailable(_)
            | SlackFailure::Unknown(..)
            | SlackFailure::SlackHeld { .. } => {}
            SlackFailure::RateLimited(_) => self.recorder.needs_no_more(&Dependency::Slack),
            SlackFailure::Invalid(_)
            | SlackFailure::NotFound
            | SlackFailure::ChannelHeld { .. } => {
                holds.take_token(call);
                self.recorder.has(Dependency::Slack);
            }
        }
        match failure {
            SlackFailure::Invalid(why) => {
                tracing::error!(
                    handler = powers.handler.as_str(),
                    delivery = %powers.delivery,
                    "Slack refuses a message to the channel {channel}: {why}"
                );
                failed(Error::Invalid(why))
            }
            SlackFailure::NotFound => failed(Error::NotFound),
            SlackFailure::RateLimited(wait) => failed(rate_limited(wait)),
            SlackFailure::Unavailable(why) => failed(Error::Unavailable(why)),
            SlackFailure::Unknown(why, reported) => {
                let line = format!("posted or not: unknown; {why}");
                let error = match reported {
                    Reported::AsTimeout => Error::Timeout,
                    Reported::AsUnavailable => Error::Unavailable(why),
                };
                Done {
                    change: Change::Unknown,
                    ..Done::live(Err(error), line)
                }
            }
            SlackFailure::ChannelHeld { code, advice } => {
                let reason = (code.as_str(), advice.as_str());
                match holds.refuse_channel(call, permit, reason, Instant::now()) {
                    Refusal::Held(hold) => self.met(hold),
                    // Posted anew, the message goes to where the name points.
                    Refusal::Elsewhere if outgoing.at.is_some() => failed(Error::NotFound),
                    Refusal::Elsewhere | Refusal::Outdated => {
                        self.recorder
                            .needs(Dependency::SlackChannel(channel.clone()));
                        failed(Error::Unavailable(format!("{code}: {advice}")))
                    }
                }
            }
            SlackFailure::SlackHeld { code, advice } => {
                let token = powers.services.slack.settings.token.as_ref();
                let token = token.and_then(|token| token.read().ok());
                let reason = (code.as_str(), advice.as_str());
                match holds.refuse_token(call, permit, reason, token, Instant::now()) {
                    Refusal::Held(hold) => self.met(hold),
                    Refusal::Elsewhere | Refusal::Outdated => {
                        failed(Error::Unavailable(format!("{code}: {advice}")))
                    }
                }
            }
        }
    }
}

/// Returns what a message takes out of the sandbox.
fn message_bytes(message: &Message) -> usize {
    message.text.len() + message.blocks.as_ref().map_or(0, String::len)
}

/// What tells one call from another, all but its key.
fn parts<'a>(verb: &'a [u8], at: &'a [u8], message: &'a Message) -> Vec<&'a [u8]> {
    let [has_blocks, blocks] = optional(message.blocks.as_deref().map(str::as_bytes));
    let [has_thread, thread] = optional(message.thread.as_deref().map(str::as_bytes));
    vec![
        verb,
        at,
        message.channel.as_bytes(),
        message.text.as_bytes(),
        has_blocks,
        blocks,
        has_thread,
        thread,
    ]
}

fn outgoing_post(powers: &Powers, message: Message) -> Result<Outgoing, Error> {
    let target = target_of(powers, &message.channel)?;
    let (mut body, changed) = content(powers, &message)?;
    body.insert("channel".into(), json!(target));
    let mut at = None;
    if let Some(thread) = &message.thread {
        let parent = open(powers, thread)?;
        if parent.channel != message.channel {
            return Err(Error::Invalid(format!(
                "thread: that message is in {}, not in {}",
                parent.channel, message.channel
            )));
        }
        // Where the channel's name was pointed elsewhere since, the thread is where it was.
        body.insert("channel".into(), json!(parent.channel_id));
        body.insert("thread_ts".into(), json!(parent.ts));
        at = Some(parent.channel_id);
    }
    Ok(Outgoing {
        method: Method::PostMessage,
        channel: message.channel,
        at,
        target,
        body,
        changed,
    })
}

fn outgoing_update(powers: &Powers, at: &str, message: Message) -> Result<Outgoing, Error> {
    let posted = open(powers, at)?;
    let (mut body, changed) = content(powers, &message)?;
    // Without it Slack would keep the old blocks above the new text.
    body.entry("blocks").or_insert_with(|| json!([]));
    body.insert("channel".into(), json!(posted.channel_id));
    body.insert("ts".into(), json!(posted.ts));
    Ok(Outgoing {
        method: Method::Update,
        target: target_of(powers, &posted.channel)?,
        channel: posted.channel,
        at: Some(posted.channel_id),
        body,
        changed,
    })
}

fn outgoing_reaction(powers: &Powers, at: &str, emoji: &str) -> Result<Outgoing, Error> {
    let posted = open(powers, at)?;
    if emoji.is_empty() || emoji.len() > 100 || emoji.contains(|c: char| c.is_control() || c == ':')
    {
        return Err(Error::Invalid(
            "emoji: its name without colons, at most 100 bytes".to_owned(),
        ));
    }
    let mut body = Map::new();
    body.insert("channel".into(), json!(posted.channel_id));
    body.insert("timestamp".into(), json!(posted.ts));
    body.insert("name".into(), json!(emoji));
    Ok(Outgoing {
        method: Method::AddReaction,
        target: target_of(powers, &posted.channel)?,
        channel: posted.channel,
        at: Some(posted.channel_id),
        body,
        changed: None,
    })
}

/// Returns what Slack calls a granted channel.
fn target_of(powers: &Powers, channel: &str) -> Result<String, Error> {
    powers.grants.slack(channel).map_err(|refusal| {
        Error::Denied(
            refusal
                .for_handler(&powers.handler, &powers.grants)
                .to_string(),
        )
    })?;
    let channels = &powers.services.slack.settings.channels;
    channels.get(channel).cloned().ok_or_else(|| {
        Error::Denied(format!(
            "The Slack channel {channel:?} is granted, but slack.channels does not say what Slack calls it. Add it there.\n\
             slack:\n  channels:\n    {channel}: \"#CHANNEL\""
        ))
    })
}

/// Reads a reference: one that this server did not give this handler leads to no message, and
/// neither does one from a preview once messages are posted.
fn open(powers: &Powers, reference: &str) -> Result<PostedMessage, Error> {
    let is_shown = powers.dry_run || powers.services.slack.settings.preview;
    powers
        .services
        .ref_key
        .open(&powers.handler, reference)
        .filter(|posted| is_shown || posted.channel_id != PREVIEW_CHANNEL_ID)
        .ok_or(Error::NotFound)
}

/// Returns text and blocks with nothing in them that the alert may not do, and what was taken out; or what
/// is wrong with them.
fn content(
    powers: &Powers,
    message: &Message,
) -> Result<(Map<String, Value>, Option<String>), Error> {
    const MASKED: &str = "what looks like a secret was masked";
    const MADE_INERT: &str = "markup that came with the alert was made inert";
    check_key(message.key.as_deref()).map_err(Error::Invalid)?;
    let mut body = Map::new();
    let mut outside = Outside::of(&powers.alert, &powers.found);
    // First: a secret that is escaped has another shape.
    // What is beyond Slack's bound is cut off later.
    let text_bytes_max = 4 * limits::SLACK_TEXT_CHARS_MAX + limits::SECRET_BYTES_MAX;
    let text = shapes::masked(cut(&message.text, text_bytes_max));
    let mut changed = matches!(text, Cow::Owned(_)).then(|| MASKED.to_owned());
    let inert = outside.disarm(&text);
    if inert.is_some() {
        add(&mut changed, MADE_INERT);
    }
    body.insert("text".into(), json!(inert.as_deref().unwrap_or(&text)));
    if let Some(text) = &message.blocks {
        let mut blocks: Value = serde_json::from_str(text)
            .map_err(|error| Error::Invalid(format!("blocks: not JSON: {error}")))?;
        if !blocks.is_array() {
            return Err(Error::Invalid(
                "blocks: not an array; put the blocks into [ and ]".to_owned(),
            ));
        }
        match outside.disarm_blocks(&mut blocks) {
            Ok(inert) => {
                if inert.masked {
                    add(&mut changed, MASKED);
                }
                if inert.markup {
                    add(&mut changed, MADE_INERT);
                }
                body.insert("blocks".into(), blocks);
            }
            // As where Slack refuses them: a plain message beats none.
            Err(Unfit(why)) => changed = Some(format!("the text went out alone: {why}")),
        }
    }
    Ok((body, changed))
}

/// Adds what else was changed, once.
fn add(changed: &mut Option<String>, what: &str) {
    match changed {
        Some(known) if known.contains(what) => {}
        Some(known) => {
            known.push_str("; ");
            known.push_str(what);
        }
        None => *changed = Some(what.to_owned()),
    }
}

/// Only new messages take a turn; everything heeds Slack's own word.
fn take_turn(powers: &Powers, outgoing: &Outgoing) -> Result<(), std::time::Duration> {
    let slack = &powers.services.slack;
    let now = Instant::now();
    match outgoing.method {
        Method::PostMessage => {
            let who = format!("{} {}", powers.handler, powers.delivery);
            let rate = slack.settings.rate;
            slack.paces.take(&outgoing.target, &who, rate, now)
        }
        Method::Update | Method::AddReaction => slack.paces.check(&outgoing.target, now),
    }
}

fn rate_limited(wait: std::time::Duration) -> Error {
    Error::RateLimited(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1))
}

/// Shows the call instead of sending it. `to_people` is preview mode, where showing it is the effect.
fn shown(powers: &Powers, plan: &Plan, outgoing: &Outgoing, to_people: bool) -> Done<Reply> {
    let Outgoing {
        method,
        channel,
        target,
        body,
        changed,
        ..
    } = outgoing;
    let text = match method {
        Method::AddReaction => format!("reaction :{}:", body["name"].as_str().unwrap_or_default()),
        Method::PostMessage | Method::Update => {
            body["text"].as_str().unwrap_or_default().to_owned()
        }
    };
    if to_people {
        let verb = match (method, body.get("thread_ts")) {
            (Method::PostMessage, None) => target.clone(),
            (Method::PostMessage, Some(_)) => format!("{target}, in the thread"),
            (Method::Update, _) => format!("{target}, in place of the message before"),
            (Method::AddReaction, _) => format!("{target}, on the message before"),
        };
        let lines = preview::render(channel, &verb, &text, body.get("blocks"));
        (powers.services.preview)(&lines);
    }
    // Made up, but the same on every attempt, as Slack's own would be from the record.
    let ts = match body.get("ts").and_then(Value::as_str) {
        Some(ts) => ts.to_owned(),
        None => format!("preview.{:?}", plan.name),
    };
    let reference = powers.services.ref_key.seal(
        &powers.handler,
        &PostedMessage {
            channel: channel.clone(),
            channel_id: PREVIEW_CHANNEL_ID.to_owned(),
            ts,
        },
    );
    let reply = match method {
        Method::AddReaction => String::new(),
        Method::PostMessage | Method::Update => reference,
    };
    Done {
        change: if to_people {
            Change::Made
        } else {
            Change::NotSent
        },
        answered: Answered::Preview,
        preview: Some(json!({
            "channel": channel,
            "text": text,
            "blocks": body.get("blocks").cloned().unwrap_or(Value::Null),
        })),
        ..Done::live(
            Ok(reply),
            match changed {
                Some(changed) => format!("shown instead of sent; {changed}"),
                None => "shown instead of sent".to_owned(),
            },
        )
    }
}

fn failed(error: Error) -> Done<Reply> {
    let line = match &error {
        Error::Denied(why) => format!("denied: {}", why.lines().next().unwrap_or_default()),
        Error::Invalid(why) => format!("invalid: {why}"),
        Error::NotFound => "no such message, or too old to be changed".to_owned(),
        Error::RateLimited(ms) => format!("Slack asks to wait {ms} ms"),
        Error::Unavailable(why) => format!("unavailable: {why}"),
        Error::Timeout => "posted or not: unknown".to_owned(),
        Error::BudgetExhausted(which) => which.clone(),
    };
    match error {
        Error::Denied(_) | Error::BudgetExhausted(_) => Done::refused(Err(error), line),
        _ => Done::live(Err(error), line),
    }
}
