//! `slack`: messages to granted channels, each when it is its turn; in preview they are shown instead of posted.

mod upload;

use std::time::Duration;

use crate::bindings::slack::{Error, File, Host, Message};
use crate::calls::HookState;
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, Effect, HostCall, Refused};
use crate::calls::naming::{Plan, check_key, name_of, optional};
use crate::grant_uses::GrantKind;
use crate::outbound::change::Change;
use crate::sandbox::stop::Stop;
use crate::slack::SlackError;
use crate::slack::compose::{Action, Draft, Outgoing};
use crate::slack::send::{Deferred, Finding, Shown};
use crate::trace::Answered;
use alert_manager_core::alert::StepKind;
use alert_manager_core::journal::{CallKind, CallName, Dependency};
use upload::SlackUpload;

impl Host for HookState {
    async fn post(&mut self, message: Message) -> wasmtime::Result<Result<String, Error>> {
        Ok(self.call(SlackCall::post(message)).await?)
    }

    async fn update(
        &mut self,
        at: String,
        message: Message,
    ) -> wasmtime::Result<Result<String, Error>> {
        Ok(self.call(SlackCall::update(at, message)).await?)
    }

    async fn react(&mut self, at: String, emoji: String) -> wasmtime::Result<Result<(), Error>> {
        let reply = self.call(SlackCall::react(at, emoji)).await?;
        Ok(reply.map(|_| ()))
    }

    async fn upload(&mut self, file: File) -> wasmtime::Result<Result<String, Error>> {
        Ok(self.call(SlackUpload(file)).await?)
    }
}

/// `slack.post`, `slack.update`, `slack.react`.
pub(super) struct SlackCall {
    action: Action,
    /// The author's key.
    key: Option<String>,
}

impl SlackCall {
    pub(super) fn post(message: Message) -> Self {
        let Message {
            channel,
            text,
            blocks,
            thread,
            key,
        } = message;
        let draft = Draft { text, blocks };
        let action = Action::Post {
            channel,
            thread,
            draft,
        };
        Self { action, key }
    }

    /// The channel and thread of the message are ignored, so they are not part of the call's name.
    pub(super) fn update(at: String, message: Message) -> Self {
        let Message {
            text, blocks, key, ..
        } = message;
        let draft = Draft { text, blocks };
        Self {
            action: Action::Update { at, draft },
            key,
        }
    }

    pub(super) fn react(at: String, emoji: String) -> Self {
        Self {
            action: Action::React { at, emoji },
            key: None,
        }
    }
}

impl HostCall for SlackCall {
    const KIND: CallKind = CallKind::Slack;
    /// The message's reference; empty for a reaction.
    type Reply = Result<String, Error>;
    type Error = Error;
    type Prepared = Outgoing;

    fn name(&self) -> CallName {
        let (verb, at, channel, thread, draft) = match &self.action {
            Action::Post {
                channel,
                thread,
                draft,
            } => ("post", "", channel.as_str(), thread, draft),
            Action::Update { at, draft } => ("update", at.as_str(), "", &None, draft),
            Action::React { at, emoji } => {
                return name_of(None, &[b"react", at.as_bytes(), emoji.as_bytes()]);
            }
        };
        let [has_blocks, blocks] = optional(draft.blocks.as_deref().map(str::as_bytes));
        let [has_thread, thread] = optional(thread.as_deref().map(str::as_bytes));
        let parts = [
            verb.as_bytes(),
            at.as_bytes(),
            channel.as_bytes(),
            draft.text.as_bytes(),
            has_blocks,
            blocks,
            has_thread,
            thread,
        ];
        name_of(self.key.as_deref(), &parts)
    }

    fn line(&self) -> String {
        match &self.action {
            Action::Post { channel, .. } => format!("post to {channel}"),
            Action::Update { .. } => "update a message".to_owned(),
            Action::React { emoji, .. } => format!("react with :{emoji}:"),
        }
    }

    fn changes(&self) -> bool {
        true
    }

    fn bytes_out(&self) -> usize {
        match &self.action {
            Action::Post { draft, .. } | Action::Update { draft, .. } => {
                draft.text.len() + draft.blocks.as_ref().map_or(0, String::len)
            }
            Action::React { emoji, .. } => emoji.len(),
        }
    }

    fn is_ok(reply: &Self::Reply) -> bool {
        reply.is_ok()
    }

