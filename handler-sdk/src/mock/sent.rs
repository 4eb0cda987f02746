//! What a handler has sent to the mock host, for assertions in tests.

use serde_json::Value;

use crate::Timestamp;
use crate::bindings::alert_manager::handler::{http, slack};
use crate::http::{Method, method_name};
use crate::log::Level;
use crate::slack::{FileRef, MessageRef, limits};

/// A request that a handler sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL, with its query.
    pub url: String,
    /// The headers, as the handler gave them.
    pub headers: Vec<(String, String)>,
    /// The body as text; empty if there was none.
    pub body: String,
    /// The name of the credential.
    pub credential: Option<String>,
    /// The effect's name.
    pub key: Option<String>,
    /// The timeout, in milliseconds.
    pub timeout_ms: Option<u32>,
}

impl Request {
    pub(super) fn of(request: &http::Request) -> Self {
        Self {
            method: request.method,
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned(),
            credential: request.credential.clone(),
            key: request.key.clone(),
            timeout_ms: request.timeout_ms,
        }
    }

    /// Returns `GET https://…`.
    pub fn line(&self) -> String {
        format!("{} {}", method_name(self.method), self.url)
    }

    /// Returns the body, parsed as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// A message that a handler posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// What `post` returned.
    pub at: MessageRef,
    /// The channel's name in the operator's configuration.
    pub channel: String,
    /// The text, in mrkdwn.
    pub text: String,
    /// The blocks; empty if there were none.
    pub blocks: Vec<Value>,
    /// The message in whose thread it was posted.
    pub thread: Option<MessageRef>,
    /// The effect's name.
    pub key: Option<String>,
}

/// A change to a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The message that was changed.
    pub at: MessageRef,
    /// The new text, in mrkdwn.
    pub text: String,
    /// The new blocks; empty if there were none.
    pub blocks: Vec<Value>,
}

impl Post {
    /// Returns all that a person sees of the blocks, one piece of text per line, in mrkdwn.
    pub fn visible(&self) -> String {
        visible(&self.blocks)
    }
}

impl Update {
    /// Returns all that a person sees of the blocks, one piece of text per line, in mrkdwn.
    pub fn visible(&self) -> String {
        visible(&self.blocks)
    }
}

/// An emoji that a handler added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The message.
    pub at: MessageRef,
    /// The emoji, without colons.
    pub emoji: String,
}

/// A file that a handler uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What `upload` returned.
    pub at: FileRef,
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its type.
    pub media_type: String,
    /// Its content.
    pub data: Vec<u8>,
}

/// A timer that a handler has set, and that has not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTimer {
    /// Its key.
    pub key: String,
    /// When it is due.
    pub due_at: Timestamp,
}

/// A line that a handler wrote to its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The fields.
    pub fields: Vec<(String, String)>,
}

fn visible(blocks: &[Value]) -> String {
    fn collect(value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(object) => match (
                object.get("type").and_then(Value::as_str),
                object.get("text"),
            ) {
                (Some("mrkdwn" | "plain_text"), Some(Value::String(text))) => {
                    lines.push(text.clone());
                }
                _ => object.values().for_each(|value| collect(value, lines)),
            },
            Value::Array(values) => values.iter().for_each(|value| collect(value, lines)),
            _ => {}
        }
    }
    let mut lines = Vec::new();
    blocks.iter().for_each(|block| collect(block, &mut lines));
    lines.join("\n")
}

/// Returns the blocks of a message. Panics if Slack would reject them: a test that continues with such a message proves
/// nothing.
#[track_caller]
pub(super) fn checked_blocks(message: &slack::Message, text_chars_max: usize) -> Vec<Value> {
    at_most("the text", message.text.chars().count(), text_chars_max);
    assert!(
        !message.text.trim().is_empty(),
        "Slack takes no message without text"
    );
    let Some(json) = &message.blocks else {
        return Vec::new();
    };
    let blocks: Vec<Value> = match serde_json::from_str(json) {
        Ok(blocks) => blocks,
        Err(error) => panic!("the blocks are no JSON array: {error}: {json}"),
    };
    at_most("the list of blocks", blocks.len(), limits::BLOCKS_MAX);
    if blocks.len() > 1 {
        at_most("the blocks' JSON", json.len(), limits::BLOCKS_BYTES_MAX);
    }
    for block in &blocks {
        check_block(block);
    }
    blocks
}

#[track_caller]
fn check_block(block: &Value) {
    let list = |name: &str| {
        block[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    match block["type"].as_str() {
        Some("header") => check_text("a header", &block["text"], limits::HEADER_CHARS_MAX),
        Some("section") => {
            assert!(
                !block["text"].is_null() || !list("fields").is_empty(),
                "a section needs text or fields: {block}"
            );
            if !block["text"].is_null() {
                check_text("a section", &block["text"], limits::SECTION_CHARS_MAX);
            }
            at_most(
                "a section's list of fields",
                list("fields").len(),
                limits::FIELDS_MAX,
            );
            list("fields")
                .iter()
                .for_each(|field| check_text("a field", field, limits::FIELD_CHARS_MAX));
        }
        Some("context") => {
            let elements = list("elements");
            assert!(!elements.is_empty(), "a context needs elements: {block}");
            at_most(
                "a context's list of elements",
                elements.len(),
                limits::CONTEXT_ELEMENTS_MAX,
            );
            elements
                .iter()
                .filter(|element| element["type"] != "image")
                .for_each(|element| {
                    check_text("a context's element", element, limits::CONTEXT_CHARS_MAX);
                });
        }
        Some("actions") => {
            let elements = list("elements");
            assert!(
                !elements.is_empty(),
                "an actions block needs elements: {block}"
            );
            at_most(
                "an actions block's list of elements",
                elements.len(),
                limits::ACTIONS_MAX,
            );
            for button in elements
                .iter()
                .filter(|element| element["type"] == "button")
            {
                check_text("a button", &button["text"], limits::BUTTON_CHARS_MAX);
                let url_chars = button["url"].as_str().map_or(0, |url| url.chars().count());
                at_most("a button's url", url_chars, limits::BUTTON_URL_CHARS_MAX);
            }
        }
        Some(_) => {}
        None => panic!("a block needs a type: {block}"),
    }
}

#[track_caller]
fn check_text(what: &str, text: &Value, chars_max: usize) {
    let Some(shown) = text["text"].as_str() else {
        panic!("{what} needs text: {text}")
    };
    assert!(!shown.is_empty(), "{what} is empty");
    at_most(what, shown.chars().count(), chars_max);
}

#[track_caller]
fn at_most(what: &str, count: usize, max: usize) {
    assert!(
        count <= max,
        "Slack would refuse this message: {what} has {count}, at most {max} are allowed"
    );
}
