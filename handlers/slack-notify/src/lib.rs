//! The fallback: says every alert that no other handler knows, firing and resolved, in Slack.
//!
//! Settings: `channel`, the Slack channel's name in the grants, `alerts` by default; `story_base`, where
//! deliveries' stories are read, below the server's `external_url` by default.

mod message;

use handler_sdk::prelude::*;
use handler_sdk::slack;
use handler_sdk::time::DAY;

/// Alertnames of Prometheus' own plumbing: one says that all is well, the other only mutes others.
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
        match cx
            .slack()
            .update(&original, message::full(cx, alert, found))
        {
            Ok(original) => {
                cx.slack()
                    .post(message::reply(cx, alert).thread(&original).key("reply"))?;
                Ok(posted(&original, "updated"))
            }
            Err(slack::Error::NotFound) => post_anew(cx, alert, found),
            Err(error) => Err(error.into()),
        }
    }
}

handler_sdk::export!(SlackNotify);

fn post_anew(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
    // The text says how long it has been: on a retry it differs, and the key tells that it is the same.
    let at = cx
        .slack()
        .post(message::full(cx, alert, found).key("message"))?;
    if alert.is_firing() {
        // The longest that a message stays worth finding again; an alert that fires longer gets reminders,
        // and each of them is kept in turn.
        // The message is out already: a failure is told, and its end will be a new message.
        if let Err(error) = cx.kv().set(&message_key(alert), &at, Some(7 * DAY)) {
            let failure = Failure::from(error);
            cx.log().warn(
                "the message could not be remembered; its end will be a new message",
                &[("why", &failure.message())],
            );
        }
    }
    Ok(posted(&at, "posted"))
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
