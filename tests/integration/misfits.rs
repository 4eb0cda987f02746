//! Settings that do not fit what a module declares: they are refused with line and column, and everything else runs on.

use std::fs;

use alert_manager::api::{Handler, Reloaded};
use alert_manager::runtime::ModuleState;
use serde_json::{Value, json};
use tests::fakes::Slack;
use tests::server::{Server, Setup, drop_in};
use tests::{alerts, modules};

const ROUTES: &str = r#"
routes:
  - matchers: ['alertname="KubePodCrashLooping"']
    handlers: [kube-pod-crash-looping]
  - handlers: [slack-notify]
"#;

/// A configuration whose `slack-notify` has these settings.
fn config(settings: &str) -> String {
    format!(
        "{ROUTES}slack: {{ channels: {{ alerts: \"#alerts\", other: \"#other\" }}, rate: {{ per_second: 0 }} }}
handlers:
  kube-pod-crash-looping: {{ allow: {{ slack: [alerts] }} }}
  slack-notify:
    allow: {{ slack: [alerts, other] }}
    config: {{ {settings} }}
"
    )
}

async fn start(slack: &Slack, settings: &str) -> Server {
    slack.add_channel("other");
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .module("kube-pod-crash-looping")
        .config(&config(settings))
        .start()
        .await
}

async fn reload(server: &Server, settings: &str) -> Reloaded {
    let path = server.dir.path().join("alert-manager.yml");
    let harness = "handlers_dir: handlers\nstore: sqlite:alert-manager.db\n";
    fs::write(path, format!("{harness}{}", config(settings))).unwrap();
    server.shared.reload().await.unwrap()
}

async fn file(server: &Server, file: &str) -> Handler {
    let mut handlers = server.handlers().await.into_iter();
    handlers.find(|handler| handler.file == file).unwrap()
}

