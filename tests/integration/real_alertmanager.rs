//! What a real Prometheus and a real Alertmanager post: a rule that fires and resolves, and an alert that comes back.

use std::time::Duration;

use alert_manager::alert::{Fingerprint, Labels, Timestamp};
use serde_json::{Value, json};
use tests::alertmanager::{self, Alertmanager};
use tests::fakes::{Message, Slack};
use tests::prometheus::{Found, Stack, find};
use tests::server::{Server, Setup};

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

/// How often Prometheus posts an alert that goes on firing, and for how long Alertmanager believes each post:
/// Prometheus sets `endsAt` to four of its intervals (rules/manager.go, `sendAlerts`).
const REFRESH: Duration = Duration::from_secs(1);
const BELIEVED: Duration = Duration::from_secs(4);

/// Posts the alert to Alertmanager, again and again, until Slack has a message that is in none of `known`'s places.
/// Then nobody refreshes it any more: Prometheus is cut off.
async fn fires_until_posted(
    alertmanager: &Alertmanager,
    slack: &Slack,
    starts_at: Timestamp,
    known: &[&Message],
) -> Message {
    let is_new = |message: &Message| {
        message.thread_ts.is_none() && known.iter().all(|known| known.ts != message.ts)
    };
    let mut posted = std::pin::pin!(slack.wait_for(is_new));
    let mut refresh = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            message = &mut posted => return message,
            _ = refresh.tick() => {
                let alert = json!([{
                    "labels": { "alertname": "DiskWillFill", "namespace": "customer", "severity": "warning" },
                    "annotations": { "summary": "The disk will be full in four hours." },
                    "startsAt": starts_at,
                    "endsAt": Timestamp::now() + BELIEVED,
                }]);
                alertmanager.post(&alert).await.unwrap();
            }
        }
    }
}

/// Returns the stories of all deliveries, in the order of their acceptance, each settled.
async fn stories(server: &Server) -> Vec<Value> {
    let (_, list) = server.get("/api/v1/deliveries").await;
    let mut stories = Vec::new();
    for delivery in list["deliveries"].as_array().unwrap().iter().rev() {
        stories.push(server.wait_settled(delivery["id"].as_str().unwrap()).await);
    }
    stories
}

#[tokio::test]
async fn an_alert_that_comes_back_after_prometheus_was_cut_off_is_its_next_occurrence() {
    let binary = match alertmanager::find() {
        alertmanager::Found::Installed(binary) => binary,
        alertmanager::Found::Missing(what) => {
            tests::skipped(&what);
            return;
        }
    };
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .start()
        .await;
    let webhook = format!("{}/webhook", server.url);
    let alertmanager = Alertmanager::start(&binary, &webhook).unwrap();
    alertmanager.until_ready().await.unwrap();

    // Alertmanager's API keeps milliseconds.
    let now_ms = Timestamp::now().as_millisecond();
    let starts_at = Timestamp::from_millisecond(now_ms).unwrap();
    let first = fires_until_posted(&alertmanager, &slack, starts_at, &[]).await;
    let first = resolved(&slack, &first).await;
    // Prometheus is back, and the rule has been true all the while.
    let second = fires_until_posted(&alertmanager, &slack, starts_at, &[&first]).await;
    assert!(second.contains("FIRING"), "{}", second.shown());
    let second = resolved(&slack, &second).await;

    let stories = stories(&server).await;
    let occurrence = |story: &Value| {
        assert_eq!(story["state"], "done", "{story:#}");
        let origin = &story["alert"]["origin"];
        let starts_at: Timestamp = story["alert"]["starts_at"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        (
            story["status"].as_str().unwrap().to_owned(),
            starts_at,
            origin["extra"]["alert_manager.occurrence"]
                .as_str()
                .map(str::to_owned),
        )
    };
    let told: Vec<_> = stories.iter().map(occurrence).collect();
    let expected = [
        ("firing", None),
        ("resolved", None),
        ("firing", Some("2")),
        ("resolved", Some("2")),
    ]
    .map(|(status, occurrence)| (status.to_owned(), starts_at, occurrence.map(str::to_owned)));
    assert_eq!(told, expected, "{}", alertmanager.log());
    // Each occurrence has its own message, whose end was said in its own thread.
    for message in [&first, &second] {
        assert_eq!(message.before_updates.len(), 1, "{}", message.shown());
        assert_eq!(slack.thread(&message.ts).len(), 1, "{}", message.shown());
    }
    assert_eq!(slack.messages().len(), 4);
}

/// Waits until a message says that its alert has resolved.
async fn resolved(slack: &Slack, message: &Message) -> Message {
    slack
        .wait_for(|now| now.ts == message.ts && now.contains("RESOLVED"))
        .await
}
