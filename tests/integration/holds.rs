//! What Slack refuses until the operator mends it is held, and goes on by itself; what waits for a dependency goes when that
//! is back.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Sink, Slack};
use tests::server::{Server, Setup};

const POST: &str = "chat.postMessage";

/// A retry by its own time would come after an hour: what comes earlier was woken.
const CONFIG: &str = r##"
# The messages of alarms are counted elsewhere.
dead_letter: { handlers: [] }
slack: { channels: { alerts: "#alerts", oncall: "#oncall" }, rate: { per_second: 0 } }
routes:
  - matchers: ['to="oncall"']
    handlers: [slack-notify]
    config: { channel: oncall }
  - handlers: [slack-notify]
handlers:
  slack-notify:
    allow: { slack: [alerts, oncall] }
    limits: { concurrency: 1 }
    retry: { min_backoff: 1h, max_backoff: 1h }
"##;

fn setup(slack: &Slack) -> Setup {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .config(CONFIG)
}

fn act(story: &Value) -> &Value {
    story["steps"].as_array().unwrap().last().unwrap()
}

/// Accepts one alert of each severity, and returns their ids.
async fn accept(server: &Server, severities: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for (n, severity) in severities.iter().enumerate() {
        let alert = alerts::firing("Held", &[("severity", severity), ("n", &n.to_string())]);
        ids.extend(server.accept(&alert).await);
    }
    ids
}

async fn wait_until(server: &Server, ids: &[String], waits_for: &str) {
    for id in ids {
        let waits = |story: &Value| act(story)["waits_for"] == waits_for;
        server.wait_for_story(id, waits).await;
    }
}

async fn metric(server: &Server, line: &str) -> bool {
    let (_, metrics) = server.get_text("/metrics").await;
    metrics.lines().any(|l| l == line)
}

#[tokio::test]
async fn a_channel_that_refuses_the_app_is_held_and_goes_on_by_itself_most_urgent_first() {
    for code in ["not_in_channel", "channel_not_found", "is_archived"] {
        let slack = Slack::start().await;
        slack.refuse_channel("alerts", Some(code));
        let server = setup(&slack).start().await;
        let ids = accept(&server, &["info", "warning", "critical", "info"]).await;
        wait_until(&server, &ids, "slack channel alerts").await;
        let story = server.story(&ids[0]).await;
        assert_eq!(story["state"], "retrying");
        let step = act(&story);
        assert_eq!(step["attempts"], 0, "it uses up none: {step:#}");
        let why = story["last_error"].as_str().unwrap();
        let remedy = why.contains("slack.channels") || why.contains("/invite");
        assert!(why.contains(code) && remedy, "{why}");
        let gauge = |channel: &str, held: u8| {
            format!("alert_manager_slack_channel_held{{channel=\"{channel}\"}} {held}")
        };
        assert!(metric(&server, &gauge("alerts", 1)).await);
        assert!(metric(&server, &gauge("oncall", 0)).await);
        let (_, handlers) = server.get("/api/v1/handlers").await;
        assert_eq!(handlers["handlers"][0]["held"][0]["code"], code);

        // The other channel goes on.
        let other = server
            .accept(&alerts::firing("Other", &[("to", "oncall")]))
            .await;
        assert_eq!(server.wait_settled(&other[0]).await["state"], "done");

        slack.refuse_channel("alerts", None);
        for id in &ids {
            assert_eq!(server.wait_settled(id).await["state"], "done");
        }
        assert!(metric(&server, &gauge("alerts", 0)).await);
        let posted = slack.messages();
        assert_eq!(posted.len(), 1 + ids.len(), "each once");
        // The probe is the most urgent, and the rest follow by priority.
        let order: Vec<_> = posted[1..]
            .iter()
            .map(|m| severity_of(&m.shown()))
            .collect();
        assert_eq!(order, ["critical", "warning", "info", "info"]);
    }
}

fn severity_of(shown: &str) -> &'static str {
    let known = ["critical", "warning", "info"];
    let shown = shown.to_lowercase();
    known
        .into_iter()
        .find(|s| shown.contains(s))
        .unwrap_or("none")
}

