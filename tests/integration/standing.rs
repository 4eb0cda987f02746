//! What the server reports about its state: the attempts of a delivery, paused handlers, handlers that serve an old version,
//! and the delivery that a duplicate belongs to.

use std::fs;

use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Slack};
use tests::process::{command, finished};
use tests::server::{Server, Setup};

const POST: &str = "chat.postMessage";

const CONFIG: &str = r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
routes:
  - matchers: ['alertname="Waits"']
    handlers: [absent, slack-notify]
  - handlers: [slack-notify]
handlers:
  absent: { retry: { min_backoff: 1ms, max_backoff: 1ms } }
  slack-notify:
    allow: { slack: [alerts] }
    retry: { min_backoff: 1ms, max_backoff: 1ms }
"##;

async fn server(slack: &Slack) -> Server {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .config(CONFIG)
        .start()
        .await
}

fn step<'a>(story: &'a Value, handler: &str) -> &'a Value {
    let mut steps = story["steps"].as_array().unwrap().iter();
    let found = steps.find(|step| step["handler"] == handler && step["kind"] == "act");
    found.unwrap()
}

/// Asks with the command line, and returns what it prints.
async fn told(server: &Server, args: &[&str]) -> String {
    let mut command = command(server.dir.path(), args);
    command.env("ALERT_MANAGER_URL", &server.url);
    let output = tokio::task::spawn_blocking(move || command.output());
    finished(output.await.unwrap().unwrap()).stdout
}

#[tokio::test]
async fn attempts_are_what_the_story_tells_and_tries_are_counted_apart() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    // Nothing of these three uses up a try: Slack does not answer.
    slack.faults().next_n(POST, 3, Fault::status(503));
    let ids = server.accept(&alerts::firing("Late", &[])).await;
    server.wait_settled(&ids[0]).await;
    let story = server.delivery(&ids[0]).await;
    assert_eq!(story.story.len(), 4, "{story:#?}");
    assert_eq!(story.delivery.attempts, 4, "{story:#?}");
    let act = story.steps.last().unwrap();
    assert_eq!(act.handler.as_str(), "slack-notify");
    assert_eq!((act.attempts_used, act.tries_left), (1, 0));
    let (_, listed) = server.get("/api/v1/deliveries").await;
    assert_eq!(listed["deliveries"][0]["attempts"], 4);
    let explained = told(&server, &["explain", &ids[0]]).await;
    assert!(explained.contains("attempts     4"), "{explained}");
}

#[tokio::test]
async fn a_wait_that_ran_nothing_is_no_attempt() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let ids = server.accept(&alerts::firing("Waits", &[])).await;
    let has_waited = |story: &Value| {
        step(story, "absent")["unavailable"].as_u64() >= Some(3)
            && step(story, "slack-notify")["status"] == "done"
    };
    let story = server.wait_for_story(&ids[0], has_waited).await;
    assert_eq!(story["story"].as_array().unwrap().len(), 1, "{story:#}");
    assert_eq!(story["attempts"], 1, "{story:#}");
    let reason = story["last_error"].to_string();
    assert!(reason.contains("absent is not loaded"), "{reason}");
    assert_eq!(step(&story, "absent")["tries_left"], 10, "{story:#}");
}

