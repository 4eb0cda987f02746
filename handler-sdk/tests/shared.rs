//! The tables that the SDKs have in common: this SDK agrees with them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use handler_sdk::Severity;
use handler_sdk::slack::Blocks;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("shared")
        .join(name)
}

#[test]
fn the_names_of_severities_are_those_of_all_sdks() {
    let shared: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&read("severity.json")).unwrap();
    let own: BTreeMap<String, Vec<String>> = Severity::WORDS
        .iter()
        .map(|(severity, words)| {
            let name = format!("{severity:?}").to_lowercase();
            (name, words.iter().map(|word| (*word).to_owned()).collect())
        })
        .collect();
    assert_eq!(own, shared);
}

/// A message, and the Block Kit that every SDK makes of it.
#[derive(Serialize, Deserialize)]
struct Message {
    name: String,
    calls: Vec<Vec<Value>>,
    json: String,
}

/// Returns a text; a long one is written as what it repeats, and how often.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        long => long["text"]
            .as_str()
            .unwrap()
            .repeat(long["times"].as_u64().unwrap() as usize),
    }
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_array().unwrap().iter();
    pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn built(calls: &[Vec<Value>]) -> Blocks {
    calls.iter().fold(Blocks::new(), |blocks, call| {
        let argument = |at: usize| text(&call[at]);
        match call[0].as_str().unwrap() {
            "header" => blocks.header(argument(1)),
            "section" => blocks.section(argument(1)),
            "paragraphs" => blocks.paragraphs(argument(1)),
            "fields" => blocks.fields(pairs(&call[1])),
            "links" => blocks.links(pairs(&call[1])),
            "buttons" => blocks.buttons(pairs(&call[1])),
            "context" => blocks.context(call[1].as_array().unwrap().iter().map(text)),
            "divider" => blocks.divider(),
            "excerpt" => blocks.excerpt(&argument(1), &argument(2)),
            "markdown" => blocks.markdown(&argument(1)),
            other => panic!("{other}"),
        }
    })
}

#[test]
fn messages_are_the_same_in_all_sdks() {
    let mut messages: Vec<Message> = serde_json::from_str(&read("blocks.json")).unwrap();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        for message in &mut messages {
            message.json = built(&message.calls).to_json();
        }
        let lines: Vec<String> = messages.iter().map(|m| json!(m).to_string()).collect();
        std::fs::write(
            path("blocks.json"),
            format!("[\n{}\n]\n", lines.join(",\n")),
        )
        .unwrap();
        return;
    }
    for message in &messages {
        assert_eq!(
            built(&message.calls).to_json(),
            message.json,
            "{}",
            message.name
        );
    }
}
