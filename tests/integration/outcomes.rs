//! Deliveries whose handlers trap, are missing or are paused; the order of deliveries; dead letters.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Gate, Slack};
use tests::server::{Server, Setup};

const POST: &str = "chat.postMessage";

const CONFIG: &str = r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
routes:
  - matchers: ['alertname="Hostile"']
    handlers: [hostile, slack-notify]
  - matchers: ['alertname="Missing"']
    handlers: [absent, slack-notify]
  - matchers: ['alertname="Raised"']
    priority: critical
    handlers: [slack-notify]
  - matchers: ['alertname="Lowered"']
    priority: normal
    handlers: [slack-notify]
  - handlers: [slack-notify]
handlers:
  slack-notify:
    allow: { slack: [alerts] }
    limits: { concurrency: 1 }
    retry: { min_backoff: 1ms, max_backoff: 10ms }
  hostile:
    retry: { min_backoff: 1ms, max_backoff: 10ms }
"##;

async fn server(slack: &Slack) -> Server {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .module("hostile")
        .config(CONFIG)
        .start()
        .await
}

fn step<'a>(story: &'a Value, handler: &str, kind: &str) -> &'a Value {
    let steps = story["steps"].as_array().unwrap();
    let found = |step: &&Value| step["handler"] == handler && step["kind"] == kind;
    steps.iter().find(found).unwrap()
}

async fn metric(server: &Server, line: &str) {
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
}

/// Waits for the message about an alert, and returns all that it shows.
async fn message(slack: &Slack, part: &str) -> String {
    slack.wait_for(|m| m.contains(part)).await.shown()
}

#[tokio::test]
async fn a_trap_has_two_tries_becomes_a_fact_and_again_and_again_opens_the_breaker() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    for mode in ["panic", "exit"] {
        let ids = server
            .accept(&alerts::firing(
                "Hostile",
                &[("mode", mode), ("step", "both")],
            ))
            .await;
        let story = server.wait_settled(&ids[0]).await;
        assert_eq!(story["state"], "dead", "one actor died: {story:#}");
        for kind in ["enrich", "act"] {
            let step = step(&story, "hostile", kind);
            assert_eq!(
                (&step["attempts"], &step["status"]),
                (&json!(2), &json!("failed"))
            );
        }
        assert_eq!(step(&story, "slack-notify", "act")["status"], "done");
        let shown = message(&slack, mode).await;
        assert!(shown.contains("not enriched by hostile"), "{shown}");
    }
    // The fifth failure in a row of each hook: from here on the handler is paused.
    let mut last = Vec::new();
    for mode in ["memory", "recursion"] {
        last = server
            .accept(&alerts::firing(
                "Hostile",
                &[("mode", mode), ("step", "both")],
            ))
            .await;
        let shown = message(&slack, mode).await;
        assert!(shown.contains("not enriched by hostile"), "{shown}");
        let waits = |story: &Value| {
            let act = step(story, "hostile", "act");
            act["status"] == "pending" && act["last_error"].to_string().contains("paused")
        };
        let story = server.wait_for_story(&last[0], waits).await;
        assert_eq!(
            story["state"], "retrying",
            "it waits, and is not dead: {story:#}"
        );
    }
    let story = server.story(&last[0]).await;
    assert_eq!(
        step(&story, "hostile", "act")["attempts"],
        0,
        "it was not tried: {story:#}"
    );
    metric(
        &server,
        r#"alert_manager_handler_breaker_open{handler="hostile"} 1"#,
    )
    .await;
    metric(
        &server,
        r#"alert_manager_handler_breaker_open{handler="slack-notify"} 0"#,
    )
    .await;
    let mut handlers = server.handlers().await.into_iter();
    let hostile = handlers.find(|h| h.file == "hostile.wasm").unwrap();
    let last_error = hostile.last_error.unwrap();
    assert!(last_error.contains("is paused"), "{last_error}");
}

