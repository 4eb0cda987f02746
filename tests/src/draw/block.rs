//! Block Kit's blocks as HTML.

use serde_json::Value;

use super::Unknown;
use super::html::{element, escape};
use super::mrkdwn::mrkdwn;

/// Returns a block as HTML.
///
/// # Errors
/// What of it is not known.
pub(super) fn block(block: &Value) -> Result<String, Unknown> {
    match kind(block) {
        "header" => {
            only(block, &["type", "block_id", "text"])?;
            Ok(element("h3", "header", &text(&block["text"])?))
        }
        "section" => {
            only(block, &["type", "block_id", "text", "fields"])?;
            let mut inner = String::new();
            if !block["text"].is_null() {
                inner.push_str(&text(&block["text"])?);
            }
            let fields = each(&block["fields"], |field| {
                Ok(element("div", "field", &text(field)?))
            })?;
            if !fields.is_empty() {
                inner.push_str(&element("div", "fields", &fields));
            }
            Ok(element("div", "section", &inner))
        }
        "context" => {
            only(block, &["type", "block_id", "elements"])?;
            let elements = each(&block["elements"], |part| {
                Ok(element("span", "", &text(part)?))
            })?;
            Ok(element("div", "context", &elements))
        }
        "actions" => {
            only(block, &["type", "block_id", "elements"])?;
            let buttons = each(&block["elements"], button)?;
            Ok(element("div", "actions", &buttons))
        }
        "divider" => {
            only(block, &["type", "block_id"])?;
            Ok("<hr>".to_owned())
        }
        other => Err(Unknown::new(format!("a block of type {other:?}"))),
    }
}

fn button(button: &Value) -> Result<String, Unknown> {
    if kind(button) != "button" {
        return Err(Unknown::new(format!(
            "an action of type {:?}",
            kind(button)
        )));
    }
    only(
        button,
        &["type", "action_id", "text", "url", "style", "value"],
    )?;
    let style = button["style"].as_str().unwrap_or_default();
    Ok(element(
        "span",
        &format!("button {style}"),
        &text(&button["text"])?,
    ))
}

/// A text object.
fn text(object: &Value) -> Result<String, Unknown> {
    only(object, &["type", "text", "emoji", "verbatim"])?;
    let text = object["text"].as_str().unwrap_or_default();
    match kind(object) {
        "mrkdwn" => mrkdwn(text),
        "plain_text" => Ok(escape(text)),
        other => Err(Unknown::new(format!("a text of type {other:?}"))),
    }
}

fn each(list: &Value, draw: impl Fn(&Value) -> Result<String, Unknown>) -> Result<String, Unknown> {
    list.as_array().into_iter().flatten().map(draw).collect()
}

fn kind(object: &Value) -> &str {
    object["type"].as_str().unwrap_or_default()
}

/// A key that is not drawn would be left out of the picture.
fn only(object: &Value, known: &[&str]) -> Result<(), Unknown> {
    let Some(map) = object.as_object() else {
        return Err(Unknown::new(format!("what is no object: {object}")));
    };
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Unknown::new(format!("{key} of a {}", kind(object)))),
        None => Ok(()),
    }
}
