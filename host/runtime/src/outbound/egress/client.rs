//! One client for requests with and without a proxy.

use std::sync::Arc;

use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{ACCEPT, HeaderValue, USER_AGENT};
use reqwest::{Body, Method, RequestBuilder, Response};
use url::Url;

use super::proxy::{Connector, Route};
use super::roots::Roots;
use crate::limits::{HTTP_IDLE_FOR, HTTP_IDLE_MAX};
use crate::outbound::proxy::Proxy;

/// The `User-Agent` of every request.
pub(crate) const AGENT: &str = concat!("alert-manager/", env!("CARGO_PKG_VERSION"));

/// Chooses the cryptography of every TLS client in this process; the first choice stays.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Sends requests, through a proxy if there is one for them. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    direct: reqwest::Client,
    proxied: Option<Proxied>,
}

#[derive(Clone)]
struct Proxied {
    proxy: Arc<Proxy>,
    client: legacy::Client<Connector, Body>,
}

/// Why a request was not answered. Not transparent: the inner error is a cause of its own, which says whether it was a timeout.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Sent without a proxy, or never sent.
    #[error("{0}")]
    Direct(#[from] reqwest::Error),
    /// Sent through a proxy.
    #[error("{0}")]
    Proxied(#[from] legacy::Error),
}

impl SendError {
    /// Returns true if there was no connection, so that nothing was sent.
    pub fn is_connect(&self) -> bool {
        match self {
            Self::Direct(error) => error.is_connect(),
            Self::Proxied(error) => error.is_connect(),
        }
    }

    /// Returns true if the request itself is at fault.
    pub fn is_builder(&self) -> bool {
        matches!(self, Self::Direct(error) if error.is_builder())
    }
}

impl HttpClient {
    /// Returns a client that sends as `direct` does, and through `proxy` what that is for.
    ///
    /// # Errors
    /// If the TLS configuration for the proxy cannot be made.
    pub fn new(
        direct: reqwest::Client,
        proxy: Option<&Arc<Proxy>>,
        route: Route,
        roots: Roots,
    ) -> Result<Self, rustls::Error> {
        let proxied = match proxy {
            Some(proxy) => Some(Proxied {
                proxy: Arc::clone(proxy),
                client: legacy::Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .pool_idle_timeout(HTTP_IDLE_FOR)
                    .pool_max_idle_per_host(HTTP_IDLE_MAX)
                    .build(Connector::new(Arc::clone(proxy), route, roots)?),
            }),
            None => None,
        };
        Ok(Self { direct, proxied })
    }

    /// Begins a request.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.direct.request(method, url)
    }

    /// Sends a request that [`Self::request`] began.
    ///
    /// # Errors
    /// Why it was not answered.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let request = request.build()?;
        match &self.proxied {
            Some(proxied) if proxied.proxy.is_for(request.url()) => proxied.send(request).await,
            _ => Ok(self.direct.execute(request).await?),
        }
    }
}

impl Proxied {
    async fn send(&self, request: reqwest::Request) -> Result<Response, SendError> {
        let mut request = http::Request::try_from(request)?;
        let headers = request.headers_mut();
        // The other client adds these by itself.
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        let response = self.client.request(request).await?;
        Ok(response.map(Body::wrap).into())
    }
}

/// Says why a request was not answered, without its URL, which may be a secret.
pub fn without_url(error: SendError) -> String {
    match error {
        SendError::Direct(error) => error.without_url().to_string(),
        SendError::Proxied(error) => super::root_cause(&error),
    }
}
