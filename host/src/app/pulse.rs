//! Raises an alert when an expected one stops coming, and tells a dead man's switch that this server lives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use url::Url;

use super::Shared;
use crate::alarms::Ping;
use crate::alert::{Alert, Fingerprint, Status, Timestamp};
use crate::heartbeat::MISSING;
use crate::queue::{Filter, Parcel, Submission};
use crate::runtime::Proxy;
use crate::runtime::{HttpClient, Roots, Route, without_url};

/// After this long, an alert about a heartbeat that could not be stored is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// Alerts of one name that are looked at after a start, the newest of them.
const TAKEN_UP_MAX: u32 = 100;

/// A ping that takes longer has failed.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A server whose critical deliveries wait for longer does not do its work: its pings stop.
const CRITICAL_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// What pings are sent with.
#[derive(Clone)]
pub(super) struct Client(reqwest::Client);

impl Client {
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(PING_TIMEOUT)
            // A proxy of the environment would read the URL, which is a secret.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self(client))
    }

    /// Asks for `url`; returns what went wrong, without the URL.
    async fn ping(
        self,
        url: &str,
        via_proxy: bool,
        proxy: Option<&Arc<Proxy>>,
    ) -> Result<(), String> {
        let url: Url = url.parse().map_err(|_| "it is not a URL")?;
        let roots = match url.scheme() {
            "https" => Roots::System,
            _ => Roots::None,
        };
        let client = HttpClient::new(self.0, proxy, Route::trusted(via_proxy), roots);
        let client = client.map_err(|error| error.to_string())?;
        let asked = client.send(client.request(reqwest::Method::GET, url));
        match tokio::time::timeout(PING_TIMEOUT, asked).await {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("it answered {}", answer.status())),
            Ok(Err(error)) => Err(without_url(error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
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
        // If the store does not answer there is more to worry about than the end of an old alert.
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
                if !self.report(alert).await {
                    return Some(Instant::now() + STORE_AGAIN);
                }
                unstored.pop_front();
                continue;
            }
            if let Err(error) = self
                .queue
                .accept(Parcel::new(vec![submission], Vec::new()))
                .await
            {
                tracing::error!(%error, "cannot store an alert about a heartbeat; trying again");
                return Some(Instant::now() + STORE_AGAIN);
            }
            unstored.pop_front();
        }
        None
    }

    /// Pings each URL of the configuration at its interval, as long as critical deliveries do not wait.
    pub(super) async fn send_pings(self, client: Client) {
        let mut reloads = self.reloads.subscribe();
        let mut due: BTreeMap<String, Instant> = BTreeMap::new();
        let mut is_late = false;
        loop {
            let now = Instant::now();
            let config = self.config.whole.load_full();
            let pings = config.pings.clone();
            due.retain(|name, _| pings.iter().any(|ping| ping.name == *name));
            for ping in &pings {
                let at = due.entry(ping.name.clone()).or_insert(now);
                if *at <= now {
                    *at = now + ping.every;
                    if !self.is_late(&mut is_late) {
                        tokio::spawn(send(client.clone(), ping.clone(), config.proxy.clone()));
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
                "a critical delivery has been waiting for {}: pings stop until it is settled",
                crate::units::format_duration(age)
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
async fn send(client: Client, ping: Ping, proxy: Option<Arc<Proxy>>) {
    let sent = match ping.url.read() {
        Err(error) => Err(error.to_string()),
        Ok(url) => {
            let proxy = proxy.as_ref();
            client.ping(url.expose(), ping.via_proxy, proxy).await
        }
    };
    if let Err(why) = sent {
        tracing::warn!(
            heartbeat = ping.name,
            error = why,
            "the ping of the heartbeat {} failed",
            ping.name
        );
    }
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
