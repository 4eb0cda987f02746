//! A plain HTTP sink: takes any request, records it, answers as scripted.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::faults::{Fault, Faults};
use super::serve::Listening;
use super::watched::Watched;

/// The largest body that it takes.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One recorded request.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The scripted fault that it met.
    pub fault: Option<Fault>,
    /// What it asked for was done: false while a fault holds it, and if one took the answer's place.
    pub is_done: bool,
}

impl Received {
    /// Returns the first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON, or null if it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The running sink. It answers 200 with `{}` unless a fault is scripted; faults go by path.
#[derive(Debug)]
pub struct Sink {
    listening: Listening,
    state: Shared,
}

#[derive(Debug, Clone)]
struct Shared {
    received: Watched<Vec<Received>>,
    faults: Faults,
}

impl Sink {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub async fn start() -> Self {
        let state = Shared {
            received: Watched::new(Vec::new()),
            faults: Faults::default(),
        };
        let router = Router::new().fallback(take).with_state(state.clone());
        let listening = Listening::start(0, router)
            .await
            .expect("a free port on 127.0.0.1");
        Self { listening, state }
    }

    /// Returns `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.addr)
    }

    /// The faults to script; paths as in the request (`/hook`).
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Everything received so far, in the order of arrival. Refused and hanging requests count too.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.read(Clone::clone)
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.state.received.read(Vec::len)
    }

    /// Waits until at least `n` requests have arrived, and returns all.
    pub async fn wait_for_count(&self, n: usize) -> Vec<Received> {
        self.state
            .received
            .wait(
                &format!("{n} requests"),
                |all| (all.len() >= n).then(|| all.clone()),
                |all| account(all),
            )
            .await
    }

    /// Waits for a request that `wanted` accepts, and returns it.
    pub async fn wait_for(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        self.state
            .received
            .wait(
                "a matching request",
                |all| all.iter().find(|r| wanted(r)).cloned(),
                |all| account(all),
            )
            .await
    }
}

fn account(all: &[Received]) -> String {
    let mut lines = format!("{} requests\n", all.len());
    for request in all.iter().rev().take(20).rev() {
        let body = String::from_utf8_lossy(&request.body);
        lines.push_str(&format!("  {} {} {}\n", request.method, request.path, body));
    }
    lines
}

async fn take(State(state): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path().to_owned();
    // Before the record, so that a test that has seen the request can script the next one.
    let met = state.faults.take(&path);
    let index = state.received.change(|all| {
        all.push(Received {
            method: parts.method.to_string(),
            path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: super::slack::readable_headers(&parts.headers),
            body,
            fault: met.fault.clone(),
            is_done: false,
        });
        all.len() - 1
    });
    let usual = || {
        state.received.change(|all| all[index].is_done = true);
        ([("content-type", "application/json")], "{}").into_response()
    };
    met.answer(usual).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::faults::ANY;
    use super::super::raw_http::request;
    use super::*;

    #[tokio::test]
    async fn requests_are_kept_whole_and_faults_go_by_path() {
        let sink = Sink::start().await;
        sink.faults().next("/b", Fault::status(503));
        sink.faults().next_n(ANY, 1, Fault::status(500));
        let mut statuses = Vec::new();
        for path in ["/a?x=1", "/b", "/c"] {
            let answer = request(
                sink.listening.addr,
                "PUT",
                path,
                &[("X-Trace", "7")],
                "{\"n\":1}",
            )
            .await;
            statuses.push(answer.unwrap().status);
        }
        assert_eq!(statuses, [500, 503, 200]);
        let first = &sink.wait_for_count(3).await[0];
        assert_eq!(
            (
                first.method.as_str(),
                first.path.as_str(),
                first.query.as_str()
            ),
            ("PUT", "/a", "x=1")
        );
        assert_eq!(
            (first.header("x-trace"), first.json()["n"].as_i64()),
            (Some("7"), Some(1))
        );
    }
}
