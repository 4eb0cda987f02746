//! A handler that hangs, with thousands of alerts waiting for it, does not delay another handler.

use serde_json::json;
use tests::alerts;
use tests::fakes::faults::ANY;
use tests::fakes::{Fault, Sink, Slack};
use tests::server::{Server, Setup};

/// For alerts that are not critical: one more is kept for those that are.
const SLOTS: usize = 2;

/// Alerts of the other handler, each sent after the one before it is done.
const OTHERS: usize = 50;

fn backlog() -> usize {
    if std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some() {
        100_000
    } else {
        2_000
    }
}

/// Starts a server with a handler whose calls of the sink hang for its wall time, with its backlog waiting, and another.
async fn start(wall: &str) -> (Server, Slack, Sink) {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    sink.faults().until_cleared(ANY, Fault::Hang);
    let url = sink.url();
    // One handler may fill half of the queue.
    let server = Setup::new()
        .slack(&slack)
        .module("guest-effects")
        .module("slack-notify")
        .config(&format!(
            r##"
webhook: {{ queue_depth_max: 250000 }}
slack: {{ channels: {{ alerts: "#alerts" }}, rate: {{ per_second: 0 }} }}
handlers:
  effects:
    allow: {{ http: ["{url}"], slack: [alerts] }}
    limits: {{ concurrency: {}, wall: {wall} }}
    config: {{ sink: "{url}/effect" }}
  slack-notify:
    allow: {{ slack: [alerts] }}
"##,
            SLOTS + 1
        ))
        .start()
        .await;
    for group in 0..backlog() / 100 {
        let alerts: Vec<_> = (0..100)
            .map(|n| alerts::firing("Effects", &[("n", &(100 * group + n).to_string())]))
            .collect();
        let (_, answer) = server.post(&json!(alerts)).await;
        assert_eq!(answer["accepted"], 100, "{answer}");
    }
    (server, slack, sink)
}

/// Sends alerts for the other handler, and sees each done while all of the backlog is still there.
async fn others_are_served(server: &Server, slack: &Slack) {
    for n in 0..OTHERS {
        let alert = alerts::firing("Other", &[("n", &n.to_string())]);
        let ids = server.accept(&alert).await;
        assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    }
    let (_, metrics) = server.get_text("/metrics").await;
    let depth = format!("alert_manager_queue_depth {}", backlog());
    assert!(
        metrics.contains(&depth),
        "one that hangs has ended: {metrics}"
    );
    let others = |message: &&tests::fakes::Message| message.contains("Other");
    assert_eq!(slack.messages().iter().filter(others).count(), OTHERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_whose_slots_never_come_free_holds_up_nobody_else() {
    // Longer than any test waits, so none of its permits becomes free.
    let (server, slack, sink) = start("1h").await;
    sink.wait_for_count(SLOTS).await;
    others_are_served(&server, &slack).await;
    assert_eq!(sink.count(), SLOTS, "a call that hangs has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_again_and_again_holds_up_nobody_else() {
    let (server, slack, sink) = start("1s").await;
    let hung = sink.wait_for_count(2 * SLOTS).await.len();
    others_are_served(&server, &slack).await;
    println!(
        "bulkhead: {} wait for a handler that hangs ({hung} calls hung by then); {OTHERS} of another were done meanwhile",
        backlog()
    );
}
