//! Alerts that are expected and stop coming, the server's own pings, and its dead letters.

use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Sink, Slack};
use tests::server::{PATIENCE, Server, Setup};

use super::server;

const SLACK: &str = r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
routes: [{ handlers: [slack-notify] }]
handlers:
  slack-notify:
    allow: { slack: [alerts] }
    retry: { min_backoff: 1ms, max_backoff: 10ms, max_attempts: 2 }
"##;

/// Waits until a delivery in the list is as wanted.
async fn wait_for_delivery(server: &Server, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut commits = server.shared.commits();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            commits.mark_unchanged();
            let (_, list) = server.get("/api/v1/deliveries?limit=1000").await;
            let found = list["deliveries"]
                .as_array()
                .unwrap()
                .iter()
                .find(|d| wanted(d));
            if let Some(found) = found {
                return found.clone();
            }
            commits.changed().await.unwrap();
        }
    });
    waited.await.expect("it comes in time")
}

#[tokio::test]
async fn a_heartbeat_that_stops_is_reported_and_so_is_its_return() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config(SLACK)
        .config(
            r#"heartbeats: { prometheus: { matchers: ['alertname="Watchdog"'], every: 50ms } }"#,
        )
        .start()
        .await;
    let beat = server.accept(&alerts::firing("Watchdog", &[])).await;
    let missing = async |after: &str, status: &str| {
        wait_for_delivery(&server, |delivery| {
            // Ids are in the order of acceptance.
            delivery["id"].as_str().unwrap() > after
                && delivery["alertname"] == "AlertManagerHeartbeatMissing"
                && delivery["status"] == status
                && delivery["state"] == "done"
        })
        .await
    };
    let told = missing(&beat[0], "firing").await;
    let gauge = |missing: u8| {
        format!("alert_manager_heartbeat_missing{{heartbeat=\"prometheus\"}} {missing}\n")
    };
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains(&gauge(1)), "{metrics}");
    // The same Watchdog again is a duplicate, and beats all the same.
    let (_, answer) = server.post(&alerts::firing("Watchdog", &[])).await;
    assert_eq!(answer["duplicates"], 1, "{answer}");
    let ended = missing(told["id"].as_str().unwrap(), "resolved").await;
    assert_eq!(ended["handlers"], json!(["slack-notify"]));
    let message = slack
        .wait_for(|message| message.contains("AlertManagerHeartbeatMissing"))
        .await;
    assert!(message.contains("prometheus"), "{}", message.shown());
}

#[tokio::test]
async fn a_heartbeat_that_returns_after_a_restart_resolves_the_earlier_alert() {
    let slack = Slack::start().await;
    let setup = |every: &str| {
        let heartbeat =
            format!("prometheus: {{ matchers: ['alertname=\"Watchdog\"'], every: {every} }}");
        Setup::new()
            .slack(&slack)
            .module("slack-notify")
            .config(SLACK)
            .config(&format!("heartbeats: {{ {heartbeat} }}"))
    };
    let is_about = |delivery: &Value, status: &str| {
        delivery["alertname"] == "AlertManagerHeartbeatMissing"
            && delivery["status"] == status
            && delivery["state"] == "done"
    };
    let server = setup("50ms").start().await;
    let told = wait_for_delivery(&server, |delivery| is_about(delivery, "firing")).await;
    let dir = server.stop().await;
    // With this setting nothing is overdue, so only the earlier alert can resolve.
    let server = setup("1h").start_in(dir).await;
    let gauge = "alert_manager_heartbeat_missing{heartbeat=\"prometheus\"} 1";
    let taken_up = async {
        while !server.get_text("/metrics").await.1.contains(gauge) {
            tokio::task::yield_now().await;
        }
    };
    let taken_up = tokio::time::timeout(PATIENCE, taken_up).await;
    taken_up.expect("it knows what was missing before");
    server.accept(&alerts::firing("Watchdog", &[])).await;
    let ended = wait_for_delivery(&server, |delivery| is_about(delivery, "resolved")).await;
    let start = async |delivery: &Value| {
        let story = server.story(delivery["id"].as_str().unwrap()).await;
        story["alert"]["starts_at"].clone()
    };
    assert_eq!(
        start(&told).await,
        start(&ended).await,
        "it is the same alert"
    );
}

#[tokio::test]
async fn a_dead_mans_switch_is_pinged_again_and_again() {
    let sink = Sink::start().await;
    let pings = format!(
        "heartbeats: {{ self: {{ ping_url: {}/ping, every: 20ms }} }}",
        sink.url()
    );
    let _server = server(&pings).await;
    let pings = sink.wait_for_count(3).await;
    assert!(pings.iter().all(|ping| ping.method == "GET"), "{pings:?}");
}

#[tokio::test]
async fn a_dead_letter_is_reported_once_and_a_dead_notice_is_not_reported() {
    let slack = Slack::start().await;
    let refused = || Fault::slack_error("no_text");
    slack.faults().next("chat.postMessage", refused());
    let setup = || {
        Setup::new()
            .slack(&slack)
            .module("slack-notify")
            .config(SLACK)
            .config("dead_letter: { handlers: [slack-notify] }")
    };
    let server = setup().start().await;
    let first = server.accept(&alerts::firing("First", &[])).await;
    let told = slack.wait_for(|message| message.contains(&first[0])).await;
    assert!(told.contains("no_text"), "{}", told.shown());

    // The store remembers across a restart that it was reported.
    let dir = server.stop().await;
    let server = setup().start_in(dir).await;
    slack.faults().next("chat.postMessage", refused());
    slack.faults().next("chat.postMessage", refused());
    let second = server.accept(&alerts::firing("Second", &[])).await;
    let untold = wait_for_delivery(&server, |delivery| {
        // Ids are in the order of acceptance.
        let is_later = delivery["id"].as_str().unwrap() > second[0].as_str();
        is_later && delivery["route"] == "dead-letter" && delivery["state"] == "dead"
    })
    .await;
    assert_eq!(untold["alertname"], "AlertManagerDeadLetter");
    let third = server.accept(&alerts::firing("Third", &[])).await;
    server.wait_settled(&third[0]).await;
    let (_, list) = server.get("/api/v1/deliveries").await;
    let all = list["deliveries"].as_array().unwrap();
    assert_eq!(all.len(), 5, "three alerts, two dead letters: {list:#}");
    let about = |id: &str| {
        let count = slack.messages().iter().filter(|m| m.contains(id)).count();
        assert!(count <= 1, "{count} messages about {id}");
        count
    };
    assert_eq!((about(&first[0]), about(&second[0])), (1, 0));
}
