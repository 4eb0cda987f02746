//! The model's answers and failures, with a scripted endpoint.
#![allow(clippy::unwrap_used, reason = "tests")]

use handler_sdk::http::Method;
use handler_sdk::mock::{Host, Reply, assert_snapshot};
use handler_sdk::prelude::*;
use handler_sdk::serde_json::{Value, json};
use slack_notify::SlackNotify;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_793_516_400);
const ENDPOINT: &str = "https://llm.example.com/v1/chat/completions";

fn alert() -> Alert {
    Alert::new("KubePodCrashLooping")
        .with_label("namespace", "shop")
        .with_label("pod", "app-1")
        .with_label("severity", "warning")
        .with_annotation("summary", "Pod is crash looping.")
        .with_annotation("description", "password=hunter2secret1 was in the log")
        .with_start(NOW)
        .with_receipt(NOW)
}

fn found() -> Enrichment {
    Enrichment::new()
        .with_fact("recurrence", "7th time in 14 days")
        .with_block(Block::excerpt("Log", "panic: no such table: orders"))
        .with_block(Block::markdown(
            "**Rolled out** Deployment app, image 1 → 2",
        ))
}

fn says(text: &str) -> Reply {
    Reply::json(
        200,
        &json!({ "choices": [{ "message": { "role": "assistant", "content": text } }], "usage": { "total_tokens": 700 } }),
    )
}

fn host(reply: Reply) -> Host {
    Host::new()
        .now(NOW)
        .config("url", "https://llm.example.com/v1/")
        .config("model", "small-1")
        .credentials(["llm"])
        .http(Method::Post, ENDPOINT, reply)
}

