//! Serves HTTP/1.1 on a listener, with or without TLS, and limits what each peer can hold.
//!
//! Every wait for a peer has a limit: for its headers, its body, reading the response, its next request. At the limit on
//! connections a new one replaces one without a request in progress, so that a flood of silent connections does not lock
//! senders out.

mod body;
mod connections;
mod guarded;
mod harden;
mod refuse;
mod settings;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router as Endpoints;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::Service as _;

use crate::telemetry::{Cut, Metrics, Refusal, Refusals, Refused};

use body::TimedBody;
use connections::{Admission, ConnectionRegistry, OpenConnection};
use guarded::Guarded;

pub(crate) use connections::Standing;
pub(crate) use settings::{
    Bound, ClientAuth, SMALL_BODY_BYTES_MAX, Settings, TlsSettings, TlsVersion,
};

pub(crate) use body::is_too_slow;
pub(crate) use tls::Tls;
pub use tls::TlsError;

/// How long the server waits after `accept` failed, since the missing resources (file descriptors) have to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server and its settings.
pub(crate) struct Server {
    /// Answers requests; the extension `ConnectInfo<SocketAddr>` is the peer.
    pub(crate) endpoints: Endpoints,
    /// The bounds; loaded for each connection.
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    /// Counts what was cut off.
    pub(crate) metrics: Arc<Metrics>,
    /// Logs requests that are refused without being read.
    pub(crate) refusals: Arc<Refusals>,
    /// Absent for plain HTTP.
    pub(crate) tls: Option<Arc<Tls>>,
}

impl Server {
    /// Serves until `stop` resolves, then accepts no more connections and returns once all have ended. Dropping the future cuts
    /// them off.
    pub(crate) async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let server = Arc::new(self);
        let registry = Arc::new(ConnectionRegistry::default());
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => server.admit(stream, peer, &registry, &mut connections),
                    Err(error) => pause_after(&error).await,
                },
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drop(listener);
        registry.close_all();
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        registry: &Arc<ConnectionRegistry>,
        connections: &mut JoinSet<()>,
    ) {
        let web = Settings::clone(&self.settings.load());
        match registry.admit(peer.ip(), web.connections_max as usize) {
            Admission::Free(held) => {
                connections.spawn(Arc::clone(self).connection(stream, peer, web, held));
            }
            Admission::Evicts(held) => {
                self.metrics.connection_cut(Cut::Displaced);
                connections.spawn(Arc::clone(self).connection(stream, peer, web, held));
            }
            Admission::Full(linger) => {
                self.metrics.connection_cut(Cut::Full);
                self.log_full(peer);
                // A peer that speaks TLS cannot read a plain response.
                if let (Some(linger), None) = (linger, &self.tls) {
                    connections.spawn(refuse::refuse(stream, linger));
                }
            }
        }
    }

    fn log_full(&self, peer: SocketAddr) {
        let refused = Refused {
            reason: Refusal::Connections,
            status: 503,
            peer: Some(peer),
            method: "",
            path: "",
            error: "too many connections (web.connections_max)",
        };
        self.refusals.log(&refused, Instant::now());
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        web: Settings,
        held: OpenConnection,
    ) {
        // Responses are small, so waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.http(stream, peer, &web, held).await;
        };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(web.header_timeout, tls.acceptor().accept(stream)) => shaken,
            () = held.must_end() => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                if tls.requires_client_certificate() {
                    held.state().authenticate();
                }
                self.http(stream, peer, &web, held).await;
            }
            Ok(Err(error)) => {
                self.metrics.connection_cut(Cut::Tls);
                tracing::debug!(%peer, %error, "the TLS handshake failed");
            }
            Err(_) => self.metrics.connection_cut(Cut::SlowHeaders),
        }
    }

    async fn http<I>(&self, io: I, peer: SocketAddr, web: &Settings, held: OpenConnection)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Guarded::new(io, web, held.state(), Arc::clone(&self.metrics));
        let service = service_fn(|mut request: Request<Incoming>| {
            held.state().busy();
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(Standing::new(held.state()));
            let cache = harden::cache_of(request.uri().path());
            let request = request.map(|body| Body::new(TimedBody::new(body, web, &self.metrics)));
            let answer = self.endpoints.clone().call(request);
            let state = held.state();
            async move {
                let mut answer = answer.await?;
                harden::harden(answer.headers_mut(), cache);
                state.idle();
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_header_size(usize::try_from(web.header_bytes_max).unwrap_or(usize::MAX))
            .serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = held.must_end() => {
                if held.state().can_end_now() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

/// Returns the number of threads for the server, apart from the guests' threads: serving senders is about half of the work
/// for an alert.
pub(crate) fn half_of_the_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).max(1))
}

async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    tracing::error!(%error, "cannot accept connections now; if the error is about open files, raise their limit (ulimit -n)");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Reports a panic, which is a mistake in the server and ends one connection.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended unexpectedly");
    }
}
