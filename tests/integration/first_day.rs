//! The commands of an operator's first day: a configuration to start from, an alert to try, and what became of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::fakes::{Fault, Sink};
use tests::process::{Finished, Process, binary, command, finished, run};
use tests::server::folder;

fn ask(dir: &Path, server: &Process, args: &[&str]) -> Finished {
    finished(
        command(dir, args)
            .env("ALERT_MANAGER_URL", &server.url)
            .output()
            .unwrap(),
    )
}

fn parsed(told: &Finished) -> Value {
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

#[test]
fn a_first_start_with_an_empty_folder_warns_of_that_alone() {
    let dir = folder(&[]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let lines = server.first_lines().iter();
    let warnings: Vec<_> = lines.filter(|line| line.contains("level=warn")).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn send_posts_an_alert_waits_for_it_and_shows_its_story() {
    let dir = folder(&["kube-pod-crash-looping", "slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let sent = ask(dir.path(), &server, &["send"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    for part in [
        "1 accepted",
        "KubePodCrashLooping firing: done",
        "# KubePodCrashLooping",
    ] {
        assert!(sent.stdout.contains(part), "{part} in {}", sent.stdout);
    }
    // Each is an event of its own, and the newest is what `explain` shows without an ID.
    let labels = [
        "send",
        "alertname=DiskFull",
        "severity=critical",
        "disk=a b",
    ];
    let sent = ask(dir.path(), &server, &labels);
    assert!(sent.stdout.contains("DiskFull firing: done"), "{sent:?}");
    let again = ask(dir.path(), &server, &labels);
    assert!(again.stdout.contains("1 accepted"), "{again:?}");
    let told = ask(dir.path(), &server, &["explain"]);
    assert!(told.stdout.contains("DiskFull firing: done"), "{told:?}");
    assert!(told.stdout.contains("disk: a b"), "{told:?}");
}

/// A server that has just started answers 503 until its handlers are loaded; any other 503 is for the sender to see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_waits_for_a_server_that_loads_its_handlers() {
    let server = Sink::start().await;
    let refused = |error: &str| Fault::Json {
        status: 503,
        body: json!({ "error": error }),
    };
    let loading = refused("the handlers are still being loaded; try again");
    let send = async |timeout: &'static str| {
        let url = server.url();
        let sent = tokio::task::spawn_blocking(move || {
            let dir = tempfile::tempdir().unwrap();
            run(dir.path(), &["send", "--timeout", timeout, "--url", &url])
        });
        sent.await.unwrap()
    };
    server.faults().next_n("/webhook", 2, loading.clone());
    let sent = send("50s").await;
    assert_eq!((sent.code, server.count()), (Some(0), 3), "{sent:?}");
    let bodies = server.received().into_iter().map(|request| request.body);
    let mut bodies: Vec<_> = bodies.collect();
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the same event each time");

    server.faults().next("/webhook", loading);
    let sent = send("0s").await;
    assert_eq!((sent.code, server.count()), (Some(1), 4), "{sent:?}");
    assert!(sent.stderr.contains("still being loaded"), "{sent:?}");

    server.faults().next(
        "/webhook",
        refused("the queue is full: 9 deliveries wait; try again"),
    );
    let sent = send("50s").await;
    assert_eq!((sent.code, server.count()), (Some(1), 5), "{sent:?}");
}

#[test]
fn send_resolves_what_it_sent() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let sent = parsed(&ask(
        dir.path(),
        &server,
        &["send", "alertname=A", "--json"],
    ));
    let resolved = parsed(&ask(
        dir.path(),
        &server,
        &["send", "alertname=A", "--resolve", "--json"],
    ));
    let alert = |sent: &Value| sent["deliveries"][0]["alert"].clone();
    assert_eq!(alert(&resolved)["status"], "resolved", "{resolved}");
    assert_eq!(
        alert(&resolved)["starts_at"],
        alert(&sent)["starts_at"],
        "it ends the firing that was sent"
    );
}

#[test]
fn send_takes_a_file_and_says_what_of_it_was_rejected() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let body = r#"{"status":"firing","alerts":[{"labels":{"alertname":"A"}},{"labels":7}]}"#;
    fs::write(dir.path().join("group.json"), body).unwrap();
    let sent = ask(dir.path(), &server, &["send", "--alert", "group.json"]);
    assert_eq!(sent.code, Some(1), "{sent:?}");
    assert!(sent.stdout.contains("1 accepted"), "{sent:?}");
    assert!(
        sent.stdout.contains("rejected alert 1: alerts[1].labels"),
        "{sent:?}"
    );
    let sent = ask(
        dir.path(),
        &server,
        &["send", "--alert", "group.json", "--resolve", "--json"],
    );
    let sent = parsed(&sent);
    assert_eq!(sent["deliveries"][0]["status"], "resolved", "{sent}");
}

