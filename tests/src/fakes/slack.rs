//! A strict fake of Slack's Web API: checks what Slack checks, answers as Slack does, keeps every message.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::faults::Faults;
use super::serve::Listening;
pub use super::slack_api::{CHANNELS, Call, ChannelKind};
use super::slack_api::{Refusal, Workspace};
use super::slack_message::render;
pub use super::slack_message::{Message, Shown};
use super::slack_rates::{Rates, Verdict};
use super::watched::Watched;

/// The token that it takes unless [`Slack::set_token`] says otherwise.
pub const TOKEN: &str = "xoxb-fake";

/// The running fake. Faults go by method (`chat.postMessage`).
#[derive(Debug)]
pub struct Slack {
    listening: Listening,
    shared: Shared,
}

#[derive(Debug, Clone)]
struct Shared {
    workspace: Watched<Workspace>,
    faults: Faults,
    /// Absent if every call is taken, however many there are.
    rates: Arc<Mutex<Option<Rates>>>,
}

impl Slack {
    /// Starts on a free port, with the channels `#alerts`, `#oncall` and `#general`.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub async fn start() -> Self {
        Self::start_on(0).await.expect("a free port on 127.0.0.1")
    }

    /// Starts on `port`.
    ///
    /// # Errors
    /// If the port is in use.
    pub async fn start_on(port: u16) -> std::io::Result<Self> {
        let mut workspace = Workspace {
            token: TOKEN.to_owned(),
            ..Workspace::default()
        };
        for name in CHANNELS {
            workspace.add_channel(name);
        }
        let shared = Shared {
            workspace: Watched::new(workspace),
            faults: Faults::default(),
            rates: Arc::default(),
        };
        let router = Router::new()
            .route("/api/{method}", any(endpoint))
            .with_state(shared.clone())
            .merge(super::outage::endpoints(&shared.faults));
        let listening = Listening::start(port, router).await?;
        Ok(Self { listening, shared })
    }

    /// Returns the base of the API's methods, for `SLACK_API_URL`: `http://127.0.0.1:PORT/api/`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/", self.listening.addr)
    }

    /// The faults to script.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Keeps to Slack's own rates from now on, in times that are `speed` times shorter than Slack's, and disables an app that
    /// ignores them.
    pub fn enforce_rates(&self, speed: u32) {
        *self.shared.rates.lock() = Some(Rates::new(speed));
    }

    /// Takes only this token from now on; others are `invalid_auth`.
    pub fn set_token(&self, token: &str) {
        self.shared
            .workspace
            .change(|w| token.clone_into(&mut w.token));
    }

    /// Adds a channel by its name (`#` optional) and returns its id.
    pub fn add_channel(&self, name: &str) -> String {
        self.shared.workspace.change(|w| w.add_channel(name))
    }

    /// Makes a channel special: the bot is not in it, it is archived, or private.
    pub fn set_channel(&self, name: &str, kind: ChannelKind) {
        let name = name.trim_start_matches('#').to_owned();
        self.shared.workspace.change(|w| {
            w.add_channel(&name);
            w.kinds.insert(name, kind)
        });
    }

    /// Lets the token do only this from now on; `x-oauth-scopes` says so.
    pub fn set_scopes(&self, scopes: &[&str]) {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        self.shared.workspace.change(|w| w.scopes = scopes);
    }

    /// Lets a channel refuse messages with this code, as `restricted_action`, or take them again.
    pub fn refuse_channel(&self, name: &str, code: Option<&'static str>) {
        self.shared.workspace.change(|w| match code {
            Some(code) => drop(w.refused.insert(name.to_owned(), code)),
            None => drop(w.refused.remove(name)),
        });
    }

    /// Makes every channel that is named exist, and takes every token, for use by hand.
    pub fn accept_anyone(&self) {
        self.shared.workspace.change(|w| {
            w.any_channel = true;
            w.token.clear();
        });
    }

    /// Removes a message, as a person would: updates of it are `message_not_found`.
    pub fn delete(&self, ts: &str) {
        self.shared
            .workspace
            .change(|w| w.messages.retain(|m| m.ts != ts));
    }

    /// Every message as it now stands, in the order they were posted.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.workspace.read(|w| w.messages.clone())
    }

    /// The answers in a message's thread.
    pub fn thread(&self, ts: &str) -> Vec<Message> {
        self.messages()
            .into_iter()
            .filter(|m| m.thread_ts.as_deref() == Some(ts))
            .collect()
    }

    /// Every call so far, good or bad.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.workspace.read(|w| w.calls.clone())
    }

    /// How many calls there were so far, good or bad.
    pub fn count_calls(&self, method: &str) -> usize {
        let count = |calls: &[Call]| calls.iter().filter(|c| c.method == method).count();
        self.shared.workspace.read(|w| count(&w.calls))
    }

    /// Waits for a message that `wanted` accepts as it stands, and returns it.
    pub async fn wait_for(&self, wanted: impl Fn(&Message) -> bool) -> Message {
        self.wait("a matching message", |w| {
            w.messages.iter().find(|m| wanted(m)).cloned()
        })
        .await
    }

    /// Waits until at least `n` messages are posted, and returns all.
    pub async fn wait_for_count(&self, n: usize) -> Vec<Message> {
        self.wait(&format!("{n} messages"), |w| {
            (w.messages.len() >= n).then(|| w.messages.clone())
        })
        .await
    }

    /// Waits until at least `n` calls of `method` have arrived, scripted faults included, and returns them.
    pub async fn wait_for_calls(&self, method: &str, n: usize) -> Vec<Call> {
        self.wait(&format!("{n} calls of {method}"), |w| {
            let calls = || w.calls.iter().filter(|c| c.method == method);
            // Counted first: they may be many, and this looks again at every change.
            (calls().count() >= n).then(|| calls().cloned().collect())
        })
        .await
    }

    /// Waits, without a limit, until the messages are others than `known` or a call after the first `calls` has failed, and
    /// returns all messages and the calls after those.
    pub async fn wait_for_news(
        &self,
        known: &[Message],
        calls: usize,
    ) -> (Vec<Message>, Vec<Call>) {
        self.shared
            .workspace
            .next(|w| {
                // A call that is being answered is not known yet to have failed.
                let answered = |call: &&Call| call.fault.is_some() || call.outcome != "fault";
                let new: Vec<_> = w.calls[calls..].iter().take_while(answered).collect();
                let is_news = w.messages != known || new.iter().any(|call| call.outcome != "ok");
                is_news.then(|| (w.messages.clone(), new.into_iter().cloned().collect()))
            })
            .await
    }

    async fn wait<R>(&self, what: &str, found: impl FnMut(&Workspace) -> Option<R>) -> R {
        self.shared.workspace.wait(what, found, account).await
    }
}

