//! The review of a configuration together with the modules: `check`, the log, the answer of a reload, and Slack's answers.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::fakes::slack::{ChannelKind, TOKEN};
use tests::fakes::{Fault, Gate, Sink, Slack};
use tests::process::{Finished, Process, command, finished, run};
use tests::server::{Setup, drop_in, folder};
use tests::{alerts, modules};

const HEAD: &str =
    "slack: { preview: true, channels: { alerts: \"#alerts\", oncall: \"#oncall\" } }\n";

fn check(dir: &Path, text: &str) -> Finished {
    fs::write(dir.join("c.yml"), text).unwrap();
    run(dir, &["check", "--config", "c.yml"])
}

/// The bundled modules declare their settings, and the command prints the review's findings.
#[test]
fn check_refuses_what_would_kill_every_alert_and_takes_the_remedy() {
    let dir = folder(&["slack-notify", "kube-pod-crash-looping"]);
    let kube = "  kube-pod-crash-looping: { allow: { slack: [alerts] } }\n";
    for (text, says, mended) in [
        (
            "handlers:\n  slack-notify: { allow: { slack: [oncall] } }\n",
            &["c.yml:3:35: ", "slack: [alerts, oncall]"][..],
            "handlers:\n  slack-notify:\n    allow:\n      slack: [alerts, oncall]\n",
        ),
        (
            "routes:\n  - handlers: [slack-notify]\n    config: { channel: alrets }\nhandlers:\n  slack-notify: { allow: { slack: [alerts] } }\n",
            &["c.yml:4:24: ", "did you mean alerts?"],
            "routes:\n  - handlers: [slack-notify]\n    config: { channel: alerts }\nhandlers:\n  slack-notify: { allow: { slack: [alerts] } }\n",
        ),
        (
            "handlers:\n  slack-notify: { allow: { slack: [alerts] }, config: { emojy: off } }\n",
            &["c.yml:3:64: ", "did you mean emoji?"],
            "handlers:\n  slack-notify: { allow: { slack: [alerts] }, config: { emoji: off } }\n",
        ),
    ] {
        let checked = check(dir.path(), &format!("{HEAD}{text}{kube}"));
        assert_eq!(checked.code, Some(1), "{text}{}", checked.stdout);
        for part in says {
            assert!(
                checked.stdout.contains(part),
                "{part} in\n{}",
                checked.stdout
            );
        }
        let checked = check(dir.path(), &format!("{HEAD}{mended}{kube}"));
        assert_eq!(checked.code, Some(0), "{mended}{}", checked.stdout);
    }
}

#[test]
fn what_can_be_read_is_checked_whatever_else_keeps_the_server_from_starting() {
    let dir = folder(&["slack-notify"]);
    let wrong =
        "handlers:\n  slack-notify: { allow: { slack: [alerts] }, config: { emojy: off } }\n";
    for (first, place) in [
        // No token.
        (
            "slack: { channels: { alerts: \"#alerts\" } }\n",
            "c.yml:1:8: ",
        ),
        ("slack: { token_file: /nowhere/at/all }\n", "c.yml:1:22: "),
        // A part that has nothing to do with handlers.
        (
            "retention: { time: soon }\nslack: { preview: true }\n",
            "c.yml:1:20: ",
        ),
        (
            "listen: 0.0.0.0:5000\nslack: { preview: true }\n",
            "c.yml:1:9: ",
        ),
        (
            "credentials: { wiki: { authorization: { credentials_env: NO_SUCH_VARIABLE }, origins: [\"https://wiki.example.com\"] } }\nslack: { preview: true }\n",
            "c.yml:1:58: ",
        ),
    ] {
        let checked = check(dir.path(), &format!("{first}{wrong}"));
        assert_eq!(checked.code, Some(1));
        for part in [place, "did you mean emoji?", "2 problems"] {
            assert!(
                checked.stdout.contains(part),
                "{part} in\n{}",
                checked.stdout
            );
        }
    }
    // Settings that are there are compared even if a part that a review needs could not be read.
    let checked = check(dir.path(), &format!("slack: 7\n{wrong}"));
    for part in ["did you mean emoji?", "3 problems"] {
        assert!(
            checked.stdout.contains(part),
            "{part} in\n{}",
            checked.stdout
        );
    }
    // Without the part that could not be read, settings would seem to be missing.
    let checked = check(dir.path(), "slack: 7\nhandlers: { slack-notify: 7 }\n");
    assert!(!checked.stdout.contains("emoji"), "{}", checked.stdout);
}

