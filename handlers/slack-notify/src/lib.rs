//! The fallback handler: posts every alert that no other handler answers to Slack, firing and resolved.
//!
//! Settings: `channel`, and those of [`handler_sdk::layout`].

mod message;

use handler_sdk::incident::Incident;
use handler_sdk::layout::SETTINGS;
use handler_sdk::prelude::*;

/// Alertnames that Prometheus needs for itself: one fires always, the other only inhibits other alerts.
const INTERNAL: [&str; 2] = ["Watchdog", "InfoInhibitor"];

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
        .storm_one()
    }

    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        let incident = Incident::open(cx, alert, found, message::channel(cx));
        if let Some(why) = why_not_posted(alert, incident.found()) {
            return Ok(Facts::new().with("not-posted", why));
        }
        let card = message::card(cx, alert, incident.found());
        incident.tell(&card)
    }

    fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        Self::act(cx, alert, found)
    }
}

handler_sdk::export!(SlackNotify);

/// Returns why the alert is not posted; `None` if it is. A storm is posted unless the reason applies to all its alerts.
fn why_not_posted(alert: &Alert, found: &Enrichment) -> Option<String> {
    let storm = found.storm();
    let label = |name: &str| match &storm {
        Some(storm) => storm.shared_label(name),
        None => alert.label(name),
    };
    if let Some(name) = label("alertname").filter(|name| INTERNAL.contains(name)) {
        return Some(format!(
            "{name} is an internal alert of Prometheus: nobody has to react to it"
        ));
    }
    let severity = label("severity")?.to_ascii_lowercase();
    (severity == "none").then(|| format!("severity is `{severity}`"))
}

#[cfg(test)]
mod tests;
