//! The settings of the webhook: how senders authenticate, how often they may post, and how much.

use http::HeaderName;

use crate::http::server;
use crate::secret::{Authorization, SecretSource};

/// `webhook`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `authorization` or `basic_auth`; absent if anyone who reaches the address may post.
    pub authorization: Option<Authorization>,
    /// `hmac`. If `authorization` is set too, either authenticates a sender.
    pub hmac: Option<Hmac>,
    /// `rate`: of each sender, by its address.
    pub rate: SenderRate,
    /// `body_bytes_max`: 64 MiB by default.
    pub body_bytes_max: u64,
}

impl Settings {
    /// Returns true if a sender must authenticate.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.authorization.is_some() || self.hmac.is_some()
    }

    /// Returns the byte budget of all bodies that are being read and whose senders are not authenticated yet. If nobody
    /// has to authenticate that is `web.bodies_bytes_max`; otherwise an eighth of that in addition to it, or as much as the
    /// largest body needs.
    #[must_use]
    pub fn unauthenticated_bodies_bytes_max(&self, server: &server::Settings) -> u64 {
        if self.is_closed() {
            (server.bodies_bytes_max / 8).max(self.body_bytes_max)
        } else {
            server.bodies_bytes_max
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authorization: None,
            hmac: None,
            rate: SenderRate::default(),
            body_bytes_max: 64 << 20,
        }
    }
}

/// `webhook.hmac`: a signature over the body, as Grafana sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// `secret`, `secret_file` or `secret_env`.
    pub secret: SecretSource,
    /// `header`: holds the signature in hexadecimal; `X-Grafana-Alerting-Signature` by default.
    pub header: HeaderName,
    /// `timestamp_header`: holds seconds since 1970, which are signed too and may not be old. Absent if only the body is
    /// signed, and an eavesdropper can replay the request.
    pub timestamp_header: Option<HeaderName>,
}

/// `webhook.rate`: how many requests one sender may make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SenderRate {
    /// `per_second`: 0 is off, which is the default.
    pub per_second: f64,
    /// `burst`: 100 by default.
    pub burst: u32,
}

impl Default for SenderRate {
    fn default() -> Self {
        Self {
            per_second: 0.0,
            burst: 100,
        }
    }
}
