//! Raises an alert when an expected one stops coming, and ends it when that comes again.

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

/// After this long, an alert about a heartbeat that could not be stored is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// Alerts of one name that are read after a start, the newest of them.
const TAKEN_UP_MAX: u32 = 100;

/// Stores the alerts about heartbeats.
pub(crate) struct HeartbeatWatch {
    pub(crate) heartbeats: Arc<Heartbeats>,
    pub(crate) queue: Queue,
    pub(crate) router: Arc<ArcSwap<Router>>,
    pub(crate) notifier: Arc<Notifier>,
    /// True once the modules of the first scan are routed: before, no route would take the alerts.
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
        loop {
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
                () = until(wake) => {}
            }
        }
    }

    /// Takes up which heartbeats were missing before this start, so that their return is reported.
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

    /// Returns what the server reported last about each thing of which it raises alerts of this name.
    async fn last_alerts(&self, alertname: &str) -> Vec<Alert> {
        let stored = self.queue.list(Filter {
            alertname: Some(alertname.into()),
            limit: TAKEN_UP_MAX,
            ..Filter::default()
        });
        // If the store does not answer, the end of an old alert matters least.
        let stored = stored
            .await
            .map_or_else(|_| Vec::new(), |page| page.deliveries);
        let mut last: BTreeMap<Fingerprint, Alert> = BTreeMap::new();
        for delivery in stored {
            let Ok(Some(story)) = self.queue.story(delivery.id).await else {
                continue;
            };
            if let Ok(alert) = serde_json::from_value::<Alert>(story.alert) {
                // The newest comes first, and it alone counts.
                last.entry(alert.fingerprint).or_insert(alert);
            }
        }
        last.into_values().collect()
    }

    /// Stores alerts in their order; what cannot be stored stays, to be tried again at the time returned.
    async fn store(&self, unstored: &mut VecDeque<Alert>) -> Option<Instant> {
        while let Some(alert) = unstored.front() {
            let submission = Submission {
                plans: self.router.load().plan(&alert.labels),
                alert: alert.clone(),
                starts_at_missing: false,
            };
            if submission.plans.is_empty() {
                // What no route takes is reported as dead letters are.
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
