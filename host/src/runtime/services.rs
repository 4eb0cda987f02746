//! What the operator set for host calls: Slack, credentials. Swapped whole on a reload; an invocation keeps what it began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::egress::ClientError;
use super::message_ref::RefKey;
use super::slack::{Paces, SlackApi};
use crate::config::{Credential, Proxy, Slack};

/// Shown each message that is previewed instead of posted: readable lines, free of control characters.
pub type PreviewSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The settings of host calls.
#[derive(Clone)]
pub struct ServiceOptions {
    /// `slack`.
    pub slack: Slack,
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

/// The services that one invocation uses.
pub(super) struct Services {
    pub(super) slack: SlackApi,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) credentials: BTreeMap<String, Arc<Credential>>,
    pub(super) ref_key: RefKey,
    pub(super) preview: PreviewSink,
}

impl Services {
    /// Builds them; the paces of Slack's channels outlive a reload.
    pub(super) fn new(options: ServiceOptions, paces: Arc<Paces>) -> Result<Self, ClientError> {
        Ok(Self {
            slack: SlackApi::new(options.slack, paces)?,
            proxy: options.proxy,
            credentials: options.credentials,
            ref_key: RefKey::new(options.message_ref_key),
            preview: options.preview,
        })
    }
}
