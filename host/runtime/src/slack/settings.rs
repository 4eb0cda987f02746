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
    /// `api_url`: the base of the methods, with a slash at its end.
    pub api_url: Url,
    /// `proxy_url` of this section, or else that of the configuration.
    pub proxy: Option<Arc<Proxy>>,
    /// `via_proxy`: the proxy resolves Slack's name.
    pub via_proxy: bool,
}

/// How many messages one channel takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// `per_second`: 1 by default; 0 is off.
    pub per_second: f64,
    /// `burst`: 5 by default.
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
