//! Raises an alert for each Slack channel that is held, or the token, and resolves it when the hold ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::Notifier;
use super::dead_letters::own_alert;
use crate::alert::{Alert, Fingerprint, Labels, Timestamp};
use crate::queue::{IfBlocked, Queue, Raised};
use crate::runtime::{SlackBreaker, SlackHold};

/// How long after the queue was full an alert is retried.
const AGAIN: Duration = Duration::from_secs(5);

const CHANNEL_HELD: &str = "AlertManagerSlackChannelHeld";
const TOKEN_REFUSED: &str = "AlertManagerSlackTokenRefused";

/// Annotations from which a hold is restored after a restart.
const CODE: &str = "slack_code";
const ADVICE: &str = "advice";

/// The alerts that fire, by the held channel; `None` for the token.
pub(crate) type Firing = BTreeMap<Option<String>, Fingerprint>;

/// Raises and resolves the alerts about holds.
#[derive(Clone)]
pub(crate) struct HoldAlarms {
    pub(crate) queue: Queue,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) slack_breaker: Arc<SlackBreaker>,
    /// Changes if the ways to report may have changed.
    pub(crate) ways_changes: watch::Receiver<u64>,
}

impl HoldAlarms {
    /// Restores the holds of the previous process: they last until a message succeeds. To be called before anything runs, since
    /// a message that succeeded before would not release them. A channel for which `is_configured` returns false is not held.
    /// Returns the alerts that fire.
    pub(crate) async fn restore(&self, is_configured: impl Fn(&str) -> bool) -> Firing {
        // If the store does not answer, resolving an old alert is unimportant.
        let alarms = self.queue.alarms().await.unwrap_or_default();
        let mut firing = Firing::new();
        for alarm in &alarms {
            // The list also has heartbeats that no route takes.
            let Some(hold) = hold_of(alarm) else {
                continue;
            };
            firing.insert(hold.channel.clone(), alarm.fingerprint);
            if hold.channel.as_deref().is_none_or(&is_configured) {
                self.slack_breaker.restore(hold);
            }
        }
        firing
    }

    /// Runs until the server ends. The alerts that fire since before the start are not raised again.
    pub(crate) async fn run(mut self, restored: oneshot::Receiver<Firing>) {
        // Before the holds are restored, each earlier alert would seem to have ended.
        let Ok(mut firing) = restored.await else {
            return;
        };
        let mut holds_changes = self.slack_breaker.subscribe();
        // Holds for which it was logged that nobody was notified.
        let mut logged = BTreeSet::new();
        loop {
            holds_changes.borrow_and_update();
            self.ways_changes.borrow_and_update();
            let holds = self.slack_breaker.holds();
            let is_raised = self.raise(&holds, &mut firing, &mut logged).await;
            let is_done = self.end(&holds, &mut firing).await && is_raised;
            // A way may have become free for a notice that waits on another.
            self.queue.look_again();
            tokio::select! {
                changed = holds_changes.changed() => if changed.is_err() { return },
                changed = self.ways_changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(AGAIN), if !is_done => {}
            }
        }
    }

    /// Raises an alert for each hold that has none; returns false if one has to be retried.
    async fn raise(
        &self,
        holds: &[SlackHold],
        firing: &mut Firing,
        logged: &mut BTreeSet<Option<String>>,
    ) -> bool {
        let mut is_done = true;
        logged.retain(|channel| is_held(holds, channel));
        for hold in holds {
            if firing.contains_key(&hold.channel) {
                continue;
            }
            let alarm = alarm(hold, Timestamp::now());
            match self.queue.raise(alarm.clone(), IfBlocked::Leave).await {
                Ok(Raised::Nowhere) => {
                    if logged.insert(hold.channel.clone()) {
                        self.notifier.log(&alarm, Raised::Nowhere);
                    }
                }
                Ok(Raised::NoRoom) | Err(_) => is_done = false,
                Ok(raised) => {
                    self.notifier.log(&alarm, raised);
                    firing.insert(hold.channel.clone(), alarm.fingerprint);
                }
            }
        }
        is_done
    }

    /// Resolves the alert of each hold that has ended; returns false if one has to be retried.
    async fn end(&self, holds: &[SlackHold], firing: &mut Firing) -> bool {
        let mut is_done = true;
        let over = firing
            .iter()
            .filter(|(channel, _)| !is_held(holds, channel));
        let over: Vec<_> = over
            .map(|(channel, alarm)| (channel.clone(), *alarm))
            .collect();
        for (channel, alarm) in over {
            if self.queue.end(alarm).await.is_ok_and(|is_ended| is_ended) {
                firing.remove(&channel);
            } else {
                is_done = false;
            }
        }
        is_done
    }
}

fn is_held(holds: &[SlackHold], channel: &Option<String>) -> bool {
    holds.iter().any(|hold| hold.channel == *channel)
}

/// Returns the alert about a hold. Slack's error is not a label, because it can change while the hold lasts.
fn alarm(hold: &SlackHold, now: Timestamp) -> Alert {
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
fn hold_of(alarm: &Alert) -> Option<SlackHold> {
    let text = |name| alarm.annotations.get(name).map(str::to_owned);
    let channel = alarm.labels.get("channel").map(str::to_owned);
    Some(SlackHold {
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
            let hold = SlackHold {
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