#[test]
fn a_misspelt_handler_is_named_together_with_all_other_problems() {
    let dir = folder(&["slack-notify"]);
    let text = "slack: { preview: true }\nretention: { time: soon }\nroutes:\n  - handlers: [slack-notfy]\ndead_letter: { handlers: [slack-notifi] }\n";
    let checked = check(dir.path(), text);
    assert_eq!(checked.code, Some(1));
    for part in [
        "c.yml:2:20: ",
        "c.yml:4:16: routes[0].handlers[0]",
        "c.yml:5:27: dead_letter.handlers[0]",
        "did you mean slack-notify?",
        "3 problems",
    ] {
        assert!(
            checked.stdout.contains(part),
            "{part} in\n{}",
            checked.stdout
        );
    }
}

#[test]
fn check_says_which_file_it_looked_at() {
    let dir = folder(&["slack-notify"]);
    let none = run(dir.path(), &["check"]);
    assert!(
        none.stdout
            .contains("checked no configuration file: the defaults"),
        "{none:?}"
    );
    assert!(!none.stdout.contains("alert-manager.yml"), "{none:?}");
    fs::write(dir.path().join("alert-manager.yml"), "nonsense: 1\n").unwrap();
    let unused = run(dir.path(), &["check"]);
    assert_eq!(unused.code, Some(0), "{unused:?}");
    assert!(
        unused.stdout.contains(
            "alert-manager.yml is here and not used: name it with --config.file alert-manager.yml"
        ),
        "{unused:?}"
    );
    let named = run(dir.path(), &["check", "--config", "alert-manager.yml"]);
    assert_eq!(named.code, Some(1));
    assert!(
        named.stdout.contains("checked alert-manager.yml"),
        "{named:?}"
    );
    assert!(!named.stdout.contains("not used"), "{named:?}");
}

