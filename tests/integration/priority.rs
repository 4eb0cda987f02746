//! What goes first, and what runs as one: the words for priority, a team's own, and what `check` and `routes` say of them.

use std::collections::BTreeSet;
use std::fs;

use alert_manager::alert::{Labels, Priority, SEVERITY_WORDS};
use handler_sdk::{Alert, Severity};
use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Gate, Slack};
use tests::process::{Finished, run};
use tests::server::{Setup, folder};

const POST: &str = "chat.postMessage";

/// Returns the severity that handlers show for alerts of this priority.
fn shown_as(priority: Priority) -> Severity {
    match priority {
        Priority::Critical => Severity::Critical,
        Priority::Warning => Severity::Warning,
        Priority::Normal => Severity::Info,
    }
}

fn priority_of(pairs: &[(&str, &str)]) -> Priority {
    Priority::of(&Labels::from_iter(pairs.iter().copied()))
}

#[test]
fn the_queue_and_the_texts_of_handlers_know_the_same_words() {
    let of_server: BTreeSet<(&str, &str)> = SEVERITY_WORDS
        .iter()
        .flat_map(|row| row.words.iter().map(|word| (row.priority.as_str(), *word)))
        .collect();
    let of_sdk: BTreeSet<(&str, &str)> = Severity::WORDS
        .iter()
        .flat_map(|(severity, words)| {
            let mut priorities = Priority::ALL.into_iter();
            let priority = priorities.find(|priority| shown_as(*priority) == *severity);
            words
                .iter()
                .map(move |word| (priority.unwrap().as_str(), *word))
        })
        .collect();
    assert_eq!(of_server, of_sdk);
}

#[test]
fn the_queue_and_the_texts_of_handlers_read_labels_alike() {
    let words = SEVERITY_WORDS.iter().flat_map(|row| row.words);
    let mut written: Vec<String> = words
        .flat_map(|word| {
            [
                (*word).to_owned(),
                word.to_uppercase(),
                format!(" {word}\t"),
            ]
        })
        .collect();
    written.extend(["", " ", "team-a", "p6", "criticality", "<!channel>"].map(str::to_owned));
    for word in &written {
        for labels in [
            &[("severity", word.as_str())][..],
            &[("priority", word)],
            &[("severity", "team-a"), ("priority", word)],
            &[("severity", word), ("priority", "P0")],
            &[("Severity", word)],
        ] {
            let alert = labels.iter().fold(Alert::new("A"), |alert, (name, value)| {
                alert.with_label(*name, *value)
            });
            let shown = match alert.level() {
                // The queue makes no difference between what only informs and what nobody knows.
                Severity::Unknown => Severity::Info,
                known => known,
            };
            assert_eq!(shown_as(priority_of(labels)), shown, "{labels:?}");
        }
    }
}

/// One message is on its way and two alerts wait: the one that goes next is the more urgent one by the words in use.
#[tokio::test]
async fn a_team_s_own_words_decide_what_goes_first_from_the_reload_on() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config(
            r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
handlers:
  slack-notify: { allow: { slack: [alerts] }, limits: { concurrency: 1 } }
"##,
        )
        .start()
        .await;
    let order = async |round: &str| -> Vec<String> {
        let before = slack.messages().len();
        let calls = slack.count_calls(POST);
        let gate = Gate::closed();
        slack.faults().next(POST, Fault::Hold(gate.clone()));
        let name = |what: &str| format!("{what}{round}");
        server.accept(&alerts::firing(&name("Running"), &[])).await;
        slack.wait_for_calls(POST, calls + 1).await;
        let earlier = alerts::firing(&name("Earlier"), &[("severity", "warning")]);
        server.accept(&earlier).await;
        let golden = alerts::firing(&name("Golden"), &[("severity", "Gold")]);
        server.accept(&golden).await;
        gate.open();
        let messages = slack.wait_for_count(before + 3).await;
        let names = ["Running", "Earlier", "Golden"].map(name);
        messages[before..]
            .iter()
            .map(|message| {
                let shown = message.shown();
                let name = names.iter().find(|name| shown.contains(name.as_str()));
                name.unwrap().clone()
            })
            .collect()
    };
    assert_eq!(order("1").await, ["Running1", "Earlier1", "Golden1"]);

    let file = server.dir.path().join("alert-manager.yml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("{text}severity_map: {{ critical: [gold] }}\n"),
    )
    .unwrap();
    let (status, answer) = server.command("/-/reload").await;
    assert!(status.is_success(), "{answer}");
    assert_eq!(answer["changed"], json!(["severity_map: changed"]));
    assert_eq!(answer["needs_restart"], json!([]));
    assert_eq!(order("2").await, ["Running2", "Golden2", "Earlier2"]);
}

