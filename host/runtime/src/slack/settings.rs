//! The settings of Slack.

use std::collections::BTreeMap;
use std::sync::Arc;

use alert_manager_core::secret::SecretSource;
use url::Url;

use crate::outbound::proxy::Proxy;

/// The section `slack` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `token_file`, or the variables `SLACK_TOKEN` and `SLACK_TOKEN_FILE`. Absent in preview, and if no handler may post.
    pub token: Option<SecretSource>,
    /// `preview`: messages are shown and stored with the delivery instead of posted.
    pub preview: bool,
    /// `channels`: names or IDs at Slack, by the names that are granted to handlers.
    pub channels: BTreeMap<String, String>,
    /// `rate`: the rate limit of each channel.
    pub rate: Rate,
    /// `workspace_rate`: of all channels together.
    pub workspace_rate: Rate,
    /// `api_url`: the base of the methods, with a slash at its end.
    pub api_url: Url,
    /// `proxy_url` of this section, else the global one.
    pub proxy: Option<Arc<Proxy>>,
    /// `via_proxy`: the proxy resolves Slack's name.
    pub via_proxy: bool,
}

/// A rate limit of messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// `per_second`: messages per second on average; 0 turns the limit off.
    pub per_second: f64,
    /// `burst`: messages at once after a pause.
    pub burst: u32,
}

impl Rate {
    /// By default, of one channel. Slack: "one message per second per channel", and short bursts.
    pub const CHANNEL: Self = Self {
        per_second: 1.0,
        burst: 5,
    };
    /// By default, of the workspace. Slack: "several hundred messages per minute".
    pub const WORKSPACE: Self = Self {
        per_second: 5.0,
        burst: 25,
    };
}
