//! What the operator set for host calls: Slack, the proxy, credentials. Replaced as a whole on a reload; an invocation keeps
//! what it began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::outbound::breakers::Breakers;
use crate::outbound::credential::Credential;
use crate::outbound::egress::ClientError;
use crate::outbound::proxy::Proxy;
use crate::slack::SlackApi;
use crate::slack::handle::{PreviewSink, Slack};
use crate::slack::holds::Holds;
use crate::slack::message_ref::RefKey;
use crate::slack::settings::Settings;

/// The settings of host calls.
#[derive(Clone)]
pub struct ServiceOptions {
    /// `slack`.
    pub slack: Settings,
    /// `proxy_url`: for the requests of handlers.
    pub proxy: Option<Arc<Proxy>>,
    /// `credentials`, by name.
    pub credentials: BTreeMap<String, Arc<Credential>>,
    /// Signs message references, so that no handler can make one up. The same over restarts: a reference kept in `kv` cannot be
    /// read under another key.
    pub message_ref_key: [u8; 32],
    /// Is shown the messages that are previewed.
    pub preview: PreviewSink,
}

/// What outlives a reload of the settings.
#[derive(Clone, Default)]
pub(super) struct Lasting {
    pub(super) holds: Arc<Holds>,
    pub(super) breakers: Arc<Breakers>,
}

/// The services that one invocation uses.
pub(super) struct Services {
    pub(super) slack: Slack,
    pub(super) breakers: Arc<Breakers>,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) credentials: BTreeMap<String, Arc<Credential>>,
}

impl Services {
    /// Builds them over what outlives a reload.
    ///
    /// # Errors
    /// If the client for Slack cannot be made.
    pub(super) fn new(options: ServiceOptions, lasting: Lasting) -> Result<Self, ClientError> {
        Ok(Self {
            slack: Slack {
                api: SlackApi::new(options.slack)?,
                holds: lasting.holds,
                ref_key: RefKey::new(options.message_ref_key),
                preview: options.preview,
            },
            breakers: lasting.breakers,
            proxy: options.proxy,
            credentials: options.credentials,
        })
    }
}
