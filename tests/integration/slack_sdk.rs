//! Slack's own client is the judge of the fake: it is refused where Slack refuses, waits as Slack asks, and its models of blocks
//! find wrong what the fake finds wrong.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::fakes::slack::TOKEN;
use tests::fakes::{Slack, blocks};
use tests::python;

const PACKAGE: &str = "slack_sdk==3.48.0";

/// Returns the interpreter, or says what is skipped. Where there is a network for certain, nothing is.
fn interpreter() -> Option<PathBuf> {
    match tokio::task::block_in_place(|| python::environment("slack-sdk", &[PACKAGE])) {
        Ok(python) => Some(python),
        Err(error) if std::env::var_os("GITHUB_ACTIONS").is_some() => panic!("{error:#}"),
        Err(error) => {
            tests::skipped(&format!(
                "SKIPPED: Slack's own client did not judge the fake of Slack: {error:#}"
            ));
            None
        }
    }
}

fn run(python: &Path, program: &str, args: &[&str]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("integration/slack_sdk")
        .join(program);
    tokio::task::block_in_place(|| python::program(python, &file, args))
        .unwrap_or_else(|e| panic!("{e:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_s_own_client_meets_slack_s_rules_and_rates() {
    let Some(python) = interpreter() else { return };
    let slack = Slack::start().await;
    slack.enforce_rates(1);
    let api = slack.api_url();
    assert_eq!(
        run(&python, "client.py", &[&api, TOKEN]).trim(),
        "Slack's client agrees"
    );
    let refused = slack
        .calls()
        .iter()
        .filter(|call| call.outcome == "ratelimited")
        .count();
    assert!(refused > 0, "its rates were met");
}

/// Blocks at a limit, and one beyond it.
fn samples() -> Vec<(&'static str, Value, Value)> {
    let plain = |n: usize| json!({ "type": "plain_text", "text": "x".repeat(n) });
    let mrkdwn = |n: usize| json!({ "type": "mrkdwn", "text": "x".repeat(n) });
    let header = |n| json!([{ "type": "header", "text": plain(n) }]);
    let section = |n| json!([{ "type": "section", "text": mrkdwn(n) }]);
    let fields = |n| json!([{ "type": "section", "fields": vec![mrkdwn(9); n] }]);
    let context = |n| json!([{ "type": "context", "elements": vec![mrkdwn(9); n] }]);
    let button = |text: usize, url: usize| {
        let url = format!("https://example.com/{}", "u".repeat(url - 20));
        json!([{ "type": "actions", "elements": [{ "type": "button", "text": plain(text), "url": url, "action_id": "a" }] }])
    };
    let buttons = |n: usize| {
        let buttons: Vec<_> = (0..n)
            .map(|i| json!({ "type": "button", "text": plain(4), "action_id": i.to_string() }))
            .collect();
        json!([{ "type": "actions", "elements": buttons }])
    };
    let with_id = |n: usize| json!([{ "type": "divider", "block_id": "i".repeat(n) }]);
    let image = |n: usize| json!([{ "type": "image", "image_url": "https://example.com/a.png", "alt_text": "x".repeat(n) }]);
    vec![
        ("a header's text", header(150), header(151)),
        ("a section's text", section(3_000), section(3_001)),
        ("a section's fields", fields(10), fields(11)),
        (
            "a section without text",
            section(1),
            json!([{ "type": "section" }]),
        ),
        ("a context's elements", context(10), context(11)),
        ("a button's text", button(75, 30), button(76, 30)),
        ("a button's url", button(9, 3_000), button(9, 3_001)),
        ("an actions' elements", buttons(25), buttons(26)),
        ("a block's id", with_id(255), with_id(256)),
        ("an image's alternative text", image(2_000), image(2_001)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_s_own_models_find_wrong_what_the_fake_finds_wrong() {
    let Some(python) = interpreter() else { return };
    let mut given = Vec::new();
    let mut judged = Vec::new();
    for (what, good, bad) in samples() {
        for (blocks, is_good) in [(good, true), (bad, false)] {
            let list = blocks.as_array().unwrap();
            judged.push((what, is_good, blocks::problems(list).is_empty()));
            given.push(blocks);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("blocks.json");
    std::fs::write(&file, Value::Array(given).to_string()).unwrap();
    let said = run(&python, "models.py", &[file.to_str().unwrap()]);
    let said: Vec<Option<String>> = serde_json::from_str(&said).unwrap();
    assert_eq!(said.len(), judged.len());
    for ((what, is_good, fake), models) in judged.into_iter().zip(said) {
        assert_eq!(fake, is_good, "{what}: the fake");
        assert_eq!(
            models.is_none(),
            is_good,
            "{what}: the models say {models:?}"
        );
    }
}

/// What the handlers post is judged by Slack's models as it is in the drawn messages of the documentation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_s_own_models_take_what_the_handlers_post() {
    let Some(python) = interpreter() else { return };
    let slack = Slack::start().await;
    let server = tests::server::Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .module("kube-pod-crash-looping")
        .start()
        .await;
    for alert in [
        tests::alerts::readme(),
        tests::alerts::firing("DiskFull", &[("instance", "db-1")]),
    ] {
        for id in server.accept(&alert).await {
            server.wait_settled(&id).await;
        }
    }
    let posted: Vec<Value> = slack
        .messages()
        .into_iter()
        .map(|m| Value::Array(m.blocks))
        .collect();
    assert!(posted.len() >= 2, "{posted:#?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("blocks.json");
    std::fs::write(&file, Value::Array(posted).to_string()).unwrap();
    let said = run(&python, "models.py", &[file.to_str().unwrap()]);
    let said: Vec<Option<String>> = serde_json::from_str(&said).unwrap();
    assert!(said.iter().all(Option::is_none), "{said:?}");
}
