//! Raises an alert for each thing of Slack that is held, and ends it with the hold.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Shared;
use crate::alarms::{self, Reporting};
use crate::alert::{Alert, Fingerprint, Status, Timestamp};
use crate::queue::{IfBlocked, Raised};
use crate::runtime::Hold;

/// After this long, an alert for which there was no room is tried again.
const AGAIN: Duration = Duration::from_secs(5);

impl Shared {
    /// Follows what is held. An alert that fires already, since before a restart, is not raised again.
    pub(super) async fn report_holds(self) {
        // Before, there is no way to report.
        self.ready().await;
        let mut changes = self.runtime.holds().subscribe();
        let reported = self.reported_holds().await.into_iter();
        let mut raised: BTreeMap<_, _> = reported
            .map(|(hold, fingerprint)| (hold.channel, fingerprint))
            .collect();
        loop {
            changes.borrow_and_update();
            let holds = self.runtime.holds().current();
            let mut is_done = true;
            for hold in &holds {
                if !raised.contains_key(&hold.channel) {
                    let alert = alarms::alarm(hold, Timestamp::now());
                    let fingerprint = alert.fingerprint;
                    if self.report(alert, IfBlocked::Leave).await {
                        raised.insert(hold.channel.clone(), fingerprint);
                    } else {
                        is_done = false;
                    }
                }
            }
            let ended: Vec<_> = raised
                .keys()
                .filter(|channel| !holds.iter().any(|hold| hold.channel == **channel))
                .cloned()
                .collect();
            for channel in ended {
                if let Some(fingerprint) = raised.get(&channel)
                    && self.queue.end(*fingerprint).await.is_ok()
                {
                    raised.remove(&channel);
                }
            }
            tokio::select! {
                changed = changes.changed() => {
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
    /// has is not held.
    pub(super) async fn restore_holds(&self) {
        for (hold, _) in self.reported_holds().await {
            let config = self.config.load();
            let channels = &config.slack.channels;
            let channel = hold.channel.as_ref();
            if channel.is_none_or(|name| channels.contains_key(name)) {
                self.runtime.holds().restore(hold);
            }
        }
    }

    /// Returns the holds whose alerts fire.
    async fn reported_holds(&self) -> Vec<(Hold, Fingerprint)> {
        let mut reported = Vec::new();
        for name in alarms::HOLDS {
            let last = self.last_alerts(name).await;
            let firing = last.iter().filter(|alert| alert.status == Status::Firing);
            reported.extend(
                firing.filter_map(|alert| Some((alarms::hold_of(alert)?, alert.fingerprint))),
            );
        }
        reported
    }

    /// Reports an alert of the server's own; returns false if it is to be tried again.
    pub(super) async fn report(&self, alert: Alert, if_blocked: IfBlocked) -> bool {
        if alert.status == Status::Resolved {
            return self.queue.end(alert.fingerprint).await.is_ok();
        }
        let summary = alert
            .annotations
            .get("summary")
            .unwrap_or_default()
            .to_owned();
        let name = alert.name().to_owned();
        match self.queue.raise(alert, if_blocked).await {
            Ok(Raised::Stored) => {
                tracing::error!(alertname = name, "{summary}");
                true
            }
            Ok(Raised::Known) => true,
            Ok(Raised::Nowhere) => {
                // Whoever has turned reports off looks at the log.
                if self.reporting.load().as_deref() != Some(&Reporting::Off) {
                    self.queue.count_unreported();
                }
                tracing::error!(
                    alertname = name,
                    "nobody was notified, there is no way to report now: {summary}"
                );
                true
            }
            Ok(Raised::NoRoom) | Err(_) => false,
        }
    }
}
