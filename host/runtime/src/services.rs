//! The services behind host calls: Slack, the proxy, credentials, circuit breakers. A reload replaces them as a whole; an
//! invocation keeps those that it began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::grant_uses::GrantUses;
use crate::outbound::breakers::Breakers;
use crate::outbound::credential::Credential;
use crate::outbound::egress::{ClientError, HttpAnswers, HttpClient};
use crate::outbound::proxy::Proxy;
use crate::slack::SlackApi;
use crate::slack::breaker::SlackBreaker;
use crate::slack::handle::{PreviewSink, Slack};
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
    /// The key that signs message references, so that handlers cannot forge them. It must be the same after a restart,
    /// because handlers keep references in `kv`.
    pub message_ref_key: [u8; 32],
    /// Called with each message that is shown instead of posted.
    pub preview: PreviewSink,
    /// What answers the requests of handlers if none may leave this process, as when a handler is tried.
    pub answers: Option<Arc<dyn HttpAnswers>>,
}

/// The state that survives a reload.
#[derive(Clone, Default)]
pub(super) struct Lasting {
    pub(super) slack_breaker: Arc<SlackBreaker>,
    pub(super) breakers: Arc<Breakers>,
    pub(super) grant_uses: Arc<GrantUses>,
}

/// The services that one invocation uses.
pub(super) struct Services {
    pub(super) slack: Slack,
    pub(super) breakers: Arc<Breakers>,
    pub(super) grant_uses: Arc<GrantUses>,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) credentials: BTreeMap<String, Arc<Credential>>,
    /// The client of every request, if none may leave this process.
    pub(super) answered: Option<HttpClient>,
}

impl Services {
    /// Makes the services of new settings over the state that survives a reload.
    ///
    /// # Errors
    /// If the client for Slack cannot be made.
    pub(super) fn new(options: ServiceOptions, lasting: Lasting) -> Result<Self, ClientError> {
        Ok(Self {
            slack: Slack {
                api: SlackApi::new(options.slack)?,
                breaker: lasting.slack_breaker,
                ref_key: RefKey::new(options.message_ref_key),
                preview: options.preview,
            },
            breakers: lasting.breakers,
            grant_uses: lasting.grant_uses,
            proxy: options.proxy,
            credentials: options.credentials,
            answered: options.answers.map(HttpClient::answered).transpose()?,
        })
    }
}