fn account(workspace: &Workspace) -> String {
    let mut out = String::new();
    for call in workspace.calls.iter().rev().take(20).rev() {
        out.push_str(&format!("call {} -> {}\n", call.method, call.outcome));
    }
    for message in workspace.messages.iter().rev().take(10).rev() {
        out.push_str(&render(message));
    }
    if out.is_empty() {
        "nothing at all".to_owned()
    } else {
        out
    }
}

/// Returns headers with names in lower case; values that aren't text are shown as bytes.
pub(crate) fn readable_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let readable = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), readable(value.as_bytes())))
        .collect()
}

async fn endpoint(
    State(shared): State<Shared>,
    Path(api_method): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let met = shared.faults.take(&api_method);
    let index = shared.workspace.change(|w| {
        w.calls.push(Call {
            method: api_method.clone(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            headers: readable_headers(&headers),
            outcome: "fault".to_owned(),
            fault: met.fault.clone(),
            at: Instant::now(),
        });
        w.calls.len() - 1
    });
    let usual = || {
        if let Some(refusal) = refused_by_rate(&shared, &api_method, &body) {
            let code = refusal.code;
            shared
                .workspace
                .change(|w| code.clone_into(&mut w.calls[index].outcome));
            return refusal.into_response();
        }
        let answer = shared.workspace.change(|w| {
            let result = w.call(&api_method, &method, &headers, &body);
            w.calls[index].outcome = result
                .as_ref()
                .map_or_else(|e| e.code.to_owned(), |_| "ok".to_owned());
            result.unwrap_or_else(Refusal::into_json)
        });
        let mut response = Json(answer).into_response();
        let scopes = shared.workspace.read(|w| w.scopes.join(","));
        if let (false, Ok(scopes)) = (scopes.is_empty(), scopes.parse()) {
            response.headers_mut().insert("x-oauth-scopes", scopes);
        }
        response
    };
    met.answer(usual).await
}

/// A call that comes too often.
struct TooOften {
    code: &'static str,
    retry_after_seconds: Option<u32>,
}

impl IntoResponse for TooOften {
    fn into_response(self) -> Response {
        let body = Json(json!({ "ok": false, "error": self.code }));
        match self.retry_after_seconds {
            Some(seconds) => {
                let headers = [(header::RETRY_AFTER, seconds.to_string())];
                (StatusCode::TOO_MANY_REQUESTS, headers, body).into_response()
            }
            None => body.into_response(),
        }
    }
}

fn refused_by_rate(shared: &Shared, method: &str, body: &[u8]) -> Option<TooOften> {
    let mut rates = shared.rates.lock();
    let rates = rates.as_mut()?;
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let channel = body["channel"].as_str().unwrap_or_default();
    // A reply names the channel by its id, a message by its name: Slack counts them together.
    let channel = shared.workspace.read(|w| w.id_of(channel));
    match rates.judge(method, &channel, Instant::now()) {
        Verdict::Taken => None,
        Verdict::TooMany(seconds) => Some(TooOften {
            code: "ratelimited",
            retry_after_seconds: Some(seconds),
        }),
        Verdict::Disabled => Some(TooOften {
            code: "account_inactive",
            retry_after_seconds: None,
        }),
    }
}

#[cfg(test)]
#[path = "slack_tests.rs"]
mod tests;
