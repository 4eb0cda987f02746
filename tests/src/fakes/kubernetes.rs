//! A fake of the Kubernetes API server: read-only, with its shapes, its `Status` errors and its RBAC refusals.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;

use super::faults::Faults;
pub use super::kubernetes_api::Asked;
use super::kubernetes_api::{Server, decode_query};
use super::kubernetes_wire::Status;
use super::scenario::Cluster;
use super::serve::Listening;
use super::watched::Watched;

/// The running fake. Faults go by path.
#[derive(Debug)]
pub struct Kubernetes {
    listening: Listening,
    shared: Shared,
}

#[derive(Debug, Clone)]
struct Shared {
    server: Watched<Server>,
    faults: Faults,
}

impl Kubernetes {
    /// Starts on a free port, open to everyone until [`Kubernetes::require_token`].
    ///
    /// # Panics
    /// If loopback has no free port.
    pub async fn start(cluster: Cluster) -> Self {
        Self::start_on(0, cluster)
            .await
            .expect("a free port on 127.0.0.1")
    }

    /// Starts on `port`.
    ///
    /// # Errors
    /// If the port is in use.
    pub async fn start_on(port: u16, cluster: Cluster) -> std::io::Result<Self> {
        let server = Watched::new(Server {
            cluster,
            ..Server::default()
        });
        let shared = Shared {
            server,
            faults: Faults::default(),
        };
        let router = Router::new().fallback(endpoint).with_state(shared.clone());
        let listening = Listening::start(port, router).await?;
        Ok(Self { listening, shared })
    }

    /// Returns `http://127.0.0.1:PORT`, which is also the origin to grant.
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.addr)
    }

    /// The faults to script; paths as in the request, without the query.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Puts another cluster in the place of the present one.
    pub fn set(&self, cluster: Cluster) {
        self.shared.server.change(|s| s.cluster = cluster);
    }

    /// Answers 401 to requests without this bearer token.
    pub fn require_token(&self, token: &str) {
        self.shared
            .server
            .change(|s| s.token = Some(token.to_owned()));
    }

    /// Answers 403 for a resource (`pods`, `pods/log`, `events`, `replicasets`), as RBAC does.
    pub fn forbid(&self, resource: &str) {
        self.shared
            .server
            .change(|s| s.forbidden.insert(resource.to_owned()));
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.server.read(|s| s.asked.clone())
    }

    /// Waits until at least `n` requests have arrived, and returns all.
    pub async fn wait_for_count(&self, n: usize) -> Vec<Asked> {
        let found = |s: &Server| (s.asked.len() >= n).then(|| s.asked.clone());
        let account = |s: &Server| {
            s.asked
                .iter()
                .map(|a| format!("{} {}\n", a.method, a.path))
                .collect()
        };
        self.shared
            .server
            .wait(&format!("{n} requests to Kubernetes"), found, account)
            .await
    }

    /// Waits, without a limit, until more than `n` requests have arrived, and returns all.
    pub async fn wait_for_more(&self, n: usize) -> Vec<Asked> {
        self.shared
            .server
            .next(|s| (s.asked.len() > n).then(|| s.asked.clone()))
            .await
    }
}

async fn endpoint(State(shared): State<Shared>, request: Request) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let asked = Asked {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: decode_query(request.uri().query().unwrap_or_default()),
        authorization: authorization
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned),
    };
    let met = shared.faults.take(&asked.path);
    shared.server.change(|s| s.asked.push(asked.clone()));
    let usual = || {
        shared
            .server
            .read(|s| s.answer(&asked).unwrap_or_else(Status::into_response))
    };
    met.answer(usual).await
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
