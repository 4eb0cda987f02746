//! A handler that hangs with thousands of alerts waiting for it takes nothing from another.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::alerts;
use tests::fakes::faults::ANY;
use tests::fakes::{Fault, Sink, Slack};
use tests::server::{Server, Setup};

const SLOTS: usize = 2;

/// Alerts of the other handler, one after the other, each time that its latency is taken.
const OTHERS: usize = 50;

/// Sends alerts for the other handler, each after the one before is done; returns how long the median took.
async fn median(server: &Server, when: &str) -> Duration {
    let mut took = Vec::new();
    for n in 0..OTHERS {
        let began = Instant::now();
        let alert = alerts::firing("Other", &[("n", &n.to_string()), ("when", when)]);
        let ids = server.accept(&alert).await;
        assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[OTHERS / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_holds_up_nobody_else() {
    let long = std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some();
    let backlog = if long { 100_000 } else { 2_000 };
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
    limits: {{ concurrency: {SLOTS}, wall: 1s }}
    config: {{ sink: "{url}/effect" }}
  slack-notify:
    allow: {{ slack: [alerts] }}
"##
        ))
        .start()
        .await;
    let before = median(&server, "before").await;
    for group in 0..backlog / 100 {
        let alerts: Vec<_> = (0..100)
            .map(|n| alerts::firing("Effects", &[("n", &(100 * group + n).to_string())]))
            .collect();
        let (_, answer) = server.post(&json!(alerts)).await;
        assert_eq!(answer["accepted"], 100, "{answer}");
    }
    // Each of its alerts hangs for the whole wall time, in every slot, again and again.
    let hung = sink.wait_for_count(2 * SLOTS).await.len();
    let during = median(&server, "during").await;
    let (_, metrics) = server.get_text("/metrics").await;
    let depth = format!("alert_manager_queue_depth {backlog}");
    assert!(
        metrics.contains(&depth),
        "none of its alerts ended: {metrics}"
    );
    let others = |message: &&tests::fakes::Message| message.contains("Other");
    assert_eq!(slack.messages().iter().filter(others).count(), 2 * OTHERS);
    println!(
        "bulkhead: {backlog} wait for a handler that hangs ({hung} calls hung by then); \
         another's median was {before:.1?} before and {during:.1?} meanwhile"
    );
    // What it measures is noise of the machine, of which there is much; a wait for a slot that hangs takes a second.
    assert!(
        during < 4 * before + Duration::from_millis(100),
        "another handler's latency went from {before:?} to {during:?}"
    );
}
