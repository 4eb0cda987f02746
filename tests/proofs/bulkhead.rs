//! A handler that hangs with thousands of alerts waiting for it takes nothing from another.

use serde_json::json;
use tests::alerts;
use tests::fakes::faults::ANY;
use tests::fakes::{Fault, Sink, Slack};
use tests::server::Setup;

const SLOTS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_holds_up_nobody_else() {
    let long = std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some();
    let backlog = if long { 40_000 } else { 2_000 };
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    sink.faults().until_cleared(ANY, Fault::Hang);
    let url = sink.url();
    let server = Setup::new()
        .slack(&slack)
        .module("guest-effects")
        .module("slack-notify")
        .config(&format!(
            r##"
slack: {{ channels: {{ alerts: "#alerts" }}, rate: {{ per_second: 0 }} }}
handlers:
  effects:
    allow: {{ http: ["{url}"], slack: [alerts] }}
    limits: {{ concurrency: {SLOTS}, wall: 10m }}
    config: {{ sink: "{url}/effect" }}
  slack-notify:
    allow: {{ slack: [alerts] }}
"##
        ))
        .start()
        .await;
    for group in 0..backlog / 100 {
        let alerts: Vec<_> = (0..100)
            .map(|n| alerts::firing("Effects", &[("n", &(100 * group + n).to_string())]))
            .collect();
        let (_, answer) = server.post(&json!(alerts)).await;
        assert_eq!(answer["accepted"], 100, "{answer}");
    }
    sink.wait_for_count(SLOTS).await;

    for n in 0..50 {
        let ids = server
            .accept(&alerts::firing("Other", &[("n", &n.to_string())]))
            .await;
        assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    }
    // All of that happened while every slot of the other handler hung, and none of its alerts ended.
    assert_eq!(sink.received().len(), SLOTS);
    let (_, metrics) = server.get_text("/metrics").await;
    let depth = format!("alert_manager_queue_depth {backlog}");
    assert!(metrics.contains(&depth), "{metrics}");
    assert_eq!(slack.messages().len(), SLOTS + 50);
    println!(
        "bulkhead: {backlog} wait for a handler that hangs; 50 of another's were done meanwhile"
    );
}
