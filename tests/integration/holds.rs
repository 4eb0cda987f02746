//! Deliveries that Slack refuses until the operator fixes the cause are held and continue by themselves. Deliveries that wait
//! for a dependency continue when it is back.

use alert_manager::api::Held;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Sink, Slack};
use tests::server::{Server, Setup};

const POST: &str = "chat.postMessage";

/// A backoff of an hour: a retry that comes earlier was woken.
const CONFIG: &str = r##"
storm: { over: 0 }
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
        assert_eq!(held(&server).await[0].code, code);

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
async fn a_restart_keeps_what_waits_for_a_held_channel() {
    let slack = Slack::start().await;
    slack.refuse_channel("alerts", Some("not_in_channel"));
    let server = setup(&slack).start().await;
    let ids = accept(&server, &["info"; 50]).await;
    wait_until(&server, &ids, "slack channel alerts").await;
    // The unit tests of holds show, with a fake clock, that only probes are sent meanwhile.
    let dir = server.stop().await;
    let server = setup(&slack).start_in(dir).await;
    wait_until(&server, &ids, "slack channel alerts").await;
    slack.refuse_channel("alerts", None);
    for id in &ids {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
    assert_eq!(slack.messages().len(), ids.len(), "each once");
}

/// The configuration with another channel by the name `alerts`.
fn elsewhere() -> String {
    CONFIG.replace("alerts: \"#alerts\"", "alerts: \"#general\"")
}

async fn point_elsewhere(server: &Server) {
    let file = server.dir.path().join("alert-manager.yml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before.replace(CONFIG, &elsewhere())).unwrap();
    assert_eq!(server.command("/-/reload").await.0, StatusCode::OK);
}

/// Returns what is held, as `handlers` shows it.
async fn held(server: &Server) -> Vec<Held> {
    server.handlers().await.remove(0).held
}

/// Accepts an alert that is done by its first try, and returns its message's channel.
async fn done_at_once(server: &Server, slack: &Slack, alert: &Value) -> String {
    let id = server.accept(alert).await.remove(0);
    let story = server
        .wait_for_story(&id, |story| story["attempts"] == 1)
        .await;
    assert_eq!(story["state"], "done", "{story:#}");
    slack.messages().last().unwrap().channel_name.clone()
}

#[tokio::test]
async fn what_is_said_of_a_channels_old_place_holds_nothing_in_its_new_one() {
    for restarts in [false, true] {
        let slack = Slack::start().await;
        let mut server = setup(&slack).start().await;
        let first = alerts::firing("First", &[]);
        assert_eq!(done_at_once(&server, &slack, &first).await, "#alerts");
        slack.refuse_channel("alerts", Some("is_archived"));
        let gone = Fault::slack_error("is_inactive");
        slack.faults().until_cleared("chat.update", gone);
        if restarts {
            let dir = server.stop().await;
            let setup = Setup::new().slack(&slack).module("slack-notify");
            server = setup.config(&elsewhere()).start_in(dir).await;
        } else {
            point_elsewhere(&server).await;
        }
        let over = alerts::resolved("First", &[]);
        assert_eq!(done_at_once(&server, &slack, &over).await, "#general");
        let next = alerts::firing("Next", &[]);
        assert_eq!(done_at_once(&server, &slack, &next).await, "#general");
        assert_eq!(held(&server).await, [], "restarts: {restarts}");
    }
}

#[tokio::test]
async fn what_works_in_a_channels_old_place_releases_nothing_in_its_new_one() {
    let slack = Slack::start().await;
    let server = setup(&slack).start().await;
    let first = alerts::firing("First", &[]);
    assert_eq!(done_at_once(&server, &slack, &first).await, "#alerts");
    slack.refuse_channel("general", Some("not_in_channel"));
    point_elsewhere(&server).await;
    let waiting = server.accept(&alerts::firing("Waits", &[])).await;
    wait_until(&server, &waiting, "slack channel alerts").await;
    let since = held(&server).await[0].since;
    let over = alerts::resolved("First", &[]);
    assert_eq!(done_at_once(&server, &slack, &over).await, "#alerts");
    assert_eq!(held(&server).await[0].since, since, "the same hold");
    assert_eq!(server.story(&waiting[0]).await["state"], "retrying");
    slack.refuse_channel("general", None);
    assert_eq!(server.wait_settled(&waiting[0]).await["state"], "done");
}

#[tokio::test]
async fn an_answer_that_is_not_slacks_wakes_nothing_and_kills_nothing() {
    let slack = Slack::start().await;
    slack.faults().until_cleared(POST, Fault::status(503));
    let server = setup(&slack).start().await;
    let ids = accept(&server, &["info"; 200]).await;
    wait_until(&server, &ids, "slack").await;
    // A captive portal with a login page.
    slack.faults().clear();
    slack.faults().next(POST, Fault::status(403));
    let to_oncall = |name| alerts::firing(name, &[("to", "oncall")]);
    let refused = server.accept(&to_oncall("Refused")).await;
    let story = server.wait_for_story(&refused[0], |story| story["attempts"] == 1);
    let why = story.await["last_error"].to_string();
    assert!(why.contains("slack.api_url and the proxy"), "{why}");
    let good = server.accept(&to_oncall("Good")).await;
    for id in good.iter().chain(&refused).chain(&ids) {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
}

#[tokio::test]
async fn a_reload_that_names_another_channel_releases_the_hold() {
    let slack = Slack::start().await;
    slack.refuse_channel("alerts", Some("is_archived"));
    let server = setup(&slack).start().await;
    let ids = accept(&server, &["info"; 3]).await;
    wait_until(&server, &ids, "slack channel alerts").await;
    point_elsewhere(&server).await;
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
async fn a_reload_asks_slack_about_a_held_channel_that_nothing_waits_for() {
    let slack = Slack::start().await;
    slack.refuse_channel("alerts", Some("not_in_channel"));
    let server = setup(&slack).start().await;
    let ids = accept(&server, &["info"]).await;
    wait_until(&server, &ids, "slack channel alerts").await;
    let (_, listed) = server.get("/api/v1/channels").await;
    let alerts = &listed["channels"][0];
    assert_eq!(alerts["refused"]["code"], "not_in_channel", "{listed:#}");
    assert_eq!(alerts["refused"]["waiting"]["normal"], 1, "{listed:#}");
    assert_eq!(listed["channels"][1]["refused"], Value::Null, "{listed:#}");
    assert_eq!(listed["token_refused"], Value::Null, "{listed:#}");
    let cancel = format!("/api/v1/deliveries/{}/cancel", ids[0]);
    assert_eq!(server.command(&cancel).await.0, StatusCode::OK);
    assert_eq!(held(&server).await.len(), 1);
    slack.refuse_channel("alerts", None);
    assert_eq!(server.command("/-/reload").await.0, StatusCode::OK);
    let released = tokio::time::timeout(tests::PATIENCE, async {
        // Each request waits for the server, which has Slack's answer at some time.
        while !held(&server).await.is_empty() {}
    });
    released.await.expect("Slack says that it is fine");
    assert!(slack.messages().is_empty(), "nothing was posted for it");
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
    let posted = slack.messages().into_iter();
    let of_many = posted
        .filter(|m| m.channel_name == "#alerts")
        .map(|m| m.shown());
    let order: Vec<_> = of_many.map(|shown| severity_of(&shown)).collect();
    assert_eq!(order.len(), ids.len(), "each once");
    // Every tenth permit goes to the oldest delivery, regardless of its priority.
    assert!(order[..2].contains(&"critical"), "{order:?}");
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

const ONE_PATH_IS_AWAY: &str = r#"
routes:
  - matchers: ['also="post"']
    handlers: [post, probe]
  - handlers: [probe]
handlers:
  post:
    allow: { http: ["SINK"] }
  probe:
    allow: { http: ["SINK"] }
    limits: { concurrency: 1 }
    retry: { min_backoff: 1h, max_backoff: 1h }
slack: { preview: true }
"#;

/// The answer to one call, of the same handler or of another, does not wake the very delivery that fails for the next call.
#[tokio::test]
async fn an_origin_that_answers_one_call_and_not_the_next_is_not_asked_again_at_once() {
    let sink = Sink::start().await;
    sink.faults().until_cleared("/b", Fault::status(503));
    let server = Setup::new()
        .module("guest-post")
        .module("probe")
        .config(&ONE_PATH_IS_AWAY.replace("SINK", &sink.url()))
        .start()
        .await;
    let probe = |name: &str, also: &str, script: &str| {
        let url = sink.url();
        let script = script.replace("SINK", &url);
        let labels = [("step", "act"), ("also", also), ("post_to", &url)];
        let mut alert = alerts::firing(name, &labels);
        alert["annotations"]["script"] = json!(script);
        alert
    };
    let fails = "post SINK/b\nunavailable b is away";
    let calls = [
        probe("Neighbour", "post", fails),
        probe("Itself", "none", &format!("get SINK/a\n{fails}")),
    ];
    for (n, alert) in calls.iter().enumerate() {
        let id = server.accept(alert).await.remove(0);
        let waits = |story: &Value| story["state"] == "retrying";
        server.wait_for_story(&id, waits).await;
        // The handler has one permit: if the first were due, it would run before this one.
        let next = probe(&format!("Next {n}"), "none", "attempt");
        let next = server.accept(&next).await;
        assert_eq!(server.wait_settled(&next[0]).await["state"], "done");
        let story = server.story(&id).await;
        assert_eq!(act(&story)["tries"], json!(1), "{story:#}");
    }
    let asked = sink.received();
    let away = asked.iter().filter(|request| request.path == "/b").count();
    assert_eq!(away, calls.len());
}
