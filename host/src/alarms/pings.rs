//! Pings: this server requests a URL at an interval, so that a dead man's switch notices when it stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use url::Url;

use super::until;
use crate::alert::Timestamp;
use crate::queue::Queue;
use crate::runtime::{HttpClient, Proxy, Roots, Route, without_url};
use crate::secret::SecretSource;
use crate::units::format_duration;

/// A ping that takes longer has failed.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A server whose critical deliveries wait for longer does not do its work: its pings stop.
const CRITICAL_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// A URL that this server requests at an interval, so that somebody notices when it stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Its name below `heartbeats`.
    pub name: String,
    /// `ping_url`, `ping_url_file` or `ping_url_env`. Whoever knows it can pretend to be this server.
    pub url: SecretSource,
    /// `every`.
    pub every: Duration,
    /// `via_proxy`: the proxy resolves the URL's name.
    pub via_proxy: bool,
}

/// What an operator may set for pings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `heartbeats` with a URL.
    pub(crate) pings: Vec<Ping>,
    /// `proxy_url`, for those with `via_proxy`.
    pub(crate) proxy: Option<Arc<Proxy>>,
}

/// What pings are sent with.
#[derive(Clone)]
pub(crate) struct PingClient(reqwest::Client);

impl PingClient {
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(PING_TIMEOUT)
            // A proxy from the environment would read the URL, which is a secret.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self(client))
    }

    /// Requests `url`; returns what went wrong, without the URL.
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

/// Sends the pings of the configuration in use.
pub(crate) struct Pings {
    pub(crate) client: PingClient,
    pub(crate) queue: Queue,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    /// Changes with each reload.
    pub(crate) reloads: watch::Receiver<()>,
}

impl Pings {
    /// Pings each URL at its interval until the server ends, as long as critical deliveries do not wait too long.
    pub(crate) async fn run(mut self) {
        let mut due: BTreeMap<String, Instant> = BTreeMap::new();
        let mut is_late = false;
        loop {
            let now = Instant::now();
            let settings = self.settings.load_full();
            let pings = &settings.pings;
            due.retain(|name, _| pings.iter().any(|ping| ping.name == *name));
            for ping in pings {
                let at = due.entry(ping.name.clone()).or_insert(now);
                if *at <= now {
                    *at = now + ping.every;
                    if !self.is_late(&mut is_late) {
                        let proxy = settings.proxy.clone();
                        tokio::spawn(send(self.client.clone(), ping.clone(), proxy));
                    }
                }
            }
            let wake = pings.iter().filter_map(|ping| due.get(&ping.name).copied());
            let wake = wake.min();
            tokio::select! {
                changed = self.reloads.changed() => if changed.is_err() { return },
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
                format_duration(age)
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

/// Sends one ping. Whoever knows the URL can pretend to be this server: it is in no log line.
async fn send(client: PingClient, ping: Ping, proxy: Option<Arc<Proxy>>) {
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
