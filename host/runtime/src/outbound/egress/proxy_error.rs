//! The error of connecting through a proxy.

use reqwest::StatusCode;

use crate::outbound::proxy::ProxyUrlError;

/// Why there is no connection through a proxy. Names the proxy without its password.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the URL of the proxy: {0}")]
    Url(#[from] ProxyUrlError),
    #[error("the proxy {proxy} cannot be reached: {why}")]
    Unreachable { proxy: String, why: String },
    #[error("the proxy {proxy} answered {status} to CONNECT {target}: {}", advice(*.status))]
    Refused {
        proxy: String,
        target: String,
        status: StatusCode,
    },
    #[error("the proxy {proxy} did not connect to {target}: {why}")]
    Broken {
        proxy: String,
        target: String,
        why: String,
    },
    #[error("no connection through the proxy {0} in time")]
    TimedOut(String),
    #[error(
        "no such name: {0} cannot be resolved here; with via_proxy: true the proxy resolves it"
    )]
    NoSuchName(String),
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => "put a valid user and password into proxy_url",
        StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => {
            "let it CONNECT to that address and port, or, if it goes by names, set via_proxy: true"
        }
        _ => "see the proxy's log",
    }
}
