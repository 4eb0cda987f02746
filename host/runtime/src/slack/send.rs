//! Sends a composed call when nothing holds it and its gates let it pass, or shows it in preview; and says what came of it to the
//! handler, the story and the worker.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::codes::Reported;
use super::compose::{Author, Outgoing, PREVIEW_CHANNEL_ID};
use super::handle::Slack;
use super::hold::Hold;
use super::holds::{CallPermit, Refused};
use super::message_ref::PostedMessage;
use super::method::Method;
use super::outcome::{Posted, SlackFailure};
use super::preview;
use super::{SlackError, SlackReport};
use crate::outbound::change::Change;
use alert_manager_core::gate::{GateAsk, Parked, Pass};
use alert_manager_core::journal::{Dependency, Ledger};

/// Why a call is not made now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deferred {
    /// Slack refuses it until the operator mends something.
    Held(Hold),
    /// Its delivery waits for its turn at a gate.
    Parked(Box<Parked>),
    /// It need not be made: a newer update of the same message waits. The message's reference.
    Superseded(String),
    /// The queue cannot say whose turn it is.
    Unavailable(String),
}

/// What a call says of what the step depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It did not answer.
    Needs(Dependency),
    /// The call has ended, and it is not for this that the step may have to wait.
    NeedsNoMore(Dependency),
    /// It answered as it should.
    Has(Dependency),
    /// It refuses until the operator mends something.
    Held(Hold),
}

/// What came of a call.
pub(crate) struct Sent {
    /// The reference of the message; empty for a reaction.
    pub(crate) reply: Result<String, SlackError>,
    pub(crate) change: Change,
    /// One line for people, if the reply does not say it all.
    pub(crate) line: Option<String>,
    pub(crate) findings: Vec<Finding>,
    /// Set if Slack has said to wait: the gate is closed, and the delivery waits for its turn.
    pub(crate) parked: Option<Box<Parked>>,
}

/// A call as it was shown instead of sent.
pub(crate) struct Shown {
    pub(crate) reply: String,
    /// One line for people.
    pub(crate) line: String,
    /// Slack's text and blocks.
    pub(crate) preview: Value,
}

impl Slack {
    /// Asks Slack whose the token is and how the channels stand.
    pub(crate) async fn ask_all(&self) -> SlackReport {
        self.api.ask_all().await
    }

    /// Asks the holds and then the gates. In preview neither is asked.
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
        let permit = self.holds.ask(outgoing.as_call(self), Instant::now());
        outgoing.permit = Some(permit.map_err(Deferred::Held)?);
        match ledger.pass(&self.gates(outgoing)) {
            Ok(Pass::Granted) => Ok(()),
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
        let gates = self.gates(&outgoing);
        let (method, body) = (outgoing.method, std::mem::take(&mut outgoing.body));
        let permit = outgoing.permit.take().unwrap_or_default();
        match self.api.call(method, body, within).await {
            Ok(posted) => self.posted(author, outgoing, ledger, posted),
            Err(failure) => {
                let parked = match &failure {
                    SlackFailure::RateLimited(wait) => parked_at(ledger, gates, *wait),
                    _ => None,
                };
                Sent {
                    parked,
                    ..self.failed(author, &outgoing, permit, failure)
                }
            }
        }
    }

    fn posted(
        &self,
        author: Author<'_>,
        outgoing: Outgoing,
        ledger: &dyn Ledger,
        posted: Posted,
    ) -> Sent {
        let call = outgoing.as_call(self);
        self.holds.take_token(call);
        let mut findings = vec![Finding::Has(Dependency::Slack)];
        // That it takes an emoji does not say that the channel takes messages.
        if outgoing.method != Method::AddReaction
            && self.holds.take_message(call, &posted.channel_id)
        {
            let channel = Dependency::SlackChannel(outgoing.channel.clone());
            findings.push(Finding::Has(channel));
        }
        let mut line = format!("ok, {} {}", posted.channel_id, posted.ts);
        if let Some(code) = &posted.degraded {
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
        let message = PostedMessage {
            channel: outgoing.channel,
            channel_id: posted.channel_id,
            ts: posted.ts,
        };
        if let Some((gate, wait)) = self.pause_after(author, outgoing.method, &message) {
            ledger.close_gate(&gate, wait);
        }
        Sent {
            reply: Ok(self.reference(author, outgoing.method, &message)),
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
            // It is not known whether the token is good, or Slack in order.
            SlackFailure::Unavailable(_)
            | SlackFailure::Unknown(..)
            | SlackFailure::SlackHeld { .. } => Vec::new(),
            SlackFailure::RateLimited(_) => vec![Finding::NeedsNoMore(Dependency::Slack)],
            SlackFailure::Invalid(_)
            | SlackFailure::NotFound
            | SlackFailure::ChannelHeld { .. } => {
                self.holds.take_token(call);
                vec![Finding::Has(Dependency::Slack)]
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
            parked: None,
        }
    }

    /// Returns what the handler is told of a failure; places the hold that it calls for.
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
                match self.holds.refuse_channel(call, permit, reason, now) {
                    Refused::Held(hold) => held(findings, hold),
                    // Posted anew, the message goes to where the name points.
                    Refused::Elsewhere if outgoing.at.is_some() => SlackError::NotFound,
                    Refused::Elsewhere | Refused::Outdated => {
                        let channel = Dependency::SlackChannel(channel.clone());
                        findings.push(Finding::Needs(channel));
                        SlackError::Unavailable(format!("{code}: {advice}"))
                    }
                }
            }
            SlackFailure::SlackHeld { code, advice } => {
                let token = self.settings().token.as_ref();
                let token = token.and_then(|token| token.read().ok());
                let reason = (code.as_str(), advice.as_str());
                match self.holds.refuse_token(call, permit, reason, token, now) {
                    Refused::Held(hold) => held(findings, hold),
                    Refused::Elsewhere | Refused::Outdated => {
                        SlackError::Unavailable(format!("{code}: {advice}"))
                    }
                }
            }
        }
    }

    /// Shows a call instead of sending it. `name` takes the place of Slack's timestamp: it is the same on every attempt, as Slack's
    /// own would be from the record.
    pub(crate) fn show(&self, author: Author<'_>, outgoing: &Outgoing, name: &str) -> Shown {
        let body = &outgoing.body;
        let ts = match body.get("ts").and_then(Value::as_str) {
            Some(ts) => ts.to_owned(),
            None => format!("preview.{name}"),
        };
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
            preview: json!({
                "channel": outgoing.channel,
                "text": outgoing.text(),
                "blocks": body.get("blocks").cloned().unwrap_or(Value::Null),
            }),
        }
    }

    /// Prints a call for people, who read it instead of Slack.
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

/// Notes a hold, and returns what the handler is told of it.
fn held(findings: &mut Vec<Finding>, hold: Hold) -> SlackError {
    let why = hold.to_string();
    findings.push(Finding::Held(hold));
    SlackError::Unavailable(why)
}

impl Outgoing {
    fn text(&self) -> String {
        let text = |key: &str| self.body.get(key).and_then(Value::as_str);
        match self.method {
            Method::AddReaction => format!("reaction :{}:", text("name").unwrap_or_default()),
            Method::PostMessage | Method::Update => text("text").unwrap_or_default().to_owned(),
        }
    }
}