#[tokio::test]
async fn a_reload_takes_new_settings_of_storms() {
    let config = "slack: { preview: true }\n";
    let server = Setup::new().config(config).start().await;
    let file = server.dir.path().join("alert-manager.yml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}storm: {{ over: 5, by: [team] }}\n")).unwrap();
    let (_, answer) = server.command("/-/reload").await;
    assert_eq!(answer["changed"], json!(["storm: changed"]));
    assert_eq!(answer["needs_restart"], json!([]));
}

#[tokio::test]
async fn a_handler_that_only_enriches_is_not_asked_to_act() {
    let server = Setup::new()
        .config("slack: { preview: true }\nroutes: [{ handlers: [owner, post] }]\n")
        .module("guest-owner")
        .module("guest-post")
        .start()
        .await;
    let ids = server.accept(&alerts::firing("Down", &[])).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let steps = story["steps"].as_array().unwrap();
    let facts = &steps[0]["facts"];
    assert_eq!(facts, &json!({ "owner": "team-Down" }), "{story:#}");
    let tried = story["story"][0]["steps"].as_array().unwrap();
    let tried: Vec<_> = tried
        .iter()
        .map(|step| {
            (
                step["handler"].as_str().unwrap(),
                step["step"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(tried, [("owner", "enrich"), ("post", "act")], "{story:#}");
}

fn check(modules: &[&str], config: &str, args: &[&str]) -> Finished {
    let dir = folder(modules);
    let head = "slack: { preview: true, channels: { alerts: \"#alerts\" } }\n";
    fs::write(dir.path().join("c.yml"), format!("{head}{config}")).unwrap();
    run(
        dir.path(),
        &[&["check", "--config", "c.yml"], args].concat(),
    )
}

const ROUTES: &str = "routes:
  - { name: first, matchers: ['alertname=\"A\"'], handlers: [owner, effects] }
  - { name: second, handlers: [effects] }
";

#[test]
fn check_says_of_each_route_how_it_runs_in_a_storm() {
    let checked = check(&["guest-owner", "guest-effects"], ROUTES, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    let line = "in a storm, routes 0, 1 run for each alert: effects, since `storm: one` is not declared by effects";
    assert!(checked.stdout.contains(line), "{}", checked.stdout);

    let checked = check(&["guest-owner", "guest-effects"], ROUTES, &["--json"]);
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    let route = |route: usize, name: &str| json!({ "route": route, "name": name, "actors": ["effects"], "runs": "each", "because": ["effects"] });
    assert_eq!(
        checked["storms"],
        json!([route(0, "first"), route(1, "second")])
    );
    for module in checked["modules"].as_array().unwrap() {
        assert_eq!(module["storm"], "each", "{module:#}");
    }

    let off = format!("{ROUTES}storm: {{ over: 0 }}\n");
    let checked = check(&["guest-owner", "guest-effects"], &off, &[]);
    assert!(
        checked.stdout.contains("storms are off") && !checked.stdout.contains("in a storm"),
        "{}",
        checked.stdout
    );
}

#[test]
fn routes_says_which_priority_an_alert_has_and_why() {
    let dir = folder(&["guest-effects"]);
    fs::write(
        dir.path().join("c.yml"),
        "slack: { preview: true }
severity_map: { critical: [gold] }
routes:
  - { matchers: ['team=\"core\"'], handlers: [effects], priority: warning }
  - { handlers: [effects] }
",
    )
    .unwrap();
    for (labels, line) in [
        (
            &["severity=Gold"][..],
            r#"priority critical: severity_map has its severity, "Gold""#,
        ),
        (
            &["severity=x", "priority=P2"],
            r#"priority warning: its priority is "P2""#,
        ),
        (
            &["severity=gold", "team=core"],
            "priority warning: set by the route",
        ),
        (
            &["severity=x"],
            "priority normal: neither severity nor priority has a known word",
        ),
    ] {
        let args = [&["routes", "--config", "c.yml", "alertname=A"], labels].concat();
        let routed = run(dir.path(), &args);
        assert_eq!(routed.code, Some(0), "{routed:?}");
        let lines = routed.stdout.lines().map(str::trim_start);
        let shown: Vec<_> = lines.filter(|line| line.starts_with("priority ")).collect();
        assert_eq!(shown, [line], "{}", routed.stdout);
    }
}
