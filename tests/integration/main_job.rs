//! The README's alert comes out as a message about its pod.

use serde_json::json;
use tests::alerts;
use tests::fakes::{CrashLoop, Fault, Kubernetes, Slack};
use tests::server::Setup;

const POD: &str = "customer-rs-transformer-9b75b488c-cpfd7";

#[tokio::test]
async fn the_readme_alert_becomes_a_slack_message_about_its_pod() {
    let slack = Slack::start().await;
    let server = bundled(Setup::new().slack(&slack)).start().await;
    let ids = server.accept(&alerts::readme()).await;
    assert_eq!(ids.len(), 1, "one handler names it, one delivery");
    let message = slack.wait_for(|m| m.contains(POD)).await;
    assert_eq!(message.channel_name, "#alerts");
    assert!(message.text.contains("FIRING"), "{}", message.text);
    assert!(
        message.contains("not fetched"),
        "without a grant it says what is missing: {}",
        message.shown()
    );
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done");
    assert_eq!(story["handlers"], json!(["kube-pod-crash-looping"]));
}

#[tokio::test]
async fn without_a_token_and_a_configuration_the_message_is_shown_and_kept() {
    let server = bundled(Setup::new()).start().await;
    let ids = server.accept(&alerts::readme()).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let previews = server.previews();
    assert_eq!(previews.len(), 1, "{previews:?}");
    assert!(previews[0].contains(POD), "{}", previews[0]);
    let kept = story["story"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["calls"].as_array().cloned().unwrap_or_default())
        .find(|call| call["answered"] == "preview")
        .expect("the message is kept with its delivery");
    assert!(kept["preview"].to_string().contains(POD), "{kept}");
}

#[tokio::test]
async fn with_kubernetes_granted_it_says_why_the_pod_crashed() {
    let slack = Slack::start().await;
    let kubernetes = Kubernetes::start(CrashLoop::oom_killed(now()).cluster()).await;
    let server = bundled(with_kubernetes(&slack, &kubernetes)).start().await;
    let ids = server.accept(&alerts::readme()).await;
    let message = slack.wait_for(|m| m.contains(POD)).await;
    let story = server.wait_settled(&ids[0]).await;
    assert!(
        message.contains("out of memory"),
        "{}\n{story:#}",
        message.shown()
    );
    assert!(
        message.text.contains("OOMKilled"),
        "the phone shows the cause: {}",
        message.text
    );
}

#[tokio::test]
async fn the_message_names_its_delivery_and_links_to_no_json() {
    let slack = Slack::start().await;
    let config = r##"
external_url: https://alerts.example.com
slack: { channels: { alerts: "#alerts" } }
handlers:
  kube-pod-crash-looping: { allow: { slack: [alerts] } }
  slack-notify: { allow: { slack: [alerts] } }
"##;
    let setup = Setup::new().slack(&slack).config(config);
    let server = bundled(setup).start().await;
    for alert in [alerts::readme(), alerts::firing("Other", &[])] {
        let ids = server.accept(&alert).await;
        let message = slack.wait_for(|m| m.contains(&ids[0])).await;
        assert!(!message.contains("/api/v1/"), "{}", message.shown());
    }
}

#[tokio::test]
async fn a_kill_by_the_kubelet_is_reported() {
    let slack = Slack::start().await;
    let kubernetes = Kubernetes::start(CrashLoop::probe_failed(now()).cluster()).await;
    let server = bundled(with_kubernetes(&slack, &kubernetes)).start().await;
    server.accept(&alerts::readme()).await;
    let message = slack.wait_for(|m| m.contains(POD)).await;
    let shown = message.shown();
    assert!(shown.contains("*Killed by its liveness probe:*"), "{shown}");
    assert!(
        shown.contains("rollout undo deployment/customer-rs-transformer"),
        "{shown}"
    );
}

/// A firing alert's message is out; its resolved one meets what a test scripts.
async fn fired_and_resolving(slack: &Slack) -> (tests::server::Server, serde_json::Value, String) {
    let server = bundled(Setup::new().slack(slack)).start().await;
    let alert = alerts::firing("DiskFillsUp", &[("severity", "warning")]);
    let ids = server.accept(&alert).await;
    server.wait_settled(&ids[0]).await;
    let first = slack.wait_for(|m| m.contains("DiskFillsUp")).await;
    let mut resolved = alert;
    resolved["status"] = json!("resolved");
    resolved["endsAt"] = json!("2026-11-01T10:30:00Z");
    (server, resolved, first.ts)
}

#[tokio::test]
async fn an_update_whose_blocks_are_refused_shows_its_text_alone() {
    let slack = Slack::start().await;
    let (server, resolved, ts) = fired_and_resolving(&slack).await;
    slack
        .faults()
        .next("chat.update", Fault::slack_error("invalid_blocks"));
    let ids = server.accept(&resolved).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let messages = slack.messages();
    let updated = messages.iter().find(|m| m.ts == ts).unwrap();
    assert!(
        updated.text.starts_with("[RESOLVED]"),
        "{}",
        updated.shown()
    );
    assert!(
        updated.blocks.is_empty(),
        "it would go on showing FIRING: {}",
        updated.shown()
    );
}

