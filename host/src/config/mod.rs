//! Files and variables in, one checked [`Config`] out: the only module that reads either.

mod alert_rules;
mod changes;
mod compare;
mod current;
mod decode;
mod http_rules;
mod key;
mod load;
mod node;
mod parse;
mod placeholder;
mod reader;
mod reference;
mod section;
mod sections;
mod spots;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::alarms::{Expected, Ping, PingSettings};
use crate::alert::HandlerName;
use crate::http::server::{self, Bound, TlsSettings};
use crate::http::{access, origin, webhook};
use crate::queue::{self, StoreUrl};
use crate::router::{self, Route};
use crate::runtime::{Bounds, Credential, Proxy, SlackRate, SlackSettings};
use crate::worker;

use sections::{API_URL_DEFAULT, HANDLERS_DIR_DEFAULT, LISTEN_DEFAULT};

pub use crate::findings::{Problem, Problems};
pub(crate) use alert_manager_core::suggest::{closest, differ_in_a_letter};
pub(crate) use alert_rules::{RULES_MAX, alert_rules, labelling};
pub use changes::Changes;
pub(crate) use current::Current;
pub(crate) use http_rules::http_rules;
pub use key::{Key, Written, shown_amount};
pub use load::Examined;
pub(crate) use placeholder::placeholder;
pub use reference::{Described, described};
pub use spots::Spots;

/// The flags of the command line: a flag overrides a variable, a variable overrides the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--web.listen-address`, `--listen`.
    pub listen: Option<String>,
    /// `--web.external-url`.
    pub external_url: Option<String>,
    /// `--handlers`.
    pub handlers_dir: Option<PathBuf>,
    /// Whether secrets are read.
    pub secrets: Secrets,
}

/// Whether the secrets that a configuration names are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// They are, and one that cannot be read is reported.
    #[default]
    Read,
    /// They are not, and need not be there: the command sends nothing.
    LeftAlone,
}

/// Everything that the operator set, checked and with its defaults filled in. Each part of the server owns the type of its
/// settings; this gathers them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read; absent if the server runs without one.
    pub file: Option<PathBuf>,
    /// `listen`: 127.0.0.1:5000 by default.
    pub listen: SocketAddr,
    /// `external_url`: the URL of this server for people, used in links in messages.
    pub external_url: Option<Url>,
    /// `insecure`: a public address needs no authorization.
    pub insecure: bool,
    /// `handlers_dir`: the folder of compiled handlers.
    pub handlers_dir: PathBuf,
    /// `sandbox`: bounds that hold for every handler.
    pub sandbox: Bounds,
    /// `store`.
    pub store: StoreUrl,
    /// `retention`, `webhook.queue_depth_max`, `storm.over` and `storm.within`.
    pub queue: queue::Options,
    /// `webhook`.
    pub webhook: webhook::Settings,
    /// `api`.
    pub api: access::Settings,
    /// `web`.
    pub server: server::Settings,
    /// `tls_server_config`; absent if HTTP is plain.
    pub tls_server: Option<TlsSettings>,
    /// `proxy_url`, `no_proxy`: for requests of handlers and for pings. Absent if every request is sent directly.
    pub proxy: Option<Arc<Proxy>>,
    /// `slack`.
    pub slack: SlackSettings,
    /// `credentials`, by name.
    pub credentials: BTreeMap<String, Arc<Credential>>,
    /// `routes`, in the order of the file; empty if routes are made from descriptions alone.
    pub routes: Vec<Route>,
    /// `severity_map` and `storm.by`.
    pub router: router::Settings,
    /// `heartbeats` that are expected, by name.
    pub heartbeats: BTreeMap<String, Expected>,
    /// `heartbeats` that this server sends.
    pub pings: Vec<Ping>,
    /// `dead_letter.handlers`: what runs about a delivery that was dead-lettered. Absent: the handlers of the last route
    /// without matchers. Empty: nothing.
    pub dead_letter: Option<Vec<HandlerName>>,
    /// `handlers`.
    pub handlers: worker::Settings,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Problem>,
    /// What can be used and would fail every time: `check` refuses it, and a reload if the configuration in use does not have
    /// it. A server that is started with it reports it and serves.
    pub mistakes: Vec<Problem>,
    /// The place of each key in the file.
    pub(crate) spots: Arc<Spots>,
}

impl Config {
    /// Returns the configuration of an empty file, before variables and flags.
    fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            listen: LISTEN_DEFAULT,
            external_url: None,
            insecure: false,
            handlers_dir: HANDLERS_DIR_DEFAULT.into(),
            sandbox: Bounds::default(),
            store: StoreUrl::default(),
            queue: queue::Options::default(),
            webhook: webhook::Settings::default(),
            api: access::Settings::default(),
            server: server::Settings::default(),
            tls_server: None,
            proxy: None,
            slack: SlackSettings {
                token: None,
                preview: false,
                channels: BTreeMap::new(),
                rate: SlackRate::CHANNEL,
                workspace_rate: SlackRate::WORKSPACE,
                api_url: slack_api_url(),
                proxy: None,
                via_proxy: false,
            },
            credentials: BTreeMap::new(),
            routes: Vec::new(),
            router: router::Settings::default(),
            heartbeats: BTreeMap::new(),
            pings: Vec::new(),
            dead_letter: None,
            handlers: worker::Settings::default(),
            warnings: Vec::new(),
            mistakes: Vec::new(),
            spots: Arc::default(),
        }
    }

    /// Returns the endpoints that can be reached from other machines without authentication if the server listens on
    /// `bound`, as the subject of "no authorization". None if there are none, or if the configuration has `insecure`.
    pub(crate) fn endpoints_without_authentication(&self, bound: &Bound) -> Option<&'static str> {
        // Whoever reaches an endpoint without authentication could post alerts that handlers act on, and read every story.
        if bound.listen.ip().is_loopback() || self.insecure || bound.requires_client_certificate() {
            return None;
        }
        match (self.webhook.is_closed(), &self.api.authorization) {
            (true, Some(_)) => None,
            (false, None) => Some("webhook and api have"),
            (false, Some(_)) => Some("webhook has"),
            (true, None) => Some("api has"),
        }
    }

    /// Returns the mistakes that this configuration has and the one in use does not: a reload refuses it for them.
    #[must_use]
    pub fn mistakes_beyond(&self, in_use: &Self) -> Problems {
        // Not the place: a line that is added above moves it.
        let is_known = |mistake: &&Problem| {
            let mut known = in_use.mistakes.iter();
            known.any(|known| known.message == mistake.message)
        };
        let new = self.mistakes.iter().filter(|mistake| !is_known(mistake));
        Problems(new.cloned().collect())
    }

    /// Returns the settings of pings.
    pub(crate) fn ping_settings(&self) -> PingSettings {
        PingSettings {
            pings: self.pings.clone(),
            proxy: self.proxy.clone(),
        }
    }

    /// Returns what the check of a request's origin depends on.
    pub(crate) fn origin(&self) -> origin::Settings {
        origin::Settings {
            external_url: self.external_url.clone(),
            is_insecure: self.insecure,
        }
    }
}

#[allow(clippy::expect_used, reason = "a constant, read by every test")]
fn slack_api_url() -> Url {
    API_URL_DEFAULT.parse().expect("the constant is a URL")
}
