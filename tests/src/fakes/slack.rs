//! A strict stand-in for Slack's Web API: checks what Slack checks, answers as Slack does, keeps every message.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::faults::Faults;
use super::serve::Listening;
use super::slack_render::{block_text, render};
use super::watched::Watched;
use super::{blocks, time};

/// The token that it takes unless [`Slack::set_token`] says otherwise.
pub const TOKEN: &str = "xoxb-stand-in";

/// What one version of a message showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub text: String,
    pub blocks: Vec<Value>,
}

/// A message as it now stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    /// With its `#`.
    pub channel_name: String,
    pub ts: String,
    pub thread_ts: Option<String>,
    pub text: String,
    pub blocks: Vec<Value>,
    /// What it showed before each update, oldest first.
    pub before_updates: Vec<Shown>,
    pub reactions: Vec<String>,
    pub posted_at: Instant,
}

impl Message {
    /// Returns everything it shows, text and blocks, as lines.
    pub fn shown(&self) -> String {
        let mut lines = vec![self.text.clone()];
        lines.extend(self.blocks.iter().map(block_text));
        lines.join("\n")
    }

    /// Tells whether `part` is anywhere in what it shows.
    pub fn contains(&self, part: &str) -> bool {
        self.shown().contains(part)
    }

    /// Returns the header block's text.
    pub fn header(&self) -> Option<&str> {
        self.blocks.iter().find(|b| b["type"] == "header")?["text"]["text"].as_str()
    }
}

/// One call of an API method, good or bad.
#[derive(Debug, Clone)]
pub struct Call {
    pub at: Instant,
    /// `chat.postMessage`.
    pub method: String,
    /// The body, null where it was no JSON.
    pub body: Value,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What it came to: `ok`, Slack's error code, or `fault` where a scripted fault took its place.
    pub outcome: String,
}

#[derive(Debug, Default)]
struct Workspace {
    token: String,
    any_channel: bool,
    /// Name without `#` to id.
    channels: BTreeMap<String, String>,
    messages: Vec<Message>,
    calls: Vec<Call>,
    last_ts: (i64, u32),
}

/// The running stand-in. Faults go by method (`chat.postMessage`).
#[derive(Debug)]
pub struct Slack {
    listening: Listening,
    shared: Shared,
}

#[derive(Debug, Clone)]
struct Shared {
    workspace: Watched<Workspace>,
    faults: Faults,
}

impl Slack {
    /// Starts on a free port, with the channels `#alerts`, `#oncall` and `#general`.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub async fn start() -> Self {
        Self::start_on(0).await.expect("a free port on 127.0.0.1")
    }

    /// Starts on `port`.
    ///
    /// # Errors
    /// Where the port is in use.
    pub async fn start_on(port: u16) -> std::io::Result<Self> {
        let mut workspace = Workspace {
            token: TOKEN.to_owned(),
            ..Workspace::default()
        };
        for name in ["alerts", "oncall", "general"] {
            workspace.add_channel(name);
        }
        let shared = Shared {
            workspace: Watched::new(workspace),
            faults: Faults::default(),
        };
        let router = Router::new()
            .route("/api/{method}", any(endpoint))
            .with_state(shared.clone());
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
            let calls: Vec<_> = w
                .calls
                .iter()
                .filter(|c| c.method == method)
                .cloned()
                .collect();
            (calls.len() >= n).then_some(calls)
        })
        .await
    }

    /// Waits, without a limit, until the messages are others than `known`, and returns all.
    pub async fn wait_for_news(&self, known: &[Message]) -> Vec<Message> {
        self.shared
            .workspace
            .next(|w| (w.messages != known).then(|| w.messages.clone()))
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
    let fault = shared.faults.take(&api_method);
    let index = shared.workspace.change(|w| {
        w.calls.push(Call {
            at: Instant::now(),
            method: api_method.clone(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            headers: readable_headers(&headers),
            outcome: "fault".to_owned(),
        });
        w.calls.len() - 1
    });
    let usual = || {
        let answer = shared.workspace.change(|w| {
            let result = w.call(&api_method, &method, &headers, &body);
            w.calls[index].outcome = result
                .as_ref()
                .map_or_else(|e| e.code.to_owned(), |_| "ok".to_owned());
            result.unwrap_or_else(Refusal::into_json)
        });
        Json(answer).into_response()
    };
    shared.faults.answer(fault, usual).await
}

/// Why a call was refused: Slack's code, and for blocks what is wrong where.
#[derive(Debug)]
struct Refusal {
    code: &'static str,
    problems: Vec<String>,
}

impl Refusal {
    fn into_json(self) -> Value {
        let mut answer = json!({ "ok": false, "error": self.code });
        if !self.problems.is_empty() {
            let messages: Vec<_> = self
                .problems
                .iter()
                .map(|p| format!("[ERROR] {p}"))
                .collect();
            answer["errors"] = json!(self.problems);
            answer["response_metadata"] = json!({ "messages": messages });
        }
        answer
    }
}

impl From<&'static str> for Refusal {
    fn from(code: &'static str) -> Self {
        Self {
            code,
            problems: Vec::new(),
        }
    }
}