/// `check --json` lists what each module can be set to.
#[test]
fn the_settings_of_the_bundled_handlers_are_listed() {
    let dir = folder(&["slack-notify", "kube-pod-crash-looping"]);
    let checked = run(dir.path(), &["check", "--json"]);
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    for (module, settings) in [
        ("slack-notify", &["channel", "emoji", "runbook_base"][..]),
        (
            "kube-pod-crash-looping",
            &["channel", "logs", "cluster.*.url", "emoji.critical"],
        ),
    ] {
        let modules = checked["modules"].as_array().unwrap();
        let found = modules.iter().find(|m| m["name"] == module).unwrap();
        let names: Vec<_> = found["settings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| &s["name"])
            .collect();
        for setting in settings {
            assert!(
                names.iter().any(|name| *name == setting),
                "{setting} in {names:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_what_check_says_and_serves_all_the_same() {
    let server = Setup::new()
        .config(&format!(
            "{HEAD}routes:\n  - handlers: [slack-notfy]\n  - handlers: [slack-notify]\nhandlers:\n  slack-notify: {{ allow: {{ slack: [oncall] }} }}\n"
        ))
        .module("slack-notify")
        .start()
        .await;
    let handler = server
        .wait_for_handler(|h| h["name"] == "slack-notify")
        .await;
    let problem = handler["problems"][0].as_str().unwrap();
    assert!(problem.contains("slack: [alerts, oncall]"), "{handler:#}");
    // This endpoint is open to anybody, so it gives no names.
    let (status, ready) = server.get_text("/readyz").await;
    assert_eq!(status, 200);
    assert_eq!(
        ready,
        "ready\n2 problems, 1 warning: see the log or `alert-manager check`\n"
    );
    let (_, answer) = server.command("/-/reload").await;
    let problems = answer["problems"].to_string();
    for part in ["did you mean slack-notify?", "granted: oncall"] {
        assert!(problems.contains(part), "{part} in {answer:#}");
    }
}

#[test]
fn a_reload_answers_with_the_warnings_and_the_log_has_them_again() {
    let dir = folder(&["slack-notify"]);
    let good = format!("{HEAD}handlers:\n  slack-notify: {{ allow: {{ slack: [alerts] }} }}\n");
    let file = dir.path().join("a.yml");
    fs::write(&file, &good).unwrap();
    let server = Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    let text = good.replace("[alerts]", "[oncall]") + "retention: { time: 1d }\n";
    fs::write(&file, text).unwrap();
    server.signal("HUP");
    let line = server.wait_for_line("which slack-notify is not granted");
    assert!(
        line.contains("level=error") && line.contains("a.yml:3:"),
        "{line}"
    );
    server.wait_for_line("read again");
    let answer = post(&format!("{}/-/reload", server.url));
    let problems = answer["problems"].as_array().unwrap();
    assert!(
        problems[0].as_str().unwrap().starts_with("a.yml:3:"),
        "{answer}"
    );
    fs::write(&file, format!("{good}sandbox: {{ invocations: 3 }}\n")).unwrap();
    let answer = post(&format!("{}/-/reload", server.url));
    let restarts = answer["needs_restart"].as_array().unwrap();
    assert!(restarts.iter().any(|key| key == "sandbox"), "{answer}");
    assert_eq!(answer["problems"], serde_json::json!([]), "{answer}");
}

fn post(url: &str) -> serde_json::Value {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            alert_manager::runtime::install_crypto();
            let answer = reqwest::Client::new().post(url).send().await.unwrap();
            serde_json::from_str(&answer.text().await.unwrap()).unwrap()
        })
}

#[test]
fn a_module_that_is_dropped_later_is_checked_when_it_loads() {
    let dir = folder(&["slack-notify"]);
    let text = format!("{HEAD}handlers:\n  slack-notify: {{ allow: {{ slack: [alerts] }} }}\n");
    fs::write(dir.path().join("a.yml"), text).unwrap();
    let server = Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    let to = dir.path().join("handlers/kube-pod-crash-looping.wasm");
    drop_in(&modules::path("kube-pod-crash-looping"), &to);
    let line =
        server.wait_for_line("kube-pod-crash-looping is limited: it is granted no Slack channel");
    assert!(line.contains("handler=kube-pod-crash-looping"), "{line}");
}

/// What the first module is missing is in the log before the server is ready, and not again when the next module comes.
#[test]
fn what_is_limited_at_the_start_is_logged_once() {
    let dir = folder(&["kube-pod-crash-looping"]);
    fs::write(dir.path().join("a.yml"), HEAD).unwrap();
    let start = || Process::start(command(dir.path(), &["serve", "--config", "a.yml"]));
    start().kill();
    // From its cache a module is loaded before anything else has begun.
    let server = start();
    let to = dir.path().join("handlers/slack-notify.wasm");
    drop_in(&modules::path("slack-notify"), &to);
    let next = server.wait_for_line("is limited");
    assert!(next.contains("handler=slack-notify"), "{next}");
}

/// The lines that a refusal prints can be followed from the state without a file, with a token, too.
#[test]
fn what_is_refused_without_a_file_can_be_granted_by_the_lines_and_keeps_slack() {
    let dir = folder(&["slack-notify", "kube-pod-crash-looping"]);
    let checked = run(dir.path(), &["check"]);
    assert!(
        checked.stdout.contains("`alert-manager init`"),
        "{}",
        checked.stdout
    );
    let lines = "      http: [\"https://kubernetes.default.svc\"]\n      slack: [alerts]";
    assert!(checked.stdout.contains(lines), "{}", checked.stdout);
    let with_token = |args: &[&str]| {
        let mut command = command(dir.path(), args);
        command
            .env("SLACK_TOKEN", "xoxb-fake")
            .env("SLACK_CHANNEL", "#mine");
        finished(command.output().unwrap())
    };
    assert_eq!(with_token(&["init"]).code, Some(0));
    let file = dir.path().join("alert-manager.yml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        !text.contains("preview: true") && text.contains("#mine"),
        "{text}"
    );
    let granted = text.replacen("      # http: ", "      http: ", 1);
    assert_ne!(granted, text);
    fs::write(&file, granted).unwrap();
    let checked = with_token(&["check", "--config", "alert-manager.yml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    assert!(!checked.stdout.contains("is limited"), "{}", checked.stdout);
}

/// The first line of a refusal is a whole sentence, wherever a text is cut at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_a_refusal_has_the_whole_sentence_and_all_grants() {
    let server = Setup::new()
        .config(&format!(
            "{HEAD}routes:\n  - handlers: [slack-notify]\n    config: {{ channel: oncall }}\nhandlers:\n  slack-notify: {{ allow: {{ slack: [alerts] }} }}\n"
        ))
        .module("slack-notify")
        .start()
        .await;
    let ids = server.accept(&alerts::readme()).await;
    let story = server.wait_settled(&ids[0]).await;
    let error = story["last_error"].as_str().unwrap();
    let first = error.lines().next().unwrap();
    assert!(
        first.ends_with("To allow it, add oncall to handlers.slack-notify.allow.slack."),
        "{error}"
    );
    assert!(error.contains("slack: [alerts, oncall]"), "{error}");
}

/// If two files have one handler name, a running server, its next start and `check` refuse the same file.
#[test]
fn check_and_a_server_refuse_the_same_of_two_files_with_one_name() {
    let dir = folder(&["slack-notify"]);
    let server = Process::start(command(dir.path(), &["serve"]));
    let second = dir.path().join("handlers/a-second.wasm");
    drop_in(&modules::path("slack-notify"), &second);
    server.wait_for_line("a-second.wasm is refused");
    // Not to depend on how fine the file system's clock is.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    fs::File::options()
        .append(true)
        .open(&second)
        .unwrap()
        .set_modified(later)
        .unwrap();
    let checked = run(dir.path(), &["check"]);
    assert_eq!(checked.code, Some(1));
    assert!(
        checked.stdout.contains("problem a-second.wasm: "),
        "{}",
        checked.stdout
    );
    server.kill();
    let again = Process::start(command(dir.path(), &["serve"]));
    let handlers = finished(
        command(dir.path(), &["handlers", "--json"])
            .env("ALERT_MANAGER_URL", &again.url)
            .output()
            .unwrap(),
    );
    let handlers: Value = serde_json::from_str(&handlers.stdout).unwrap();
    let listed = handlers["handlers"].as_array().unwrap();
    let first = listed
        .iter()
        .find(|h| h["file"] == "slack-notify.wasm")
        .unwrap();
    assert_eq!(first["state"], "ready", "{handlers:#}");
}

/// A world with Slack, and a configuration that posts there.
struct Online {
    dir: tempfile::TempDir,
    slack: Slack,
}

impl Online {
    async fn start() -> Self {
        let dir = folder(&["slack-notify"]);
        let slack = Slack::start().await;
        Self { dir, slack }
    }

    fn config(&self, channels: &str, more: &str) {
        let text = format!(
            "slack: {{ channels: {{ {channels} }} }}\nhandlers:\n  slack-notify: {{ allow: {{ slack: [alerts]{more} }} }}\n"
        );
        fs::write(self.dir.path().join("c.yml"), text).unwrap();
    }

    async fn check(&self, token: &str, api_url: &str) -> Finished {
        let mut command = command(self.dir.path(), &["check", "--online", "--config", "c.yml"]);
        command
            .env("SLACK_TOKEN", token)
            .env("SLACK_API_URL", api_url);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
        finished(output.unwrap())
    }

    async fn serve(&self) -> Process {
        let mut command = command(self.dir.path(), &["serve", "--config", "c.yml"]);
        command
            .env("SLACK_TOKEN", TOKEN)
            .env("SLACK_API_URL", self.slack.api_url());
        let started = tokio::task::spawn_blocking(move || Process::start(command)).await;
        started.unwrap()
    }
}

async fn line_of(server: Process, part: String) -> (Process, String) {
    let waited = tokio::task::spawn_blocking(move || {
        let line = server.wait_for_line(&part);
        (server, line)
    });
    waited.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_names_the_bot_and_the_state_of_each_channel() {
    let world = Online::start().await;
    world.config("alerts: \"#alerts\", oncall: \"#oncall\"", "");
    let url = world.slack.api_url();
    let fine = world.check(TOKEN, &url).await;
    assert_eq!(fine.code, Some(0), "{fine:?}");
    let said = "Slack: bot @alert-manager in workspace Fake; #alerts ok, #oncall ok";
    assert!(fine.stdout.contains(said), "{}", fine.stdout);

    world.slack.set_channel("oncall", ChannelKind::NotMember);
    let refused = world.check(TOKEN, &url).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in [
        "#alerts ok, #oncall not a member: /invite @alert-manager",
        "c.yml:1:49: slack.channels.oncall: @alert-manager is not a member of #oncall",
    ] {
        assert!(
            refused.stdout.contains(part),
            "{part} in {}",
            refused.stdout
        );
    }
    let archived = world.slack.add_channel("old");
    world.slack.set_channel("old", ChannelKind::Archived);
    world.config(
        &format!("alerts: \"#alerts\", old: {archived}, none: \"#none\""),
        "",
    );
    let refused = world.check(TOKEN, &url).await;
    for part in ["is archived", "Slack has no channel #none"] {
        assert!(
            refused.stdout.contains(part),
            "{part} in {}",
            refused.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_refuses_a_bad_token_and_hints_at_what_it_may_not_see() {
    let world = Online::start().await;
    world.config("alerts: \"#alerts\"", "");
    let url = world.slack.api_url();
    let refused = world.check("xoxb-other", &url).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .stdout
            .contains("Slack refuses the token: invalid_auth"),
        "{}",
        refused.stdout
    );

    world.slack.set_scopes(&["chat:write"]);
    let unseen = world.check(TOKEN, &url).await;
    assert_eq!(
        unseen.code,
        Some(0),
        "a channel that cannot be seen may be fine: {unseen:?}"
    );
    for part in ["#alerts not checked", "the scope channels:read"] {
        assert!(unseen.stdout.contains(part), "{part} in {}", unseen.stdout);
    }
    world.slack.set_scopes(&["reactions:write"]);
    let poor = world.check(TOKEN, &url).await;
    assert_eq!(poor.code, Some(1), "{poor:?}");
    assert!(
        poor.stdout.contains("lacks the scope chat:write"),
        "{}",
        poor.stdout
    );

    let gone = world.check(TOKEN, "http://127.0.0.1:1/api/").await;
    assert_eq!(
        gone.code,
        Some(0),
        "a network is no configuration: {gone:?}"
    );
    assert!(
        gone.stdout.contains("Slack could not be asked"),
        "{}",
        gone.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_connects_to_each_granted_origin() {
    let world = Online::start().await;
    let sink = Sink::start().await;
    world.config(
        "alerts: \"#alerts\"",
        &format!(
            ", http: [\"{}\", \"http://127.0.0.1:1\", \"https://nowhere.invalid\"]",
            sink.url()
        ),
    );
    let checked = world.check(TOKEN, &world.slack.api_url()).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for part in [
        &format!("{} answers", sink.url().trim_end_matches('/')),
        "http://127.0.0.1:1 cannot be reached from here: connection refused",
        "https://nowhere.invalid cannot be reached from here: no such name",
    ] {
        assert!(
            checked.stdout.contains(part),
            "{part} in {}",
            checked.stdout
        );
    }
}

/// Codes of `auth.test` that are not about the token.
const TRANSIENT: [&str; 8] = [
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "ratelimited",
    "team_added_to_org",
    "org_login_required",
    "something_new",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_takes_no_transient_answer_for_a_refused_token() {
    let world = Online::start().await;
    world.config("alerts: \"#alerts\"", "");
    let url = world.slack.api_url();
    for code in TRANSIENT {
        world
            .slack
            .faults()
            .next("auth.test", Fault::slack_error(code));
        let checked = world.check(TOKEN, &url).await;
        assert_eq!(checked.code, Some(0), "{code}: {checked:?}");
        let said = format!("Slack could not be asked: Slack answered {code}");
        assert!(checked.stdout.contains(&said), "{checked:?}");
        assert!(!checked.stdout.contains("refuses"), "{checked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_takes_no_transient_answer_for_a_refused_token() {
    let world = Online::start().await;
    world.config("alerts: \"#alerts\"", "");
    let faults = world.slack.faults();
    faults.until_cleared("auth.test", Fault::slack_error(TRANSIENT[0]));
    let mut server = world.serve().await;
    for code in TRANSIENT {
        faults.clear();
        faults.until_cleared("auth.test", Fault::slack_error(code));
        server.signal("HUP");
        let line;
        (server, line) = line_of(server, format!("Slack answered {code}")).await;
        assert!(line.contains("level=warn"), "{line}");
        assert!(line.contains("Slack could not be asked"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_not_looked_up_and_not_said_to_be_fine() {
    let world = Online::start().await;
    world.config("alerts: \"#alerts\", me: U0123456789, us: D0123456789", "");
    let checked = world.check(TOKEN, &world.slack.api_url()).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for part in [
        "me (U0123456789) not checked",
        "us (D0123456789) not checked",
        "slack.channels.me was not checked: a person's id is not looked up",
    ] {
        assert!(checked.stdout.contains(part), "{part} in {checked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_checks_slack_at_startup_and_becomes_ready_with_any_result() {
    let world = Online::start().await;
    world.config("alerts: \"#alerts\"", "");
    world.slack.set_channel("alerts", ChannelKind::NotMember);
    let server = world.serve().await;
    let (server, line) = line_of(server, "is not a member of #alerts".to_owned()).await;
    for part in ["level=error", "/invite @alert-manager"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let counted = async {
        let expected = "ready\n1 problem: see the log or `alert-manager check`\n";
        loop {
            let answer = reqwest::get(format!("{}/readyz", server.url)).await;
            let answer = answer.unwrap();
            assert_eq!(answer.status(), 200);
            if answer.text().await.unwrap() == expected {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    // The line comes just before what was found is shown.
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, counted).await.unwrap();
}

/// Slack's answers about the configuration before a reload are not shown for the one after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_does_not_answer_with_what_slack_said_before() {
    let world = Online::start().await;
    world.config("alerts: \"#alerts\"", "");
    world.slack.set_channel("alerts", ChannelKind::NotMember);
    let server = world.serve().await;
    let (server, _) = line_of(server, "is not a member of #alerts".to_owned()).await;
    // Slack does not answer any more before the reload has.
    let gate = Gate::closed();
    world
        .slack
        .faults()
        .until_cleared("auth.test", Fault::Hold(gate.clone()));
    world.config("alerts: \"#general\"", "");
    let url = format!("{}/-/reload", server.url);
    let answer = tokio::task::spawn_blocking(move || post(&url))
        .await
        .unwrap();
    assert_eq!(answer["problems"], serde_json::json!([]), "{answer:#}");
    gate.open();
}

/// The bundled handlers take an empty text for what is not set.
#[test]
fn an_empty_setting_is_one_that_is_not_set() {
    let bundled = ["slack-notify", "kube-pod-crash-looping"];
    let dir = folder(&bundled);
    let listed = run(dir.path(), &["check", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let mut text = format!("{HEAD}handlers:\n");
    let mut count = 0;
    for module in listed["modules"].as_array().unwrap() {
        let name = module["name"].as_str().unwrap();
        text += &format!("  {name}:\n    allow: {{ slack: [alerts] }}\n    config:\n");
        for setting in module["settings"].as_array().unwrap() {
            assert_eq!(setting["required"], false, "{setting}");
            let key = setting["name"].as_str().unwrap().replace('*', "main");
            text += &format!("      {key}: \"\"\n");
            count += 1;
        }
    }
    assert!(count > 20, "{text}");
    let checked = check(dir.path(), &text);
    assert_eq!(checked.code, Some(0), "{}\n{text}", checked.stdout);
}

/// A secret that was written in place of the credential's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_place_of_a_credentials_name_is_not_shown() {
    const SECRET: &str = "correcthorsebattery";
    let kubernetes = Sink::start().await;
    let config = format!(
        "{HEAD}handlers:\n  kube-pod-crash-looping:\n    allow: {{ slack: [alerts], http: [\"{}\"] }}\n    config: {{ cluster: cluster-main, kubernetes.url: \"{}\", credential: {SECRET} }}\n",
        kubernetes.url(),
        kubernetes.url()
    );
    let dir = folder(&["kube-pod-crash-looping"]);
    let checked = check(dir.path(), &config);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("c.yml:5:"), "{checked:?}");
    assert!(
        checked
            .stdout
            .contains("credentials has no entry of that name"),
        "{checked:?}"
    );
    assert!(!checked.stdout.contains(SECRET), "{checked:?}");

    let server = Setup::new()
        .config(&config)
        .module("kube-pod-crash-looping")
        .start()
        .await;
    let ids = server.accept(&alerts::readme()).await;
    let story = server.wait_settled(&ids[0]).await.to_string();
    assert!(story.contains("not below `credentials`"), "{story}");
    let (_, handlers) = server.get("/api/v1/handlers").await;
    let (_, reloaded) = server.command("/-/reload").await;
    for text in [story, handlers.to_string(), reloaded.to_string()] {
        assert!(!text.contains(SECRET), "{text}");
    }
}
