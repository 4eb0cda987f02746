//! An HTTP client for requests with and without a proxy.

use std::sync::Arc;

use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{ACCEPT, HeaderValue, USER_AGENT};
use reqwest::{Body, Method, RequestBuilder, Response};
use url::Url;

use super::answers::{HttpAnswers, NoAnswer, respond};
use super::proxy::{Connector, Route};
use super::roots::Roots;
use crate::limits::{HTTP_IDLE_FOR, HTTP_IDLE_MAX};
use crate::outbound::proxy::Proxy;

/// The `User-Agent` of every request.
pub(crate) const AGENT: &str = concat!("alert-manager/", env!("CARGO_PKG_VERSION"));

/// Installs the cryptography of every TLS client in this process. Later calls have no effect.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Sends requests, through the proxy if it applies to them. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    direct: reqwest::Client,
    way: Way,
}

/// How requests get their responses.
#[derive(Clone)]
enum Way {
    Direct,
    Proxied(Box<Proxied>),
    /// None is sent.
    Answered(Arc<dyn HttpAnswers>),
}

#[derive(Clone)]
struct Proxied {
    proxy: Arc<Proxy>,
    client: legacy::Client<Connector, Body>,
}

/// Why a request was not answered. The inner error is kept as a source, because it shows whether it was a timeout.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The request was sent without a proxy, or not at all.
    #[error("{0}")]
    Direct(#[from] reqwest::Error),
    /// The request was sent through a proxy.
    #[error("{0}")]
    Proxied(#[from] legacy::Error),
    /// The request was not sent, and nothing answers it in the place of the network.
    #[error("{0}")]
    NotAnswered(#[from] NoAnswer),
}

impl SendError {
    /// Returns true if no connection was made, so that nothing was sent.
    pub fn is_connect(&self) -> bool {
        match self {
            Self::Direct(error) => error.is_connect(),
            Self::Proxied(error) => error.is_connect(),
            Self::NotAnswered(_) => true,
        }
    }

    /// Returns true if the request is not valid.
    pub fn is_builder(&self) -> bool {
        matches!(self, Self::Direct(error) if error.is_builder())
    }
}

impl HttpClient {
    /// Makes a client that sends requests through `proxy` if it applies to them, else with `direct`.
    ///
    /// # Errors
    /// If the TLS configuration for connections through the proxy cannot be made.
    pub fn new(
        direct: reqwest::Client,
        proxy: Option<&Arc<Proxy>>,
        route: Route,
        roots: Roots,
    ) -> Result<Self, rustls::Error> {
        let way = match proxy {
            Some(proxy) => Way::Proxied(Box::new(Proxied {
                proxy: Arc::clone(proxy),
                client: legacy::Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .pool_idle_timeout(HTTP_IDLE_FOR)
                    .pool_max_idle_per_host(HTTP_IDLE_MAX)
                    .build(Connector::new(Arc::clone(proxy), route, roots)?),
            })),
            None => Way::Direct,
        };
        Ok(Self { direct, way })
    }

    /// Makes a client that sends nothing: `answers` has the responses.
    ///
    /// # Errors
    /// If the client that builds the requests cannot be made.
    pub(crate) fn answered(answers: Arc<dyn HttpAnswers>) -> Result<Self, reqwest::Error> {
        let direct = reqwest::Client::builder().tls_certs_only([]).build()?;
        Ok(Self {
            direct,
            way: Way::Answered(answers),
        })
    }

    /// Returns true if nothing is sent and the request has an answer.
    pub(crate) fn has_answer(&self, method: &Method, url: &Url) -> bool {
        match &self.way {
            Way::Answered(answers) => answers.answer(method, url).is_some(),
            Way::Direct | Way::Proxied(_) => false,
        }
    }

    /// Starts to build a request.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.direct.request(method, url)
    }

    /// Sends a request that was built with [`Self::request`].
    ///
    /// # Errors
    /// Why it was not answered.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let request = request.build()?;
        match &self.way {
            Way::Proxied(proxied) if proxied.proxy.is_for(request.url()) => {
                proxied.send(request).await
            }
            Way::Direct | Way::Proxied(_) => Ok(self.direct.execute(request).await?),
            Way::Answered(answers) => Ok(respond(&**answers, &request)?),
        }
    }
}

impl Proxied {
    async fn send(&self, request: reqwest::Request) -> Result<Response, SendError> {
        let mut request = http::Request::try_from(request)?;
        let headers = request.headers_mut();
        // reqwest's own client adds these headers too.
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

/// Returns why a request was not answered, without its URL, which may be secret.
pub fn without_url(error: SendError) -> String {
    match error {
        SendError::Direct(error) => error.without_url().to_string(),
        SendError::Proxied(error) => super::root_cause(&error),
        SendError::NotAnswered(error) => error.to_string(),
    }
}
