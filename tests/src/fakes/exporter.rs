//! A target of Prometheus: what it answers is the test's.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};

use super::serve::Listening;

/// What a scrape of a path is answered with: metrics in Prometheus' text format, or a status.
type Answer = Arc<dyn Fn(&str) -> Result<String, StatusCode> + Send + Sync>;

/// A running exporter.
#[derive(Debug)]
pub struct Exporter(Listening);

impl Exporter {
    /// Starts on a free port; `answer` gets the path of each scrape.
    ///
    /// # Errors
    /// If loopback has no free port.
    pub async fn start(
        answer: impl Fn(&str) -> Result<String, StatusCode> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let answer: Answer = Arc::new(answer);
        let endpoint = async |State(answer): State<Answer>, uri: Uri| answer(uri.path());
        let router = Router::new().fallback(endpoint).with_state(answer);
        Ok(Self(Listening::start(0, router).await?))
    }

    /// Returns where it listens: a target for a scrape configuration.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }
}
