//! The configuration in use: the whole for those who compare it or report it, and its own settings for each part.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;
use crate::alarms::PingSettings;
use crate::http::{access, origin, server, webhook};
use crate::runtime::SlackSettings;
use crate::worker;

/// Handles on the settings in use; cheap to clone. A part keeps a handle on its own settings and loads it whenever it
/// starts something, so that what runs keeps the settings that it began with.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    /// The whole configuration.
    pub(crate) whole: Arc<ArcSwap<Config>>,
    /// Of connections.
    pub(crate) server: Arc<ArcSwap<server::Settings>>,
    /// Of the check of origins.
    pub(crate) origin: Arc<ArcSwap<origin::Settings>>,
    /// Of the webhook.
    pub(crate) webhook: Arc<ArcSwap<webhook::Settings>>,
    /// Of the API and the page.
    pub(crate) api: Arc<ArcSwap<access::Settings>>,
    /// Of handlers.
    pub(crate) handlers: Arc<ArcSwap<worker::Settings>>,
    /// Of Slack.
    pub(crate) slack: Arc<ArcSwap<SlackSettings>>,
    /// Of pings.
    pub(crate) pings: Arc<ArcSwap<PingSettings>>,
}

impl Current {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self {
            server: Arc::new(ArcSwap::from_pointee(config.server.clone())),
            origin: Arc::new(ArcSwap::from_pointee(config.origin())),
            webhook: Arc::new(ArcSwap::from_pointee(config.webhook.clone())),
            api: Arc::new(ArcSwap::from_pointee(config.api.clone())),
            handlers: Arc::new(ArcSwap::from_pointee(config.handlers.clone())),
            slack: Arc::new(ArcSwap::from_pointee(config.slack.clone())),
            pings: Arc::new(ArcSwap::from_pointee(config.ping_settings())),
            whole: Arc::new(ArcSwap::new(config)),
        }
    }

    /// Puts another configuration in use, with the settings of handlers that are to be in use. Parts see their new settings one
    /// after the other.
    pub(crate) fn replace(&self, config: Config, handlers: worker::Settings) {
        self.server.store(Arc::new(config.server.clone()));
        self.origin.store(Arc::new(config.origin()));
        self.webhook.store(Arc::new(config.webhook.clone()));
        self.api.store(Arc::new(config.api.clone()));
        self.handlers.store(Arc::new(handlers));
        self.slack.store(Arc::new(config.slack.clone()));
        self.pings.store(Arc::new(config.ping_settings()));
        self.whole.store(Arc::new(config));
    }
}
