//! Creates the alert about a held Slack channel or token.

use super::dead_letters::own_alert;
use crate::alert::{Alert, Labels, Timestamp};
use crate::runtime::Hold;

const CHANNEL_HELD: &str = "AlertManagerSlackChannelHeld";
const TOKEN_REFUSED: &str = "AlertManagerSlackTokenRefused";

/// Annotations from which a hold is restored after a restart.
const CODE: &str = "slack_code";
const ADVICE: &str = "advice";

/// Returns the alert about a hold. Slack's error is not a label, because it can change while the hold lasts.
pub(crate) fn alarm(hold: &Hold, now: Timestamp) -> Alert {
    let (code, advice) = (&hold.code, &hold.advice);
    let (labels, summary) = match &hold.channel {
        Some(channel) => (
            vec![("alertname", CHANNEL_HELD), ("channel", channel)],
            format!("Slack rejects messages to the channel {channel}: {code}. {advice}"),
        ),
        None => (
            vec![("alertname", TOKEN_REFUSED)],
            format!("Slack rejects the token: {code}. {advice}"),
        ),
    };
    let labels = labels.into_iter().chain([("severity", "critical")]);
    let annotations = Labels::from_iter([
        (CODE, code.clone()),
        (ADVICE, advice.clone()),
        ("summary", summary),
        (
            "description",
            "Messages wait, and are sent when this is corrected. They are dead-lettered after retry.max_age, 4h by default."
                .to_owned(),
        ),
    ]);
    own_alert(Labels::from_iter(labels), annotations, hold.since, now)
}

/// Returns the hold that an alert is about.
pub(crate) fn hold_of(alarm: &Alert) -> Option<Hold> {
    let text = |name| alarm.annotations.get(name).map(str::to_owned);
    let channel = alarm.labels.get("channel").map(str::to_owned);
    Some(Hold {
        channel,
        code: text(CODE)?,
        advice: text(ADVICE)?,
        since: alarm.starts_at,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::Fingerprint;

    #[test]
    fn a_hold_survives_as_its_alarm() {
        for channel in [Some("alerts".to_owned()), None] {
            let hold = Hold {
                channel,
                code: "not_in_channel".into(),
                advice: "invite the app: /invite @alert-manager".into(),
                since: Timestamp::UNIX_EPOCH,
            };
            let alarm = alarm(&hold, Timestamp::UNIX_EPOCH);
            assert_eq!(hold_of(&alarm).unwrap(), hold);
            let of_a_sender = Fingerprint::of(&alarm.labels);
            assert_ne!(alarm.fingerprint, of_a_sender, "it is another event");
            assert!(
                alarm
                    .annotations
                    .get("summary")
                    .unwrap()
                    .contains("/invite")
            );
        }
    }
}
