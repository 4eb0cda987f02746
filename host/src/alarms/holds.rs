//! Makes the alert about something of Slack that is held.

use super::dead_letters::own_alert;
use crate::alert::{Alert, Labels, Timestamp};
use crate::runtime::Hold;

const CHANNEL_HELD: &str = "AlertManagerSlackChannelHeld";
const TOKEN_REFUSED: &str = "AlertManagerSlackTokenRefused";

/// The names of the alerts about holds.
pub(crate) const NAMES: [&str; 2] = [CHANNEL_HELD, TOKEN_REFUSED];

/// Returns the alert about a hold. What Slack answered is no label: it may change while the hold lasts.
pub(crate) fn alarm(hold: &Hold, now: Timestamp) -> Alert {
    let (code, advice) = (&hold.code, &hold.advice);
    let (labels, summary) = match &hold.channel {
        Some(channel) => (
            vec![("alertname", CHANNEL_HELD), ("channel", channel)],
            format!("Slack refuses messages to the channel {channel}: {code}. {advice}"),
        ),
        None => (
            vec![("alertname", TOKEN_REFUSED)],
            format!("Slack refuses the token: {code}. {advice}"),
        ),
    };
    let labels = labels.into_iter().chain([("severity", "critical")]);
    let annotations = Labels::from_iter([
        ("summary", summary),
        (
            "description",
            "Messages wait, and are sent when this is corrected. They are dead-lettered after retry.max_age, 4h by default."
                .to_owned(),
        ),
    ]);
    own_alert(Labels::from_iter(labels), annotations, hold.since, now)
}