#[tokio::test]
async fn a_channel_without_threads_makes_no_dead_delivery() {
    let slack = Slack::start().await;
    let (server, resolved, ts) = fired_and_resolving(&slack).await;
    let refused = Fault::slack_error("restricted_action_non_threadable_channel");
    slack.faults().until_cleared("chat.postMessage", refused);
    let ids = server.accept(&resolved).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    assert!(
        story
            .to_string()
            .contains("the thread could not be answered"),
        "{story:#}"
    );
    let messages = slack.messages();
    let updated = messages.iter().find(|m| m.ts == ts).unwrap();
    assert!(
        updated.text.starts_with("[RESOLVED]"),
        "{}",
        updated.shown()
    );
    assert!(slack.thread(&ts).is_empty());
}

#[tokio::test]
async fn a_channel_that_is_closed_to_the_app_after_the_update_makes_no_dead_delivery() {
    for code in ["is_archived", "not_in_channel", "restricted_action"] {
        let slack = Slack::start().await;
        let (server, resolved, ts) = fired_and_resolving(&slack).await;
        let refused = Fault::slack_error(code);
        slack.faults().until_cleared("chat.postMessage", refused);
        let ids = server.accept(&resolved).await;
        let story = server.wait_settled(&ids[0]).await;
        assert_eq!(story["state"], "done", "{code}: {story:#}");
        let told = story.to_string();
        assert!(
            told.contains("the thread could not be answered") && told.contains(code),
            "{story:#}"
        );
        let messages = slack.messages();
        let updated = messages.iter().find(|m| m.ts == ts).unwrap();
        assert!(
            updated.text.starts_with("[RESOLVED]"),
            "{}",
            updated.shown()
        );
    }
}

#[tokio::test]
async fn no_handler_shows_a_log_outside_a_thread_that_belongs_into_one() {
    let slack = Slack::start().await;
    let crash = CrashLoop::exit(now(), 1, "FATAL no database");
    let log = crash.log.clone();
    let kubernetes = Kubernetes::start(crash.cluster()).await;
    let url = kubernetes.url();
    let setup = Setup::new().slack(&slack).config(&format!(
        r##"
slack: {{ channels: {{ alerts: "#alerts" }} }}
routes:
  - handlers: [kube-pod-crash-looping, slack-notify]
handlers:
  kube-pod-crash-looping:
    allow: {{ http: ["{url}"], slack: [alerts] }}
    config: {{ kubernetes.url: "{url}", credential: "", cluster: cluster-main, logs: thread }}
  slack-notify:
    allow: {{ slack: [alerts] }}
"##
    ));
    let server = bundled(setup).start().await;
    let ids = server.accept(&alerts::readme()).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let (replies, messages): (Vec<_>, Vec<_>) = slack
        .messages()
        .into_iter()
        .partition(|message| message.thread_ts.is_some());
    assert_eq!(messages.len(), 2, "one of each handler");
    for line in &log {
        for message in &messages {
            assert!(!message.contains(line), "{line} in\n{}", message.shown());
        }
        assert!(replies.iter().any(|reply| reply.contains(line)), "{line}");
    }
    assert!(messages.iter().all(|message| message.contains("exit 1")));
}

#[tokio::test]
async fn a_long_log_reaches_the_thread_to_its_last_line() {
    let slack = Slack::start().await;
    let mut crash = CrashLoop::oom_killed(now());
    crash.log = (0..60)
        .map(|n| format!("{n:02} {}", "x".repeat(997)))
        .collect();
    let log = crash.log.clone();
    let kubernetes = Kubernetes::start(crash.cluster()).await;
    let url = kubernetes.url();
    let setup = Setup::new().slack(&slack).config(&format!(
        r##"
slack: {{ channels: {{ alerts: "#alerts" }}, rate: {{ per_second: 0 }} }}
handlers:
  kube-pod-crash-looping:
    allow: {{ http: ["{url}"], slack: [alerts] }}
    config: {{ kubernetes.url: "{url}", credential: "", cluster: cluster-main }}
  slack-notify: {{ allow: {{ slack: [alerts] }} }}
"##
    ));
    let server = bundled(setup).start().await;
    let ids = server.accept(&alerts::readme()).await;
    server.wait_settled(&ids[0]).await;
    let messages = slack.messages();
    for line in &log {
        let is_shown = messages.iter().any(|message| message.contains(line));
        assert!(is_shown, "{} messages without {line}", messages.len());
    }
    // None had to go out without its blocks.
    assert!(messages.iter().all(|message| !message.blocks.is_empty()));
}

#[tokio::test]
async fn kubernetes_that_hangs_holds_the_message_back_no_longer_than_its_budget() {
    let slack = Slack::start().await;
    let kubernetes = Kubernetes::start(CrashLoop::oom_killed(now()).cluster()).await;
    kubernetes
        .faults()
        .until_cleared(tests::fakes::faults::ANY, Fault::Hang);
    let setup = with_kubernetes(&slack, &kubernetes);
    let server = bundled(setup).start().await;
    server.accept(&alerts::readme()).await;
    let message = slack.wait_for(|m| m.contains(POD)).await;
    assert!(
        message.contains("not fetched") || message.contains("not enriched"),
        "{}",
        message.shown()
    );
}

