//! The binary as its users type it: what it prints, and how it exits.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use tests::alerts;
use tests::modules;
use tests::process::{Process, command, finished, run};
use tests::server::drop_in;

/// A folder with `handlers/` and these modules in it.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("handlers")).unwrap();
    for name in names {
        drop_in(
            &modules::path(name),
            &dir.path().join(format!("handlers/{name}.wasm")),
        );
    }
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

#[test]
fn the_server_starts_without_a_configuration_and_shows_the_message() {
    let dir = folder(&["kube-pod-crash-looping", "slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    write(dir.path(), "alert.json", &alerts::readme().to_string());
    let posted = std::process::Command::new("curl")
        .args(["-sS", "-X", "POST", "-H", "Content-Type: application/json"])
        .args(["-d", "@alert.json", &format!("{}/webhook", server.url)])
        .current_dir(dir.path())
        .output()
        .expect("curl runs");
    let answer: Value = serde_json::from_slice(&posted.stdout).unwrap();
    let id = answer["deliveries"][0]["id"].as_str().unwrap();
    let mut told = run(dir.path(), &["explain", id, "--url", &server.url]);
    while !told.stdout.contains("firing: done") {
        told = run(dir.path(), &["explain", id, "--url", &server.url]);
    }
    assert!(
        server
            .stdout()
            .contains("customer-rs-transformer-9b75b488c-cpfd7"),
        "{}",
        server.stdout()
    );
    let listed = run(dir.path(), &["deliveries", "--json", "--url", &server.url]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["deliveries"][0]["id"], id);
    let handlers = run(dir.path(), &["handlers", "--url", &server.url]);
    assert!(handlers.stdout.contains("slack-notify"), "{handlers:?}");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_killed_server_goes_on_where_it_was() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    write(dir.path(), "a.json", &alerts::firing("A", &[]).to_string());
    let post = |url: &str| {
        let posted = std::process::Command::new("curl")
            .args([
                "-sS",
                "-H",
                "Content-Type: application/json",
                "-d",
                "@a.json",
            ])
            .arg(format!("{url}/webhook"))
            .current_dir(dir.path())
            .output()
            .expect("curl runs");
        serde_json::from_slice::<Value>(&posted.stdout).unwrap()
    };
    assert_eq!(post(&server.url)["accepted"], 1);
    server.kill();
    let server = Process::start(command(dir.path(), &["serve"]));
    assert_eq!(
        post(&server.url)["duplicates"],
        1,
        "what was accepted is known"
    );
}

#[test]
fn a_second_server_on_one_store_is_refused() {
    let dir = folder(&[]);
    let _first = Process::start(command(dir.path(), &["serve"]));
    let second = finished(
        command(dir.path(), &["serve", "--listen", "127.0.0.1:0"])
            .output()
            .unwrap(),
    );
    assert_eq!(second.code, Some(1));
    assert_one_line(&second.stderr, "alert-manager.db");
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let dir = folder(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_use = run(dir.path(), &["serve", "--web.listen-address", &address]);
    assert_eq!(in_use.code, Some(1));
    assert_one_line(&in_use.stderr, "PORT=");

    let none = tempfile::tempdir().unwrap();
    let no_folder = run(none.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(no_folder.code, Some(1));
    assert_one_line(&no_folder.stderr, "--handlers");

    let unwritable = finished(
        command(dir.path(), &["serve", "--listen", "127.0.0.1:0"])
            .env("ALERT_MANAGER_STORE", "sqlite:/proc/alert-manager.db")
            .output()
            .unwrap(),
    );
    assert_eq!(unwritable.code, Some(1));
    assert_one_line(&unwritable.stderr, "/proc/alert-manager.db");

    write(
        dir.path(),
        "no-token.yml",
        "slack: { channels: { alerts: \"#alerts\" } }\n",
    );
    let no_token = run(dir.path(), &["serve", "--config.file", "no-token.yml"]);
    assert_eq!(no_token.code, Some(1));
    assert_one_line(&no_token.stderr, "SLACK_TOKEN");

    let no_file = run(dir.path(), &["serve", "--config", "missing.yml"]);
    assert_eq!(no_file.code, Some(1));
    assert_one_line(&no_file.stderr, "missing.yml");

    let no_server = run(dir.path(), &["handlers", "--url", "http://127.0.0.1:9"]);
    assert_eq!(no_server.code, Some(1));
    assert_one_line(&no_server.stderr, "ALERT_MANAGER_URL");
}

/// The last thing said is one line that names what to change.
fn assert_one_line(stderr: &str, named: &str) {
    let errors: Vec<_> = stderr
        .lines()
        .filter(|line| line.starts_with("alert-manager:"))
        .collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(errors[0].contains(named), "{named} in {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn check_prints_all_problems_at_once_with_their_lines() {
    let dir = folder(&["slack-notify"]);
    write(
        dir.path(),
        "three.yml",
        "slack: { preview: true, chanels: {} }\nretention: { time: soon }\nroutes:\n  - matchers: ['severity~critical']\n    handlers: [slack-notify]\n",
    );
    let checked = run(dir.path(), &["check", "--config", "three.yml"]);
    assert_eq!(checked.code, Some(1));
    for part in [
        "three.yml:1:",
        "three.yml:2:",
        "three.yml:4:",
        "3 problems",
        "channels",
    ] {
        assert!(
            checked.stdout.contains(part),
            "{part} in\n{}",
            checked.stdout
        );
    }

    write(
        dir.path(),
        "good.yml",
        "slack: { preview: true, channels: { alerts: \"#alerts\" } }\nroutes:\n  - handlers: [slack-notify]\nhandlers:\n  slack-notify: { allow: { slack: [alerts] } }\n",
    );
    let checked = run(dir.path(), &["check", "--config", "good.yml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("slack-notify"),
        "{}",
        checked.stdout
    );

    fs::write(dir.path().join("handlers/bad.wasm"), b"no").unwrap();
    let checked = run(dir.path(), &["check", "--config", "good.yml", "--json"]);
    assert_eq!(checked.code, Some(1));
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert!(
        checked["problems"][0]
            .as_str()
            .unwrap()
            .contains("bad.wasm"),
        "{checked}"
    );
}

#[test]
fn the_example_configuration_is_valid() {
    let dir = folder(&["slack-notify", "kube-pod-crash-looping"]);
    let example = modules::workspace().join("host/alert-manager.example.yml");
    let handlers = dir.path().join("handlers");
    let checked = finished(
        command(
            dir.path(),
            &[
                "check",
                "--config",
                example.to_str().unwrap(),
                "--handlers",
                handlers.to_str().unwrap(),
            ],
        )
        .env("SLACK_TOKEN", "xoxb-none")
        .output()
        .unwrap(),
    );
    assert_eq!(
        checked.code,
        Some(0),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
}

#[test]
fn routes_says_which_match_and_why() {
    let dir = folder(&["slack-notify", "kube-pod-crash-looping"]);
    write(dir.path(), "alert.json", &alerts::readme().to_string());
    let routed = run(dir.path(), &["routes", "--alert", "alert.json", "--json"]);
    let routed: Value = serde_json::from_str(&routed.stdout).unwrap();
    assert_eq!(
        routed,
        json!({ "matched": [{ "route": 0, "handlers": ["kube-pod-crash-looping"] }] })
    );
    let routed = run(
        dir.path(),
        &["routes", "severity=critical", "alertname=Other"],
    );
    assert_eq!(routed.code, Some(0));
    assert!(
        routed.stdout.contains("slack-notify: matches"),
        "{}",
        routed.stdout
    );
    let wrong = run(dir.path(), &["routes"]);
    assert_eq!(wrong.code, Some(2), "a usage error");
    let wrong = run(dir.path(), &["routes", "severity"]);
    assert_eq!(wrong.code, Some(2), "a usage error");
    assert!(wrong.stderr.contains("NAME=VALUE"), "{}", wrong.stderr);
    let wrong = run(dir.path(), &["serv"]);
    assert_eq!(wrong.code, Some(2), "a usage error");
}

#[test]
fn a_reload_takes_a_good_configuration_and_refuses_a_bad_one() {
    let dir = folder(&["slack-notify"]);
    let good = "slack: { preview: true, channels: { alerts: \"#alerts\" } }\nhandlers:\n  slack-notify: { allow: { slack: [alerts] } }\n";
    write(dir.path(), "a.yml", good);
    let server = Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    write(dir.path(), "a.yml", "nonsense: true\n");
    server.signal("HUP");
    let refused = server.wait_for_line("refused");
    assert!(refused.contains("a.yml:1:1"), "{refused}");
    write(
        dir.path(),
        "a.yml",
        &format!(
            "{good}routes:\n  - matchers: ['alertname=\"A\"']\n    handlers: [slack-notify]\n"
        ),
    );
    server.signal("HUP");
    server.wait_for_line("read again");
}

#[test]
fn a_signal_ends_a_server_that_has_nothing_to_do_at_once() {
    let dir = folder(&[]);
    let server = Process::start(command(dir.path(), &["serve"]));
    server.signal("INT");
    assert_eq!(server.wait(), Some(0), "nothing runs: the first is enough");
}
