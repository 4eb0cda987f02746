//! What a server process writes to standard error: alerts that are settled, requests that are refused, its start and its
//! reloads.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tests::alerts;
use tests::process::{Finished, Process, command, finished};
use tests::server::folder;

const CONFIG: &str = "slack: { preview: true, channels: { alerts: \"#alerts\" } }\n";

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

fn ask(dir: &Path, server: &Process, args: &[&str]) -> Finished {
    let mut asking = command(dir, args);
    finished(
        asking
            .env("ALERT_MANAGER_URL", &server.url)
            .output()
            .unwrap(),
    )
}

/// Posts a body as a sender does; returns the status and the answer.
fn post(server: &Process, path: &str, headers: &[&str], body: &str) -> (u16, Value) {
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "-X", "POST", "-w", "\n%{http_code}", "-d", body]);
    for header in headers {
        curl.args(["-H", header]);
    }
    let said = curl.arg(format!("{}{path}", server.url)).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let (answer, status) = said.rsplit_once('\n').unwrap();
    let answer = serde_json::from_str(answer).unwrap_or(Value::Null);
    (status.parse().unwrap(), answer)
}

fn post_alert(server: &Process, alert: &Value) -> String {
    let (status, answer) = post(
        server,
        "/webhook",
        &["Content-Type: application/json"],
        &alert.to_string(),
    );
    assert_eq!(status, 202, "{answer}");
    answer["deliveries"][0]["id"].as_str().unwrap().to_owned()
}

fn scripted(script: &str) -> Value {
    let mut alert = alerts::firing("Probe", &[("step", "act")]);
    alert["annotations"]["script"] = json!(script);
    alert
}

/// Returns a field of a logfmt line, without quotes.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line
        .split_once(&format!(" {name}="))
        .unwrap_or_else(|| panic!("{name} in {line}"));
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap(),
        None => rest.split(' ').next().unwrap(),
    }
}

