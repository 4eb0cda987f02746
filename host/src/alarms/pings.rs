//! Pings of a dead man's switch.

use std::time::Duration;

use crate::secret::SecretSource;

/// A URL that this server requests at an interval, so that somebody notices when it stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Its name below `heartbeats`.
    pub name: String,
    /// `ping_url`, `ping_url_file` or `ping_url_env`. Whoever knows it can pretend to be this server.
    pub url: SecretSource,
    /// `every`.
    pub every: Duration,
    /// `via_proxy`: the proxy resolves the URL's name.
    pub via_proxy: bool,
}
