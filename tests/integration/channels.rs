//! Messages that wait for their turn in Slack's channels: in which order they go, and what is seen of them.

use alert_manager::api::{Channel, Channels, Delivery};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::PATIENCE;
use tests::alerts;
use tests::fakes::{Fault, Sink, Slack};
use tests::process::{Process, command};
use tests::server::{Server, Setup};

const POST: &str = "chat.postMessage";
const ANY: &str = "*";

/// One message at once, and then none for as long as a test takes.
const FULL: &str = "per_second: 0.0003, burst: 1";

fn config(rate: &str) -> String {
    format!(
        r##"
dead_letter: {{ handlers: [] }}
storm: {{ over: 0 }}
slack: {{ channels: {{ alerts: "#alerts", oncall: "#oncall" }}, rate: {{ {rate} }} }}
routes:
  - matchers: ['to="oncall"']
    handlers: [slack-notify]
    config: {{ channel: oncall }}
  - matchers: ['probe="yes"']
    handlers: [probe]
  - handlers: [slack-notify]
handlers:
  slack-notify: {{ allow: {{ slack: [alerts, oncall] }} }}
"##
    )
}

fn setup(slack: &Slack, rate: &str) -> Setup {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .config(&config(rate))
}

fn alert(name: &str, n: usize, severity: &str) -> Value {
    alerts::firing(name, &[("n", &n.to_string()), ("severity", severity)])
}

/// Returns a warning whose `act` runs a script.
fn scripted(name: &str, script: &str) -> Value {
    let labels = [("probe", "yes"), ("step", "act"), ("severity", "warning")];
    let mut alert = alerts::firing(name, &labels);
    alert["annotations"]["script"] = json!(script);
    alert
}

async fn channels(server: &Server) -> Channels {
    let (status, body) = server.get("/api/v1/channels").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_value(body).unwrap()
}

/// Waits until a channel is as wanted, and returns it.
async fn wait_for_channel(
    server: &Server,
    name: &str,
    wanted: impl Fn(&Channel) -> bool,
) -> Channel {
    let mut commits = server.shared.commits();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            commits.mark_unchanged();
            let listed = channels(server).await.channels.into_iter();
            let mut named = listed.filter(|channel| channel.gate.name == name);
            if let Some(found) = named.find(&wanted) {
                return found;
            }
            commits.changed().await.expect("the server still runs");
        }
    });
    match waited.await {
        Ok(channel) => channel,
        Err(_) => panic!("still not as wanted: {:#?}", channels(server).await),
    }
}