#[tokio::test]
async fn a_held_channel_is_not_asked_again_for_each_delivery_and_a_restart_keeps_the_wait() {
    let slack = Slack::start().await;
    slack.refuse_channel("alerts", Some("not_in_channel"));
    let server = setup(&slack).start().await;
    let ids = accept(&server, &["info"; 50]).await;
    wait_until(&server, &ids, "slack channel alerts").await;
    let calls = slack.calls().iter().filter(|c| c.method == POST).count();
    assert!(calls < 25, "{calls} calls for 50 deliveries: probes alone");
    let dir = server.stop().await;
    let server = setup(&slack).start_in(dir).await;
    wait_until(&server, &ids, "slack channel alerts").await;
    slack.refuse_channel("alerts", None);
    for id in &ids {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
    assert_eq!(slack.messages().len(), ids.len(), "each once");
}

#[tokio::test]
async fn a_reload_that_names_another_channel_releases_the_hold() {
    let slack = Slack::start().await;
    slack.refuse_channel("alerts", Some("is_archived"));
    let server = setup(&slack).start().await;
    let ids = accept(&server, &["info"; 3]).await;
    wait_until(&server, &ids, "slack channel alerts").await;
    let moved = CONFIG.replace("alerts: \"#alerts\"", "alerts: \"#general\"");
    let file = server.dir.path().join("alert-manager.yml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before.replace(CONFIG, &moved)).unwrap();
    assert_eq!(server.command("/-/reload").await.0, StatusCode::OK);
    for id in &ids {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
    assert!(
        slack
            .messages()
            .iter()
            .all(|m| m.channel_name == "#general")
    );
}

#[tokio::test]
async fn a_retry_by_a_person_runs_what_waits_now() {
    let slack = Slack::start().await;
    slack.faults().next(POST, Fault::status(500));
    let server = setup(&slack).start().await;
    let ids = accept(&server, &["info"]).await;
    wait_until(&server, &ids, "slack").await;
    let (status, answer) = server
        .command(&format!("/api/v1/deliveries/{}/retry", ids[0]))
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    let (status, answer) = server
        .command(&format!("/api/v1/deliveries/{}/retry", ids[0]))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
}

#[tokio::test]
async fn the_first_success_of_slack_wakes_what_waits_for_it() {
    let slack = Slack::start().await;
    slack.faults().until_cleared(POST, Fault::status(503));
    let server = setup(&slack).start().await;
    // So many that the sweep, which lets one try every half a minute, does not get through them.
    let mut severities = vec!["info"; 20];
    severities[10] = "critical";
    let ids = accept(&server, &severities).await;
    wait_until(&server, &ids, "slack").await;
    slack.faults().clear();
    let other = server
        .accept(&alerts::firing("Other", &[("to", "oncall")]))
        .await;
    assert_eq!(server.wait_settled(&other[0]).await["state"], "done");
    for id in &ids {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
}

#[tokio::test]
async fn a_retry_of_many_selects_by_reason_labels_and_state() {
    let slack = Slack::start().await;
    let server = setup(&slack).start().await;
    let mut ids = Vec::new();
    for (name, fault) in [
        ("A", Fault::slack_error("no_text")),
        ("B", Fault::slack_error("too_many_attachments")),
        ("C", Fault::status(500)),
        ("D", Fault::status(500)),
    ] {
        slack.faults().next(POST, fault);
        let id = server.accept(&alerts::firing(name, &[])).await.remove(0);
        let stopped = |story: &Value| story["state"] == "dead" || story["state"] == "retrying";
        server.wait_for_story(&id, stopped).await;
        ids.push(id);
    }
    let retry = async |query: &str| {
        let path = format!("/api/v1/deliveries/retry?{query}");
        let (status, answer) = server.command(&path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["retried"].clone()
    };
    assert_eq!(retry("reason=nothing+of+this+kind").await, json!([]));
    assert_eq!(
        retry("match=alertname%3DC").await,
        json!([]),
        "it is not dead"
    );
    assert_eq!(retry("reason=No_Text&match=alertname%3DB").await, json!([]));
    assert_eq!(retry("reason=No_Text").await, json!([ids[0]]));
    assert_eq!(
        retry("state=retrying&match=alertname%3DC").await,
        json!([ids[2]])
    );
    for id in [&ids[0], &ids[2]] {
        let done = |story: &Value| story["state"] == "done";
        server.wait_for_story(id, done).await;
    }
    assert_eq!(server.story(&ids[1]).await["state"], "dead");
    for wrong in ["reason=", "match=", "state=done", "nonsense=1"] {
        let path = format!("/api/v1/deliveries/retry?{wrong}");
        assert_eq!(
            server.command(&path).await.0,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
}

const ORIGINS: &str = r#"
routes:
  - handlers: [post]
handlers:
  post:
    allow: { http: ["SINK", "OTHER"] }
    limits: { concurrency: 2, requests_per_second: 1000 }
    retry: { min_backoff: 1h, max_backoff: 1h }
slack: { preview: true }
"#;

#[tokio::test]
async fn hundreds_that_wait_for_an_origin_go_at_once_when_it_is_back_and_only_those_also_after_a_restart()
 {
    const ALERTS: usize = 300;
    let (sink, other) = (Sink::start().await, Sink::start().await);
    sink.faults().until_cleared("*", Fault::status(503));
    other.faults().until_cleared("*", Fault::status(503));
    let origin = |sink: &Sink| {
        let url = sink.url();
        url.trim_end_matches('/').to_owned()
    };
    let config = ORIGINS
        .replace("SINK", &origin(&sink))
        .replace("OTHER", &origin(&other));
    let setup = || Setup::new().module("guest-post").config(&config);
    let server = setup().start().await;
    let post = |n: usize, to: &Sink| {
        alerts::firing("Waits", &[("n", &n.to_string()), ("post_to", &to.url())])
    };
    let mut ids = Vec::new();
    for n in 0..ALERTS {
        ids.extend(server.accept(&post(n, &sink)).await);
    }
    let elsewhere = server.accept(&post(ALERTS, &other)).await;
    let waits_for = |sink: &Sink| format!("origin {}", origin(sink));
    wait_until(&server, &ids, &waits_for(&sink)).await;
    wait_until(&server, &elsewhere, &waits_for(&other)).await;

    let dir = server.stop().await;
    let server = setup().start_in(dir).await;
    sink.faults().clear();
    // The first success is that of another alert.
    let first = server.accept(&post(ALERTS + 1, &sink)).await;
    assert_eq!(server.wait_settled(&first[0]).await["state"], "done");
    for id in &ids {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
    let story = server.story(&elsewhere[0]).await;
    assert_eq!(story["state"], "retrying", "it waits for another origin");
    assert_eq!(act(&story)["tries"], json!(1));
}