    fn failed(error: Error) -> Done<Self::Reply> {
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
            Error::Denied(why) => Done::denied(&why, line, |why| Err(Error::Denied(why))),
            Error::BudgetExhausted(_) => Done::refused(Err(error), line),
            _ => Done::live(Err(error), line),
        }
    }

    fn check(self, host: &HostContext) -> Result<Outgoing, Error> {
        check_step(host)?;
        check_key(self.key.as_deref()).map_err(Error::Invalid)?;
        Ok(host.services.slack.compose(host.author(), self.action)?)
    }

    async fn hold_back(
        outgoing: Outgoing,
        plan: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        Ok(shown(&outgoing, plan, host, Change::NotSent))
    }

    fn admit(outgoing: &mut Outgoing, host: &HostContext) -> Result<Duration, Done<Self::Reply>> {
        let slack = &host.services.slack;
        let admitted = slack.admit(host.author(), outgoing, &*host.ledger);
        admitted.map_err(|why| match why {
            Deferred::Held(hold) => {
                let why = hold.to_string();
                host.recorder.held_by(hold);
                Self::failed(Error::Unavailable(why))
            }
            Deferred::Parked(parked) => {
                let line = format!("it waits for its turn: {}", parked.gate.label);
                let reply = Err(SlackError::RateLimited(Duration::ZERO).into());
                Done {
                    answered: Answered::Parked,
                    parked: Some(parked),
                    ..Done::live(reply, line)
                }
            }
            Deferred::Superseded(reference) => Done {
                effect: Effect::Of(Change::Made),
                ..Done::live(Ok(reference), "superseded by a newer update")
            },
            Deferred::Unavailable(why) => Self::failed(Error::Unavailable(why)),
        })?;
        Ok(Duration::ZERO)
    }

    async fn live(
        outgoing: Outgoing,
        plan: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        host.note_grant(GrantKind::Slack, &outgoing.channel);
        let slack = &host.services.slack;
        if slack.settings().preview {
            slack.print(&outgoing);
            return Ok(shown(&outgoing, plan, host, Change::Made));
        }
        // Before the call is sent, in case the invocation's time ends before the answer.
        host.recorder.unanswered(Dependency::Slack);
        let (author, ledger) = (host.author(), &*host.ledger);
        let sent = slack.send(author, outgoing, ledger, host.time_left()).await;
        for finding in sent.findings {
            match finding {
                Finding::Unanswered(dependency) => host.recorder.unanswered(dependency),
                Finding::NotAwaited(dependency) => host.recorder.not_awaited(&dependency),
                Finding::Answered(dependency) => host.recorder.answered(dependency),
                Finding::Held(hold) => host.recorder.held_by(hold),
            }
        }
        let done = match (sent.reply, sent.line) {
            (Ok(reference), line) => Done::live(Ok(reference), line.unwrap_or_default()),
            (Err(error), Some(line)) => Done::live(Err(error.into()), line),
            (Err(error), None) => Self::failed(error.into()),
        };
        Ok(Done {
            effect: Effect::Of(sent.change),
            sent: sent.message,
            parked: sent.parked,
            ..done
        })
    }
}

/// Refuses every call during `enrich`.
fn check_step(host: &HostContext) -> Result<(), Error> {
    if host.step == StepKind::Enrich {
        return Err(Error::Denied(
            "Slack is denied during enrich: post from act, which is given what enrich found"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Shows a call instead of sending it. `change` says whether that counts as the effect: in preview it does, in a dry run
/// not.
fn shown(
    outgoing: &Outgoing,
    plan: &Plan,
    host: &HostContext,
    change: Change,
) -> Done<Result<String, Error>> {
    let slack = &host.services.slack;
    let Shown {
        reply,
        line,
        preview,
    } = slack.show(host.author(), outgoing, &format!("{:?}", plan.name));
    Done {
        effect: Effect::Of(change),
        answered: Answered::Preview,
        preview: Some(preview),
        ..Done::live(Ok(reply), line)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit(hit) => Self::BudgetExhausted(hit.to_string()),
            Refused::Unrecordable(why) => Self::Unavailable(why),
        }
    }
}

impl From<SlackError> for Error {
    fn from(error: SlackError) -> Self {
        match error {
            SlackError::Denied(why) => Self::Denied(why),
            SlackError::Invalid(why) => Self::Invalid(why),
            SlackError::NotFound => Self::NotFound,
            SlackError::RateLimited(wait) => {
                let ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
                Self::RateLimited(ms.max(1))
            }
            SlackError::Unavailable(why) => Self::Unavailable(why),
            SlackError::Timeout => Self::Timeout,
        }
    }
}