#[tokio::test]
async fn its_resolve_updates_the_message_and_answers_in_its_thread() {
    let slack = Slack::start().await;
    let server = bundled(Setup::new().slack(&slack)).start().await;
    server.accept(&alerts::readme()).await;
    let first = slack.wait_for(|m| m.contains(POD)).await;
    let mut resolved = alerts::readme();
    resolved["status"] = json!("resolved");
    resolved["endsAt"] = json!("2022-03-02T08:01:57.339Z");
    let ids = server.accept(&resolved).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let messages = slack.messages();
    let updated = messages.iter().find(|m| m.ts == first.ts).unwrap();
    assert_eq!(updated.before_updates.len(), 1, "{}", updated.shown());
    assert!(updated.contains("RESOLVED"), "{}", updated.shown());
    assert_eq!(slack.thread(&first.ts).len(), 1, "{messages:?}");
}

#[tokio::test]
async fn every_other_alert_takes_the_fallback() {
    let slack = Slack::start().await;
    let server = bundled(Setup::new().slack(&slack)).start().await;
    let alert = alerts::firing(
        "DiskFillsUp",
        &[("severity", "warning"), ("disk", "<!channel>")],
    );
    let ids = server.accept(&alert).await;
    let message = slack.wait_for(|m| m.contains("DiskFillsUp")).await;
    assert!(
        !message.shown().contains("<!channel>"),
        "a label pings nobody: {}",
        message.shown()
    );
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["handlers"], json!(["slack-notify"]));
}

#[tokio::test]
async fn an_alert_without_a_name_takes_the_fallback() {
    let slack = Slack::start().await;
    let server = bundled(Setup::new().slack(&slack)).start().await;
    let ids = server
        .accept(&json!({ "status": "firing", "labels": { "team": "storage" } }))
        .await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["handlers"], json!(["slack-notify"]));
    assert_eq!(story["alertname"], "");
    slack.wait_for(|m| m.contains("storage")).await;
}

fn bundled(setup: Setup) -> Setup {
    setup
        .module("kube-pod-crash-looping")
        .module("slack-notify")
}

fn with_kubernetes(slack: &Slack, kubernetes: &Kubernetes) -> Setup {
    let url = kubernetes.url();
    Setup::new().slack(slack).config(&format!(
        r##"
slack: {{ channels: {{ alerts: "#alerts" }} }}
handlers:
  kube-pod-crash-looping:
    allow: {{ http: ["{url}"], slack: [alerts] }}
    enrich: {{ attempts: 2, within: 2s }}
    config: {{ kubernetes.url: "{url}", credential: "", cluster: cluster-main }}
  slack-notify:
    allow: {{ slack: [alerts] }}
"##
    ))
}

fn now() -> i64 {
    tests::fakes::time::unix_now()
}

/// What an attacker who can name a pod would write.
const HOSTILE: &str = "<!channel> <@U1> <https://evil.example|click> \u{202e}gnp\u{1b}[2J\u{9b}31m";

#[tokio::test]
async fn an_alert_full_of_markup_pings_nobody_and_leads_nowhere() {
    for name in ["KubePodCrashLooping", "Anything"] {
        let slack = Slack::start().await;
        let server = bundled(Setup::new().slack(&slack)).start().await;
        let mut alert = alerts::firing(
            name,
            &[
                ("namespace", HOSTILE),
                ("pod", HOSTILE),
                ("container", HOSTILE),
                ("severity", HOSTILE),
                ("cluster", HOSTILE),
                (HOSTILE, HOSTILE),
            ],
        );
        alert["annotations"] = json!({
            "summary": HOSTILE,
            "description": HOSTILE,
            "runbook_url": "javascript:alert(1)",
            "dashboard_url": format!("https://a.example/{HOSTILE}"),
        });
        alert["generatorURL"] = json!("data:text/html,<script>");
        let ids = server.accept(&alert).await;
        let story = server.wait_settled(&ids[0]).await;
        assert_eq!(story["state"], "done", "{story:#}");
        let messages = slack.messages();
        assert!(!messages.is_empty(), "{story:#}");
        for message in messages {
            // A header is plain text: what looks like markup there is not.
            let marked_up: Vec<_> = message
                .blocks
                .iter()
                .filter(|b| b["type"] != "header")
                .collect();
            let sent = format!("{}{}", message.text, json!(marked_up));
            for part in [
                "<!channel>",
                "<@U1>",
                "|click>",
                "<javascript:",
                "\"javascript:",
                "data:text",
            ] {
                assert!(!sent.contains(part), "{name}: {part} in {sent}");
            }
            for part in ["\u{202e}", "\u{1b}", "\u{9b}"] {
                assert!(
                    !message.shown().contains(part),
                    "{name}: {}",
                    message.shown()
                );
            }
        }
    }
}
