//! Raises an alert for each thing of Slack that is held, and ends it with the hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Shared;
use crate::alarms::{self, Reporting};
use crate::alert::{Alert, Fingerprint, Status, Timestamp};
use crate::queue::{IfBlocked, Raised};

/// After this long, an alert for which there was no room is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The alarms that fire, by the channel that is held; that about the token has none.
pub(super) type Alarms = BTreeMap<Option<String>, Fingerprint>;

impl Shared {
    /// Follows what is held, from the alarms on that fire since before a restart: these are not raised again.
    pub(super) async fn report_holds(self, restored: oneshot::Receiver<Alarms>) {
        // Before the holds are restored, each alarm of before would seem to be over.
        let Ok(mut raised) = restored.await else {
            return;
        };
        let mut holds_seen = self.runtime.holds().subscribe();
        let mut ways_seen = self.listings.subscribe();
        // Holds of which the log says that nobody was notified.
        let mut logged = BTreeSet::new();
        loop {
            holds_seen.borrow_and_update();
            ways_seen.borrow_and_update();
            let holds = self.runtime.holds().current();
            let is_held = |channel: &Option<String>| holds.iter().any(|h| h.channel == *channel);
            let mut is_done = true;
            logged.retain(is_held);
            for hold in &holds {
                if raised.contains_key(&hold.channel) {
                    continue;
                }
                let alarm = alarms::alarm(hold, Timestamp::now());
                match self.queue.raise(alarm.clone(), IfBlocked::Leave).await {
                    Ok(Raised::Nowhere) => {
                        if logged.insert(hold.channel.clone()) {
                            self.log_raised(&alarm, Raised::Nowhere);
                        }
                    }
                    Ok(Raised::NoRoom) | Err(_) => is_done = false,
                    Ok(known) => {
                        self.log_raised(&alarm, known);
                        raised.insert(hold.channel.clone(), alarm.fingerprint);
                    }
                }
            }
            let ended = raised.iter().filter(|(channel, _)| !is_held(channel));
            let ended: Vec<_> = ended.map(|(c, alarm)| (c.clone(), *alarm)).collect();
            for (channel, alarm) in ended {
                if self.queue.end(alarm).await.is_ok_and(|is_ended| is_ended) {
                    raised.remove(&channel);
                } else {
                    is_done = false;
                }
            }
            // A way may be free now for what waits on another.
            self.queue.look_again();
            tokio::select! {
                changed = holds_seen.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                changed = ways_seen.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(AGAIN), if !is_done => {}
            }
        }
    }

    /// Takes up what was held when the last process ended: it is held until a message goes through. To be called before
    /// anything runs: a message that went through before would not release it. A channel that the configuration no longer
    /// has is not held. Returns the alarms that fire.
    pub(super) async fn restore_holds(&self) -> Alarms {
        // If the store does not answer there is more to worry about than the end of an old alarm.
        let alarms = self.queue.alarms().await.unwrap_or_default();
        let mut fire = Alarms::new();
        for alarm in &alarms {
            // A heartbeat that no route takes is raised in the same way.
            let Some(hold) = alarms::hold_of(alarm) else {
                continue;
            };
            fire.insert(hold.channel.clone(), alarm.fingerprint);
            let config = self.config.whole.load();
            let channels = &config.slack.channels;
            if hold
                .channel
                .as_ref()
                .is_none_or(|name| channels.contains_key(name))
            {
                self.runtime.holds().restore(hold);
            }
        }
        fire
    }

    /// Reports an alert of the server's own; returns false if it is to be tried again.
    pub(super) async fn report(&self, alert: &Alert) -> bool {
        if alert.status == Status::Resolved {
            return self
                .queue
                .end(alert.fingerprint)
                .await
                .is_ok_and(|is_ended| is_ended);
        }
        match self.queue.raise(alert.clone(), IfBlocked::Wait).await {
            Ok(Raised::NoRoom) | Err(_) => false,
            Ok(raised) => {
                self.log_raised(alert, raised);
                true
            }
        }
    }

    /// Says in the log what was raised, and counts what there was no way for.
    fn log_raised(&self, alert: &Alert, raised: Raised) {
        let (alertname, summary) = (alert.name(), alert.annotations.get("summary"));
        let summary = summary.unwrap_or_default();
        match raised {
            Raised::Stored => tracing::error!(alertname, "{summary}"),
            Raised::Known | Raised::NoRoom => {}
            Raised::Nowhere => {
                // Whoever has turned reports off looks at the log.
                if self.reporting.load().as_deref() != Some(&Reporting::Off) {
                    self.queue.count_unreported();
                }
                tracing::error!(
                    alertname,
                    "nobody was notified, there is no way to report now: {summary}"
                );
            }
        }
    }
}
