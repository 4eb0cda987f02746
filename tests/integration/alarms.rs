//! The alerts that the server raises itself: to whom and how they are reported, what happens if that fails, and how they
//! resolve.

use std::fs;

use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Sink, Slack};
use tests::process::{Process, command, run};
use tests::server::{PATIENCE, Server, Setup, drop_in, folder};

const POST: &str = "chat.postMessage";

/// A script that the probe does not know, which dead-letters its delivery.
const DIES: &str = "no-such-verb";

const CHANNELS: &str =
    r##"slack: { channels: { alerts: "#alerts", oncall: "#oncall" }, rate: { per_second: 0 } }"##;

const HANDLERS: &str = "handlers:
  slack-notify:
    allow: { slack: [alerts, oncall] }
    retry: { min_backoff: 1ms, max_backoff: 10ms }";

fn routes(last: &str) -> String {
    format!(
        "routes:\n  - matchers: ['alertname=\"Dies\"']\n    handlers: [probe]\n  - {{ {last} }}\n"
    )
}

fn setup(slack: &Slack) -> Setup {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .module("probe")
}

fn dies() -> Value {
    let mut alert = alerts::firing("Dies", &[("step", "act")]);
    alert["annotations"]["script"] = json!(DIES);
    alert
}

/// Makes a delivery dead, and returns its id.
async fn die(server: &Server) -> String {
    let ids = server.accept(&dies()).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "dead", "{story:#}");
    ids[0].clone()
}

/// Makes Slack refuse everything with a permanent error.
fn refuse_all(slack: &Slack) {
    let refused = Fault::slack_error("invalid_arguments");
    slack.faults().until_cleared(POST, refused);
}

async fn notices(server: &Server) -> Vec<Value> {
    let (_, list) = server.get("/api/v1/deliveries?limit=100").await;
    let all = list["deliveries"].as_array().unwrap().clone();
    let is_notice = |one: &Value| one["route"].as_str().unwrap().starts_with("dead-letter");
    all.into_iter().filter(is_notice).collect()
}

/// Waits until the newest notice has this status, and returns it.
async fn newest_notice(server: &Server, status: &str) -> Value {
    let mut commits = server.shared.commits();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            commits.mark_unchanged();
            let newest = notices(server).await.remove(0);
            if newest["status"] == status {
                return newest;
            }
            commits.changed().await.unwrap();
        }
    });
    waited.await.unwrap()
}

/// Waits until the metrics have this line.
async fn metric(server: &Server, line: &str) {
    let mut commits = server.shared.commits();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            commits.mark_unchanged();
            let (_, metrics) = server.get_text("/metrics").await;
            if metrics.lines().any(|l| l == line) {
                return;
            }
            commits.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "{line}");
}

#[tokio::test]
async fn without_any_configuration_a_dead_letter_is_reported() {
    let slack = Slack::start().await;
    let setup = Setup::new().slack(&slack).module("slack-notify");
    let server = setup.start().await;
    let refused = Fault::slack_error("invalid_arguments");
    slack.faults().next(POST, refused);
    let ids = server.accept(&alerts::firing("First", &[])).await;
    let notice = slack.wait_for(|message| message.contains(&ids[0])).await;
    assert_eq!(notice.channel_name, "#alerts");
    assert!(notice.contains("invalid_arguments"), "{}", notice.shown());
}

#[tokio::test]
async fn the_last_route_without_matchers_reports_on_its_channel() {
    let slack = Slack::start().await;
    let last = "handlers: [slack-notify], config: { channel: oncall }";
    let setup = setup(&slack).config(CHANNELS).config(HANDLERS);
    let server = setup.config(&routes(last)).start().await;
    let id = die(&server).await;
    let notice = slack.wait_for(|message| message.contains(&id)).await;
    assert_eq!(notice.channel_name, "#oncall");
}

#[tokio::test]
async fn nobody_is_notified_if_the_list_is_empty() {
    let slack = Slack::start().await;
    let setup = setup(&slack).config(CHANNELS).config(HANDLERS);
    let off = setup
        .config(&routes("handlers: [slack-notify]"))
        .config("dead_letter: { handlers: [] }");
    let server = off.start().await;
    die(&server).await;
    // What comes after it would be after its notice.
    let later = server.accept(&alerts::firing("Later", &[])).await;
    server.wait_settled(&later[0]).await;
    assert_eq!(notices(&server).await, [Value::Null; 0]);
    assert_eq!(slack.messages().len(), 1);
}