fn act(story: &Value) -> &Value {
    story["steps"].as_array().unwrap().last().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_for_its_turn_uses_no_attempt_and_is_seen_waiting() {
    let slack = Slack::start().await;
    let server = setup(&slack, FULL).start().await;
    let first = server.accept(&alert("First", 0, "warning")).await;
    assert_eq!(server.wait_settled(&first[0]).await["state"], "done");
    let mut waiting = Vec::new();
    for (n, severity) in ["info", "warning", "critical"].into_iter().enumerate() {
        waiting.extend(server.accept(&alert("Waits", n, severity)).await);
        let count = n as u64 + 1;
        wait_for_channel(&server, "alerts", |c| c.gate.waiting.total() == count).await;
    }
    let channel = wait_for_channel(&server, "alerts", |_| true).await;
    assert_eq!(channel.slack, "#alerts");
    let counts = channel.gate.waiting;
    assert_eq!((counts.critical, counts.warning, counts.normal), (1, 1, 1));
    assert!(channel.gate.waiting_since.is_some() && channel.gate.next_token_at.is_some());
    assert_eq!(channel.gate.burst, Some(1));
    for (id, priority, ahead) in [
        (&waiting[0], "normal", 2),
        (&waiting[1], "warning", 1),
        (&waiting[2], "critical", 0),
    ] {
        let story = server.story(id).await;
        assert_eq!(story["state"], "queued", "{story:#}");
        assert_eq!(story["attempts"], 0);
        assert_eq!(story["last_error"], Value::Null);
        assert_eq!(story["story"], json!([]), "nothing has failed");
        let step = act(&story);
        assert_eq!(step["attempts"], 0, "{step:#}");
        assert_eq!(
            step["tries"],
            Value::Null,
            "the try is taken back: {step:#}"
        );
        assert_eq!(step["last_error"], Value::Null);
        let waiting = &story["waiting"];
        assert_eq!(waiting["for"], "gate", "{story:#}");
        assert_eq!(waiting["gate"], "alerts");
        assert_eq!(waiting["priority"], priority);
        assert_eq!(waiting["ahead"], ahead);
    }
    let handlers = server.handlers().await;
    let counts = handlers[0].counts.unwrap();
    assert_eq!((counts.queued, counts.waiting.total()), (3, 3));
    assert!(counts.waiting_since.is_some());
    let (_, metrics) = server.get_text("/metrics").await;
    for (channel, priority, count) in [
        ("alerts", "critical", 1),
        ("alerts", "normal", 1),
        ("oncall", "critical", 0),
    ] {
        let line = format!(
            "alert_manager_channel_waiting{{channel=\"{channel}\",priority=\"{priority}\"}} {count}"
        );
        assert!(metrics.lines().any(|l| l == line), "{metrics}");
    }
    let oldest = "alert_manager_channel_oldest_timestamp_seconds{channel=\"alerts\"} ";
    let oldest = metrics.lines().find_map(|line| line.strip_prefix(oldest));
    assert!(oldest.unwrap().parse::<u64>().unwrap() > 1_600_000_000);
    assert_eq!(slack.messages().len(), 1);

    // Another channel has a turn of its own.
    let other = alerts::firing("Other", &[("to", "oncall")]);
    let other = server.accept(&other).await;
    assert_eq!(server.wait_settled(&other[0]).await["state"], "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_message_is_the_next_one_whatever_waits_a_hundred_times_in_a_row() {
    let slack = Slack::start().await;
    let server = setup(&slack, "per_second: 8, burst: 1").start().await;
    for n in 0..150 {
        server.accept(&alert("Flood", n, "warning")).await;
    }
    wait_for_channel(&server, "alerts", |c| c.gate.waiting.warning >= 50).await;
    for n in 0..100 {
        if n % 10 == 0 {
            // It stays full.
            for more in 0..15 {
                let more = alert("More", 100 * n + more, "warning");
                server.accept(&more).await;
            }
        }
        let name = format!("Critical{n}");
        let posted = slack.messages().len();
        server.accept(&alert(&name, 0, "critical")).await;
        slack.wait_for(|message| message.contains(&name)).await;
        let messages = slack.messages();
        let place = messages.iter().position(|m| m.contains(&name)).unwrap();
        // What had its turn when it came is already on its way.
        assert!(
            place <= posted + 2,
            "{name}: {posted} before it, then {place}"
        );
        let gate = wait_for_channel(&server, "alerts", |_| true).await.gate;
        assert!(gate.waiting.warning > 0, "the channel is not full");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_slack_says_about_waiting_closes_the_channel_for_all_and_over_a_restart() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let probe = format!(
        "  probe:\n    allow: {{ http: ['{}'], slack: [alerts] }}",
        sink.url()
    );
    let setup = setup(&slack, "per_second: 0")
        .config(&probe)
        .module("probe");
    let server = setup.clone().start().await;
    slack.faults().next(POST, Fault::rate_limited(1_800));
    let limited = server.accept(&alert("Limited", 0, "warning")).await;
    let told = |story: &Value| story["waiting"]["gate"] == "alerts";
    let story = server.wait_for_story(&limited[0], told).await;
    let attempt = &story["story"][0];
    assert_eq!(attempt["outcome"], "parked", "{story:#}");
    let call = attempt["steps"][0]["calls"].as_array().unwrap();
    let call = call.last().unwrap();
    assert_eq!(call["result"], "Slack asks to wait 1800000 ms", "{story:#}");
    let step = act(&story);
    assert_eq!(
        (&step["attempts"], &step["unavailable"]),
        (&json!(0), &json!(0))
    );
    let closed = wait_for_channel(&server, "alerts", |c| c.gate.closed_until.is_some()).await;

    let another = scripted("Another", "slack alerts another");
    let another = server.accept(&another).await;
    server.wait_for_story(&another[0], told).await;
    assert_eq!(slack.count_calls(POST), 1, "no handler asks it again");

    let server = setup.start_in(server.stop().await).await;
    for id in [&limited[0], &another[0]] {
        server.wait_for_story(id, told).await;
    }
    let after = wait_for_channel(&server, "alerts", |c| c.gate.closed_until.is_some()).await;
    let seconds = |channel: &Channel| channel.gate.closed_until.unwrap().as_second();
    assert!((seconds(&after) - seconds(&closed)).abs() <= 1, "{after:?}");
    assert_eq!(slack.count_calls(POST), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_closed_for_long_makes_no_message_to_another_late() {
    let slack = Slack::start().await;
    let both = "
  - matchers: ['to=\"both\"']
    handlers: [slack-notify, probe]
";
    let config = config("per_second: 1, burst: 1").replace("routes:", &format!("routes:{both}"));
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .module("probe")
        .config(&config)
        .config("  probe: { allow: { slack: [oncall] } }")
        .start()
        .await;
    slack.faults().next(POST, Fault::rate_limited(1_800));
    server.accept(&alert("Limited", 0, "warning")).await;
    wait_for_channel(&server, "alerts", |c| c.gate.closed_until.is_some()).await;
    for n in 0..3 {
        let mut busy = alert("Busy", n, "critical");
        busy["labels"]["to"] = json!("oncall");
        server.accept(&busy).await;
    }
    wait_for_channel(&server, "oncall", |c| c.gate.waiting.critical > 0).await;
    let mut late = scripted("Both", "slack oncall not late");
    late["labels"]["to"] = json!("both");
    let id = server.accept(&late).await;
    slack.wait_for(|message| message.contains("not late")).await;
    // What is left waits where it has to.
    let waits = |story: &Value| story["waiting"]["gate"] == "alerts";
    let story = server.wait_for_story(&id[0], waits).await;
    assert_eq!(story["story"][0]["outcome"], "parked", "{story:#}");
}

/// Starts a server with the scripted handler, whose channel has taken what it takes at once: critical messages wait for it.
async fn with_probe_behind_others(slack: &Slack, sink: &Sink) -> Server {
    let probe = format!(
        "  probe:\n    allow: {{ http: ['{}'], slack: [alerts] }}",
        sink.url()
    );
    let server = setup(slack, "per_second: 1, burst: 1")
        .config(&probe)
        .module("probe")
        .start()
        .await;
    for n in 0..3 {
        server.accept(&alert("Busy", n, "critical")).await;
    }
    wait_for_channel(&server, "alerts", |c| c.gate.waiting.critical > 0).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_before_the_turn_came_stays_as_it_was_read() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let server = with_probe_behind_others(&slack, &sink).await;
    let script = format!(
        "get {}/fact\nfact priority\nslack alerts hello\nattempt",
        sink.url()
    );
    let id = server.accept(&scripted("Reads", &script)).await;
    wait_for_channel(&server, "alerts", |c| c.gate.waiting.warning == 1).await;
    assert_eq!(sink.received().len(), 1);
    sink.faults().until_cleared(ANY, Fault::status(503));
    let story = server.wait_settled(&id[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let facts = &act(&story)["facts"];
    assert!(facts["0"].as_str().unwrap().starts_with("200 "), "{facts}");
    assert_eq!(facts["1"], "warning");
    assert_eq!((&facts["2"], &facts["3"]), (&json!("posted"), &json!("1")));
    assert_eq!(sink.received().len(), 1, "it was read once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_failed_before_the_turn_came_is_made_again_by_a_retry_alone() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let server = with_probe_behind_others(&slack, &sink).await;
    // Whether it was made is not known.
    sink.faults().until_cleared(ANY, Fault::status(500));
    let script = format!("post {} x\nslack alerts hello\nfail-once again", sink.url());
    let id = server.accept(&scripted("Fails", &script)).await;
    wait_for_channel(&server, "alerts", |c| c.gate.waiting.warning == 1).await;
    assert_eq!(sink.received().len(), 1);
    let has_failed = |story: &Value| act(story)["attempts"] == 1;
    server.wait_for_story(&id[0], has_failed).await;
    assert_eq!(slack.count_calls(POST), 4, "it was posted");
    let made = sink.received().len();
    let story = server.wait_settled(&id[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    assert_eq!((made, sink.received().len()), (1, 2), "{story:#}");
}

/// Starts the server's own program in the folder of a server that was stopped.
fn start_process(dir: &TempDir, slack: &Slack) -> Process {
    tokio::task::block_in_place(|| {
        let mut command = command(dir.path(), &["serve", "--config.file", "alert-manager.yml"]);
        command
            .env("SLACK_TOKEN", tests::fakes::slack::TOKEN)
            .env("SLACK_API_URL", slack.api_url());
        Process::start(command)
    })
}

async fn post(process: &Process, alert: &Value) {
    let http = reqwest::Client::new();
    let answer = http.post(format!("{}/webhook", process.url)).json(alert);
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::ACCEPTED);
}

/// The server is killed while it runs what will have to wait, while that waits, and while a message is sent whose turn it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing_that_waits_and_repeats_nothing_that_was_done() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let url = sink.url();
    let probe = format!("  probe:\n    allow: {{ http: ['{url}'], slack: [alerts] }}");
    let setup = setup(&slack, "per_second: 2, burst: 1")
        .config(&probe)
        .module("probe");
    let dir = setup.clone().start().await.stop().await;
    let effect_and_message = |n: usize| {
        let script = format!("post {url}/{n} x\nget {url}/read\nslack alerts message-{n}.");
        scripted(&format!("Waits{n}"), &script)
    };
    let process = start_process(&dir, &slack);
    for n in 0..4 {
        post(&process, &effect_and_message(n)).await;
    }
    // Each has had its effect, and all but one wait at most.
    sink.wait_for_count(8).await;
    slack.wait_for_count(1).await;
    process.kill();

    let process = start_process(&dir, &slack);
    for n in 4..6 {
        post(&process, &effect_and_message(n)).await;
    }
    slack.wait_for_count(3).await;
    process.kill();

    slack.faults().next(POST, Fault::Hang);
    let calls = slack.count_calls(POST);
    let process = start_process(&dir, &slack);
    // It is on its way, and nothing is done.
    slack.wait_for_calls(POST, calls + 1).await;
    process.kill();

    let server = setup.start_in(dir).await;
    for delivery in deliveries(&server).await {
        let story = server.wait_settled(&delivery.id.to_string()).await;
        assert_eq!(story["state"], "done", "{story:#}");
    }
    let messages = slack.messages();
    for n in 0..6 {
        let of = format!("message-{n}.");
        let posted = messages.iter().filter(|m| m.contains(&of)).count();
        // What was killed in the moment between its answer and its record is said to be in doubt.
        let all = deliveries(&server).await;
        let name = format!("Waits{n}");
        let delivery = all.iter().find(|d| d.alertname == name).unwrap();
        let story = server.story(&delivery.id.to_string()).await;
        let told = story["journal"].as_array().unwrap().iter();
        let doubts = told.filter(|entry| entry["ambiguous"] == true).count();
        assert!(
            (1..=1 + doubts).contains(&posted),
            "{of}: {posted} times: {story:#}"
        );
        let path = format!("/{n}");
        let effects = sink.received().iter().filter(|r| r.path == path).count();
        assert!(
            (1..=1 + doubts).contains(&effects),
            "{path}: {effects} times"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_become_too_old_when_its_turn_comes_ends_as_expired() {
    let slack = Slack::start().await;
    let config = config("per_second: 1, burst: 1").replace(
        "slack-notify: {",
        "slack-notify: { retry: { max_age: 1ms },",
    );
    let setup = Setup::new().slack(&slack).module("slack-notify");
    let server = setup.config(&config).start().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.extend(server.accept(&alert("Old", n, "warning")).await);
    }
    let mut expired = 0;
    for id in &ids {
        let story = server.wait_settled(id).await;
        if story["state"] == "dead" {
            expired += 1;
            assert_eq!(story["reason"], "expired", "{story:#}");
            let why = story["last_error"].as_str().unwrap();
            assert!(
                why.contains("it waited for a rate limit (slack channel alerts)"),
                "{why}"
            );
        }
    }
    assert!(expired >= 1, "the channel takes one at once");
    assert_eq!(slack.messages().len() + expired, ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_too_old_while_it_waits_for_its_turn_does_not_wait_for_it_any_longer() {
    let slack = Slack::start().await;
    let config = config(FULL).replace(
        "slack-notify: {",
        "slack-notify: { retry: { max_age: 300ms },",
    );
    let setup = Setup::new().slack(&slack).module("slack-notify");
    let server = setup.config(&config).start().await;
    let first = server.accept(&alert("Old", 0, "warning")).await;
    server.wait_settled(&first[0]).await;
    let late = server.accept(&alert("Old", 1, "warning")).await;
    let story = server.wait_settled(&late[0]).await;
    assert_eq!(story["reason"], "expired", "{story:#}");
    let why = story["last_error"].as_str().unwrap();
    assert!(why.contains("slack channel alerts"), "{why}");
    assert_eq!(slack.messages().len(), 1, "its turn has not come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_turn_is_not_retried_and_is_listed_by_its_priority() {
    let slack = Slack::start().await;
    let server = setup(&slack, FULL).start().await;
    let first = server.accept(&alert("First", 0, "warning")).await;
    server.wait_settled(&first[0]).await;
    let waits = server.accept(&alert("Waits", 0, "critical")).await;
    wait_for_channel(&server, "alerts", |c| c.gate.waiting.critical == 1).await;
    let channel = wait_for_channel(&server, "alerts", |_| true).await;
    assert_eq!((channel.gate.alerts, channel.refused), (1, None));
    let retry = format!("/api/v1/deliveries/{}/retry", waits[0]);
    let (status, body) = server.command(&retry).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    let why = body["error"].as_str().unwrap();
    assert!(why.contains("the rate limit of alerts"), "{why}");
    let list = |priority: &str| format!("/api/v1/deliveries?priority={priority}");
    for (priority, id) in [("critical", &waits[0]), ("warning", &first[0])] {
        let (_, body) = server.get(&list(priority)).await;
        let listed = body["deliveries"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "{body:#}");
        assert_eq!(
            (&listed[0]["id"], &listed[0]["priority"]),
            (&json!(id), &json!(priority))
        );
    }
    let (status, body) = server.get(&list("urgent")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let (_, metrics) = server.get_text("/metrics").await;
    let line = "alert_manager_gate_waiting{gate=\"workspace\",priority=\"critical\"} 1";
    assert!(metrics.lines().any(|l| l == line), "{metrics}");
}

/// Returns the deliveries of a server.
async fn deliveries(server: &Server) -> Vec<Delivery> {
    let (_, body) = server.get("/api/v1/deliveries?limit=1000").await;
    serde_json::from_value(body["deliveries"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_delivery_waits_no_more() {
    let slack = Slack::start().await;
    let server = setup(&slack, FULL).start().await;
    let first = server.accept(&alert("First", 0, "warning")).await;
    server.wait_settled(&first[0]).await;
    let mut ids = Vec::new();
    for n in 0..2 {
        ids.extend(server.accept(&alert("Waits", n, "warning")).await);
    }
    wait_for_channel(&server, "alerts", |c| c.gate.waiting.warning == 2).await;
    for id in ids {
        let cancel = format!("/api/v1/deliveries/{id}/cancel");
        assert_eq!(server.command(&cancel).await.0, StatusCode::OK);
    }
    let empty = wait_for_channel(&server, "alerts", |c| c.gate.waiting.total() == 0).await;
    assert_eq!(empty.gate.waiting_since, None);
}