#[tokio::test]
async fn a_handler_that_traps_again_and_again_is_listed_as_paused() {
    let server = Setup::new()
        .module("probe")
        .config("slack: { preview: true }\ndead_letter: { handlers: [] }\nroutes: [{ handlers: [probe] }]")
        .config("handlers: { probe: { config: { script: panic boom }, retry: { min_backoff: 1ms, max_backoff: 1ms } } }")
        .start()
        .await;
    let handler = server.wait_for_handler(|h| h["serving"] == true).await;
    assert_eq!(handler["paused"], Value::Null);
    // Two tries each: the fifth failure in a row is in the third delivery.
    for n in ["1", "2"] {
        let ids = server.accept(&alerts::firing("Traps", &[("n", n)])).await;
        server.wait_settled(&ids[0]).await;
    }
    let ids = server.accept(&alerts::firing("Traps", &[("n", "3")])).await;
    let waits = |story: &Value| story["last_error"].to_string().contains("paused");
    server.wait_for_story(&ids[0], waits).await;
    let handler = server.wait_for_handler(|_| true).await;
    let paused = &handler["paused"];
    assert!(
        paused["reason"].to_string().contains("in a row"),
        "{paused}"
    );
    let until = paused["until"].as_str().unwrap();
    assert!(
        until.parse::<alert_manager::alert::Timestamp>().is_ok(),
        "{until}"
    );
    let listed = told(&server, &["handlers"]).await;
    let row = listed.lines().find(|line| line.contains("probe"));
    assert!(row.unwrap().contains(" paused "), "{listed}");
    let (_, metrics) = server.get_text("/metrics").await;
    let line = r#"alert_manager_handler_breaker_open{handler="probe"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_paused_handler_is_tried_again_and_what_waits_goes_on_once_it_runs() {
    const TRAPS: &str = "script: panic boom";
    let server = Setup::new()
        .module("probe")
        .config("slack: { preview: true }\ndead_letter: { handlers: [] }\nroutes: [{ handlers: [probe] }]")
        .config("handlers: { probe: { config: { script: panic boom }, retry: { min_backoff: 1ms, max_backoff: 1ms } } }")
        .start()
        .await;
    let accept = async |n: usize| {
        let alert = alerts::firing("Traps", &[("n", &n.to_string())]);
        server.accept(&alert).await.remove(0)
    };
    for n in 0..2 {
        server.wait_settled(&accept(n).await).await;
    }
    let mut waiting = Vec::new();
    for n in 2..12 {
        let id = accept(n).await;
        let waits = |story: &Value| step(story, "probe")["waits_for"] == "handler probe";
        server.wait_for_story(&id, waits).await;
        waiting.push(id);
    }
    let file = server.dir.path().join("alert-manager.yml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replace(TRAPS, "script: \"\"")).unwrap();
    assert_eq!(server.command("/-/reload").await.0, reqwest::StatusCode::OK);
    // One delivery probes after the pause, and the others follow.
    for id in &waiting {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
    let handler = server.wait_for_handler(|h| h["name"] == "probe").await;
    assert_eq!(handler["paused"], Value::Null, "{handler:#}");
}

#[tokio::test]
async fn a_handler_whose_newer_file_is_refused_is_listed_as_serving_the_old_one() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let handler = server.wait_for_handler(|h| h["serving"] == true).await;
    let old = handler["sha256"].clone();
    let file = server.handlers_dir().join("slack-notify.wasm");
    let next = server.dir.path().join("next");
    fs::write(&next, "no module").unwrap();
    fs::rename(next, file).unwrap();
    let handler = server.wait_for_handler(|h| h["state"] == "refused").await;
    assert_eq!(handler["serving"], true, "{handler:#}");
    assert_eq!(handler["sha256"], old, "of what serves");
    let listed = told(&server, &["handlers"]).await;
    assert!(listed.contains("serving the old version"), "{listed}");
    assert!(
        listed.contains("the previous version keeps serving"),
        "{listed}"
    );
    let (_, metrics) = server.get_text("/metrics").await;
    let line = r#"alert_manager_handler_serving_old{handler="slack-notify"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_duplicate_names_the_delivery_that_it_belongs_to() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let alert = alerts::firing("Twice", &[]);
    let (_, first) = server.post(&alert).await;
    assert_eq!(first["duplicate_of"], Value::Null, "{first}");
    let (_, again) = server
        .post(&json!([alert, alerts::firing("New", &[])]))
        .await;
    assert_eq!(
        (&again["accepted"], &again["duplicates"]),
        (&json!(1), &json!(1))
    );
    let (original, taken) = (&first["deliveries"][0], &again["deliveries"]);
    assert_eq!(taken.as_array().unwrap().len(), 1, "only what was accepted");
    let expected = json!([{
        "id": original["id"],
        "fingerprint": original["fingerprint"],
        "alertname": "Twice",
    }]);
    assert_eq!(again["duplicate_of"], expected);

    let file = server.dir.path().join("alert.json");
    fs::write(&file, alert.to_string()).unwrap();
    let sent = told(&server, &["send", "--alert", "alert.json"]).await;
    let id = original["id"].as_str().unwrap();
    assert!(
        sent.contains(&format!("already accepted as {id}")),
        "{sent}"
    );
    assert!(sent.contains("Twice firing: done"), "its story: {sent}");
}
