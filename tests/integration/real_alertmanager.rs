//! A rule fires in a real Prometheus, a real Alertmanager posts it, and its resolve after it.

use alert_manager::alert::{Fingerprint, Labels};
use tests::fakes::Slack;
use tests::prometheus::{Found, Stack, find};
use tests::server::Setup;

const POD: &str = "customer-rs-transformer-9b75b488c-cpfd7";

#[tokio::test]
async fn a_rule_that_fires_in_prometheus_becomes_a_message_and_its_resolve_updates_it() {
    let binaries = match find() {
        Found::Both(binaries) => binaries,
        Found::Missing(what) => {
            tests::skipped(&what);
            return;
        }
    };
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("kube-pod-crash-looping")
        .module("slack-notify")
        .start()
        .await;
    let stack = Stack::start(&binaries, &format!("{}/webhook", server.url))
        .await
        .unwrap();
    stack.crash_looping(true);
    let fired = slack.wait_for(|m| m.contains(POD)).await;
    assert!(fired.text.contains("FIRING"), "{}", fired.text);
    stack.crash_looping(false);
    let resolved = slack
        .wait_for(|m| m.ts == fired.ts && !m.before_updates.is_empty())
        .await;
    assert!(resolved.contains("RESOLVED"), "{}", resolved.shown());
    let (_, list) = server
        .get("/api/v1/deliveries?alertname=KubePodCrashLooping")
        .await;
    for delivery in list["deliveries"].as_array().unwrap() {
        let story = server.wait_settled(delivery["id"].as_str().unwrap()).await;
        assert_eq!(story["state"], "done", "{story:#}\n{}", stack.logs());
        assert_eq!(story["alert"]["origin"]["sender"], "alertmanager");
        let labels: Labels = serde_json::from_value(story["alert"]["labels"].clone()).unwrap();
        assert_eq!(
            story["fingerprint"],
            Fingerprint::of(&labels).to_string(),
            "what Alertmanager sends is what is computed here"
        );
        assert!(
            story["alert"]["origin"]["group_key"].is_string(),
            "the group is kept: {story:#}"
        );
    }
}