#[test]
fn each_delivery_that_is_settled_has_a_line_with_its_fields() {
    let dir = folder(&["hostile", "slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let done = post_alert(&server, &alerts::firing("A", &[]));
    let line = server.wait_for_line("delivery settled");
    for (name, value) in [
        ("level", "info"),
        ("delivery", done.as_str()),
        ("alertname", "A"),
        ("status", "firing"),
        ("handlers", "slack-notify"),
        ("outcome", "done"),
        ("attempts", "1"),
    ] {
        assert_eq!(field(&line, name), value, "{line}");
    }
    field(&line, "duration_seconds").parse::<f64>().unwrap();
    assert_eq!(field(&line, "route").len(), 12, "a digest: {line}");

    let dead = post_alert(&server, &alerts::firing("Hostile", &[("mode", "panic")]));
    let line = server.wait_for_line("delivery settled");
    for (name, value) in [
        ("level", "warn"),
        ("delivery", dead.as_str()),
        ("handlers", "hostile"),
        ("outcome", "dead"),
    ] {
        assert_eq!(field(&line, name), value, "{line}");
    }
    assert!(field(&line, "error").contains("hostile"), "{line}");
    assert_ne!(field(&line, "attempts"), "0", "{line}");
}

#[test]
fn what_ends_without_running_has_a_line_too() {
    let dir = folder(&["hostile"]);
    let routes = "routes:\n  - matchers: ['team=\"a\"']\n    handlers: [absent]\n";
    write(dir.path(), "a.yml", &format!("{CONFIG}{routes}"));
    let server = Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    post_alert(&server, &alerts::firing("Nobody", &[]));
    let line = server.wait_for_line("delivery settled");
    assert_eq!(field(&line, "outcome"), "unrouted", "{line}");

    let waiting = post_alert(&server, &alerts::firing("Waits", &[("team", "a")]));
    let cancelled = ask(dir.path(), &server, &["cancel", &waiting]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    let line = server.wait_for_line("delivery settled");
    assert_eq!(field(&line, "outcome"), "cancelled", "{line}");
    assert_eq!(field(&line, "level"), "info", "{line}");

    let good = alerts::firing("Good", &[]);
    let (status, answer) = post(
        &server,
        "/webhook",
        &["Content-Type: application/json"],
        &json!([good, { "labels": 1 }]).to_string(),
    );
    assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
    let refused = answer["rejected"][0]["id"].as_str().unwrap();
    let line = server.wait_for_line(&format!("delivery={refused}"));
    assert_eq!(field(&line, "outcome"), "dead", "{line}");
    assert!(field(&line, "error").contains("labels"), "{line}");
}

#[test]
fn accepted_alerts_are_logged_at_debug_and_json_keeps_numbers_and_a_handlers_fields() {
    let dir = folder(&["probe"]);
    let serve = command(dir.path(), &["serve", "--log.level", "debug"]);
    let server = Process::try_start_logging(serve, "json").unwrap();
    let id = post_alert(&server, &scripted("log hello"));
    let line = |part| -> Value { serde_json::from_str(&server.wait_for_line(part)).unwrap() };
    let accepted = line("alert accepted");
    assert_eq!(accepted["level"], "debug");
    assert_eq!(accepted["delivery"], id);
    assert_eq!(accepted["handlers"], "probe");
    let own = line("hello");
    assert_eq!(
        (
            &own["msg"],
            &own["handler"],
            &own["delivery"],
            &own["field"]
        ),
        (
            &json!("hello"),
            &json!("probe"),
            &json!(id),
            &json!("value")
        ),
        "{own}"
    );
    let settled = line("delivery settled");
    assert!(settled["attempts"].is_u64(), "{settled}");
    assert!(settled["duration_seconds"].is_f64(), "{settled}");
}

#[test]
fn log_level_warn_silences_what_went_well() {
    let dir = folder(&["hostile", "slack-notify"]);
    // The address is not logged at this level, so the test picks a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut serve = command(dir.path(), &["serve", "--log.level", "warn"]);
    serve.args(["--web.listen-address", &address, "--log.format", "logfmt"]);
    let mut server = serve.stderr(Stdio::piped()).spawn().unwrap();
    let url = format!("http://{address}");
    for (name, mode, outcome) in [("A", "none", Some(0)), ("Hostile", "panic", Some(1))] {
        let (name, mode) = (format!("alertname={name}"), format!("mode={mode}"));
        let sent = loop {
            let sent = command(dir.path(), &["send", &name, &mode, "--url", &url]);
            let sent = finished({ sent }.output().unwrap());
            if !sent.stderr.contains("no server answers") {
                break sent;
            }
        };
        assert_eq!(sent.code, outcome, "{sent:?}");
    }
    let pid = server.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status();
    assert!(killed.unwrap().success());
    assert!(server.wait().unwrap().success());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut server.stderr.take().unwrap(), &mut said).unwrap();
    let settled: Vec<_> = said
        .lines()
        .filter(|l| l.contains("delivery settled"))
        .collect();
    assert_eq!(settled.len(), 1, "{said}");
    assert_eq!(field(settled[0], "outcome"), "dead");
    assert!(!said.contains("level=info"), "{said}");
}

#[test]
fn refused_requests_are_logged_once_and_counted_after_that() {
    let dir = folder(&["slack-notify"]);
    let limits = "webhook: { authorization: { credentials: s3cret-word }, body_bytes_max: 1KiB }\n";
    write(dir.path(), "a.yml", &format!("{CONFIG}{limits}"));
    let server = Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    let json = "Content-Type: application/json";
    let (wrong, right) = (
        "Authorization: Bearer wr0ng-word",
        "Authorization: Bearer s3cret-word",
    );
    let alert = alerts::firing("A", &[]).to_string();
    let large = alerts::firing("A", &[("l", &"body-text".repeat(200))]).to_string();
    let origin = "Origin: http://evil.example";
    for (path, headers, body, status, reason) in [
        (
            "/webhook?key=query-word",
            vec![json, wrong],
            &alert,
            401,
            "unauthorized",
        ),
        ("/webhook", vec![json, right], &large, 413, "too_large"),
        (
            "/webhook",
            vec!["Content-Type: text/plain", right],
            &alert,
            415,
            "media_type",
        ),
        (
            "/webhook",
            vec![json, right],
            &"{\"body-text\"".to_owned(),
            400,
            "invalid",
        ),
        ("/webhook", vec![json, right, origin], &alert, 403, "page"),
        ("/webhok", vec![json, right], &alert, 404, "path"),
        ("/api/v1/alerts", vec![json, right], &alert, 410, "path"),
    ] {
        let (answered, answer) = post(&server, path, &headers, body);
        assert_eq!(answered, status, "{answer}");
        if path == "/api/v1/alerts" {
            continue; // one more like the one before
        }
        let line = server.wait_for_line("request refused");
        assert_eq!(field(&line, "level"), "warn", "{line}");
        assert_eq!(field(&line, "reason"), reason, "{line}");
        assert_eq!(field(&line, "status"), status.to_string(), "{line}");
        assert!(field(&line, "peer").starts_with("127.0.0.1:"), "{line}");
        for secret in ["s3cret-word", "wr0ng-word", "query-word", "body-text"] {
            assert!(!line.contains(secret), "{secret} in {line}");
        }
    }
    for _ in 0..3 {
        assert_eq!(post(&server, "/webhook", &[json, wrong], &alert).0, 401);
    }
    let shown = std::process::Command::new("curl")
        .args(["-sS", &format!("{}/metrics", server.url)])
        .output()
        .unwrap();
    let metrics = String::from_utf8(shown.stdout).unwrap();
    for (reason, count) in [
        ("unauthorized", 4),
        ("too_large", 1),
        ("media_type", 1),
        ("invalid", 1),
        ("page", 1),
        ("path", 2),
        ("unavailable", 0),
    ] {
        let line =
            format!("alert_manager_webhook_refused_requests_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    server.signal("TERM");
    // In any order.
    let (one, other) = (
        server.wait_for_line("refused for the same reason"),
        server.wait_for_line("refused for the same reason"),
    );
    let more = |reason: &str| {
        let lines = [&one, &other];
        let line = lines
            .into_iter()
            .find(|line| field(line, "reason") == reason);
        field(line.unwrap(), "more").to_owned()
    };
    assert_eq!(
        (more("unauthorized"), more("path")),
        ("3".into(), "1".into())
    );
}

#[test]
fn a_start_says_what_it_found_and_how_the_last_process_ended() {
    let dir = folder(&["slack-notify"]);
    let routes = "routes:\n  - matchers: ['team=\"a\"']\n    handlers: [absent]\n  - handlers: [slack-notify]\n";
    write(dir.path(), "a.yml", &format!("{CONFIG}{routes}"));
    // A Slack that takes the call and never answers: killed in the middle of a delivery.
    let slack = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || {
        let mut serve = command(dir.path(), &["serve", "--config", "a.yml"]);
        let url = format!("http://{}/", slack.local_addr().unwrap());
        serve
            .env("SLACK_TOKEN", "xoxb-none")
            .env("SLACK_API_URL", url);
        Process::start(serve)
    };
    write(
        dir.path(),
        "a.yml",
        &format!(
            "slack: {{ channels: {{ alerts: \"#alerts\" }} }}\nhandlers: {{ slack-notify: {{ allow: {{ slack: [alerts] }} }} }}\n{routes}"
        ),
    );
    let found = |server: &Process, part: &str| {
        let lines = server.first_lines().iter();
        let line = lines.clone().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("{part} in {lines:?}"))
            .clone()
    };
    let server = start();
    let line = found(&server, "last_end=none");
    assert_eq!(field(&line, "level"), "info", "{line}");
    post_alert(&server, &alerts::firing("Waits", &[("team", "a")]));
    server.wait_for_line("will be retried");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));

    let server = start();
    let line = found(&server, "last_end=clean");
    for (name, value) in [("level", "info"), ("under_lease", "0"), ("dead", "0")] {
        assert_eq!(field(&line, name), value, "{line}");
    }
    // Its next attempt may have been under way at the end.
    let number = |line: &str, name| field(line, name).parse::<u64>().unwrap();
    let waiting = |line: &str| number(line, "queued") + number(line, "retrying");
    assert_eq!(waiting(&line), 1, "{line}");
    post_alert(&server, &alerts::firing("Hangs", &[]));
    let _call = slack.accept().unwrap();
    server.kill();

    let server = start();
    let line = found(&server, "last_end=crash");
    assert_eq!(field(&line, "level"), "warn", "{line}");
    assert!(number(&line, "under_lease") >= 1, "{line}");
    assert_eq!(waiting(&line), 2, "{line}");
    assert!(field(&line, "oldest_seconds").parse::<f64>().unwrap() >= 0.0);
}

#[test]
fn a_reload_reports_the_changes_in_the_log_and_in_its_response() {
    let dir = folder(&["slack-notify"]);
    write(dir.path(), "a.yml", CONFIG);
    let server = Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    let same = ask(dir.path(), &server, &["reload"]);
    assert_eq!(same.stdout, "reloaded: the configuration has not changed\n");
    let line = server.wait_for_line("read again");
    assert_eq!(field(&line, "changed"), "nothing", "{line}");
    let more = "retention: { time: 1d }\nhandlers: { slack-notify: { allow: { slack: [alerts] } } }\nroutes:\n  - name: all\n    handlers: [slack-notify]\n";
    write(dir.path(), "a.yml", &format!("{CONFIG}{more}"));
    let told = ask(dir.path(), &server, &["reload"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for part in [
        "retention: changed",
        "handlers.slack-notify: added",
        "routes.all: added",
    ] {
        assert!(told.stdout.contains(part), "{part} in {told:?}");
    }
    assert!(
        told.stderr.contains("after a restart: retention"),
        "{told:?}"
    );
    let line = server.wait_for_line("read again");
    assert!(
        field(&line, "changed").contains("routes.all: added"),
        "{line}"
    );
    let line = server.wait_for_line("after a restart");
    assert_eq!(field(&line, "keys"), "retention", "{line}");
    let (status, answer) = post(&server, "/-/reload", &[], "");
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({
            "reloaded": true, "changed": [], "needs_restart": ["retention"], "problems": [], "warnings": [],
        })
    );
    let failing = more.replace("name: all", "config: { channel: nowhere }");
    write(dir.path(), "a.yml", &format!("{CONFIG}{failing}"));
    let used = ask(dir.path(), &server, &["reload"]);
    assert_eq!(used.code, Some(1), "{used:?}");
    assert!(
        used.stdout.starts_with(
            "reloaded: the new configuration is in use, with 1 problem in it; changed:\n"
        ),
        "{used:?}"
    );
    assert!(used.stderr.contains("problem a.yml:"), "{used:?}");
    assert!(used.stderr.contains("\nslack:\n  channels:\n"), "{used:?}");
    write(dir.path(), "a.yml", "nonsense: 1\n");
    let refused = ask(dir.path(), &server, &["reload"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("a.yml:1:1"), "{refused:?}");
}

/// `limits.cpu` is a minute and `wall` 30 seconds: it can be used, and would fail each time.
#[test]
fn a_reload_refuses_what_check_refuses_unless_it_is_in_use_already() {
    let dir = folder(&["slack-notify"]);
    let mistaken = "handlers: { slack-notify: { limits: { cpu: 1m } } }\n";
    let serve = || Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    write(dir.path(), "a.yml", CONFIG);
    let server = serve();
    write(dir.path(), "a.yml", &format!("{CONFIG}{mistaken}"));
    let checked = finished(
        command(dir.path(), &["check", "--config", "a.yml"])
            .output()
            .unwrap(),
    );
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let refused = ask(dir.path(), &server, &["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("ends each invocation before that"),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("the old configuration stays"),
        "{refused:?}"
    );
    server.wait_for_line("the new configuration is refused; the old one stays in use");
    let listed = ask(dir.path(), &server, &["handlers", "--json"]);
    assert!(listed.stdout.contains("500ms"), "{listed:?}");
    drop(server);

    // A start serves with it, and goes on reading the rest of the file.
    let server = serve();
    write(
        dir.path(),
        "a.yml",
        &format!("{CONFIG}retention: {{ time: 1d }}\n{mistaken}"),
    );
    let used = ask(dir.path(), &server, &["reload"]);
    assert!(used.stdout.contains("retention: changed"), "{used:?}");
    assert!(
        used.stderr.contains("ends each invocation before that"),
        "{used:?}"
    );
}

/// Standard error is a pipe that nobody reads: alerts are accepted and settled all the same.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let dir = folder(&["slack-notify"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut serve = command(dir.path(), &["serve", "--web.listen-address", &address]);
    let mut server = serve
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("http://{address}");
    // More than a pipe holds, in lines of 300 bytes.
    let group: Vec<_> = (0..500)
        .map(|n| alerts::firing("A", &[("n", &n.to_string())]))
        .collect();
    write(dir.path(), "group.json", &json!(group).to_string());
    let send = || {
        let args = [
            "send",
            "--alert",
            "group.json",
            "--timeout",
            "50s",
            "--json",
            "--url",
            &url,
        ];
        finished(command(dir.path(), &args).output().unwrap())
    };
    let mut sent = send();
    while sent.stderr.contains("no server answers") {
        sent = send();
    }
    assert_eq!(
        sent.code,
        Some(0),
        "every one of them is done: {}",
        sent.stderr
    );
    server.kill().unwrap();
    server.wait().unwrap();
}