/// Returns the channel to which the message about a new alert goes.
async fn channel_of(server: &Server, slack: &Slack, alertname: &str) -> String {
    let ids = server.accept(&alerts::firing(alertname, &[])).await;
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    slack.messages().last().unwrap().channel_name.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_start_the_handler_is_refused_and_the_others_serve() {
    let slack = Slack::start().await;
    let server = start(&slack, "chanel: other, runbook_base: nowhere").await;
    let refused = file(&server, "slack-notify.wasm").await;
    assert!(refused.state.is(ModuleState::Refused), "{refused:?}");
    let why = refused.last_error.unwrap();
    for part in [
        "its settings do not fit this module",
        "alert-manager.yml:13:23: handlers.slack-notify.config.chanel: slack-notify has no such setting — did you mean channel?",
        "alert-manager.yml:13:44: handlers.slack-notify.config.runbook_base is \"nowhere\" — it should be a URL",
    ] {
        assert!(why.contains(part), "{why}");
    }
    let other = file(&server, "kube-pod-crash-looping.wasm").await;
    assert!(other.serving && !other.keeps_settings, "{other:?}");
    let crash = server.accept(&alerts::readme()).await;
    assert_eq!(server.wait_settled(&crash[0]).await["state"], "done");

    // Nothing is lost: what is for the refused one waits, with the reason, and runs once that is corrected.
    let ids = server.accept(&alerts::firing("A", &[])).await;
    let waits = |story: &Value| story["last_error"].is_string();
    let story = server.wait_for_story(&ids[0], waits).await;
    let why = story["last_error"].as_str().unwrap();
    assert!(why.contains("did you mean channel?"), "{why}");
    let reloaded = reload(&server, "channel: other").await;
    assert_eq!(reloaded.problems, [""; 0]);
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    assert_eq!(slack.messages().last().unwrap().channel_name, "#other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_with_a_wrong_setting_leaves_the_handler_its_old_ones() {
    let slack = Slack::start().await;
    let server = start(&slack, "channel: other").await;
    assert_eq!(channel_of(&server, &slack, "A").await, "#other");
    let reloaded = reload(&server, "channel: alerts, emoji: perhaps").await;
    assert!(
        reloaded.problems[0]
            .contains("alert-manager.yml:13:39: handlers.slack-notify.config.emoji is \"perhaps\""),
        "{reloaded:?}"
    );
    let kept: Vec<_> = reloaded
        .keep_settings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(kept, ["slack-notify"]);
    let handler = file(&server, "slack-notify.wasm").await;
    assert!(handler.serving && handler.keeps_settings, "{handler:?}");
    assert!(handler.problems[0].contains("perhaps"), "{handler:?}");
    assert_eq!(
        channel_of(&server, &slack, "B").await,
        "#other",
        "none of the new settings is in use"
    );
    let reloaded = reload(&server, "channel: alerts, emoji: off").await;
    assert_eq!(reloaded.problems, [""; 0]);
    assert!(reloaded.keep_settings.is_empty(), "{reloaded:?}");
    assert!(!file(&server, "slack-notify.wasm").await.keeps_settings);
    assert_eq!(channel_of(&server, &slack, "C").await, "#alerts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_keeps_its_settings_has_those_of_a_new_route_over_them_if_they_fit() {
    let slack = Slack::start().await;
    let server = start(&slack, "channel: other").await;
    let path = server.dir.path().join("alert-manager.yml");
    let harness = "handlers_dir: handlers\nstore: sqlite:alert-manager.db\n";
    let wrong = config("channel: other, emoji: perhaps").replacen(
        "routes:\n",
        "routes:
  - { name: new, matchers: ['alertname=\"New\"'], handlers: [slack-notify], config: { channel: alerts } }
  - { name: bad, matchers: ['alertname=\"Bad\"'], handlers: [slack-notify], config: { emoji: never } }\n",
        1,
    );
    fs::write(path, format!("{harness}{wrong}")).unwrap();
    server.shared.reload().await.unwrap();
    let handler = file(&server, "slack-notify.wasm").await;
    assert!(handler.keeps_settings, "{handler:?}");
    for (alertname, channel) in [("New", "#alerts"), ("Bad", "#other"), ("Else", "#other")] {
        assert_eq!(
            channel_of(&server, &slack, alertname).await,
            channel,
            "{alertname}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_its_settings_do_not_fit_is_refused_when_it_is_dropped_in() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config(
            "handlers:
  slack-notify: { allow: { slack: [alerts] } }
  kube-pod-crash-looping: { allow: { slack: [alerts] }, config: { logs: sideways } }",
        )
        .start()
        .await;
    drop_in(
        &modules::path("kube-pod-crash-looping"),
        &server.handlers_dir().join("anything.wasm"),
    );
    let refused = server
        .wait_for_handler(|h| h["file"] == "anything.wasm" && h["state"] == "refused")
        .await;
    let why = refused["last_error"].as_str().unwrap();
    assert!(why.contains("logs is \"sideways\""), "{why}");
    assert_eq!(refused["serving"], false);
    let ids = server.accept(&alerts::readme()).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(
        (&story["state"], &story["handlers"]),
        (&json!("done"), &json!(["slack-notify"])),
        "the rest serves"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_that_the_settings_do_not_fit_leaves_the_old_one_serving() {
    let slack = Slack::start().await;
    let server = start(&slack, "runbook_base: \"https://runbooks.example.com\"").await;
    // In the new version the setting has another name.
    let old = modules::bytes("slack-notify");
    let new = modules::with_text(&old, "runbook_base", 12, "runbook_root");
    let path = server.handlers_dir().join("slack-notify.wasm");
    let partial = path.with_extension("partial");
    fs::write(&partial, new).unwrap();
    fs::rename(&partial, &path).unwrap();
    let refused = server
        .wait_for_handler(|h| h["file"] == "slack-notify.wasm" && h["state"] == "refused")
        .await;
    let why = refused["last_error"].as_str().unwrap();
    assert!(
        why.contains("runbook_base: slack-notify has no such setting"),
        "{why}"
    );
    assert_eq!(refused["serving"], true, "the old version");
    assert_eq!(channel_of(&server, &slack, "A").await, "#alerts");
    // The new setting comes with its module: it serves once the configuration has it.
    let reloaded = reload(&server, "runbook_root: \"https://runbooks.example.com\"").await;
    assert_eq!(reloaded.problems, [""; 0]);
    let handler = file(&server, "slack-notify.wasm").await;
    assert!(handler.state.is(ModuleState::Ready), "{handler:?}");
    assert_ne!(handler.sha256.as_deref(), refused["sha256"].as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_without_declared_settings_is_given_whatever_is_written() {
    let server = Setup::new()
        .module("probe")
        .config(
            "slack: { preview: true }\nexternal_url: https://alerts.example.com\nhandlers:\n  probe: { config: { story_base: here, anything: [1] } }",
        )
        .start()
        .await;
    let handler = file(&server, "probe.wasm").await;
    assert!(handler.state.is(ModuleState::Limited), "{handler:?}");
    assert_eq!(handler.problems, [""; 0]);
}