#[test]
fn send_fails_if_the_alert_could_not_be_handled() {
    let dir = folder(&["slack-notify"]);
    let config = "listen: 127.0.0.1:0\nslack: { preview: true }\nroutes:\n  - handlers: [slack-notify]\nhandlers: {}\n";
    fs::write(dir.path().join("c.yml"), config).unwrap();
    let server = Process::start(command(dir.path(), &["serve", "--config", "c.yml"]));
    let sent = ask(dir.path(), &server, &["send", "alertname=A"]);
    assert_eq!(sent.code, Some(1), "nothing is granted: {sent:?}");
    assert!(sent.stdout.contains("A firing: dead"), "{sent:?}");
    let sent = ask(dir.path(), &server, &["send", "alertname=A", "--no-wait"]);
    assert_eq!(sent.code, Some(0), "it was stored: {sent:?}");
}

#[test]
fn tokens_come_from_flags_and_variables() {
    let dir = folder(&["slack-notify"]);
    let config = "listen: 127.0.0.1:0\nslack: { preview: true, channels: { alerts: \"#a\" } }\n\
         webhook: { authorization: { credentials_file: w } }\napi: { authorization: { credentials_file: a } }\n\
         handlers: { slack-notify: { allow: { slack: [alerts] } } }\n";
    for (name, text) in [("c.yml", config), ("w", "webhook"), ("a", "people")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let server = Process::start(command(dir.path(), &["serve", "--config", "c.yml"]));
    let refused = ask(dir.path(), &server, &["send", "alertname=A"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("--webhook-token-file"),
        "{refused:?}"
    );
    assert_advice(
        &refused,
        &[
            "--webhook-token-file",
            "ALERT_MANAGER_WEBHOOK_TOKEN_FILE",
            "webhook.authorization",
        ],
    );
    let wrong = ask(
        dir.path(),
        &server,
        &["send", "alertname=A", "--webhook-token-file", "a"],
    );
    assert_advice(
        &wrong,
        &[
            "that was sent is not",
            "--webhook-token-file",
            "webhook.authorization",
        ],
    );
    let refused = ask(dir.path(), &server, &["deliveries"]);
    assert_advice(
        &refused,
        &[
            "with --token-file",
            "ALERT_MANAGER_TOKEN_FILE",
            "api.authorization",
        ],
    );
    let wrong = ask(dir.path(), &server, &["explain", "--token-file", "w"]);
    assert_advice(
        &wrong,
        &["that was sent is not", "--token-file", "api.authorization"],
    );
    let sent = finished(
        command(dir.path(), &["send", "alertname=A"])
            .env("ALERT_MANAGER_URL", &server.url)
            .env("ALERT_MANAGER_TOKEN_FILE", "a")
            .env("ALERT_MANAGER_WEBHOOK_TOKEN_FILE", "w")
            .output()
            .unwrap(),
    );
    assert!(sent.stdout.contains("A firing: done"), "{sent:?}");
}

fn assert_advice(refused: &Finished, parts: &[&str]) {
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in parts {
        assert!(refused.stderr.contains(part), "{part} in {refused:?}");
    }
}

#[test]
fn send_without_waiting_prints_the_ids_and_a_url_needs_no_scheme() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let address = server.url.trim_start_matches("http://");
    let sent = run(
        dir.path(),
        &["send", "alertname=A", "--no-wait", "--url", address],
    );
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let listed = parsed(&run(
        dir.path(),
        &["deliveries", "--json", "--url", address],
    ));
    let id = listed["deliveries"][0]["id"].as_str().unwrap();
    let line = format!("{id} A → slack-notify");
    assert!(sent.stdout.contains(&line), "{line} in {sent:?}");
}

#[test]
fn deliveries_are_found_by_matchers_and_by_time() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    for team in ["a", "b", "ab"] {
        let label = format!("team={team}");
        let sent = ask(dir.path(), &server, &["send", "alertname=T", &label]);
        assert_eq!(sent.code, Some(0), "{sent:?}");
    }
    let count = |args: &[&str]| {
        let args = [&["deliveries", "--json"], args].concat();
        let listed = parsed(&ask(dir.path(), &server, &args));
        listed["deliveries"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--match", "team=~\"a.*\""]), 2);
    let both = ["--match", "team=~\"a.*\"", "--match", "team!=\"a\""];
    assert_eq!(count(&both), 1);
    assert_eq!(count(&["--match", "team=\"c\""]), 0);
    assert_eq!(count(&["--since", "1h"]), 3);
    assert_eq!(count(&["--since", "2999-01-01T00:00:00Z"]), 0);
    for (flag, value, named) in [
        ("--match", "team", "match \\\"team\\\""),
        ("--since", "soon", "--since"),
    ] {
        let wrong = ask(dir.path(), &server, &["deliveries", flag, value]);
        assert_eq!(wrong.code, Some(1), "{wrong:?}");
        assert!(
            wrong.stderr.replace('"', "\\\"").contains(named),
            "{wrong:?}"
        );
    }
}

