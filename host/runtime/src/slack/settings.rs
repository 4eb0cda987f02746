//! What the operator set for Slack.

use std::collections::BTreeMap;
use std::sync::Arc;

use alert_manager_core::secret::SecretSource;
use url::Url;

use crate::outbound::proxy::Proxy;

/// How messages get to Slack: the section `slack` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `token_file`, or the variables `SLACK_TOKEN` and `SLACK_TOKEN_FILE`. Absent in preview, and only there.
    pub token: Option<SecretSource>,
    /// Messages are shown and kept with the delivery instead of posted.
    pub preview: bool,
    /// `channels`: Slack's names or ids by the names that handlers are granted.
    pub channels: BTreeMap<String, String>,
    /// `rate`: of each channel.
    pub rate: Rate,
    /// `workspace_rate`: of all channels together.
    pub workspace_rate: Rate,
    /// `api_url`: the base of the methods, with a slash at its end.
    pub api_url: Url,
    /// `proxy_url` of this section, or else that of the configuration.
    pub proxy: Option<Arc<Proxy>>,
    /// `via_proxy`: the proxy resolves Slack's name.
    pub via_proxy: bool,
}

/// How many messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// `per_second`: on average; 0 is off.
    pub per_second: f64,
    /// `burst`: at once, after a pause.
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
