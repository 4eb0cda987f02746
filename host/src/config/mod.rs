//! Files and variables in, one checked [`Config`] out: the only module that reads either.

mod alarms;
mod changes;
mod credentials;
mod handlers;
mod limits;
mod load;
mod placeholder;
mod problem;
mod proxy;
mod routes;
mod sections;
mod spots;
mod suggest;
mod web;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::alert::HandlerName;
use crate::heartbeat::Expected;
use crate::policy::Grants;
use crate::router::Route;
use crate::runtime::{Bounds, Credential, Limits, Proxy, SlackSettings};
use crate::secret::Authorization;

pub use alarms::Ping;
pub use changes::Changes;
pub(crate) use placeholder::placeholder;
pub use problem::{Problem, Problems};
pub(crate) use sections::parse_http_url;
pub use spots::Spots;
pub(crate) use suggest::closest;
pub use web::{ClientAuth, Hmac, SenderRate, TlsFiles, TlsServer, TlsVersion, Web};

/// What the command line says: a flag beats a variable, a variable beats the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--web.listen-address`, `--listen`.
    pub listen: Option<String>,
    /// `--web.external-url`.
    pub external_url: Option<String>,
    /// `--handlers`.
    pub handlers_dir: Option<PathBuf>,
}

/// Everything that the operator set, checked and with its defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read; absent where the server runs without one.
    pub file: Option<PathBuf>,
    /// `listen`: 127.0.0.1:5000 by default.
    pub listen: SocketAddr,
    /// `external_url`: where people reach this server, for links in messages.
    pub external_url: Option<Url>,
    /// `insecure`: a public address may go without authorization.
    pub insecure: bool,
    /// `handlers_dir`: the folder of compiled handlers.
    pub handlers_dir: PathBuf,
    /// `sandbox`: bounds that hold for every handler.
    pub sandbox: Bounds,
    /// `store`.
    pub store: Store,
    /// `retention`.
    pub retention: Retention,
    /// `webhook`.
    pub webhook: Webhook,
    /// `api`.
    pub api: Api,
    /// `web`.
    pub web: Web,
    /// `tls_server_config`; absent where HTTP is plain.
    pub tls_server: Option<TlsServer>,
    /// `proxy_url`, `no_proxy`: for what handlers and pings ask. Absent if everything is asked directly.
    pub proxy: Option<Arc<Proxy>>,
    /// `slack`.
    pub slack: SlackSettings,
    /// `credentials`, by name.
    pub credentials: BTreeMap<String, Arc<Credential>>,
    /// `routes`, in the order of the file; empty where routes are to be made from descriptions alone.
    pub routes: Vec<Route>,
    /// `heartbeats` that are expected, by name.
    pub heartbeats: BTreeMap<String, Expected>,
    /// `heartbeats` that this server sends.
    pub pings: Vec<Ping>,
    /// `dead_letter.handlers`: what runs about a delivery that was dead-lettered. Absent: the handlers of the last route
    /// without matchers. Empty: nothing.
    pub dead_letter: Option<Vec<HandlerName>>,
    /// What is allowed but hardly meant.
    pub warnings: Vec<Problem>,
    /// What can be used and would fail every time: `check` refuses it, a server says so and serves.
    pub mistakes: Vec<Problem>,
    /// Where each key stands in the file.
    pub(crate) spots: Arc<Spots>,
    handlers: BTreeMap<HandlerName, Arc<HandlerSettings>>,
    other_handlers: Arc<HandlerSettings>,
}

impl Config {
    /// Returns the settings of `name`: those of its entry below `handlers`, or the defaults.
    #[must_use]
    pub fn handler(&self, name: &HandlerName) -> Arc<HandlerSettings> {
        Arc::clone(self.handlers.get(name).unwrap_or(&self.other_handlers))
    }

    /// Returns which doors stand open where the server listens on `bound`, for a sentence that goes on with
    /// "no authorization"; None where only this machine reaches it, each door is closed, or the operator
    /// wants it so.
    pub(crate) fn open_doors(&self, bound: &Bound) -> Option<&'static str> {
        open_doors(bound, self.insecure, &self.webhook, &self.api)
    }

    /// Returns the names that have an entry below `handlers`, sorted.
    pub fn handler_names(&self) -> impl Iterator<Item = &HandlerName> {
        self.handlers.keys()
    }
}