#[tokio::test]
async fn a_reload_and_a_new_module_change_who_reports() {
    let slack = Slack::start().await;
    let setup = Setup::new().slack(&slack).module("probe").config(CHANNELS);
    let server = setup.config(HANDLERS).start().await;
    let module = tests::modules::path("slack-notify");
    drop_in(&module, &server.handlers_dir().join("slack-notify.wasm"));
    server
        .wait_for_handler(|handler| handler["name"] == "slack-notify")
        .await;
    let die = async |n: &str| {
        let mut alert = alerts::firing("Probe", &[("step", "act"), ("n", n)]);
        alert["annotations"]["script"] = json!(DIES);
        server.accept(&alert).await[0].clone()
    };
    let id = die("1").await;
    let notice = slack.wait_for(|message| message.contains(&id)).await;
    assert_eq!(notice.channel_name, "#alerts");

    let file = server.dir.path().join("alert-manager.yml");
    let text = fs::read_to_string(&file).unwrap();
    let text = format!(
        "{text}routes:\n  - {{ handlers: [slack-notify], config: {{ channel: oncall }} }}\n"
    );
    fs::write(&file, text).unwrap();
    let (status, answer) = server.command("/-/reload").await;
    assert!(status.is_success(), "{answer}");
    let id = die("2").await;
    let notice = slack.wait_for(|message| message.contains(&id)).await;
    assert_eq!(notice.channel_name, "#oncall");
}

#[tokio::test]
async fn a_channel_that_is_gone_leads_to_another_one() {
    let slack = Slack::start().await;
    let channels = CHANNELS.replace("#alerts", "#gone");
    let setup = setup(&slack).config(&channels).config(HANDLERS);
    let server = setup
        .config(&routes("handlers: [slack-notify]"))
        .start()
        .await;
    let id = die(&server).await;
    let notice = slack.wait_for(|message| message.contains(&id)).await;
    assert_eq!(notice.channel_name, "#oncall");
    let shown = notice.shown();
    assert!(
        shown.contains("channel_not_found"),
        "why it is here: {shown}"
    );
}

#[tokio::test]
async fn another_handler_reports_what_slack_refuses() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    refuse_all(&slack);
    let probe = format!(
        "  probe:\n    allow: {{ http: ['{0}'] }}\n    config: {{ script: 'post {0}/page notice' }}",
        sink.url()
    );
    let all = "handlers: [probe], continue: true }\n  - { handlers: [slack-notify]";
    let setup = setup(&slack)
        .config(CHANNELS)
        .config(HANDLERS)
        .config(&probe);
    let server = setup.config(&routes(all)).start().await;
    die(&server).await;
    let paged = sink.wait_for(|request| request.path == "/page").await;
    assert_eq!(paged.body, "notice");
    metric(&server, "alert_manager_dead_letters_unreported_total 0").await;
}

