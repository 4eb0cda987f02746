//! Each accepted alert is handled once and in order, or becomes a dead letter that a person can send again.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::json;
use tests::alerts;
use tests::fakes::{Fault, Gate, Slack};
use tests::server::{Server, Setup};

const POST: &str = "chat.postMessage";

/// A server whose retries come at once: what is tested is what happens, not how long it waits.
async fn server(slack: &Slack) -> Server {
    setup(slack).start().await
}

fn setup(slack: &Slack) -> Setup {
    Setup::new().slack(slack).module("slack-notify").config(
        r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
dead_letter: { handlers: [] }
handlers:
  slack-notify:
    allow: { slack: [alerts] }
    retry: { min_backoff: 1ms, max_backoff: 10ms, max_attempts: 4 }
"##,
    )
}

#[tokio::test]
async fn slack_out_of_order_uses_up_no_attempt_and_the_message_comes() {
    let slack = Slack::start().await;
    for fault in [
        Fault::status(500),
        Fault::status(503),
        Fault::slack_error("internal_error"),
        Fault::slack_error("ratelimited"),
        Fault::status(502),
        Fault::slack_error("service_unavailable"),
    ] {
        slack.faults().next(POST, fault);
    }
    let server = server(&slack).await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    assert_eq!(slack.messages().len(), 1);
    let tries = story["story"].as_array().unwrap().len();
    assert_eq!(tries, 7, "six failures, then the message: {story:#}");
}

#[tokio::test]
async fn a_failure_that_will_not_pass_is_dead_and_can_be_sent_again() {
    let slack = Slack::start().await;
    slack.faults().next(POST, Fault::slack_error("no_text"));
    let server = server(&slack).await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "dead", "{story:#}");
    let reason = story["last_error"].as_str().unwrap();
    assert!(reason.contains("no_text"), "{reason}");
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(
        metrics.contains("alert_manager_dead_deliveries 1"),
        "{metrics}"
    );

    let (status, answer) = server
        .command(&format!("/api/v1/deliveries/{}/retry", ids[0]))
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["was"], "dead", "{answer}");
    let story = server
        .wait_for_story(&ids[0], |story| story["state"] == "done")
        .await;
    assert_eq!(story["state"], "done");
    assert_eq!(slack.messages().len(), 1);
    let (status, _) = server
        .command(&format!("/api/v1/deliveries/{}/retry", ids[0]))
        .await;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "only a dead one is sent again"
    );
}

#[tokio::test]
async fn every_dead_one_of_a_handler_is_sent_again() {
    let slack = Slack::start().await;
    slack
        .faults()
        .next_n(POST, 3, Fault::slack_error("no_text"));
    let server = server(&slack).await;
    let mut ids = Vec::new();
    for name in ["A", "B", "C"] {
        ids.extend(server.accept(&alerts::firing(name, &[])).await);
    }
    for id in &ids {
        assert_eq!(server.wait_settled(id).await["state"], "dead");
    }
    let (status, answer) = server
        .command("/api/v1/deliveries/retry?handler=slack-notify")
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["retried"].as_array().unwrap().len(), 3, "{answer}");
    for id in &ids {
        server
            .wait_for_story(id, |story| story["state"] == "done")
            .await;
    }
    assert_eq!(slack.messages().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_of_many_says_how_many_were_sent_and_why_others_were_left() {
    let slack = Slack::start().await;
    slack
        .faults()
        .next_n(POST, 3, Fault::slack_error("no_text"));
    let server = server(&slack).await;
    for name in ["A", "B", "C"] {
        let ids = server.accept(&alerts::firing(name, &[])).await;
        assert_eq!(server.wait_settled(&ids[0]).await["state"], "dead");
    }
    let resolved = server.accept(&alerts::resolved("A", &[])).await;
    server.wait_settled(&resolved[0]).await;
    let ask = |json: &'static str| {
        let (url, dir) = (server.url.clone(), Arc::clone(&server.dir));
        tokio::task::spawn_blocking(move || {
            let mut args = vec!["retry", "--handler", "slack-notify", "--url", &url];
            args.extend(Some(json).filter(|json| !json.is_empty()));
            tests::process::run(dir.path(), &args)
        })
    };
    let sent = ask("").await.unwrap();
    assert_eq!((sent.code, &*sent.stdout), (Some(0), "2 sent again\n"));
    let left = "1 left dead: a later event of this alert has already run";
    assert!(sent.stderr.starts_with(left), "{}", sent.stderr);
    let again = ask("--json").await.unwrap();
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["retried"], json!([]), "{again:#}");
    assert_eq!(again["left_counts"][0]["count"], 1, "{again:#}");
    assert_eq!(again["rest"], json!(null), "{again:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_whether_it_sent_one_again_or_let_it_run_now() {
    let server = Setup::new()
        .variable("SLACK_API_URL", "http://127.0.0.1:9/")
        .variable("SLACK_TOKEN", "xoxb-none")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] }, retry: { min_backoff: 1h, max_backoff: 1h } } }")
        .module("slack-notify")
        .start()
        .await;
    let id = server.accept(&alerts::firing("A", &[])).await.remove(0);
    let waits = |story: &serde_json::Value| story["state"] == "retrying";
    server.wait_for_story(&id, waits).await;
    let (dead, cancel) = ("sent again", format!("/api/v1/deliveries/{id}/cancel"));
    for said in ["runs now", dead] {
        if said == dead {
            server.command(&cancel).await;
            let is_dead = |story: &serde_json::Value| story["state"] == "dead";
            server.wait_for_story(&id, is_dead).await;
        }
        let (url, dir, id) = (server.url.clone(), Arc::clone(&server.dir), id.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let sent = tests::process::run(dir.path(), &["retry", &id, "--url", &url]);
            (sent.stdout, format!("{id} "))
        });
        let (stdout, id) = sent.await.unwrap();
        assert_eq!(stdout, format!("{id}{said}\n"));
    }
}