/// What the server listens on, for as long as it runs: a new configuration changes neither.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// As it was configured.
    pub(crate) listen: SocketAddr,
    /// Absent where HTTP is plain.
    pub(crate) tls: Option<TlsServer>,
}

impl Bound {
    /// Returns true where nobody comes in without a certificate.
    pub(crate) fn requires_client_certificate(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(TlsServer::requires_client_certificate)
    }
}

/// Whoever reaches an open door could post alerts that handlers act on, and read every story.
fn open_doors(bound: &Bound, insecure: bool, webhook: &Webhook, api: &Api) -> Option<&'static str> {
    if bound.listen.ip().is_loopback() || insecure || bound.requires_client_certificate() {
        return None;
    }
    match (webhook.is_closed(), &api.authorization) {
        (true, Some(_)) => None,
        (false, None) => Some("webhook and api have"),
        (false, Some(_)) => Some("webhook has"),
        (true, None) => Some("api has"),
    }
}

/// Where deliveries are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// `sqlite:FILE`.
    Sqlite(PathBuf),
}

/// How long settled deliveries are kept. Whichever bound is met first counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `time`: 7 days by default.
    pub time: Duration,
    /// `size`: of the store, 2 GiB by default.
    pub size_bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(7 * 24 * 60 * 60),
            size_bytes_max: 2 << 30,
        }
    }
}

/// How alerts come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// `authorization` or `basic_auth`; absent where anyone who reaches the address may post.
    pub authorization: Option<Authorization>,
    /// `hmac`. Where `authorization` is set too, either proves a sender.
    pub hmac: Option<Hmac>,
    /// `rate`: of each sender, by its address.
    pub rate: SenderRate,
    /// `body_bytes_max`: 64 MiB by default.
    pub body_bytes_max: u64,
    /// `queue_depth_max`: deliveries not yet settled, past which the answer is 503; 100,000 by default.
    pub queue_depth_max: u64,
}

impl Webhook {
    /// Returns true where a sender has to prove itself.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.authorization.is_some() || self.hmac.is_some()
    }
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            authorization: None,
            hmac: None,
            rate: SenderRate::default(),
            body_bytes_max: 64 << 20,
            queue_depth_max: 100_000,
        }
    }
}

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// `authorization` or `basic_auth`; absent where anyone who reaches the address may ask.
    pub authorization: Option<Authorization>,
}

/// What the operator set for one handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerSettings {
    /// `sha256`: the only module that is accepted under this name.
    pub sha256: Option<[u8; 32]>,
    /// `allow`.
    pub grants: Arc<Grants>,
    /// `limits`.
    pub limits: Limits,
    /// `enrich`.
    pub enrich: EnrichBudget,
    /// `retry`.
    pub retry: Retry,
    /// `config`: scalars as written, lists and mappings as JSON.
    pub config: Arc<BTreeMap<String, String>>,
}

impl HandlerSettings {
    /// Returns the handler's `config` with that of a route laid over it.
    #[must_use]
    pub fn config_under(&self, over: &BTreeMap<String, String>) -> Arc<BTreeMap<String, String>> {
        if over.is_empty() {
            return Arc::clone(&self.config);
        }
        let mut config = (*self.config).clone();
        config.extend(over.iter().map(|(k, v)| (k.clone(), v.clone())));
        Arc::new(config)
    }
}

/// What one delivery's enrichment by a handler may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichBudget {
    /// `attempts`: 2 by default.
    pub attempts_max: u32,
    /// `within`: over all attempts, 10 s by default.
    pub within: Duration,
}

impl Default for EnrichBudget {
    fn default() -> Self {
        Self {
            attempts_max: 2,
            within: Duration::from_secs(10),
        }
    }
}

/// How an actor that failed is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// `max_attempts`: 10 by default.
    pub attempts_max: u32,
    /// `min_backoff`: 1 s by default.
    pub backoff_min: Duration,
    /// `max_backoff`: 5 minutes by default.
    pub backoff_max: Duration,
    /// `max_age`: from acceptance, 4 hours by default.
    pub age_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            age_max: Duration::from_secs(4 * 60 * 60),
        }
    }
}
