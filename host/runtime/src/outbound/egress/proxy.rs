//! Connections through a proxy. The origin's name is resolved and its addresses are checked here; CONNECT then names a
//! checked address. Inside the tunnel is TLS with the origin, by its name.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::proxy_error::ProxyError;
use super::roots::Roots;
use crate::limits::HTTP_CONNECT_MAX;
use crate::outbound::proxy::{Proxy, ProxyAddress};
use alert_manager_core::policy::HttpGrant;

/// The most bytes of a proxy's answer to CONNECT, including headers.
const CONNECT_ANSWER_BYTES_MAX: usize = 16 << 10;
/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Where the name of an origin is resolved, and whether its addresses are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Resolved here; the grant must permit the address. For handlers.
    Judged(HttpGrant),
    /// Resolved here; every address is permitted. For the server's own requests to configured URLs.
    Trusted,
    /// Resolved by the proxy: `via_proxy`.
    ByName,
}

impl Route {
    /// Returns the route of the server's own requests.
    pub fn trusted(via_proxy: bool) -> Self {
        if via_proxy {
            Self::ByName
        } else {
            Self::Trusted
        }
    }
}

/// Makes connections for [`super::HttpClient`].
#[derive(Clone)]
pub(super) struct Connector(Arc<Tunnels>);

struct Tunnels {
    proxy: Arc<Proxy>,
    route: Route,
    /// TLS with the origin; `None` for plain HTTP.
    tls: Option<TlsConnector>,
    #[cfg(test)]
    names: std::collections::BTreeMap<String, Vec<IpAddr>>,
}

impl Connector {
    pub(super) fn new(
        proxy: Arc<Proxy>,
        route: Route,
        roots: Roots,
    ) -> Result<Self, rustls::Error> {
        let tls = match roots {
            Roots::None => None,
            Roots::System => Some(system_tls()?),
            Roots::Only(roots) => {
                let config = ClientConfig::builder().with_root_certificates(roots);
                Some(Arc::new(config.with_no_client_auth()).into())
            }
        };
        Ok(Self(Arc::new(Tunnels {
            proxy,
            route,
            tls,
            #[cfg(test)]
            names: std::collections::BTreeMap::new(),
        })))
    }
}

fn system_tls() -> Result<TlsConnector, rustls::Error> {
    let config = ClientConfig::builder().with_platform_verifier()?;
    Ok(Arc::new(config.with_no_client_auth()).into())
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let tunnels = Arc::clone(&self.0);
        Box::pin(async move {
            let proxy = tunnels.proxy.address().map_err(ProxyError::Url)?;
            let connected = tunnels.connect(&proxy, &origin);
            let Ok(stream) = tokio::time::timeout(HTTP_CONNECT_MAX, connected).await else {
                return Err(ProxyError::TimedOut(proxy.to_string()).into());
            };
            Ok(TokioIo::new(stream?))
        })
    }
}

impl Tunnels {
    async fn connect(&self, proxy: &ProxyAddress, origin: &Uri) -> Result<Stream, BoxError> {
        let is_https = origin.scheme_str() == Some("https");
        let host = origin.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = origin.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tunnel = self.tunnel(proxy, host, port).await?;
        let Some(tls) = self.tls.as_ref().filter(|_| is_https) else {
            return Ok(tunnel);
        };
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Stream::new(tls.connect(name, tunnel).await?))
    }

    /// Opens a tunnel to the first address of `host` that the proxy reaches.
    async fn tunnel(
        &self,
        proxy: &ProxyAddress,
        host: &str,
        port: u16,
    ) -> Result<Stream, BoxError> {
        let targets = self.targets(host, port).await?;
        let mut failed = None;
        for target in targets.iter().take(ADDRESSES_MAX) {
            match open(proxy, target).await {
                Ok(stream) => return Ok(stream),
                // The proxy may reach another address.
                Err(error @ ProxyError::Refused { status, .. }) if status.is_server_error() => {
                    failed = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(failed.map_or_else(
            || ProxyError::NoSuchName(host.to_owned()).into(),
            Into::into,
        ))
    }

    /// Returns the targets for CONNECT: the permitted addresses, or the name itself.
    async fn targets(&self, host: &str, port: u16) -> Result<Vec<String>, BoxError> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) if self.route == Route::ByName => return Ok(vec![format!("{host}:{port}")]),
            Err(_) => self.look_up(host).await,
        };
        let mut refusal = None;
        let mut targets = Vec::new();
        for address in addresses {
            let judged = match &self.route {
                Route::Judged(grant) => grant.permits_address(host, address),
                Route::Trusted | Route::ByName => Ok(()),
            };
            match judged {
                Ok(()) => targets.push(SocketAddr::new(address, port).to_string()),
                Err(why) => {
                    refusal.get_or_insert(why);
                }
            }
        }
        match refusal {
            Some(why) if targets.is_empty() => Err(why.into()),
            _ => Ok(targets),
        }
    }

    async fn look_up(&self, host: &str) -> Vec<IpAddr> {
        #[cfg(test)]
        if let Some(addresses) = self.names.get(host) {
            return addresses.clone();
        }
        let found = tokio::net::lookup_host((host, 0)).await;
        found.map_or_else(|_| Vec::new(), |found| found.map(|a| a.ip()).collect())
    }
}

/// Connects to the proxy and asks it for a tunnel to `target`.
async fn open(proxy: &ProxyAddress, target: &str) -> Result<Stream, ProxyError> {
    let unreachable = |why: String| ProxyError::Unreachable {
        proxy: proxy.to_string(),
        why,
    };
    let broken = |why: String| ProxyError::Broken {
        proxy: proxy.to_string(),
        target: target.to_owned(),
        why,
    };
    let stream = reach(proxy)
        .await
        .map_err(|error| unreachable(super::root_cause(&*error)))?;
    let mut request = Request::connect(target).header(header::HOST, target);
    if let Some(authorization) = &proxy.authorization {
        let mut value = http::HeaderValue::from_str(authorization.expose())
            .map_err(|_| unreachable("its user or password cannot be sent".to_owned()))?;
        value.set_sensitive(true);
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| broken(error.to_string()))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(CONNECT_ANSWER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(super::root_cause(&error)))?;
    // The task ends with the tunnel, or with `sender` if there is no tunnel.
    tokio::spawn(connection.with_upgrades());
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(super::root_cause(&error)))?;
    if !response.status().is_success() {
        return Err(ProxyError::Refused {
            proxy: proxy.to_string(),
            target: target.to_owned(),
            status: response.status(),
        });
    }
    let tunnel = hyper::upgrade::on(response)
        .await
        .map_err(|error| broken(super::root_cause(&error)))?;
    Ok(Stream::new(TokioIo::new(tunnel)))
}

async fn reach(proxy: &ProxyAddress) -> Result<Stream, BoxError> {
    let stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await?;
    stream.set_nodelay(true)?;
    if !proxy.is_tls {
        return Ok(Stream::new(stream));
    }
    let name = ServerName::try_from(proxy.host.clone())?;
    Ok(Stream::new(system_tls()?.connect(name, stream).await?))
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to the proxy, a tunnel through it, or TLS in a tunnel.
pub(super) struct Stream(Box<dyn Io>);

impl Stream {
    fn new(io: impl Io + 'static) -> Self {
        Self(Box::new(io))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
