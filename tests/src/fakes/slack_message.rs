//! A message that the fake of Slack keeps, and what it shows as text, for a terminal or a failed test.

use serde_json::Value;

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
}

impl Message {
    /// Returns everything it shows, text and blocks, as lines.
    pub fn shown(&self) -> String {
        let mut lines = vec![self.text.clone()];
        lines.extend(self.blocks.iter().map(block_text));
        lines.join("\n")
    }

    /// Returns whether the visible text contains `part`.
    pub fn contains(&self, part: &str) -> bool {
        self.shown().contains(part)
    }

    /// Returns the header block's text.
    pub fn header(&self) -> Option<&str> {
        self.blocks.iter().find(|b| b["type"] == "header")?["text"]["text"].as_str()
    }
}

/// Returns the message as a person would read it, a line for each thing shown.
pub fn render(message: &Message) -> String {
    let mut out = format!(
        "{} ({}) ts={}",
        message.channel_name, message.channel, message.ts
    );
    if let Some(parent) = &message.thread_ts {
        out.push_str(&format!(" in the thread of {parent}"));
    }
    if !message.before_updates.is_empty() {
        out.push_str(&format!(
            " (updated {} times)",
            message.before_updates.len()
        ));
    }
    for emoji in &message.reactions {
        out.push_str(&format!(" :{emoji}:"));
    }
    out.push_str(&format!("\n  text: {}\n", message.text));
    for block in &message.blocks {
        for line in block_text(block).lines() {
            out.push_str(&format!("  | {line}\n"));
        }
    }
    out
}

/// Returns everything that a block shows, its parts on lines of their own.
pub fn block_text(block: &Value) -> String {
    match block["type"].as_str().unwrap_or_default() {
        "header" => format!("# {}", text_of(&block["text"])),
        "divider" => "----".to_owned(),
        "actions" => {
            let buttons = array(&block["elements"]).iter();
            let shown: Vec<_> = buttons
                .map(|b| {
                    format!(
                        "[{}]({})",
                        text_of(&b["text"]),
                        b["url"].as_str().unwrap_or_default()
                    )
                })
                .collect();
            shown.join(" ")
        }
        _ => {
            let mut parts = Vec::new();
            collect(block, &mut parts);
            parts.join("\n")
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> &str {
    value["text"]
        .as_str()
        .or(value.as_str())
        .unwrap_or_default()
}

fn collect(value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match (key.as_str(), inner) {
                    ("text" | "url" | "alt_text", Value::String(text)) => parts.push(text.clone()),
                    _ => collect(inner, parts),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, parts)),
        _ => {}
    }
}