#[tokio::test]
async fn a_missing_module_becomes_a_fact_and_its_own_actor_waits_without_an_attempt() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let ids = server.accept(&alerts::firing("Missing", &[])).await;
    let shown = message(&slack, "Missing").await;
    assert!(shown.contains("not enriched by absent"), "{shown}");
    let waits = |story: &Value| {
        story["state"] == "retrying" && step(story, "slack-notify", "act")["status"] == "done"
    };
    let story = server.wait_for_story(&ids[0], waits).await;
    assert_eq!(step(&story, "absent", "act")["attempts"], 0, "{story:#}");
    let (status, _) = server
        .command(&format!("/api/v1/deliveries/{}/cancel", ids[0]))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        slack.messages().len(),
        1,
        "retries of one actor do not repeat the other"
    );
}

#[tokio::test]
async fn one_that_a_later_event_has_passed_is_sent_again_only_by_force() {
    let slack = Slack::start().await;
    slack.faults().next(POST, Fault::slack_error("no_text"));
    let server = server(&slack).await;
    let firing = server.accept(&alerts::firing("A", &[])).await;
    assert_eq!(server.wait_settled(&firing[0]).await["state"], "dead");
    let resolved = server.accept(&alerts::resolved("A", &[])).await;
    assert_eq!(server.wait_settled(&resolved[0]).await["state"], "done");
    let path = format!("/api/v1/deliveries/{}/retry", firing[0]);
    let (status, answer) = server.command(&path).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(server.story(&firing[0]).await["state"], "dead");
    let (status, answer) = server.command(&format!("{path}?force=true")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let done = |story: &Value| story["state"] == "done";
    server.wait_for_story(&firing[0], done).await;
}

#[tokio::test]
async fn what_is_given_up_while_it_runs_frees_its_line_and_stays_given_up() {
    let slack = Slack::start().await;
    let gate = Gate::closed();
    slack.faults().next(POST, Fault::Hold(gate.clone()));
    let server = server(&slack).await;
    let firing = server.accept(&alerts::firing("A", &[])).await;
    slack.wait_for_calls(POST, 1).await;
    let path = format!("/api/v1/deliveries/{}/cancel", firing[0]);
    let (status, answer) = server.command(&path).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(server.story(&firing[0]).await["state"], "dead");
    let (status, _) = server.command(&path).await;
    assert_eq!(status, StatusCode::CONFLICT, "only once");
    let (_, answer) = server.post(&alerts::firing("A", &[])).await;
    assert_eq!(answer["accepted"], 0, "no re-send brings it back: {answer}");
    let resolved = server.accept(&alerts::resolved("A", &[])).await;
    gate.open();
    assert_eq!(server.wait_settled(&resolved[0]).await["state"], "done");
    assert_eq!(server.story(&firing[0]).await["state"], "dead");
    metric(&server, "alert_manager_queue_depth 0").await;
}

#[tokio::test]
async fn the_urgent_go_first_and_a_route_may_say_what_is_urgent() {
    let slack = Slack::start().await;
    let gate = Gate::closed();
    slack.faults().next(POST, Fault::Hold(gate.clone()));
    let server = server(&slack).await;
    // It has the only permit while the others arrive.
    server.accept(&alerts::firing("Busy", &[])).await;
    slack.wait_for_calls(POST, 1).await;
    let mut last = Vec::new();
    for (alertname, severity) in [
        ("Lowered", "critical"),
        ("Info", "info"),
        ("Warned", "WARNING"),
        ("Critical", "Critical"),
        ("Raised", "info"),
    ] {
        last = server
            .accept(&alerts::firing(alertname, &[("severity", severity)]))
            .await;
    }
    gate.open();
    slack.wait_for_count(6).await;
    server.wait_settled(&last[0]).await;
    let order: Vec<_> = slack
        .messages()
        .iter()
        .map(|m| {
            let names = ["Busy", "Critical", "Raised", "Warned", "Lowered", "Info"];
            let header = m.header().unwrap_or(&m.text).to_owned();
            names.into_iter().find(|name| header.contains(name))
        })
        .collect();
    let expected = ["Busy", "Critical", "Raised", "Warned", "Lowered", "Info"];
    assert_eq!(order, expected.map(Some));
}