#[test]
fn deliveries_are_watched_as_they_come() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let watch = |args: &[&str]| {
        let mut child = command(dir.path(), &[&["deliveries", "--watch"], args].concat())
            .env("ALERT_MANAGER_URL", &server.url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map_while(Result::ok))
    };
    ask(dir.path(), &server, &["send", "alertname=Before"]);
    let (mut child, mut lines) = watch(&[]);
    assert!(lines.next().unwrap().starts_with("ID "));
    assert!(lines.next().unwrap().contains("Before"));
    ask(dir.path(), &server, &["send", "alertname=Meanwhile"]);
    assert!(lines.any(|line| line.contains("done") && line.contains("Meanwhile")));
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, mut lines) = watch(&["--limit", "1"]);
    assert!(lines.next().unwrap().starts_with("ID "));
    assert!(lines.next().unwrap().contains("Meanwhile"));
    ask(dir.path(), &server, &["send", "alertname=Later"]);
    let news = lines.next().unwrap();
    assert!(news.contains("Later"), "what was there is no news: {news}");
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, mut lines) = watch(&["--json", "--match", "alertname=\"Before\""]);
    let line: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(line["alertname"], "Before");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn init_writes_a_configuration_that_check_and_serve_take() {
    let dir = folder(&["kube-pod-crash-looping", "slack-notify"]);
    let written = run(dir.path(), &["init"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let config = dir.path().join("alert-manager.yml");
    let text = fs::read_to_string(&config).unwrap();
    for part in [
        "kube-pod-crash-looping:",
        "slack-notify:",
        "KubePodCrashLooping",
        "dead_letter: { handlers: [slack-notify] }",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let checked = run(dir.path(), &["check", "--config", "alert-manager.yml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let served = command(dir.path(), &["serve", "--config", "alert-manager.yml"]);
    let server = Process::start(served);
    let sent = ask(dir.path(), &server, &["send"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");

    let again = run(dir.path(), &["init"]);
    assert_eq!(again.code, Some(1), "what is there is not overwritten");
    assert!(again.stderr.contains("--force"), "{again:?}");
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    let shown = run(dir.path(), &["init", "--out", "-"]);
    assert_eq!(shown.stdout, text);
    let nowhere = run(dir.path(), &["init", "--handlers", "no-such"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("no-such"), "{nowhere:?}");
}

/// The file may be written anywhere, and the folder of handlers be anywhere else.
#[test]
fn what_init_writes_elsewhere_finds_the_handlers() {
    let dir = folder(&["slack-notify"]);
    fs::create_dir_all(dir.path().join("my conf/deep")).unwrap();
    let absolute = dir.path().join("handlers");
    for (out, handlers) in [
        ("my conf/am.yml", "handlers"),
        ("my conf/deep/am.yml", "./handlers"),
        ("handlers/am.yml", "handlers"),
        ("my conf/absolute.yml", absolute.to_str().unwrap()),
    ] {
        let args = ["init", "--handlers", handlers, "--out", out];
        let written = run(dir.path(), &args);
        assert_eq!(written.code, Some(0), "{written:?}");
        // As it is printed, it can be pasted into a shell.
        let command = written.stdout.lines().find_map(|line| {
            let line = line.trim_start().strip_prefix("2. alert-manager check ")?;
            Some(format!("\"$0\" check {line}"))
        });
        let checked = Command::new("sh")
            .args(["-c", &command.unwrap()])
            .arg(binary())
            .current_dir(dir.path())
            .output()
            .unwrap();
        let checked = finished(checked);
        assert_eq!(checked.code, Some(0), "{out}: {checked:?}");
        let found = checked.stdout.contains("slack-notify");
        assert!(found, "{out}: {checked:?}");
    }
}

/// With every `#` that stands before a key taken away: what the comments offer is understood as well.
#[test]
fn what_init_writes_as_a_comment_is_configuration_too() {
    let dir = folder(&["kube-pod-crash-looping", "slack-notify"]);
    let text = run(dir.path(), &["init", "--out", "-"]).stdout;
    let is_key = |line: &str| {
        let word = line.split(':').next().unwrap_or_default();
        let word = word.trim_start_matches("- ").trim();
        line.contains(':')
            && !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c == '-')
    };
    let opened: String = text
        .lines()
        .map(|line| match line.trim_start().strip_prefix("# ") {
            Some(inner) if is_key(inner.trim()) => line.replacen("# ", "", 1) + "\n",
            _ => line.to_owned() + "\n",
        })
        .collect();
    for secret in ["webhook", "api", "slack", "github"] {
        fs::write(dir.path().join(secret), "secret").unwrap();
    }
    let opened = opened
        .replace("/run/secrets/", "")
        .replace("  preview: true\n", "")
        .replace("https://HOST", "https://kubernetes.default.svc")
        .replace("      http: []\n", "");
    assert!(opened.contains("\nroutes:\n"), "{opened}");
    fs::write(dir.path().join("opened.yml"), &opened).unwrap();
    let checked = run(dir.path(), &["check", "--config", "opened.yml"]);
    assert_eq!(checked.code, Some(0), "{}\n{opened}", checked.stdout);
}

#[test]
fn a_misspelt_command_is_never_answered_with_a_hidden_one() {
    let dir = folder(&[]);
    let wrong = run(dir.path(), &["compile-modul"]);
    assert_eq!(wrong.code, Some(2));
    assert!(!wrong.stderr.contains("compile-module"), "{wrong:?}");
    let wrong = run(dir.path(), &["delivery"]);
    assert!(wrong.stderr.contains("deliveries"), "{wrong:?}");
    let help = run(dir.path(), &["--help"]);
    assert!(!help.stdout.contains("compile-module"), "{help:?}");
    for near in ["compile", "compile-modules", "compilemodule", "module"] {
        let wrong = run(dir.path(), &[near]);
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
        assert!(!wrong.stderr.contains("compile-module'"), "{wrong:?}");
    }
}

#[test]
fn completions_a_manual_page_and_the_version_are_printed() {
    let dir = folder(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(dir.path(), &["completions", shell]);
        assert_eq!(printed.code, Some(0));
        assert!(printed.stdout.contains("deliveries"), "{shell}");
        assert!(!printed.stdout.contains("compile-module"), "{shell}");
    }
    let manual = run(dir.path(), &["man"]);
    assert!(manual.stdout.starts_with(".ie"), "{}", manual.stdout);
    assert!(manual.stdout.contains("explain"));
    let unescaped = manual.stdout.replace("\\-", "-");
    for part in ["--webhook-token-file", "ALERT_MANAGER_STORE", "EXIT STATUS"] {
        assert!(unescaped.contains(part), "{part}");
    }
    let one = run(dir.path(), &["man", "send"]);
    assert!(
        one.stdout.contains("alert-manager send") || one.stdout.contains("alert\\-manager send"),
        "{one:?}"
    );
    assert_eq!(run(dir.path(), &["man", "sned"]).code, Some(1));
    let version = run(dir.path(), &["--version"]).stdout;
    for part in [env!("CARGO_PKG_VERSION"), "commit ", "wasmtime 48."] {
        assert!(version.contains(part), "{part} in {version}");
    }
}
