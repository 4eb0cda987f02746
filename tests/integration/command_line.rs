//! The binary as its users type it: what it prints, and how it exits.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::alerts;
use tests::modules;
use tests::process::{Process, command, finished, run};
use tests::server::{drop_in, folder};

/// Posts a file of the folder as a user would.
fn post(dir: &Path, file: &str, url: &str) -> Value {
    let posted = std::process::Command::new("curl")
        .args(["-sS", "-X", "POST", "-H", "Content-Type: application/json"])
        .args(["-d", &format!("@{file}"), &format!("{url}/webhook")])
        .current_dir(dir)
        .output()
        .expect("curl runs");
    serde_json::from_slice(&posted.stdout).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

#[test]
fn the_server_starts_without_a_configuration_and_shows_the_message() {
    let dir = folder(&["kube-pod-crash-looping", "slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    write(dir.path(), "alert.json", &alerts::readme().to_string());
    let answer = post(dir.path(), "alert.json", &server.url);
    let id = answer["deliveries"][0]["id"].as_str().unwrap();
    let mut told = run(dir.path(), &["explain", id, "--url", &server.url]);
    while !told.stdout.contains("firing: done") {
        told = run(dir.path(), &["explain", id, "--url", &server.url]);
    }
    assert!(
        told.stdout
            .contains("# KubePodCrashLooping · customer/customer-rs-transformer"),
        "the message is kept with its delivery: {}",
        told.stdout
    );
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
fn a_killed_server_continues_after_its_restart() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    write(dir.path(), "a.json", &alerts::firing("A", &[]).to_string());
    let post = |url: &str| post(dir.path(), "a.json", url);
    assert_eq!(post(&server.url)["accepted"], 1);
    server.kill();
    let server = Process::start(command(dir.path(), &["serve"]));
    assert_eq!(
        post(&server.url)["duplicates"],
        1,
        "what was accepted is known"
    );
}

#[cfg(unix)]
#[test]
fn a_missing_target_is_said_once_with_the_command_to_run() {
    let dir = folder(&[]);
    for (name, script) in [
        ("rustc", "echo /nowhere"),
        ("rustup", "echo 'error: no network' >&2; exit 1"),
    ] {
        let source = format!("{name}.sh");
        write(dir.path(), &source, &format!("#!/bin/sh\n{script}\n"));
        // Put in place by another process: one that this one wrote could still be open in a process that
        // another test starts meanwhile, and Linux runs no file that is open for writing.
        let install = std::process::Command::new("install")
            .args(["-m", "755", &source, name])
            .current_dir(dir.path())
            .status();
        assert!(install.unwrap().success());
    }
    for name in ["one", "two"] {
        fs::create_dir_all(dir.path().join(name).join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n[lib]\ncrate-type = [\"cdylib\"]\n"
        );
        write(&dir.path().join(name), "Cargo.toml", &manifest);
        write(&dir.path().join(name), "src/lib.rs", "");
    }
    write(
        dir.path(),
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\"]\n",
    );
    let path = std::env::var("PATH").unwrap();
    let built = command(dir.path(), &["build", "."])
        .env("PATH", format!("{}:{path}", dir.path().display()))
        .output()
        .unwrap();
    let built = finished(built);
    assert_eq!(built.code, Some(1));
    let command = "rustup target add wasm32-wasip2";
    for part in [
        format!("running {command}"),
        format!("&& {command}"),
        "error: no network".to_owned(),
    ] {
        assert_eq!(
            built.stderr.matches(&part).count(),
            1,
            "{part}: {}",
            built.stderr
        );
    }
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
        "slack: { channels: { alerts: \"#alerts\" } }\nhandlers: { post: { allow: { slack: [alerts] } } }\n",
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

    write(
        dir.path(),
        "misspelt.yml",
        "slack: { preview: true, channels: { alerts: \"#alerts\" } }\nroutes:\n  - handlers: [slack-notify]\nhandlers:\n  slack-notfy: { allow: { slack: [alerts] } }\n",
    );
    let checked = run(dir.path(), &["check", "--config", "misspelt.yml"]);
    let warning = "handlers.slack-notfy: no module in handlers has this name";
    assert!(checked.stdout.contains(warning), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("did you mean slack-notify?"),
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
    let nowhere = run(dir.path(), &["routes", "--handlers", "no-such", "a=b"]);
    assert!(
        nowhere.stderr.contains("no-such: no such folder"),
        "an empty answer has a reason: {}",
        nowhere.stderr
    );
}

#[test]
fn check_looks_at_the_modules_of_a_wrong_configuration_too() {
    let dir = folder(&["slack-notify"]);
    fs::rename(dir.path().join("handlers"), dir.path().join("mods")).unwrap();
    fs::write(dir.path().join("mods/bad.wasm"), b"no").unwrap();
    write(
        dir.path(),
        "wrong.yml",
        "handlers_dir: mods\nslack: { preview: true }\nnonsense: 1\n",
    );
    let checked = run(dir.path(), &["check", "--config", "wrong.yml"]);
    assert_eq!(checked.code, Some(1));
    for part in ["wrong.yml:3:1", "bad.wasm", "2 problems"] {
        assert!(
            checked.stdout.contains(part),
            "{part} in\n{}",
            checked.stdout
        );
    }
}

#[test]
fn check_warns_of_what_nothing_leads_to() {
    let dir = folder(&["kube-pod-crash-looping", "slack-notify"]);
    write(
        dir.path(),
        "a.yml",
        "slack: { preview: true }\nroutes:\n  - matchers: ['alertname=\"A\"']\n    handlers: [slack-notify]\n",
    );
    let checked = run(dir.path(), &["check", "--config", "a.yml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("every route has matchers"),
        "{}",
        checked.stdout
    );
    assert!(
        !checked.stdout.contains("is never run"),
        "each is named, or names an alert: {}",
        checked.stdout
    );
}

#[test]
fn a_flag_of_other_servers_is_answered_with_the_one_that_there_is() {
    let dir = folder(&[]);
    let wrong = run(dir.path(), &["serve", "--port", "8080"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("--web.listen-address"), "{wrong:?}");
    let help = run(dir.path(), &["serve", "--help"]);
    assert!(!help.stdout.contains("--port"), "{help:?}");
}

#[test]
fn an_alert_that_no_route_takes_is_no_success_of_send() {
    let dir = folder(&["kube-pod-crash-looping"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let send = |words: &[&str]| {
        let all = [&["send", "--url", &server.url], words].concat();
        run(dir.path(), &all)
    };
    for words in [
        &["alertname=KubePodCrashLoping"][..],
        &["alertname=KubePodCrashLoping", "pod=b", "--no-wait"],
    ] {
        let sent = send(words);
        assert_eq!(sent.code, Some(1), "{sent:?}");
        for part in [
            "no route took KubePodCrashLoping, so no handler ran",
            "did you mean KubePodCrashLooping?",
        ] {
            assert!(sent.stderr.contains(part), "{part}: {sent:?}");
        }
    }
    let sent = send(&["severity=critical"]);
    assert_eq!(sent.code, Some(1), "{sent:?}");
    assert!(sent.stderr.contains("has no label alertname"), "{sent:?}");
    let sent = send(&[
        "alertname=KubePodCrashLooping",
        "pod=a",
        "namespace=b",
        "--no-wait",
    ]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
}

#[test]
fn a_file_with_another_hash_than_its_pin_is_one_problem() {
    let dir = folder(&["slack-notify"]);
    let pin = "0".repeat(64);
    let text = format!(
        "slack: {{ preview: true }}\nhandlers:\n  slack-notify: {{ sha256: '{pin}', allow: {{ slack: [alerts] }} }}\n"
    );
    write(dir.path(), "am.yml", &text);
    let checked = run(dir.path(), &["check", "--config", "am.yml"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert_eq!(
        checked.stdout.matches(&pin).count(),
        1,
        "{}",
        checked.stdout
    );
    assert!(
        checked.stdout.contains("am.yml:2:") || checked.stdout.contains("am.yml:3:"),
        "{}",
        checked.stdout
    );
    assert!(
        checked.stdout.ends_with("1 problem\n"),
        "{}",
        checked.stdout
    );
}

#[test]
fn a_route_to_a_handler_that_is_missing_says_nothing_of_storms() {
    let dir = folder(&["slack-notify"]);
    let text = "slack: { preview: true }\nroutes:\n  - handlers: [slak-notify]\nhandlers:\n  slack-notify: { allow: { slack: [alerts] } }\n";
    write(dir.path(), "am.yml", text);
    let checked = run(dir.path(), &["check", "--config", "am.yml"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(
        checked.stdout.contains("did you mean slack-notify?"),
        "{}",
        checked.stdout
    );
    let storms = checked
        .stdout
        .lines()
        .filter(|line| line.starts_with("in a storm"));
    let storms: Vec<_> = storms.filter(|line| line.contains("slak-notify")).collect();
    assert_eq!(storms, [] as [&str; 0]);
}

#[test]
fn what_the_asking_commands_do_not_take_is_a_usage_error() {
    let dir = folder(&[]);
    for args in [
        ["deliveries", "--state", "lost"],
        ["deliveries", "--limit", "0"],
        ["deliveries", "--limit", "1001"],
    ] {
        let wrong = run(dir.path(), &args);
        assert_eq!(wrong.code, Some(2), "{args:?}: {}", wrong.stderr);
    }
    let empty = command(dir.path(), &["handlers"])
        .env("ALERT_MANAGER_URL", "")
        .output()
        .unwrap();
    let said = finished(empty).stderr;
    assert!(!said.contains("is no URL"), "empty is not set: {said}");
}

#[test]
fn help_names_the_short_forms_and_the_version_is_printed() {
    let dir = folder(&[]);
    let help = run(dir.path(), &["serve", "--help"]);
    assert_eq!(help.code, Some(0));
    for flag in [
        "--config.file",
        "--config]",
        "--web.listen-address",
        "--listen]",
        "--handlers",
        "--web.external-url",
        "--log.level",
        "--log.format",
    ] {
        assert!(help.stdout.contains(flag), "{flag} in\n{}", help.stdout);
    }
    let version = run(dir.path(), &["-V"]);
    assert_eq!(
        version.stdout.trim(),
        format!("alert-manager {}", env!("CARGO_PKG_VERSION"))
    );
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
fn what_a_guest_says_arrives_with_handler_delivery_and_alertname() {
    let dir = folder(&["hostile"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let alert = alerts::firing("Hostile", &[("mode", "panic")]);
    write(dir.path(), "a.json", &alert.to_string());
    let answer = post(dir.path(), "a.json", &server.url);
    let id = answer["deliveries"][0]["id"].as_str().unwrap();
    let said = format!("handler=hostile delivery={id} alertname=Hostile");
    let line = server.wait_for_line("the author's own words");
    assert!(line.contains(&said), "{line}");
    let failed = server.wait_for_line("step failed, not retried");
    for part in ["panicked at", "hostile::harm", &format!("delivery={id}")] {
        assert!(failed.contains(part), "{part} in {failed}");
    }
}

#[test]
fn a_signal_ends_a_server_that_has_nothing_to_do_at_once() {
    let dir = folder(&[]);
    let server = Process::start(command(dir.path(), &["serve"]));
    server.signal("INT");
    assert_eq!(server.wait(), Some(0), "nothing runs: the first is enough");
}

/// A server that accepts connections can also be stopped, even if it has not logged yet that it listens.
#[test]
fn a_signal_while_the_server_starts_ends_it_in_order() {
    let dir = folder(&[]);
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut serve = command(dir.path(), &["serve", "--web.listen-address"]);
    let mut server = serve.arg(address.to_string()).spawn().unwrap();
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it never listened"
        );
        std::thread::yield_now();
    }
    let pid = server.id().to_string();
    for signal in ["HUP", "TERM"] {
        let sent = std::process::Command::new("kill")
            .args(["-s", signal, &pid])
            .status();
        assert!(sent.unwrap().success());
    }
    assert_eq!(
        server.wait().unwrap().code(),
        Some(0),
        "not ended by the signal itself"
    );
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let dir = folder(&["slack-notify"]);
    // A Slack that takes the call and never answers: the first signal waits for it.
    let slack = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut serve = command(dir.path(), &["serve"]);
    serve.env("SLACK_TOKEN", "xoxb-none").env(
        "SLACK_API_URL",
        format!("http://{}/", slack.local_addr().unwrap()),
    );
    let server = Process::start(serve);
    write(dir.path(), "a.json", &alerts::firing("A", &[]).to_string());
    assert_eq!(post(dir.path(), "a.json", &server.url)["accepted"], 1);
    let _call = slack.accept().unwrap();
    server.signal("TERM");
    server.wait_for_line("shutting down");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(130));
}

#[test]
fn an_alert_says_nothing_to_the_terminal_that_asks_about_it() {
    let dir = folder(&["slack-notify"]);
    let hostile = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{7}\nattempt 9 at now: done";
    let name = format!("Evil {hostile}");
    let mut alert = alerts::firing(&name, &[("pod", hostile), ("severity", hostile)]);
    alert["annotations"]["summary"] = json!(hostile);
    write(dir.path(), "alert.json", &alert.to_string());
    let server = Process::start(command(dir.path(), &["serve"]));
    let posted = std::process::Command::new("curl")
        .args(["-sS", "-H", "Content-Type: application/json"])
        .args(["-d", "@alert.json", &format!("{}/webhook", server.url)])
        .current_dir(dir.path())
        .output()
        .expect("curl runs");
    let answer: Value = serde_json::from_slice(&posted.stdout).unwrap();
    let id = answer["deliveries"][0]["id"].as_str().unwrap();
    let ask = |args: &[&str]| run(dir.path(), &[args, &["--url", &server.url]].concat());
    while !ask(&["explain", id]).stdout.contains("firing: done") {}
    let mut shown = vec![
        ask(&["explain", id]).stdout,
        ask(&["explain", id, "--json"]).stdout,
        ask(&["deliveries"]).stdout,
        ask(&["deliveries", "--json"]).stdout,
        ask(&["handlers"]).stdout,
        server.stdout(),
    ];
    for args in [&["routes", "--alert", "alert.json"][..], &["check"]] {
        let told = run(dir.path(), args);
        shown.extend([told.stdout, told.stderr]);
    }
    assert!(shown[5].contains("Slack preview"), "{}", shown[5]);
    for text in shown {
        let obeyed = text
            .find(|c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}'));
        assert_eq!(obeyed, None, "{text:?}");
        assert!(
            !text.starts_with("attempt 9") && !text.contains("\nattempt 9"),
            "{text}"
        );
    }
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (slack, sink) = runtime.block_on(async {
        (
            tests::fakes::Slack::start().await,
            tests::fakes::Sink::start().await,
        )
    });
    let dir = folder(&[]);
    let module = modules::path("guest-effects");
    drop_in(&module, &dir.path().join("handlers/effects.wasm"));
    let url = sink.url();
    let config = format!(
        "handlers_dir: handlers\nslack: {{ channels: {{ alerts: '#alerts' }} }}\nhandlers:\n  effects:\n    \
         allow: {{ http: ['{url}'], slack: [alerts] }}\n    config: {{ sink: '{url}/effect' }}\n"
    );
    write(dir.path(), "am.yml", &config);
    write(
        dir.path(),
        "a.json",
        &alerts::firing("Effects", &[]).to_string(),
    );
    let mut serve = command(dir.path(), &["serve", "--config.file", "am.yml"]);
    serve
        .env("SLACK_TOKEN", tests::fakes::slack::TOKEN)
        .env("SLACK_API_URL", slack.api_url());
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        // Nothing listens there: a request through this proxy would fail.
        serve.env(name, "http://127.0.0.1:9");
    }
    let server = Process::start(serve);
    let posted = std::process::Command::new("curl")
        .args([
            "-sS",
            "--noproxy",
            "*",
            "-H",
            "Content-Type: application/json",
        ])
        .args(["-d", "@a.json", &format!("{}/webhook", server.url)])
        .current_dir(dir.path())
        .output()
        .expect("curl runs");
    assert!(posted.status.success(), "{posted:?}");
    let came = runtime.block_on(sink.wait_for_count(1));
    assert_eq!(came[0].path, "/effect");
    assert_eq!(slack.messages().len(), 1);
}

/// Otherwise the token would be sent to the program that listens on the proxy's address.
#[test]
fn a_server_on_this_machine_is_asked_past_the_proxy_of_the_environment() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let mut asking = command(dir.path(), &["handlers"]);
    asking.env("ALERT_MANAGER_URL", &server.url);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        // Nobody listens there.
        asking.env(name, "http://127.0.0.1:1");
    }
    for name in ["NO_PROXY", "no_proxy"] {
        asking.env_remove(name);
    }
    let asked = finished(asking.output().unwrap());
    assert_eq!(asked.code, Some(0), "{asked:?}");
}

#[test]
fn a_store_that_cannot_be_moved_is_named_and_a_password_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let missing = run(
        dir.path(),
        &["migrate-store", "sqlite:none.db", "sqlite:new.db"],
    );
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(
        missing.stderr.contains("there is no store none.db"),
        "{missing:?}"
    );
    assert!(!dir.path().join("new.db").exists());
    let wrong = "postgres://am:hunter2@db.example.com/alerts?sslmod=require";
    for (from, to, which) in [
        (wrong, "sqlite:new.db", "FROM"),
        ("sqlite:none.db", wrong, "TO"),
    ] {
        let refused = run(dir.path(), &["migrate-store", from, to]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let said = format!("{which} is not the URL of a store");
        assert!(refused.stderr.contains(&said), "{refused:?}");
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
    }
}