#[tokio::test]
async fn what_no_way_can_report_is_in_the_metrics() {
    let slack = Slack::start().await;
    refuse_all(&slack);
    let setup = setup(&slack).config(CHANNELS).config(HANDLERS);
    let server = setup
        .config(&routes("handlers: [slack-notify]"))
        .start()
        .await;
    die(&server).await;
    metric(&server, "alert_manager_dead_letters_unreported_total 1").await;
    let routes: Vec<Value> = notices(&server)
        .await
        .iter()
        .map(|notice| notice["route"].clone())
        .collect();
    assert_eq!(
        routes,
        ["dead-letter@oncall", "dead-letter"],
        "each way once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_way_can_report_is_in_the_log_as_an_error() {
    let slack = Slack::start().await;
    refuse_all(&slack);
    let dir = folder(&["slack-notify", "probe"]);
    let config = format!(
        "{CHANNELS}\n{HANDLERS}\n{}",
        routes("handlers: [slack-notify]")
    );
    fs::write(dir.path().join("am.yml"), config).unwrap();
    let mut serve = command(dir.path(), &["serve", "--config", "am.yml"]);
    serve
        .env("SLACK_API_URL", slack.api_url())
        .env("SLACK_TOKEN", tests::fakes::slack::TOKEN);
    let server = Process::start(serve);
    let sent = reqwest::Client::new()
        .post(format!("{}/webhook", server.url))
        .json(&dies())
        .send()
        .await
        .unwrap();
    let answer: Value = sent.json().await.unwrap();
    let id = answer["deliveries"][0]["id"].as_str().unwrap();
    let line = tokio::task::block_in_place(|| server.wait_for_line("nobody was notified"));
    for part in ["level=error", id, "retry", "invalid_arguments", DIES] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn a_notice_turns_green_once_its_delivery_is_done() {
    let slack = Slack::start().await;
    let server = setup(&slack)
        .config(CHANNELS)
        .config(HANDLERS)
        .config(&routes("handlers: [slack-notify]"))
        .start()
        .await;
    slack
        .faults()
        .next(POST, Fault::slack_error("invalid_arguments"));
    let ids = server.accept(&alerts::firing("A", &[])).await;
    let id = &ids[0];
    slack.wait_for(|message| message.contains(id)).await;
    let (status, answer) = server
        .command(&format!("/api/v1/deliveries/{id}/retry"))
        .await;
    assert!(status.is_success(), "{answer}");
    let story = server.wait_settled(id).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let notice = slack
        .wait_for(|message| {
            message.contains("no longer dead") && !message.before_updates.is_empty()
        })
        .await;
    assert!(notice.contains("RESOLVED"), "{}", notice.shown());
}

#[tokio::test]
async fn a_notice_about_what_was_sent_again_is_not_sent() {
    let slack = Slack::start().await;
    let gate = tests::fakes::Gate::closed();
    let one = HANDLERS.replace("    retry", "    limits: { concurrency: 1 }\n    retry");
    let server = setup(&slack)
        .config(CHANNELS)
        .config(&one)
        .config("dead_letter: { handlers: [slack-notify] }")
        .config("routes:\n  - { matchers: ['alertname=\"Flaky\"'], handlers: [probe] }\n  - { handlers: [slack-notify] }")
        .start()
        .await;
    // The handler that reports is busy.
    slack.faults().next(POST, Fault::Hold(gate.clone()));
    server.accept(&alerts::firing("Busy", &[])).await;
    slack.wait_for_calls(POST, 1).await;
    let mut flaky = alerts::firing("Flaky", &[("step", "act")]);
    flaky["annotations"]["script"] = json!("if-retried");
    let ids = server.accept(&flaky).await;
    server.wait_settled(&ids[0]).await;
    let notice = notices(&server).await[0].clone();
    let (status, answer) = server
        .command(&format!("/api/v1/deliveries/{}/retry", ids[0]))
        .await;
    assert!(status.is_success(), "{answer}");
    server
        .wait_for_story(&ids[0], |story| story["state"] == "done")
        .await;
    gate.open();
    let story = server.wait_settled(notice["id"].as_str().unwrap()).await;
    assert_eq!(story["state"], "done");
    let why = story["last_error"].as_str().unwrap();
    assert!(why.contains("not sent"), "{story:#}");
    let about = slack.messages().iter().any(|m| m.contains(&ids[0]));
    assert!(!about, "and nothing is resolved that was not said");
}

#[test]
fn check_says_who_is_notified_of_nothing() {
    let dir = folder(&["slack-notify", "probe"]);
    let check = |yaml: &str| {
        let config = format!("{CHANNELS}\n{HANDLERS}\n{yaml}\n");
        let config = config.replace("rate:", "preview: true, rate:");
        fs::write(dir.path().join("am.yml"), config).unwrap();
        let checked = run(dir.path(), &["check", "--config", "am.yml"]);
        assert_eq!(checked.code, Some(0), "{checked:?}");
        checked.stdout
    };
    let off = check(&format!(
        "{}dead_letter: {{ handlers: [] }}",
        routes("handlers: [slack-notify]")
    ));
    assert!(off.contains("dead_letter.handlers is empty"), "{off}");
    let said = check(&routes("handlers: [slack-notify]"));
    assert!(!said.contains("nobody is notified"), "{said}");

    // Without a handler for any alert, nobody is notified by default.
    fs::remove_file(dir.path().join("handlers/slack-notify.wasm")).unwrap();
    let probe = HANDLERS.replace("slack-notify", "probe");
    let nobody = "routes:\n  - { matchers: ['a=\"b\"'], handlers: [probe] }\n";
    let preview = CHANNELS.replace("rate:", "preview: true, rate:");
    let write = |more: &str| {
        let text = format!("{preview}\n{probe}\n{nobody}{more}\n");
        fs::write(dir.path().join("am.yml"), text).unwrap();
    };
    write("");
    let said = run(dir.path(), &["check", "--config", "am.yml"]);
    assert!(said.stdout.contains("nobody is notified"), "{said:?}");
    assert!(said.stdout.contains("dead_letter:"), "{said:?}");
    write("dead_letter: { handlers: [probe] }");
    let server = Process::start(command(dir.path(), &["serve", "--config", "am.yml"]));
    write("");
    server.signal("HUP");
    let line = server.wait_for_line("nobody is notified");
    assert!(line.contains("level=warn"), "{line}");
}

#[tokio::test]
async fn a_channel_that_is_held_raises_one_alarm_elsewhere_which_ends_with_it() {
    let slack = Slack::start().await;
    let channels = CHANNELS.replace("#alerts", "#gone");
    let setup = || {
        setup(&slack)
            .config(&channels)
            .config(HANDLERS)
            .config(&routes("handlers: [slack-notify]"))
    };
    let server = setup().start().await;
    let first = server.accept(&alerts::firing("First", &[])).await;
    let second = server.accept(&alerts::firing("Second", &[])).await;
    let alarm = slack
        .wait_for(|message| message.contains("AlertManagerSlackChannelHeld"))
        .await;
    assert_eq!(alarm.channel_name, "#oncall");
    let shown = alarm.shown();
    assert!(shown.contains("channel_not_found"), "{shown}");

    // It is not raised again after a restart, and ends when the channel is there.
    let server = setup().start_in(server.stop().await).await;
    let third = server.accept(&alerts::firing("Third", &[])).await;
    let waits = |story: &Value| story["steps"][1]["waits_for"] == "slack channel alerts";
    server.wait_for_story(&third[0], waits).await;
    assert_eq!(statuses(&server).await, ["firing"], "it is held still");
    slack.add_channel("gone");
    for id in [&first[0], &second[0], &third[0]] {
        let story = server.wait_settled(id).await;
        assert_eq!(story["state"], "done", "{story:#}");
    }
    slack
        .wait_for(|message| {
            message.contains("AlertManagerSlackChannelHeld") && message.contains("RESOLVED")
        })
        .await;
    let raised = slack.messages();
    let raised = raised
        .iter()
        .filter(|message| message.contains("AlertManagerSlackChannelHeld"));
    assert_eq!(raised.count(), 1);
    assert_eq!(statuses(&server).await, ["resolved", "firing"]);
}

async fn statuses(server: &Server) -> Vec<String> {
    let status = |one: &Value| one["status"].as_str().unwrap().to_owned();
    notices(server).await.iter().map(status).collect()
}

#[tokio::test]
async fn an_alarm_waits_its_turn_on_a_free_way_however_long_another_is_held() {
    let slack = Slack::start().await;
    let channels = CHANNELS
        .replace("#alerts", "#gone")
        .replace("per_second: 0", "per_second: 1, burst: 1");
    let oncall =
        "matchers: ['to=\"oncall\"'], handlers: [slack-notify], config: { channel: oncall } }";
    let last = format!("{oncall}\n  - {{ handlers: [slack-notify]");
    let server = setup(&slack)
        .config(&channels)
        .config(HANDLERS)
        .config(&routes(&last))
        .start()
        .await;
    // They use up what the channel may take at once.
    for n in ["1", "2"] {
        let alert = alerts::firing("Busy", &[("to", "oncall"), ("n", n)]);
        server.accept(&alert).await;
    }
    slack.wait_for_count(1).await;
    server.accept(&alerts::firing("Held", &[])).await;
    let alarm = slack
        .wait_for(|message| message.contains("AlertManagerSlackChannelHeld"))
        .await;
    assert_eq!(alarm.channel_name, "#oncall");
    let alarms = notices(&server).await;
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    assert_eq!(alarms[0]["route"], "dead-letter@oncall");
}

#[tokio::test]
async fn an_alarm_without_a_way_is_raised_when_one_is_free() {
    let slack = Slack::start().await;
    for channel in ["alerts", "oncall"] {
        slack.refuse_channel(channel, Some("not_in_channel"));
    }
    let setup = setup(&slack).config(CHANNELS).config(HANDLERS);
    let server = setup
        .config(&routes("handlers: [slack-notify]"))
        .start()
        .await;
    let held = server.accept(&alerts::firing("Held", &[])).await;
    // The alarm about the first channel finds out that the second is held too, and that one's has no way.
    metric(&server, "alert_manager_dead_letters_unreported_total 1").await;
    slack.refuse_channel("alerts", None);
    let about_oncall = |text: &str| {
        text.contains("AlertManagerSlackChannelHeld")
            && text.contains("refuses messages to the channel oncall")
    };
    let alarm = slack
        .wait_for(|message| about_oncall(&message.shown()))
        .await;
    assert_eq!(alarm.channel_name, "#alerts");
    assert_eq!(server.wait_settled(&held[0]).await["state"], "done");
    metric(&server, "alert_manager_dead_letters_unreported_total 1").await;
}

#[tokio::test]
async fn what_waits_for_a_held_channel_takes_a_way_that_a_reload_adds() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    slack.refuse_channel("alerts", Some("is_archived"));
    let probe = format!(
        "  probe:\n    allow: {{ http: ['{0}'] }}\n    config: {{ script: 'post {0}/page notice' }}",
        sink.url()
    );
    let handlers = HANDLERS.replace("[alerts, oncall]", "[alerts]");
    let server = setup(&slack)
        .config(CHANNELS)
        .config(&handlers)
        .config(&probe)
        .config(&routes("handlers: [slack-notify]"))
        .start()
        .await;
    server.accept(&alerts::firing("Held", &[])).await;
    metric(&server, "alert_manager_dead_letters_unreported_total 1").await;
    die(&server).await;
    let notice = notices(&server).await.remove(0);
    let waits = |story: &Value| story["steps"][1]["waits_for"] == "slack channel alerts";
    let id = notice["id"].as_str().unwrap();
    server.wait_for_story(id, waits).await;

    let file = server.dir.path().join("alert-manager.yml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("{text}dead_letter: {{ handlers: [probe] }}\n"),
    )
    .unwrap();
    let (status, answer) = server.command("/-/reload").await;
    assert!(status.is_success(), "{answer}");
    sink.wait_for_count(2).await;
    let mut paged: Vec<Value> = notices(&server).await;
    paged.retain(|one| one["handlers"] == json!(["probe"]));
    let mut paged: Vec<_> = paged.iter().map(|one| one["alertname"].as_str()).collect();
    paged.sort_unstable();
    assert_eq!(
        paged,
        [
            Some("AlertManagerDeadLetter"),
            Some("AlertManagerSlackChannelHeld")
        ]
    );
}

#[tokio::test]
async fn the_end_of_a_notice_waits_for_its_channel() {
    let slack = Slack::start().await;
    let server = setup(&slack)
        .config(CHANNELS)
        .config(HANDLERS)
        .config("dead_letter: { handlers: [slack-notify] }")
        .config(&routes("handlers: [slack-notify]").replace("Dies", "Flaky"))
        .start()
        .await;
    let mut flaky = alerts::firing("Flaky", &[("step", "act")]);
    flaky["annotations"]["script"] = json!("if-retried");
    let ids = server.accept(&flaky).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "dead", "{story:#}");
    slack.wait_for(|message| message.contains(&ids[0])).await;
    // Slack has the message a moment before the notice is settled, and only one that is settled has its end follow.
    let notice = notices(&server).await.remove(0);
    server.wait_settled(notice["id"].as_str().unwrap()).await;
    for method in [POST, "chat.update"] {
        let refused = Fault::slack_error("not_in_channel");
        slack.faults().until_cleared(method, refused);
    }
    let (status, answer) = server
        .command(&format!("/api/v1/deliveries/{}/retry", ids[0]))
        .await;
    assert!(status.is_success(), "{answer}");
    let done = |story: &Value| story["state"] == "done";
    server.wait_for_story(&ids[0], done).await;
    // The transaction after the one that has settled the delivery may end the notice.
    let end = newest_notice(&server, "resolved").await;
    let waits = |story: &Value| {
        assert_ne!(story["state"], "dead", "{story:#}");
        story["steps"][1]["waits_for"] == "slack channel alerts"
    };
    server
        .wait_for_story(end["id"].as_str().unwrap(), waits)
        .await;
    slack.faults().clear();
    slack
        .wait_for(|message| message.contains("RESOLVED") && !message.before_updates.is_empty())
        .await;
}

#[tokio::test]
async fn a_refused_token_is_reported_by_a_handler_without_slack() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    slack.set_token("another");
    let probe = format!(
        "  probe:\n    allow: {{ http: ['{0}'] }}\n    config: {{ script: 'post {0}/page notice' }}",
        sink.url()
    );
    let server = setup(&slack)
        .config(CHANNELS)
        .config(HANDLERS)
        .config(&probe)
        .config("dead_letter: { handlers: [slack-notify, probe] }")
        .config(&routes("handlers: [slack-notify]"))
        .start()
        .await;
    server.accept(&alerts::firing("First", &[])).await;
    sink.wait_for(|request| request.path == "/page").await;
    let alarm = notices(&server).await.remove(0);
    assert_eq!(alarm["alertname"], "AlertManagerSlackTokenRefused");
    assert_eq!(alarm["handlers"], json!(["probe"]), "the other could not");
}
