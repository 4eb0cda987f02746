//! The rules of Slack's Web API: what each method takes, refuses and answers.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::faults::Fault;
use super::slack_message::{Message, Shown};
use super::{blocks, time};

/// The channels that it starts with.
pub const CHANNELS: [&str; 3] = ["alerts", "oncall", "general"];

/// One call of an API method, good or bad.
#[derive(Debug, Clone)]
pub struct Call {
    /// `chat.postMessage`.
    pub method: String,
    /// The body, null if it was no JSON.
    pub body: Value,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What it came to: `ok`, Slack's error code, or `fault` if a scripted fault took its place.
    pub outcome: String,
    /// The scripted fault that it met.
    pub fault: Option<Fault>,
    /// When it arrived.
    pub at: Instant,
}

/// What the fake holds.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub(super) token: String,
    pub(super) any_channel: bool,
    /// Name without `#` to id.
    pub(super) channels: BTreeMap<String, String>,
    /// What is special about a channel, by its name.
    pub(super) kinds: BTreeMap<String, ChannelKind>,
    /// What the token may do, as `x-oauth-scopes` says it; everything, and not said, if empty.
    pub(super) scopes: Vec<String>,
    /// What channels answer to messages, by name.
    pub(super) refused: BTreeMap<String, &'static str>,
    pub(super) messages: Vec<Message>,
    pub(super) calls: Vec<Call>,
    pub(super) last_ts: (i64, u32),
}

/// What is special about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// The bot was not invited.
    NotMember,
    /// Nobody can post any more.
    Archived,
    /// Shown to a token with the scope groups:read alone.
    Private,
}

/// Why a call was refused: Slack's code, and for blocks the path and the problem.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    problems: Vec<String>,
}

impl Refusal {
    pub(super) fn into_json(self) -> Value {
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
    pub(super) fn add_channel(&mut self, name: &str) -> String {
        let name = name.trim_start_matches('#');
        let id = format!("C{:010}", self.channels.len() + 1);
        self.channels.entry(name.to_owned()).or_insert(id).clone()
    }

    /// Returns the id of a channel that is named by its name or its id; what it is given if there is none.
    pub(super) fn id_of(&self, channel: &str) -> String {
        let name = channel.trim_start_matches('#');
        self.channels
            .get(name)
            .map_or(channel, String::as_str)
            .to_owned()
    }

    pub(super) fn call(
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
                "ok": true, "url": "https://fake.slack.com/", "team": "Fake", "user": "alert-manager",
                "team_id": "T0000000001", "user_id": "U0000000001", "bot_id": "B0000000001",
            }));
        }
        match api_method {
            "conversations.info" => return self.info(&form_body(headers, body)?),
            "conversations.list" => return self.list(&form_body(headers, body)?),
            _ => {}
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

    /// A workspace that has any channel has no list of them: its app may not read them.
    fn is_allowed(&self, scope: &str) -> bool {
        let is_list_known = !self.any_channel || scope == "chat:write";
        is_list_known && self.scopes.is_empty()
            || self.scopes.iter().any(|allowed| allowed == scope)
    }

    /// What Slack shows of a channel, if the token may see it.
    fn shown(&self, name: &str, id: &str) -> Option<Value> {
        let kind = self.kinds.get(name);
        let is_private = kind == Some(&ChannelKind::Private);
        let scope = if is_private {
            "groups:read"
        } else {
            "channels:read"
        };
        let refused = self.refused.get(name).copied();
        if refused == Some("channel_not_found") {
            return None;
        }
        self.is_allowed(scope).then(|| {
            json!({
                "id": id, "name": name, "is_private": is_private,
                "is_archived": kind == Some(&ChannelKind::Archived) || refused == Some("is_archived"),
                "is_member": kind != Some(&ChannelKind::NotMember) && refused != Some("not_in_channel"),
            })
        })
    }

    /// Methods that read take no JSON, and know channels by their ids alone.
    fn info(&self, form: &BTreeMap<String, String>) -> Result<Value, Refusal> {
        if !self.is_allowed("channels:read") && !self.is_allowed("groups:read") {
            return Err("missing_scope".into());
        }
        let id = form.get("channel").ok_or("channel_not_found")?;
        let known = self.channels.iter().find(|(_, known)| *known == id);
        let (name, id) = known.ok_or("channel_not_found")?;
        let channel = self.shown(name, id).ok_or("channel_not_found")?;
        Ok(json!({ "ok": true, "channel": channel }))
    }

    /// Two channels on a page, so that a client that reads one page alone is found out.
    fn list(&self, form: &BTreeMap<String, String>) -> Result<Value, Refusal> {
        let types = form.get("types").map_or("public_channel", String::as_str);
        for (kind, scope) in [
            ("public_channel", "channels:read"),
            ("private_channel", "groups:read"),
        ] {
            if types.contains(kind) && !self.is_allowed(scope) {
                return Err("missing_scope".into());
            }
        }
        let start: usize = match form.get("cursor") {
            Some(cursor) => cursor.parse().map_err(|_| "invalid_cursor")?,
            None => 0,
        };
        let all: Vec<Value> = self
            .channels
            .iter()
            .filter_map(|(name, id)| self.shown(name, id))
            .filter(|channel| {
                let is_private = channel["is_private"] == true;
                types.contains(if is_private {
                    "private_channel"
                } else {
                    "public_channel"
                })
            })
            .collect();
        let page: Vec<_> = all.iter().skip(start).take(2).collect();
        let next = if start + 2 < all.len() {
            (start + 2).to_string()
        } else {
            String::new()
        };
        Ok(json!({ "ok": true, "channels": page, "response_metadata": { "next_cursor": next } }))
    }

    fn post(&mut self, body: &Value) -> Result<Value, Refusal> {
        let (channel, channel_name) = self.channel(body)?;
        if let Some(code) = self.refused.get(channel_name.trim_start_matches('#')) {
            return Err((*code).into());
        }
        match self.kinds.get(channel_name.trim_start_matches('#')) {
            Some(ChannelKind::NotMember) => return Err("not_in_channel".into()),
            Some(ChannelKind::Archived) => return Err("is_archived".into()),
            Some(ChannelKind::Private) | None => {}
        }
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
        };
        let answer = json!({ "ok": true, "channel": message.channel, "ts": message.ts, "message": wire(&message) });
        self.messages.push(message);
        Ok(answer)
    }

    fn update(&mut self, body: &Value) -> Result<Value, Refusal> {
        let message = self.existing(body, "ts")?;
        let shown = content(body, 4_000)?;
        // Without blocks, which is not an empty list of them, Slack goes on showing the old ones.
        let blocks = match body["blocks"] {
            Value::Null => message.blocks.clone(),
            _ => shown.blocks,
        };
        let before = Shown {
            text: std::mem::replace(&mut message.text, shown.text),
            blocks: std::mem::replace(&mut message.blocks, blocks),
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

fn form_body(headers: &HeaderMap, body: &[u8]) -> Result<BTreeMap<String, String>, Refusal> {
    let kind = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err("invalid_form_data".into());
    }
    Ok(url::form_urlencoded::parse(body).into_owned().collect())
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
    if blocks::are_too_long(&blocks) {
        return Err("msg_blocks_too_long".into());
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