fn required<'a>(body: &'a Value, field: &str, code: &'static str) -> Result<&'a str, Refusal> {
    body[field]
        .as_str()
        .filter(|value| !value.is_empty())
        .ok_or(code.into())
}

impl Workspace {
    fn add_channel(&mut self, name: &str) -> String {
        let name = name.trim_start_matches('#');
        let id = format!("C{:010}", self.channels.len() + 1);
        self.channels.entry(name.to_owned()).or_insert(id).clone()
    }

    fn call(
        &mut self,
        api_method: &str,
        method: &Method,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Value, Refusal> {
        if method != Method::POST {
            return Err("invalid_post_type".into());
        }
        self.authenticate(headers)?;
        if api_method == "auth.test" {
            return Ok(json!({
                "ok": true, "url": "https://stand-in.slack.com/", "team": "Stand-in", "user": "alert-manager",
                "team_id": "T0000000001", "user_id": "U0000000001", "bot_id": "B0000000001",
            }));
        }
        let body = json_body(headers, body)?;
        match api_method {
            "chat.postMessage" => self.post(&body),
            "chat.update" => self.update(&body),
            "reactions.add" => self.react(&body),
            _ => Err("unknown_method".into()),
        }
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = given
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or("not_authed")?;
        if self.token.is_empty() || token == self.token {
            Ok(())
        } else {
            Err("invalid_auth".into())
        }
    }

    fn channel(&mut self, body: &Value) -> Result<(String, String), Refusal> {
        let given = required(body, "channel", "channel_not_found")?;
        let name = given.trim_start_matches('#');
        if self.any_channel && !self.channels.values().any(|id| id == given) {
            self.add_channel(name);
        }
        let known = self
            .channels
            .iter()
            .find(|(n, id)| *n == name || *id == given);
        known
            .map(|(name, id)| (id.clone(), format!("#{name}")))
            .ok_or("channel_not_found".into())
    }

    fn post(&mut self, body: &Value) -> Result<Value, Refusal> {
        let (channel, channel_name) = self.channel(body)?;
        let shown = content(body, 40_000)?;
        let thread_ts = body["thread_ts"].as_str().map(str::to_owned);
        if let Some(parent) = &thread_ts {
            let parent = self
                .messages
                .iter()
                .find(|m| m.channel == channel && m.ts == *parent);
            // Slack's advice is to answer the parent, never an answer: here that is an error, so that tests notice.
            if parent.ok_or("thread_not_found")?.thread_ts.is_some() {
                return Err("cannot_reply_to_message".into());
            }
        }
        let message = Message {
            channel,
            channel_name,
            ts: self.next_ts(),
            thread_ts,
            text: shown.text,
            blocks: shown.blocks,
            before_updates: Vec::new(),
            reactions: Vec::new(),
            posted_at: Instant::now(),
        };
        let answer = json!({ "ok": true, "channel": message.channel, "ts": message.ts, "message": wire(&message) });
        self.messages.push(message);
        Ok(answer)
    }

    fn update(&mut self, body: &Value) -> Result<Value, Refusal> {
        let message = self.existing(body, "ts")?;
        let shown = content(body, 4_000)?;
        let before = Shown {
            text: std::mem::replace(&mut message.text, shown.text),
            blocks: std::mem::replace(&mut message.blocks, shown.blocks),
        };
        message.before_updates.push(before);
        let (channel, ts, text) = (&message.channel, &message.ts, &message.text);
        Ok(
            json!({ "ok": true, "channel": channel, "ts": ts, "text": text, "message": wire(message) }),
        )
    }

    fn react(&mut self, body: &Value) -> Result<Value, Refusal> {
        let name = required(body, "name", "no_reaction")?;
        if !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-+'".contains(c))
        {
            return Err("invalid_name".into());
        }
        let message = self.existing(body, "timestamp")?;
        if message.reactions.iter().any(|r| r == name) {
            return Err("already_reacted".into());
        }
        message.reactions.push(name.to_owned());
        Ok(json!({ "ok": true }))
    }

    /// Finds the message that a call names by its channel's id and its ts; Slack takes no channel name here.
    fn existing(&mut self, body: &Value, ts_field: &str) -> Result<&mut Message, Refusal> {
        let channel = required(body, "channel", "channel_not_found")?;
        if !self.channels.values().any(|id| id == channel) {
            return Err("channel_not_found".into());
        }
        let ts = required(body, ts_field, "message_not_found")?;
        let message = self
            .messages
            .iter_mut()
            .find(|m| m.channel == channel && m.ts == ts);
        message.ok_or("message_not_found".into())
    }

    fn next_ts(&mut self) -> String {
        let second = time::unix_now().max(self.last_ts.0);
        let micros = if second == self.last_ts.0 {
            self.last_ts.1 + 100
        } else {
            100
        };
        self.last_ts = (second, micros);
        format!("{second}.{micros:06}")
    }
}

fn json_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let kind = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
    if parts.next().as_deref() != Some("application/json") {
        return Err("invalid_post_type".into());
    }
    // Slack itself only warns (`missing_charset`); here it is an error, so that tests notice.
    if !parts.any(|part| part == "charset=utf-8") {
        return Err("invalid_charset".into());
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| "invalid_json")?;
    if body.is_object() {
        Ok(body)
    } else {
        Err("json_not_object".into())
    }
}