fn lines(host: &Host) -> Vec<String> {
    let enriched = host.enrich::<LlmSummary>(&alert(), &found()).unwrap();
    match &enriched.blocks[..] {
        [Block::Excerpt(excerpt)] => excerpt.text.lines().map(str::to_owned).collect(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fails(host: &Host, why: &str) {
    let failure = host.enrich::<LlmSummary>(&alert(), &found()).unwrap_err();
    assert!(
        failure.is_permanent(),
        "a guess is not retried: {failure:?}"
    );
    assert!(failure.message().contains(why), "{failure:?}");
}

#[test]
fn the_model_gets_what_is_known_and_no_secret() {
    let host = host(says("The table orders is missing."));
    assert_eq!(lines(&host), ["The table orders is missing."]);
    let requests = host.requests();
    let body: Value = serde_json::from_str(&requests[0].body).unwrap();
    let question = body["messages"][1]["content"].as_str().unwrap();
    for part in [
        "KubePodCrashLooping",
        "namespace: shop",
        "7th time in 14 days",
        "no such table",
        "image 1 → 2",
    ] {
        assert!(question.contains(part), "{part}: {question}");
    }
    assert!(!question.contains("hunter2"), "{question}");
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&json!("small-1"), &json!(300))
    );
    assert_eq!(host.kept("calls.2026-11-01").as_deref(), Some("1"));
    assert_eq!(
        host.kept("tokens.2026-11-01").as_deref(),
        Some("700"),
        "what was used counts, not the estimate"
    );
}

#[test]
fn a_question_is_bounded() {
    let host = host(says("x"));
    let long = (0..100).fold(found(), |found, n| {
        found.with_block(Block::markdown(format!("{n} ").repeat(5_000)))
    });
    host.enrich::<LlmSummary>(&alert(), &long).unwrap();
    let body: Value = serde_json::from_str(&host.requests()[0].body).unwrap();
    assert_eq!(
        body["messages"][1]["content"]
            .as_str()
            .unwrap()
            .chars()
            .count(),
        8_000
    );
}

#[test]
fn hostile_text_is_inert_and_cut() {
    let hostile = "<!channel> see <https://evil.example|here> or http://evil.example/x\n\n@here `rm -rf /` ```\n\
                   \u{202e}reversed\u{1b}[31m\ntoken=abcdef123456789\nwww.evil.example\nsixth line\nseventh";
    let shown = lines(&host(says(hostile)));
    assert_eq!(
        shown,
        [
            "!channel see [link] or [link]",
            "here rm -rf /",
            "reversed[31m",
            "token=[masked]",
            "[link]"
        ]
    );
    let long = lines(&host(says(&"word ".repeat(1_000))));
    assert_eq!((long.len(), long[0].chars().count()), (1, 200));
}

#[test]
fn a_failure_is_one_quiet_line_and_no_retry() {
    for (reply, why) in [
        (Reply::status(429, "slow down"), "asks to wait (429)"),
        (Reply::status(500, "{}"), "status 500"),
        (Reply::status(401, "{}"), "refuses the credential"),
        (Reply::timeout(), "did not answer in time"),
        (Reply::unreachable(), "is unreachable"),
        (Reply::denied(), "is not granted"),
        (Reply::status(200, "<html>"), "is no JSON"),
        (Reply::json(200, &json!({ "choices": [] })), "has no text"),
        (
            Reply::json(
                200,
                &json!({ "choices": [{ "message": { "content": " \n" } }] }),
            ),
            "has no text",
        ),
        (
            Reply::json(
                200,
                &json!({ "choices": [{ "message": { "content": [1] } }] }),
            ),
            "has no text",
        ),
    ] {
        let host = host(reply);
        fails(&host, why);
        assert_eq!(host.requests().len(), 1, "{why}");
    }
}

#[test]
fn the_budget_of_the_day_is_kept() {
    let calls = host(says("x"))
        .config("calls_per_day", "2")
        .kv("calls.2026-11-01", "2");
    fails(&calls, "the budget of 2 calls a day");
    assert_eq!(
        (
            calls.requests().len(),
            calls.kept("calls.2026-11-01").as_deref()
        ),
        (0, Some("2"))
    );
    let tokens = host(says("x"))
        .config("tokens_per_day", "1000")
        .kv("tokens.2026-11-01", "900");
    fails(&tokens, "the budget of 1000 tokens a day");
    assert_eq!(
        (
            tokens.requests().len(),
            tokens.kept("tokens.2026-11-01").as_deref()
        ),
        (0, Some("900"))
    );
    assert_eq!(
        tokens.kept("calls.2026-11-01").as_deref(),
        Some("0"),
        "no call was made"
    );
    let yesterday = host(says("x"))
        .config("calls_per_day", "1")
        .kv("calls.2026-10-31", "1");
    assert_eq!(lines(&yesterday), ["x"]);
    fails(
        &host(says("x")).config("calls_per_day", "0"),
        "the budget of 0 calls",
    );
}

#[test]
fn a_reminder_costs_nothing() {
    let host = host(says("first"));
    assert_eq!(lines(&host), ["first"]);
    let host = host
        .delivery("d-2")
        .now(NOW.plus(Duration::from_secs(14_400)));
    assert_eq!(lines(&host), ["first"]);
    assert_eq!(host.requests().len(), 1);
}

#[test]
fn an_alert_that_has_resolved_is_not_asked_about() {
    let host = host(says("x"));
    let resolved = alert().into_resolved(NOW);
    assert!(
        host.enrich::<LlmSummary>(&resolved, &found())
            .unwrap()
            .blocks
            .is_empty()
    );
    assert!(host.requests().is_empty());
}

#[test]
fn settings_that_cannot_be_used_are_said() {
    fails(
        &host(says("x")).config("answer_tokens", "1"),
        "write a number from 50 to 2000",
    );
    fails(
        &host(says("x")).config("calls_per_day", "-1"),
        "`calls_per_day` is `-1`",
    );
    fails(&host(says("x")).config("model", ""), "`model` is missing");
}

#[test]
fn the_message_of_slack_notify_marks_the_guess() {
    let host = host(says(
        "Likely cause: version 2 needs a table that is missing.\nFact: the log says no such table: orders.\nCheck: did the migration run?",
    ));
    let enriched = host.enrich::<LlmSummary>(&alert(), &found()).unwrap();
    host.run_after::<SlackNotify>(&alert(), &enriched);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots");
    assert_snapshot(format!("{folder}/guess.txt"), &host.transcript());
    assert_snapshot(
        format!("{folder}/guess.json"),
        &format!("{:#}\n", host.messages()),
    );
}
