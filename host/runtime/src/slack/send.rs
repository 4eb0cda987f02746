//! Sends a composed call if the circuit breaker and its gates admit it, or shows it in preview. Reports the result to the handler,
//! the story and the worker.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::breaker::{CallPermit, Verdict};
use super::codes::Reported;
use super::compose::{Author, Outgoing, PREVIEW_CHANNEL_ID};
use super::handle::Slack;
use super::hold::SlackHold;
use super::message_ref::PostedMessage;
use super::method::Method;
use super::outcome::{Posted, SlackFailure};
use super::preview;
use super::{SlackError, SlackReport};
use crate::outbound::change::Change;
use alert_manager_core::gate::{GateAsk, Parked, Pass};
use alert_manager_core::journal::{Dependency, Ledger};

/// Why a call is not sent now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deferred {
    /// The channel or all of Slack is held.
    Held(SlackHold),
    /// Its delivery waits for its turn at a gate.
    Parked(Box<Parked>),
    /// It need not be sent: a newer update of the same message waits. Has the message's reference.
    Superseded(String),
    /// The queue cannot say which call is next.
    Unavailable(String),
}

/// What the result of a call shows about the step's dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The dependency did not answer.
    Unanswered(Dependency),
    /// The call has ended, and the step need not wait for the dependency.
    NotAwaited(Dependency),
    /// The dependency answered and works.
    Answered(Dependency),
    /// The channel or all of Slack is held.
    Held(SlackHold),
}

/// The result of a call.
pub(crate) struct Sent {
    /// The reference of the message; empty for a reaction.
    pub(crate) reply: Result<String, SlackError>,
    pub(crate) change: Change,
    /// The line of the story, if the reply alone does not say enough.
    pub(crate) line: Option<String>,
    pub(crate) findings: Vec<Finding>,
    /// The message, if Slack has it or may have it.
    pub(crate) message: Option<Value>,
    /// Set if Slack has said to wait: the gate is closed, and the delivery waits for its turn.
    pub(crate) parked: Option<Box<Parked>>,
}

/// A call as it was shown instead of sent.
pub(crate) struct Shown {
    pub(crate) reply: String,
    /// The line of the story.
    pub(crate) line: String,
    /// The text and the blocks of the message.
    pub(crate) preview: Value,
}

impl Slack {
    /// Checks the token and the channels.
    pub(crate) async fn check(&self) -> SlackReport {
        self.api.check().await
    }