#[tokio::test]
async fn what_retention_removes_is_counted_by_why_and_what_it_was() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    let removed = |reason: &str, state: &str, count: u32| {
        format!(
            "alert_manager_retention_removed_total{{reason=\"{reason}\",state=\"{state}\"}} {count}\n"
        )
    };
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains(&removed("time", "dead", 0)), "{metrics}");
    let dir = server.stop().await;
    let server = setup(&slack)
        .config("retention: { size: 1KiB }")
        .start_in(dir)
        .await;
    let counted = async {
        let counted = removed("size", "done", 1);
        while !server.get_text("/metrics").await.1.contains(&counted) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(tests::server::PATIENCE, counted)
        .await
        .expect("it is removed, and counted");
}

#[tokio::test]
async fn a_resolved_never_overtakes_its_firing() {
    let slack = Slack::start().await;
    let gate = Gate::closed();
    slack.faults().next(POST, Fault::Hold(gate.clone()));
    let server = server(&slack).await;
    let firing = server.accept(&alerts::firing("A", &[])).await;
    slack.wait_for_calls(POST, 1).await;
    let resolved = server.accept(&alerts::resolved("A", &[])).await;
    // Another alert goes past both: only the line of this one is held.
    let other = server.accept(&alerts::firing("B", &[])).await;
    server.wait_settled(&other[0]).await;
    assert_eq!(server.story(&resolved[0]).await["state"], "queued");
    gate.open();
    let resolved = server.wait_settled(&resolved[0]).await;
    let firing = server.wait_settled(&firing[0]).await;
    assert_eq!(
        (&firing["state"], &resolved["state"]),
        (&json!("done"), &json!("done"))
    );
    // Read as moments: as texts, 05.1 comes after 05.098.
    let moment = |story: &serde_json::Value, key: &str| -> alert_manager::alert::Timestamp {
        story["story"][0][key].as_str().unwrap().parse().unwrap()
    };
    assert!(
        moment(&firing, "ended_at") <= moment(&resolved, "started_at"),
        "{firing:#} {resolved:#}"
    );
}

#[tokio::test]
async fn what_waits_survives_a_restart() {
    let slack = Slack::start().await;
    slack.faults().until_cleared(POST, Fault::status(503));
    let server = server(&slack).await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    server
        .wait_for_story(&ids[0], |story| story["state"] == "retrying")
        .await;
    let dir = server.stop().await;
    slack.faults().clear();
    let server = setup(&slack).start_in(Arc::clone(&dir)).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    assert_eq!(slack.messages().len(), 1);
    let (_, answer) = server.post(&alerts::firing("A", &[])).await;
    assert_eq!(
        answer["duplicates"], 1,
        "and so does the memory of the event"
    );
}

#[tokio::test]
async fn a_shutdown_finishes_what_runs() {
    let slack = Slack::start().await;
    let gate = Gate::closed();
    slack.faults().next(POST, Fault::Hold(gate.clone()));
    let server = server(&slack).await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    slack.wait_for_calls(POST, 1).await;
    let stopping = tokio::spawn(server.stop());
    gate.open();
    let dir = stopping.await.unwrap();
    let server = setup(&slack).start_in(dir).await;
    assert_eq!(server.story(&ids[0]).await["state"], "done");
    assert_eq!(slack.messages().len(), 1);
}

