//! The fallback handler: posts every alert that no other handler answers to Slack, firing and resolved.
//!
//! Settings: `channel`, and those of [`handler_sdk::layout`].

mod message;

use handler_sdk::layout::{Card, SETTINGS};
use handler_sdk::prelude::*;
use handler_sdk::slack::{Reply, Shown};
use handler_sdk::time::DAY;

/// Alertnames that Prometheus needs for itself: one fires always, the other only inhibits other alerts.
const PLUMBING: [&str; 2] = ["Watchdog", "InfoInhibitor"];

/// The handler.
#[derive(Debug)]
pub struct SlackNotify;

impl Handler for SlackNotify {
    fn describe() -> Description {
        Description::new(
            "slack-notify",
            env!("CARGO_PKG_VERSION"),
            "Posts any alert to Slack, and updates the message when it resolves.",
        )
        .alerts(["*"])
        .settings([&message::CHANNEL])
        .settings(SETTINGS)
        .act_only()
    }

    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        if let Some(why) = why_not_posted(alert) {
            return Ok(Facts::new().with("not-posted", why));
        }
        post_anew(cx, alert, found)
    }

    fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        if let Some(why) = why_not_posted(alert) {
            return Ok(Facts::new().with("not-posted", why));
        }
        let Some(kept) = cx.kv().get_string(&message_key(alert))? else {
            return post_anew(cx, alert, found);
        };
        let original = MessageRef::from(kept);
        let card = message::card(cx, alert, found);
        let channel = message::channel(cx);
        match cx
            .slack()
            .update_or_post(&original, card.message(&channel))?
        {
            Shown::Updated(at) => {
                let reply = message::reply(cx, alert).key("reply");
                let thread = match cx.slack().reply(&at, reply)? {
                    Reply::Posted(_) => "posted",
                    Reply::Refused(_) => "failed",
                };
                Ok(posted(&at, "updated").with("slack.thread", thread))
            }
            Shown::Posted(at) => with_thread(cx, &card, &channel, &at, posted(&at, "posted")),
        }
    }
}

handler_sdk::export!(SlackNotify);

fn post_anew(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
    let card = message::card(cx, alert, found);
    let channel = message::channel(cx);
    // The text contains how long the alert has fired, so it differs between attempts; the key makes it the same effect.
    let at = cx.slack().post(card.message(&channel).key("message"))?;
    if alert.is_firing() {
        // A week, the longest time that an update of the message is useful. A reminder of an alert that fires longer is
        // stored in its turn. The message is posted already, so a failure is only logged; the resolved alert is then a new
        // message.
        if let Err(error) = cx.kv().set(&message_key(alert), &at, Some(7 * DAY)) {
            let failure = Failure::from(error);
            cx.log().warn(
                "the message could not be remembered; its end will be a new message",
                &[("why", &failure.message())],
            );
        }
    }
    with_thread(cx, &card, &channel, &at, posted(&at, "posted"))
}

/// Posts what did not fit into the message in its thread.
fn with_thread(
    cx: &Cx,
    card: &Card,
    channel: &str,
    at: &MessageRef,
    facts: Facts,
) -> Result<Facts, Failure> {
    let outcome = card.post_thread(cx, channel, "Further findings", at)?;
    Ok(match outcome {
        Some(outcome) => facts.with("slack.findings", outcome),
        None => facts,
    })
}

fn posted(at: &MessageRef, how: &str) -> Facts {
    Facts::new()
        .with("slack.message", at.as_str())
        .with("slack.how", how)
}

fn message_key(alert: &Alert) -> String {
    format!("message/{}", alert.incident_key())
}

fn why_not_posted(alert: &Alert) -> Option<String> {
    if PLUMBING.contains(&alert.name.as_str()) {
        return Some(format!(
            "{} is plumbing of Prometheus, not news for people",
            alert.name
        ));
    }
    let severity = alert.severity().filter(|severity| severity == "none")?;
    Some(format!("severity is `{severity}`"))
}

#[cfg(test)]
mod tests;
