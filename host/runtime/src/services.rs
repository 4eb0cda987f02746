//! What the operator set for host calls: Slack, credentials. Swapped whole on a reload; an invocation keeps what it began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::outbound::credential::Credential;
use crate::outbound::egress::ClientError;
use crate::outbound::outages::Outages;
use crate::outbound::proxy::Proxy;
use crate::slack::holds::Holds;
use crate::slack::message_ref::RefKey;
use crate::slack::settings::Settings;
use crate::slack::{Paces, SlackApi};

/// Shown each message that is previewed instead of posted: readable lines, free of control characters.
pub type PreviewSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The settings of host calls.
#[derive(Clone)]
pub struct ServiceOptions {
    /// `slack`.
    pub slack: Settings,
    /// `proxy_url`: for what handlers ask.
    pub proxy: Option<Arc<Proxy>>,
    /// `credentials`, by name.
    pub credentials: BTreeMap<String, Arc<Credential>>,
    /// Signs message references, so that no handler can make one up. The same over restarts: a
    /// reference kept in `kv` is worth nothing under another key.
    pub message_ref_key: [u8; 32],
    /// Where previewed messages are shown.
    pub preview: PreviewSink,
}

/// What services know of the world: it outlives a reload.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) paces: Arc<Paces>,
    pub(super) holds: Arc<Holds>,
    pub(super) outages: Arc<Outages>,
}

/// The services that one invocation uses.
pub(super) struct Services {
    pub(super) slack: SlackApi,
    pub(super) holds: Arc<Holds>,
    pub(super) outages: Arc<Outages>,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) credentials: BTreeMap<String, Arc<Credential>>,
    pub(super) ref_key: RefKey,
    pub(super) preview: PreviewSink,
}

impl Services {
    /// Builds them on what is known.
    pub(super) fn new(options: ServiceOptions, known: Known) -> Result<Self, ClientError> {
        Ok(Self {
            slack: SlackApi::new(options.slack, known.paces)?,
            holds: known.holds,
            outages: known.outages,
            proxy: options.proxy,
            credentials: options.credentials,
            ref_key: RefKey::new(options.message_ref_key),
            preview: options.preview,
        })
    }
}
