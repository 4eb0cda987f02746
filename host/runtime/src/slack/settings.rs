//! The settings of Slack.

use std::collections::BTreeMap;
use std::sync::Arc;

use alert_manager_core::secret::SecretSource;
use url::Url;

use crate::outbound::proxy::Proxy;

/// The section `slack` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `token_file`, or the variables `SLACK_TOKEN` and `SLACK_TOKEN_FILE`. Absent only in preview.
    pub token: Option<SecretSource>,
    /// `preview`: messages are shown and stored with the delivery instead of posted.
    pub preview: bool,
    /// `channels`: names or IDs at Slack, by the names that are granted to handlers.
    pub channels: BTreeMap<String, String>,
    /// `rate`: the rate limit of each channel.
    pub rate: Rate,
    /// `api_url`: the base of the methods, with a slash at its end.
    pub api_url: Url,
    /// `proxy_url` of this section, else the global one.
    pub proxy: Option<Arc<Proxy>>,
    /// `via_proxy`: the proxy resolves Slack's name.
    pub via_proxy: bool,
}

/// The rate limit of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// `per_second`: messages per second, 1 by default; 0 turns the limit off.
    pub per_second: f64,
    /// `burst`: messages at once after a pause, 5 by default.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            per_second: 1.0,
            burst: 5,
        }
    }
}