#[tokio::test]
async fn one_actors_failure_does_not_hold_back_the_next() {
    let slack = Slack::start().await;
    slack.faults().next(POST, Fault::slack_error("no_text"));
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .module("kube-pod-crash-looping")
        .config(
            r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
dead_letter: { handlers: [] }
routes:
  - handlers: [kube-pod-crash-looping, slack-notify]
handlers:
  slack-notify: { allow: { slack: [alerts] } }
  kube-pod-crash-looping: { allow: { slack: [alerts] } }
"##,
        )
        .start()
        .await;
    let ids = server.accept(&alerts::readme()).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(
        story["state"], "dead",
        "any dead actor makes it dead: {story:#}"
    );
    assert_eq!(slack.messages().len(), 1, "the other one posted");
    server
        .command(&format!("/api/v1/deliveries/{}/retry", ids[0]))
        .await;
    server
        .wait_for_story(&ids[0], |story| story["state"] == "done")
        .await;
    assert_eq!(
        slack.messages().len(),
        2,
        "and only the dead one ran again: {:?}",
        slack.messages()
    );
}

#[tokio::test]
async fn an_alert_that_no_route_matches_is_done_and_counted() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config(
            r##"
slack: { channels: { alerts: "#alerts" } }
routes:
  - matchers: ['alertname="Only"']
    handlers: [slack-notify]
handlers:
  slack-notify: { allow: { slack: [alerts] } }
"##,
        )
        .start()
        .await;
    let (_, answer) = server.post(&alerts::firing("Other", &[])).await;
    assert_eq!(answer["accepted"], 1);
    let story = server
        .wait_settled(answer["deliveries"][0]["id"].as_str().unwrap())
        .await;
    assert_eq!(
        (&story["state"], &story["last_error"], &story["handlers"]),
        (&json!("done"), &json!("unrouted"), &json!([]))
    );
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains("alert_manager_deliveries_unrouted_total 1"));
}

#[tokio::test]
async fn past_the_depth_of_the_queue_the_answer_is_503_and_nothing_is_lost() {
    let slack = Slack::start().await;
    slack.faults().until_cleared(POST, Fault::Hang);
    let server = setup(&slack)
        .config("webhook: { queue_depth_max: 8 }")
        .start()
        .await;
    let mut accepted = Vec::new();
    let mut refused = 0;
    for n in 0..12 {
        let (status, answer) = server
            .post(&alerts::firing("A", &[("n", &n.to_string())]))
            .await;
        match status {
            StatusCode::ACCEPTED => accepted.extend(tests::server::ids(&answer)),
            StatusCode::SERVICE_UNAVAILABLE => {
                refused += 1;
                let reason = answer["error"].as_str().unwrap();
                assert!(reason.contains("full"), "{reason}");
            }
            other => panic!("{other}: {answer}"),
        }
    }
    assert!(!accepted.is_empty(), "some fit");
    let mut waiting = Vec::new();
    for id in &accepted {
        let story = server.story(id).await;
        if story["state"] == "dead" {
            // One handler has at most half of the queue; the rest of its own is kept dead.
            assert!(story["last_error"].as_str().unwrap().contains("backlog"));
        } else {
            waiting.push(id.clone());
        }
    }
    assert!(refused > 0 || waiting.len() < accepted.len());
    slack.faults().clear();
    for id in &waiting {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
    let (status, answer) = server.post(&alerts::firing("B", &[])).await;
    assert_eq!(status, StatusCode::ACCEPTED, "service is back: {answer}");
}

#[tokio::test]
async fn an_effect_before_a_failure_is_not_repeated_by_the_next_try() {
    let slack = Slack::start().await;
    let sink = tests::fakes::Sink::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("probe")
        .config(&format!(
            r##"
slack: {{ channels: {{ alerts: "#alerts" }} }}
handlers:
  probe:
    allow: {{ http: ["{}"] }}
    retry: {{ min_backoff: 1ms, max_backoff: 1ms }}
"##,
            sink.url()
        ))
        .start()
        .await;
    let mut alert = alerts::firing("Probe", &[]);
    // `enrich` and `act` both run it, and each fails at its first try, after its effects.
    alert["annotations"]["script"] = json!(format!(
        "post {}/hook hello\nincrement count 1\nfail-once later",
        sink.url()
    ));
    let ids = server.accept(&alert).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    assert_eq!(sink.received().len(), 2, "one for each step: {story:#}");
    let act = story["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(act["attempts"], 2, "{act:#}");
    assert_eq!(
        act["facts"]["1"], "Ok(2)",
        "each step counted once: {act:#}"
    );
}
