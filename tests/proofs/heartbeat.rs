//! The ping that says the server works stops while a critical delivery waits for more than five minutes.

use reqwest::{Client, StatusCode};
use serde_json::json;
use tests::alerts;
use tests::fakes::{Fault, Sink};

use crate::rig::Rig;

const POST: &str = "chat.postMessage";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ping_goes_out_while_a_critical_delivery_is_older_than_five_minutes() {
    let watch = Sink::start().await;
    let mut rig = Rig::new().await.with_clock().configured(&format!(
        "heartbeats: {{ self: {{ ping_url: {}/ping, every: 20ms }} }}",
        watch.url()
    ));
    let url = rig.start(None).expect("nothing kills it");
    watch.wait_for_count(2).await;
    rig.slack.faults().until_cleared(POST, Fault::status(503));
    let mut critical = alerts::firing("Effects", &[("severity", "Critical")]);
    critical["annotations"]["n"] = json!("0");
    let request = Client::new()
        .post(format!("{url}/webhook"))
        .body(critical.to_string());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
    rig.slack.wait_for_calls(POST, 1).await;
    // It is young, and younger than its bound after four minutes too.
    rig.set_clock(4 * 60);
    let pings = watch.received().len();
    watch.wait_for_count(pings + 2).await;
    rig.set_clock(6 * 60);
    rig.wait_for_line("pings stop");
    let pings = watch.received().len();
    rig.slack.faults().clear();
    // One may have been on its way; more than that come only now.
    watch.wait_for_count(pings + 3).await;
    rig.wait_until_settled().await;
    assert_eq!(rig.slack.messages().len(), 1);
}
