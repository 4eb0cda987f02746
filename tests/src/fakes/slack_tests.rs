//! The fake of Slack, over plain HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;

use super::*;
use crate::dice::Dice;
use crate::fakes::faults::{Fault, Gate};
use crate::fakes::raw_http::{Answer, request};
use serde_json::{Value, json};

const TYPE: (&str, &str) = ("Content-Type", "application/json; charset=utf-8");
const BEARER: (&str, &str) = ("Authorization", "Bearer xoxb-fake");

fn addr(slack: &Slack) -> SocketAddr {
    slack.listening.addr
}

async fn call(slack: &Slack, method: &str, body: Value) -> Value {
    let (path, body) = (format!("/api/{method}"), body.to_string());
    let answer = request(addr(slack), "POST", &path, &[TYPE, BEARER], &body).await;
    answer.unwrap().json()
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
    let long =
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x".repeat(2_900) } });
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
            json!({ "channel": "#alerts", "text": "x", "blocks": vec![long; 5] }),
            "msg_blocks_too_long",
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
async fn the_answer_to_an_incomplete_call_names_what_is_missing() {
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
    slack.faults().next(method, Fault::CloseMidBody.but_done());
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
async fn a_call_that_is_cut_gets_no_byte_of_an_answer_done_or_not() {
    let slack = Slack::start().await;
    let method = "chat.postMessage";
    slack.faults().next(method, Fault::Cut);
    let dice = Dice::from_seed(1);
    slack
        .faults()
        .at_random(method, 1, &[Fault::Cut.but_done()], dice);
    for posted in [0, 1] {
        let body = r##"{"channel":"#alerts","text":"x"}"##;
        let path = "/api/chat.postMessage";
        let answer = request(addr(&slack), "POST", path, &[TYPE, BEARER], body).await;
        assert_eq!(answer.unwrap_err().to_string(), "the answer is no HTTP");
        assert_eq!(slack.messages().len(), posted);
    }
    slack.faults().clear();
    assert_eq!(post(&slack, "x").await["ok"], true);
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

#[tokio::test]
async fn it_fails_by_hand_until_it_is_healed() {
    let slack = Slack::start().await;
    let control = async |path: &str| request(addr(&slack), "POST", path, &[], "").await.unwrap();
    assert_eq!(control("/fail?code=not_in_channel").await.status, 200);
    assert_eq!(post(&slack, "x").await["error"], "not_in_channel");
    let who = call(&slack, "auth.test", json!({})).await;
    assert_eq!(who["ok"], true, "a channel's trouble is not the token's");
    let look = async |method: &str| call(&slack, method, json!({})).await;
    let (info, list) = ("conversations.info", "conversations.list");
    assert_eq!(look(info).await["channel"]["is_member"], false);
    assert_eq!(look(list).await["channels"][0]["is_member"], false);
    control("/fail?code=is_archived").await;
    assert_eq!(look(info).await["channel"]["is_archived"], true);
    assert_eq!(look(list).await["channels"][0]["name"], "alerts");
    control("/fail?code=channel_not_found").await;
    assert_eq!(look(info).await["error"], "channel_not_found");
    assert_eq!(look(list).await["channels"], json!([]));
    control("/fail?code=msg_too_long").await;
    assert_eq!(look("auth.test").await["ok"], true);
    for code in [
        "invalid_auth",
        "token_revoked",
        "account_inactive",
        "missing_scope",
    ] {
        control(&format!("/fail?code={code}")).await;
        assert_eq!(look("auth.test").await["error"], *code);
        assert_eq!(post(&slack, "x").await["error"], *code);
    }
    control("/heal").await;
    assert_eq!(look("auth.test").await["ok"], true);
    assert_eq!(
        control("/fail?status=503").await.status,
        200,
        "in another way"
    );
    assert_eq!(post(&slack, "x").await, Value::Null);
    assert_eq!(control("/fail?up").await.status, 400);
    assert_eq!(control("/heal").await.status, 200);
    assert_eq!(post(&slack, "x").await["ok"], true);
    assert_eq!(control("/fail?slow=1ms").await.status, 200);
    assert_eq!(post(&slack, "late").await["ok"], true);
}

#[tokio::test]
async fn a_channel_is_known_by_its_id_alone_and_asked_for_in_a_form() {
    let slack = Slack::start().await;
    let id = slack.add_channel("alerts");
    let form = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        BEARER,
    ];
    let path = "/api/conversations.info";
    let info = async |channel: &str| {
        let body = format!("channel={channel}");
        let answer = request(addr(&slack), "POST", path, &form, &body).await;
        answer.unwrap().json()
    };
    let known = info(&id).await;
    assert_eq!(known["channel"]["name"], "alerts", "{known}");
    assert_eq!(known["channel"]["is_member"], true);
    for name in ["%23alerts", "C9999999999"] {
        assert_eq!(info(name).await["error"], "channel_not_found");
    }
}