fn content(body: &Value, text_chars_max: usize) -> Result<Shown, Refusal> {
    let text = body["text"].as_str().unwrap_or_default().to_owned();
    if text.chars().count() > text_chars_max {
        return Err("msg_too_long".into());
    }
    let given = match &body["blocks"] {
        // Form-encoded clients send the blocks as a string of JSON; Slack takes that in a JSON body too.
        Value::String(text) => serde_json::from_str(text).map_err(|_| "invalid_blocks_format")?,
        other => other.clone(),
    };
    let blocks = match given {
        Value::Null => Vec::new(),
        Value::Array(blocks) => blocks,
        _ => return Err("invalid_blocks_format".into()),
    };
    let problems = blocks::problems(&blocks);
    if !problems.is_empty() {
        return Err(Refusal {
            code: "invalid_blocks",
            problems,
        });
    }
    if text.is_empty() && blocks.is_empty() {
        return Err("no_text".into());
    }
    Ok(Shown { text, blocks })
}

fn wire(message: &Message) -> Value {
    let mut wire = json!({
        "type": "message", "subtype": "bot_message", "bot_id": "B0000000001", "user": "U0000000001",
        "ts": message.ts, "text": message.text, "blocks": message.blocks,
    });
    if let Some(parent) = &message.thread_ts {
        wire["thread_ts"] = json!(parent);
    }
    wire
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::SocketAddr;

    use super::super::faults::{Fault, Gate};
    use super::super::raw_http::{Answer, request};
    use super::*;

    const TYPE: (&str, &str) = ("Content-Type", "application/json; charset=utf-8");
    const BEARER: (&str, &str) = ("Authorization", "Bearer xoxb-stand-in");

    fn addr(slack: &Slack) -> SocketAddr {
        slack.listening.addr
    }

    async fn call(slack: &Slack, method: &str, body: Value) -> Value {
        let path = format!("/api/{method}");
        let answer = request(
            addr(slack),
            "POST",
            &path,
            &[TYPE, BEARER],
            &body.to_string(),
        );
        answer.await.unwrap().json()
    }

    async fn post(slack: &Slack, text: &str) -> Value {
        call(
            slack,
            "chat.postMessage",
            json!({ "channel": "#alerts", "text": text }),
        )
        .await
    }

    #[tokio::test]
    async fn a_message_is_posted_updated_answered_and_reacted_to() {
        let slack = Slack::start().await;
        let posted = post(&slack, "one").await;
        let (channel, ts) = (posted["channel"].clone(), posted["ts"].as_str().unwrap());
        assert_eq!(posted["message"]["text"], "one");
        let update = json!({ "channel": channel, "ts": ts, "text": "two" });
        assert_eq!(call(&slack, "chat.update", update).await["ok"], true);
        let answer = json!({ "channel": channel, "thread_ts": ts, "text": "answer" });
        assert_eq!(call(&slack, "chat.postMessage", answer).await["ok"], true);
        let react = json!({ "channel": channel, "timestamp": ts, "name": "eyes" });
        assert_eq!(
            call(&slack, "reactions.add", react.clone()).await["ok"],
            true
        );
        assert_eq!(
            call(&slack, "reactions.add", react).await["error"],
            "already_reacted"
        );

        let message = &slack.messages()[0];
        assert_eq!(
            (
                message.text.as_str(),
                message.before_updates[0].text.as_str()
            ),
            ("two", "one")
        );
        assert_eq!(message.reactions, ["eyes"]);
        assert_eq!(slack.thread(ts)[0].text, "answer");
    }

    #[tokio::test]
    async fn what_slack_refuses_is_refused_with_its_code() {
        let slack = Slack::start().await;
        let id = slack.add_channel("alerts");
        let cases = [
            (
                "chat.postMessage",
                json!({ "channel": "#nowhere", "text": "x" }),
                "channel_not_found",
            ),
            (
                "chat.postMessage",
                json!({ "text": "x" }),
                "channel_not_found",
            ),
            (
                "chat.postMessage",
                json!({ "channel": "#alerts" }),
                "no_text",
            ),
            (
                "chat.postMessage",
                json!({ "channel": "#alerts", "text": "x".repeat(40_001) }),
                "msg_too_long",
            ),
            (
                "chat.postMessage",
                json!({ "channel": "#alerts", "text": "x", "blocks": [{ "type": "?" }] }),
                "invalid_blocks",
            ),
            (
                "chat.postMessage",
                json!({ "channel": "#alerts", "text": "x", "blocks": {} }),
                "invalid_blocks_format",
            ),
            (
                "chat.postMessage",
                json!({ "channel": "#alerts", "text": "x", "thread_ts": "1.0" }),
                "thread_not_found",
            ),
            ("chat.postMessage", json!([1]), "json_not_object"),
            (
                "chat.update",
                json!({ "channel": id, "ts": "1.0", "text": "x" }),
                "message_not_found",
            ),
            (
                "chat.update",
                json!({ "channel": "#alerts", "ts": "1.0", "text": "x" }),
                "channel_not_found",
            ),
            ("chat.delete", json!({}), "unknown_method"),
        ];
        for (method, body, code) in cases {
            let answer = call(&slack, method, body).await;
            assert_eq!(
                (&answer["ok"], &answer["error"]),
                (&json!(false), &json!(code))
            );
        }
        let posted = post(&slack, "x").await;
        let update = json!({ "channel": id, "ts": posted["ts"], "text": "x".repeat(4_001) });
        assert_eq!(
            call(&slack, "chat.update", update).await["error"],
            "msg_too_long"
        );
    }

    #[tokio::test]
    async fn a_careless_client_is_told_what_it_forgot() {
        let slack = Slack::start().await;
        let body = r##"{"channel":"#alerts","text":"x"}"##;
        let send = async |method: &str, headers: &[(&str, &str)], body: &str| -> Answer {
            request(addr(&slack), method, "/api/chat.postMessage", headers, body)
                .await
                .unwrap()
        };
        let json_only = ("Content-Type", "application/json");
        let stranger = ("Authorization", "Bearer xoxb-other");
        for (answer, code) in [
            (send("GET", &[TYPE, BEARER], "").await, "invalid_post_type"),
            (send("POST", &[TYPE], body).await, "not_authed"),
            (send("POST", &[TYPE, stranger], body).await, "invalid_auth"),
            (
                send("POST", &[json_only, BEARER], body).await,
                "invalid_charset",
            ),
            (send("POST", &[BEARER], body).await, "invalid_post_type"),
            (send("POST", &[TYPE, BEARER], "{").await, "invalid_json"),
        ] {
            assert_eq!(
                (answer.status, &answer.json()["error"]),
                (200, &json!(code))
            );
        }
        assert!(slack.messages().is_empty());
    }

    #[tokio::test]
    async fn faults_meet_the_calls_they_were_scripted_for() {
        let slack = Slack::start().await;
        let method = "chat.postMessage";
        slack.faults().next(method, Fault::rate_limited(7));
        slack
            .faults()
            .next(method, Fault::slack_error("fatal_error"));
        slack.faults().next(method, Fault::InvalidJson);
        slack.faults().next(method, Fault::DoneButClose);
        let path = "/api/chat.postMessage";
        let body = r##"{"channel":"#alerts","text":"x"}"##;
        let limited = request(addr(&slack), "POST", path, &[TYPE, BEARER], body)
            .await
            .unwrap();
        assert_eq!(
            (limited.status, limited.header("retry-after")),
            (429, Some("7"))
        );
        assert_eq!(post(&slack, "x").await["error"], "fatal_error");
        assert_eq!(post(&slack, "x").await, Value::Null);
        assert!(slack.messages().is_empty());
        assert_eq!(post(&slack, "lost").await, Value::Null);
        assert_eq!(slack.messages()[0].text, "lost");
        assert_eq!(post(&slack, "x").await["ok"], true);
        assert_eq!(slack.wait_for_calls(method, 5).await[0].outcome, "fault");
    }

    #[tokio::test]
    async fn a_call_waits_at_its_gate() {
        let slack = Slack::start().await;
        let gate = Gate::closed();
        slack
            .faults()
            .next("chat.postMessage", Fault::Hold(gate.clone()));
        let held = post(&slack, "held");
        let meanwhile = async {
            slack.wait_for_calls("chat.postMessage", 1).await;
            assert!(slack.messages().is_empty());
            gate.open();
        };
        assert_eq!(tokio::join!(held, meanwhile).0["ok"], true);
        assert_eq!(slack.wait_for_count(1).await[0].text, "held");
    }
}
