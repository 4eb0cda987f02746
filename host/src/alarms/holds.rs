//! Raises an alert for each thing that Slack refuses until the operator corrects it, and ends it when the hold ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::Notifier;
use super::dead_letters::own_alert;
use crate::alert::{Alert, Fingerprint, Labels, Timestamp};
use crate::queue::{IfBlocked, Queue, Raised};
use crate::runtime::{Hold, Holds};

/// After this long, an alert that the queue had no capacity for is tried again.
const AGAIN: Duration = Duration::from_secs(5);

const CHANNEL_HELD: &str = "AlertManagerSlackChannelHeld";
const TOKEN_REFUSED: &str = "AlertManagerSlackTokenRefused";

/// Annotations from which a hold is restored after a restart.
const CODE: &str = "slack_code";
const ADVICE: &str = "advice";

/// The alerts that fire, by the channel that is held; the one about the token has none.
pub(crate) type Firing = BTreeMap<Option<String>, Fingerprint>;

/// Follows the holds.
#[derive(Clone)]
pub(crate) struct HoldAlarms {
    pub(crate) queue: Queue,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) holds: Arc<Holds>,
    /// Changes when the ways to report may be others than before.
    pub(crate) ways_changes: watch::Receiver<u64>,
}

impl HoldAlarms {
    /// Takes up what was held when the last process ended: it is held until a message goes through. To be called before
    /// anything runs: a message that went through before would not release it. A channel that `is_configured` does not know
    /// is not held. Returns the alerts that fire.
    pub(crate) async fn restore(&self, is_configured: impl Fn(&str) -> bool) -> Firing {
        // If the store does not answer, the end of an old alert matters least.
        let alarms = self.queue.alarms().await.unwrap_or_default();
        let mut firing = Firing::new();
        for alarm in &alarms {
            // A heartbeat that no route takes is raised in the same way.
            let Some(hold) = hold_of(alarm) else {
                continue;
            };
            firing.insert(hold.channel.clone(), alarm.fingerprint);
            if hold.channel.as_deref().is_none_or(&is_configured) {
                self.holds.restore(hold);
            }
        }
        firing
    }

    /// Runs until the server ends, from the alerts on that fire since before the start: these are not raised again.
    pub(crate) async fn run(mut self, restored: oneshot::Receiver<Firing>) {
        // Before the holds are restored, each alert of before would seem to be over.
        let Ok(mut firing) = restored.await else {
            return;
        };
        let mut holds_changes = self.holds.subscribe();
        // Holds of which the log says that nobody was notified.
        let mut logged = BTreeSet::new();
        loop {
            holds_changes.borrow_and_update();
            self.ways_changes.borrow_and_update();
            let holds = self.holds.current();
            let is_raised = self.raise(&holds, &mut firing, &mut logged).await;
            let is_done = self.end(&holds, &mut firing).await && is_raised;
            // A way may be free now for what waits on another.
            self.queue.look_again();
            tokio::select! {
                changed = holds_changes.changed() => if changed.is_err() { return },
                changed = self.ways_changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(AGAIN), if !is_done => {}
            }
        }
    }

    /// Raises an alert for each hold that has none; returns false if one is to be tried again.
    async fn raise(
        &self,
        holds: &[Hold],
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

    /// Ends the alert of each hold that is over; returns false if one is to be tried again.
    async fn end(&self, holds: &[Hold], firing: &mut Firing) -> bool {
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

fn is_held(holds: &[Hold], channel: &Option<String>) -> bool {
    holds.iter().any(|hold| hold.channel == *channel)
}

/// Returns the alert about a hold. What Slack answered is no label: it may change while the hold lasts.
fn alarm(hold: &Hold, now: Timestamp) -> Alert {
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
fn hold_of(alarm: &Alert) -> Option<Hold> {
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
