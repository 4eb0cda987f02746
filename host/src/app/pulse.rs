//! Raises an alert when an expected one stops coming, and tells a dead man's switch that this server lives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Shared;
use crate::alert::{Alert, Status, Timestamp};
use crate::config::Ping;
use crate::heartbeat::MISSING;
use crate::queue::{Filter, Parcel};
use crate::webhook::submission;

/// After this long, an alert about a heartbeat that could not be stored is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// Alerts about heartbeats that are looked at after a start, the newest of them.
const TOLD_BEFORE_MAX: u32 = 100;

/// A ping that takes longer has failed.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A server whose critical deliveries wait for longer does not do its work: its pings stop.
const CRITICAL_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Returns what pings are sent with.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .timeout(PING_TIMEOUT)
        // A proxy of the environment would read the URL, which is a secret.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
}

impl Shared {
    /// Takes note of an alert that arrived, before anything else is known of it.
    pub(crate) fn note_heartbeat(&self, alert: &Alert) {
        for ended in self.heartbeats.note(alert, Instant::now()) {
            // The task is gone only where the server stops.
            let _ = self.beats_again.send(ended);
        }
    }

    /// Stores an alert for each heartbeat that is overdue, and its end when it beats again.
    pub(super) async fn watch_heartbeats(self, mut beats_again: mpsc::UnboundedReceiver<Alert>) {
        // Before, no route would take them.
        self.ready().await;
        self.take_up_missing().await;
        let mut reloads = self.reloads.subscribe();
        let mut unstored = VecDeque::new();
        loop {
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
                Some(ended) = beats_again.recv() => unstored.push_back(ended),
                changed = reloads.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = until(wake) => {}
            }
        }
    }

    /// Takes up which heartbeats were missing before this start, so that their return is told.
    async fn take_up_missing(&self) {
        if self.heartbeats.missing().is_empty() {
            return;
        }
        let told = self.queue.list(Filter {
            alertname: Some(MISSING.into()),
            limit: TOLD_BEFORE_MAX,
            ..Filter::default()
        });
        // Where the store does not answer there is more to worry about than the end of an old alert.
        let told = told
            .await
            .map_or_else(|_| Vec::new(), |page| page.deliveries);
        let mut seen = BTreeSet::new();
        for delivery in told {
            let Ok(Some(story)) = self.queue.story(delivery.id).await else {
                continue;
            };
            let Ok(alert) = serde_json::from_value::<Alert>(story.alert) else {
                continue;
            };
            let Some(name) = alert.labels.get("heartbeat") else {
                continue;
            };
            // The newest comes first, and it alone counts.
            if seen.insert(name.to_owned()) && alert.status == Status::Firing {
                self.heartbeats.take_up(name, alert.starts_at);
            }
        }
    }

    /// Stores alerts in their order; what cannot be stored stays, to be tried again at the time returned.
    async fn store(&self, unstored: &mut VecDeque<Alert>) -> Option<Instant> {
        while let Some(alert) = unstored.front() {
            let submission = submission(&self.router.load(), alert.clone(), false);
            if submission.plans.is_empty() {
                self.metrics.unrouted();
                tracing::error!(
                    "no route matches {}: nobody is told of it. Give it a route, or add one without matchers",
                    alert.name()
                );
            }
            if let Err(error) = self
                .queue
                .accept(Parcel::new(vec![submission], Vec::new()))
                .await
            {
                tracing::error!(%error, "an alert about a heartbeat cannot be stored yet");
                return Some(Instant::now() + STORE_AGAIN);
            }
            unstored.pop_front();
        }
        None
    }

    /// Pings each URL of the configuration at its interval, as long as critical deliveries do not wait.
    pub(super) async fn send_pings(self, client: reqwest::Client) {
        let mut reloads = self.reloads.subscribe();
        let mut due: BTreeMap<String, Instant> = BTreeMap::new();
        let mut is_late = false;
        loop {
            let now = Instant::now();
            let pings = self.config.load().pings.clone();
            due.retain(|name, _| pings.iter().any(|ping| ping.name == *name));
            for ping in &pings {
                let at = due.entry(ping.name.clone()).or_insert(now);
                if *at <= now {
                    *at = now + ping.every;
                    if !self.is_late(&mut is_late) {
                        tokio::spawn(send(client.clone(), ping.clone()));
                    }
                }
            }
            let wake = pings
                .iter()
                .filter_map(|ping| due.get(&ping.name).copied())
                .min();
            tokio::select! {
                changed = reloads.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = until(wake) => {}
            }
        }
    }

    fn is_late(&self, was_late: &mut bool) -> bool {
        let oldest = self.queue.counts().oldest_critical;
        let age = oldest.map_or(Duration::ZERO, |at| age(at, Timestamp::now()));
        let is_late = age > CRITICAL_AGE_MAX;
        if is_late && !*was_late {
            tracing::error!(
                "a critical delivery has waited for {}: pings stop until it is settled",
                crate::config::format_duration(age)
            );
        }
        *was_late = is_late;
        is_late
    }
}

/// A clock that was set back makes nothing old.
fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Whoever knows the URL can pretend to be this server: it is in no log line.
async fn send(client: reqwest::Client, ping: Ping) {
    let failed = match ping.url.read() {
        Err(error) => error.to_string(),
        Ok(url) => match client.get(url.expose()).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => format!("it answered {}", answer.status()),
            Err(error) => error.without_url().to_string(),
        },
    };
    tracing::warn!(heartbeat = ping.name, "cannot ping: {failed}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_makes_nothing_late() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(age(at(1_000), at(1_400)), Duration::from_secs(400));
        assert_eq!(age(at(1_400), at(1_000)), Duration::ZERO);
    }
}