    /// Asks the circuit breaker and the gates whether the call may be sent now. In preview every call is admitted.
    ///
    /// # Errors
    /// Why it is not sent now.
    pub(crate) fn admit(
        &self,
        author: Author<'_>,
        outgoing: &mut Outgoing,
        ledger: &dyn Ledger,
    ) -> Result<(), Deferred> {
        if self.settings().preview {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(hold) = self.breaker.hold_of(outgoing.as_call(self), now) {
            return Err(Deferred::Held(hold));
        }
        match ledger.pass(&self.gates(outgoing)) {
            // Not before it has passed: what waits for its turn makes no call, so it would use up the probe.
            Ok(Pass::Granted) => {
                let permit = self.breaker.admit(outgoing.as_call(self), now);
                outgoing.permit = Some(permit.map_err(Deferred::Held)?);
                Ok(())
            }
            Ok(Pass::Parked(parked)) => Err(Deferred::Parked(Box::new(parked))),
            Ok(Pass::Superseded) => Err(Deferred::Superseded(
                outgoing
                    .about
                    .as_ref()
                    .map(|message| self.reference(author, outgoing.method, message))
                    .unwrap_or_default(),
            )),
            Err(error) => Err(Deferred::Unavailable(error.to_string())),
        }
    }

    /// Sends a call that was admitted.
    pub(crate) async fn send(
        &self,
        author: Author<'_>,
        mut outgoing: Outgoing,
        ledger: &dyn Ledger,
        within: Duration,
    ) -> Sent {
        let message = outgoing.message();
        let (method, body) = (outgoing.method, std::mem::take(&mut outgoing.body));
        let permit = outgoing.permit.take().unwrap_or_default();
        match self.api.call(method, body, within).await {
            Ok(posted) => self.posted(author, outgoing, message, ledger, posted),
            Err(failure) => {
                let parked = match &failure {
                    SlackFailure::RateLimited(wait) => {
                        parked_at(ledger, self.gates(&outgoing), *wait)
                    }
                    _ => None,
                };
                let may_be_there = failure.change() == Change::Unknown;
                Sent {
                    parked,
                    message: may_be_there.then_some(message),
                    ..self.failed(author, &outgoing, permit, failure)
                }
            }
        }
    }

    fn posted(
        &self,
        author: Author<'_>,
        outgoing: Outgoing,
        mut message: Value,
        ledger: &dyn Ledger,
        posted: Posted,
    ) -> Sent {
        let call = outgoing.as_call(self);
        self.breaker.token_accepted(call);
        let mut findings = vec![Finding::Answered(Dependency::Slack)];
        // A channel that accepts a reaction need not accept messages.
        if outgoing.method != Method::AddReaction
            && self.breaker.message_accepted(call, &posted.channel_id)
        {
            let channel = Dependency::SlackChannel(outgoing.channel.clone());
            findings.push(Finding::Answered(channel));
        }
        let mut line = format!("ok, {} {}", posted.channel_id, posted.ts);
        if let Some(code) = &posted.degraded {
            message["blocks"] = Value::Null;
            line = format!("{line}; Slack refused the blocks ({code}), so the text went out alone");
            tracing::warn!(
                handler = %author.handler, delivery = %author.delivery,
                "Slack refused the blocks of {}'s message ({code}): it was posted as plain text",
                author.handler
            );
        }
        if let Some(changed) = &outgoing.changed {
            line = format!("{line}; {changed}");
        }
        message["ts"] = json!(posted.ts);
        let reference = PostedMessage {
            channel: outgoing.channel,
            channel_id: posted.channel_id,
            ts: posted.ts,
        };
        if let Some((gate, wait)) = self.pause_after(author, outgoing.method, &reference) {
            ledger.close_gate(&gate, wait);
        }
        Sent {
            reply: Ok(self.reference(author, outgoing.method, &reference)),
            message: Some(message),
            change: Change::Made,
            line: Some(line),
            findings,
            parked: None,
        }
    }

    /// Returns the reference that the handler is given; a reaction has none.
    fn reference(&self, author: Author<'_>, method: Method, message: &PostedMessage) -> String {
        match method {
            Method::AddReaction => String::new(),
            Method::PostMessage | Method::Update => self.ref_key.seal(author.handler, message),
        }
    }

    fn failed(
        &self,
        author: Author<'_>,
        outgoing: &Outgoing,
        permit: CallPermit,
        failure: SlackFailure,
    ) -> Sent {
        let (call, change) = (outgoing.as_call(self), failure.change());
        let mut findings = match &failure {
            // These do not show that the token is valid and that Slack works.
            SlackFailure::Unavailable(_)
            | SlackFailure::Unknown(..)
            | SlackFailure::SlackHeld { .. } => Vec::new(),
            SlackFailure::RateLimited(_) => vec![Finding::NotAwaited(Dependency::Slack)],
            SlackFailure::Invalid(_)
            | SlackFailure::NotFound
            | SlackFailure::ChannelHeld { .. } => {
                self.breaker.token_accepted(call);
                vec![Finding::Answered(Dependency::Slack)]
            }
        };
        let unknown = match &failure {
            SlackFailure::Unknown(why, _) => Some(format!("posted or not: unknown; {why}")),
            _ => None,
        };
        let error = self.error_of(author, outgoing, permit, failure, &mut findings);
        Sent {
            reply: Err(error),
            change,
            line: unknown,
            findings,
            message: None,
            parked: None,
        }
    }

    /// Returns the handler's error for a failure, and opens the circuit if the failure calls for it.
    fn error_of(
        &self,
        author: Author<'_>,
        outgoing: &Outgoing,
        permit: CallPermit,
        failure: SlackFailure,
        findings: &mut Vec<Finding>,
    ) -> SlackError {
        let (channel, call) = (&outgoing.channel, outgoing.as_call(self));
        let now = Instant::now();
        match failure {
            SlackFailure::Invalid(why) => {
                tracing::error!(
                    handler = author.handler.as_str(),
                    delivery = %author.delivery,
                    "Slack refuses a message to the channel {channel}: {why}"
                );
                SlackError::Invalid(why)
            }
            SlackFailure::NotFound => SlackError::NotFound,
            SlackFailure::RateLimited(wait) => SlackError::RateLimited(wait),
            SlackFailure::Unavailable(why) => SlackError::Unavailable(why),
            SlackFailure::Unknown(_, Reported::AsTimeout) => SlackError::Timeout,
            SlackFailure::Unknown(why, Reported::AsUnavailable) => SlackError::Unavailable(why),
            SlackFailure::ChannelHeld { code, advice } => {
                let reason = (code.as_str(), advice.as_str());
                match self.breaker.channel_rejected(call, permit, reason, now) {
                    Verdict::Held(hold) => held(findings, hold),
                    // The handler then posts a new message, into the channel that the name refers to now.
                    Verdict::OtherTarget if outgoing.message_channel_id.is_some() => {
                        SlackError::NotFound
                    }
                    Verdict::OtherTarget | Verdict::Outdated => {
                        let channel = Dependency::SlackChannel(channel.clone());
                        findings.push(Finding::Unanswered(channel));
                        SlackError::Unavailable(format!("{code}: {advice}"))
                    }
                }
            }
            SlackFailure::SlackHeld { code, advice } => {
                let token = self.settings().token.as_ref();
                let token = token.and_then(|token| token.read().ok());
                let reason = (code.as_str(), advice.as_str());
                match self
                    .breaker
                    .token_rejected(call, permit, reason, token, now)
                {
                    Verdict::Held(hold) => held(findings, hold),
                    Verdict::OtherTarget | Verdict::Outdated => {
                        SlackError::Unavailable(format!("{code}: {advice}"))
                    }
                }
            }
        }
    }

    /// Shows a call instead of sending it. `name` replaces Slack's timestamp in the reference: it is the same on every
    /// attempt, as a recorded timestamp would be.
    pub(crate) fn show(&self, author: Author<'_>, outgoing: &Outgoing, name: &str) -> Shown {
        let mut preview = outgoing.message();
        let ts = match preview["ts"].as_str() {
            Some(ts) => ts.to_owned(),
            None => format!("preview.{name}"),
        };
        preview["ts"] = json!(ts);
        let message = PostedMessage {
            channel: outgoing.channel.clone(),
            channel_id: PREVIEW_CHANNEL_ID.to_owned(),
            ts,
        };
        Shown {
            reply: self.reference(author, outgoing.method, &message),
            line: match &outgoing.changed {
                Some(changed) => format!("shown instead of sent; {changed}"),
                None => "shown instead of sent".to_owned(),
            },
            preview,
        }
    }

    /// Prints a call to the preview.
    pub(crate) fn print(&self, outgoing: &Outgoing) {
        let Outgoing {
            method,
            channel,
            target,
            body,
            ..
        } = outgoing;
        let to = match (method, body.get("thread_ts")) {
            (Method::PostMessage, None) => target.clone(),
            (Method::PostMessage, Some(_)) => format!("{target}, in the thread"),
            (Method::Update, _) => format!("{target}, in place of the message before"),
            (Method::AddReaction, _) => format!("{target}, on the message before"),
        };
        let lines = preview::render(channel, &to, &outgoing.text(), body.get("blocks"));
        (self.preview)(&lines);
    }
}

/// Closes the first of the gates of a call, since Slack has said to wait, and returns that its delivery waits there.
fn parked_at(ledger: &dyn Ledger, gates: Vec<GateAsk>, wait: Duration) -> Option<Box<Parked>> {
    let gate = gates.first()?.clone();
    ledger.close_gate(&gate, wait);
    Some(Box::new(Parked { gate, asks: gates }))
}

/// Adds a hold to the findings, and returns the handler's error.
fn held(findings: &mut Vec<Finding>, hold: SlackHold) -> SlackError {
    let why = hold.to_string();
    findings.push(Finding::Held(hold));
    SlackError::Unavailable(why)
}

impl Outgoing {
    /// Returns the call as the story keeps it. `ts` is null for a message that has none yet.
    fn message(&self) -> Value {
        let of_body = |key: &str| self.body.get(key).cloned().unwrap_or(Value::Null);
        let (method, ts) = match self.method {
            Method::PostMessage => ("post", Value::Null),
            Method::Update => ("update", of_body("ts")),
            Method::AddReaction => ("react", of_body("timestamp")),
        };
        json!({
            "method": method,
            "channel": self.channel,
            "ts": ts,
            "thread_ts": of_body("thread_ts"),
            "text": self.text(),
            "blocks": of_body("blocks"),
        })
    }

    fn text(&self) -> String {
        let text = |key: &str| self.body.get(key).and_then(Value::as_str);
        match self.method {
            Method::AddReaction => format!("reaction :{}:", text("name").unwrap_or_default()),
            Method::PostMessage | Method::Update => text("text").unwrap_or_default().to_owned(),
        }
    }
}
