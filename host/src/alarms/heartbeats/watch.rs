//! Raises an alert if a heartbeat is missing, and resolves it when the heartbeat arrives again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Heartbeats, MISSING};
use crate::alarms::{Notifier, until};
use crate::alert::{Alert, Fingerprint, Status, Timestamp};
use crate::queue::{Filter, Parcel, Queue, Submission};
use crate::router::Router;

/// How long after a failure to store an alert about a heartbeat it is retried.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// How many alerts of one name are read after a start, newest first.
const TAKEN_UP_MAX: u32 = 100;

/// Stores the alerts about heartbeats.
pub(crate) struct HeartbeatWatch {
    pub(crate) heartbeats: Arc<Heartbeats>,
    pub(crate) queue: Queue,
    pub(crate) router: Arc<ArcSwap<Router>>,
    pub(crate) notifier: Arc<Notifier>,
    /// True once the modules of the first scan are routed: before that, no route would take the alerts.
    pub(crate) ready: watch::Receiver<bool>,
}

impl HeartbeatWatch {
    /// Runs until the server ends.
    pub(crate) async fn run(mut self) {
        if self.ready.wait_for(|is_ready| *is_ready).await.is_err() {
            return;
        }
        self.take_up_missing().await;
        let mut unstored = VecDeque::new();
        let mut leads = self.queue.leads();
        loop {
            if !*leads.borrow_and_update() {
                // The replica that has the term raises them: heartbeats that others accept arrive there.
                if leads.wait_for(|leads| *leads).await.is_err() {
                    return;
                }
                unstored.clear();
                self.heartbeats.restart(Instant::now());
                self.take_up_missing().await;
            }
            unstored.extend(self.heartbeats.take_ended());
            let (raised, next) = self.heartbeats.overdue(Instant::now(), Timestamp::now());
            for alert in &raised {
                tracing::error!(
                    heartbeat = alert.labels.get("heartbeat"),
                    "{}",
                    alert.annotations.get("description").unwrap_or_default()
                );
            }
            unstored.extend(raised);
            let again = self.store(&mut unstored).await;
            let wake = [next, again].into_iter().flatten().min();
            tokio::select! {
                () = self.heartbeats.changed() => {}
                _ = leads.changed() => {}
                () = until(wake) => {}
            }
        }
    }

    /// Restores which heartbeats were missing before this start, so that their return is reported.
    async fn take_up_missing(&self) {
        if self.heartbeats.missing().is_empty() {
            return;
        }
        for alert in self.last_alerts(MISSING).await {
            if let (Some(name), Status::Firing) = (alert.labels.get("heartbeat"), alert.status) {
                self.heartbeats.take_up(name, alert.starts_at);
            }
        }
    }

    /// Returns the last alert of this name about each subject.
    async fn last_alerts(&self, alertname: &str) -> Vec<Alert> {
        let stored = self.queue.list(Filter {
            alertname: Some(alertname.into()),
            limit: TAKEN_UP_MAX,
            ..Filter::default()
        });
        // If the store does not answer, resolving an old alert is unimportant.
        let stored = stored
            .await
            .map_or_else(|_| Vec::new(), |page| page.deliveries);
        let mut last: BTreeMap<Fingerprint, Alert> = BTreeMap::new();
        for delivery in stored {
            let Ok(Some(story)) = self.queue.story(delivery.id).await else {
                continue;
            };
            if let Ok(alert) = serde_json::from_value::<Alert>(story.alert) {
                // The newest comes first; only that one is used.
                last.entry(alert.fingerprint).or_insert(alert);
            }
        }
        last.into_values().collect()
    }

    /// Stores alerts in their order; those that cannot be stored are kept, to be retried at the time that is returned.
    async fn store(&self, unstored: &mut VecDeque<Alert>) -> Option<Instant> {
        while let Some(alert) = unstored.front() {
            let submission = Submission {
                plans: self.router.load().plan(&alert.labels),
                alert: alert.clone(),
                starts_at_missing: false,
            };
            if submission.plans.is_empty() {
                // If no route takes it, it is reported like a dead letter.
                if !self.notifier.report(alert).await {
                    return Some(Instant::now() + STORE_AGAIN);
                }
                unstored.pop_front();
                continue;
            }
            let parcel = Parcel::new(vec![submission], Vec::new());
            if let Err(error) = self.queue.accept(parcel).await {
                tracing::error!(%error, "cannot store an alert about a heartbeat; trying again");
                return Some(Instant::now() + STORE_AGAIN);
            }
            unstored.pop_front();
        }
        None
    }
}
