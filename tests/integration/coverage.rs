//! `coverage`: what is said about rules from files, from a fake of Prometheus' API and from the real one.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::fakes::{Fault, Sink};
use tests::modules::workspace;
use tests::process::{Finished, run};
use tests::prometheus::{Found, Stack, find};
use tests::server::folder;

const CONFIG: &str = "slack: { preview: true }
routes:
  - { name: payments, matchers: ['namespace=\"payments\"'], handlers: [slack-notify] }
  - { name: pods, matchers: ['alertname=\"TargetDown\"', 'pod=~\".+\"'], handlers: [slack-notify] }
  - { name: pages, matchers: ['severity=\"page\"'], handlers: [slack-notify] }
  - { name: main, matchers: ['cluster=\"main\"'], handlers: [slack-notify] }
  - { name: apps, matchers: ['severity=~\"warning|critical\"'], handlers: [slack-notify] }
";

/// A folder with the modules of the tests and a configuration.
fn prepared(config: &str) -> TempDir {
    let dir = folder(&["volume", "slack-notify"]);
    fs::write(dir.path().join("c.yml"), config).unwrap();
    dir
}

fn ask(dir: &Path, args: &[&str]) -> Finished {
    run(dir, &[&["coverage", "--config", "c.yml"], args].concat())
}

fn rules() -> String {
    workspace()
        .join("tests/fixtures/rules.yml")
        .display()
        .to_string()
}

/// Returns the answer of each alert.
fn answers(json: &Value) -> Vec<String> {
    let alerts = json["alerts"].as_array().unwrap().iter();
    alerts
        .map(|alert| format!("{} {}", alert["alertname"], alert["answer"]).replace('"', ""))
        .collect()
}

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"))
}

#[test]
fn rules_of_files_are_answered_by_modules_and_routes() {
    let dir = prepared("slack: { preview: true }\n");
    let asked = ask(
        dir.path(),
        &["--rules", &rules(), "--json", "--fail-on", "unrouted"],
    );
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert_eq!(
        answers(&json_of(&asked)),
        [
            "KubePodCrashLooping fallback",
            "KubePodNotReady fallback",
            "KubeJobFailed fallback",
            "KubePersistentVolumeFillingUp answered",
            "KubePersistentVolumeFillingUp answered",
            "TargetDown fallback",
            "Watchdog fallback",
        ]
    );
    let asked = ask(dir.path(), &["--rules", &rules(), "--fail-on", "fallback"]);
    assert_eq!(asked.code, Some(1));
    assert!(
        asked
            .stdout
            .contains("7 alerting rules: 2 answered, 5 with only a fallback, 0 that depend"),
        "{asked:?}"
    );
    assert!(
        asked
            .stdout
            .contains("2 more routes, which were made for the alertnames of modules"),
        "{asked:?}"
    );
    assert!(
        asked
            .stderr
            .contains("assumed: their Prometheus server adds no external labels"),
        "{asked:?}"
    );
}

#[test]
fn routes_that_no_alert_takes_are_said_with_their_reasons() {
    let dir = prepared(CONFIG);
    let asked = ask(dir.path(), &["--rules", &rules(), "--fail-on", "unrouted"]);
    assert_eq!(
        asked.code,
        Some(1),
        "nothing takes Watchdog for certain: {asked:?}"
    );
    for part in [
        "unrouted  Watchdog",
        "if namespace=\"payments\"",
        "No alert of these rules takes these routes:",
        "TargetDown does not match pod=~\".+\": it has no label pod: the expression drops it with",
        "does not match severity=\"page\": its severity is always \"warning\"",
    ] {
        assert!(asked.stdout.contains(part), "{part}: {}", asked.stdout);
    }
    // The label that a rule drops is there again if the server adds it.
    let asked = ask(
        dir.path(),
        &[
            "--rules",
            &rules(),
            "--external-label",
            "cluster=main",
            "--json",
        ],
    );
    let json = json_of(&asked);
    let watchdog = &json["alerts"][6];
    assert_eq!(
        (&watchdog["answer"], &watchdog["routes"][0]["name"]),
        (&json!("fallback"), &json!("main")),
        "{json:#}"
    );
    assert_eq!(json["assumptions"], json!([]));
}

#[test]
fn what_is_no_file_of_rules_is_refused() {
    let dir = prepared(CONFIG);
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("bad.yml", "groups: [\n");
    write("none.yml", "groups: []\n");
    write("huge.yml", &"#".repeat(5 << 20));
    for (file, why) in [
        ("gone.yml", "gone.yml: the rules cannot be read"),
        ("bad.yml", "this is not YAML"),
        ("none.yml", "there is no alerting rule"),
        ("huge.yml", "larger than 4 MiB"),
    ] {
        let asked = ask(dir.path(), &["--rules", file]);
        assert_eq!(asked.code, Some(1), "{file}");
        assert!(asked.stderr.contains(why), "{file}: {}", asked.stderr);
    }
    write(
        "one.yml",
        "groups: [{ name: a, rules: [{ alert: Down, expr: up == 0 }] }]\n",
    );
    let one = ask(dir.path(), &["--rules", "one.yml"]);
    assert!(one.stdout.contains("1 alerting rule: "), "{one:?}");
    let neither = ask(dir.path(), &[]);
    assert_eq!(neither.code, Some(2), "{neither:?}");
}

const RULES: &str = "/api/v1/rules";
const STATUS: &str = "/api/v1/status/config";

fn answer(data: Value) -> Fault {
    Fault::Json {
        status: 200,
        body: json!({ "status": "success", "data": data }),
    }
}

fn some_rules() -> Value {
    let rule = |name: &str, kind: &str| json!({ "name": name, "type": kind, "query": "sum(up) < 1", "labels": { "severity": "page" } });
    json!({ "groups": [{ "name": "g", "file": "g.yml", "rules": [rule("Down", "alerting"), rule("up:sum", "recording")] }] })
}

#[tokio::test]
async fn a_server_is_asked_for_its_rules_and_its_labels() {
    let prometheus = Sink::start().await;
    prometheus
        .faults()
        .until_cleared(&format!("/prefix{RULES}"), answer(some_rules()));
    let yaml = "global: { external_labels: { cluster: main } }\nalerting:\n  alert_relabel_configs: [{ action: labeldrop, regex: severity }]\n";
    prometheus
        .faults()
        .until_cleared(&format!("/prefix{STATUS}"), answer(json!({ "yaml": yaml })));
    let dir = prepared(CONFIG);
    fs::write(dir.path().join("password"), "hush\n").unwrap();
    let url = format!("{}/prefix", prometheus.url());
    let asked = ask(
        dir.path(),
        &[
            "--prometheus",
            &url,
            "--json",
            "--username",
            "me",
            "--password-file",
            "password",
        ],
    );
    let json = json_of(&asked);
    assert_eq!(answers(&json), ["Down fallback"], "{json:#}");
    assert_eq!(
        (
            &json["alerts"][0]["routes"][0]["name"],
            &json["alerts"][0]["place"]
        ),
        (&json!("main"), &json!("g.yml"))
    );
    assert_eq!(json["assumptions"], json!([]));
    let received = prometheus.received();
    assert_eq!(received[0].query, "type=alert");
    // me:hush
    assert_eq!(
        received[0].header("authorization"),
        Some("Basic bWU6aHVzaA==")
    );
    // A server that does not show its configuration is believed to change nothing, and that is said.
    prometheus.faults().clear();
    prometheus
        .faults()
        .until_cleared(&format!("/prefix{RULES}"), answer(some_rules()));
    prometheus
        .faults()
        .until_cleared(&format!("/prefix{STATUS}"), Fault::status(403));
    fs::write(dir.path().join("token"), "t-1\n").unwrap();
    let asked = ask(
        dir.path(),
        &["--prometheus", &url, "--bearer-token-file", "token"],
    );
    assert!(
        asked
            .stderr
            .contains("it does not show its configuration (403 Forbidden)"),
        "{asked:?}"
    );
    assert_eq!(
        prometheus.received()[2].header("authorization"),
        Some("Bearer t-1")
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_as_prometheus_is_said_to() {
    let prometheus = Sink::start().await;
    let dir = prepared(CONFIG);
    fs::write(dir.path().join("token"), "t-1").unwrap();
    fs::write(dir.path().join("empty"), "\n").unwrap();
    let url = prometheus.url();
    let huge = json!({ "groups": [], "more": "x".repeat(65 << 20) });
    let many: Vec<Value> = vec![some_rules()["groups"][0]["rules"][0].clone(); 20_001];
    for (fault, more, why) in [
        (
            Fault::status(401),
            &[][..],
            "name a file with a bearer token with --bearer-token-file",
        ),
        (
            Fault::status(403),
            &["--bearer-token-file", "token"],
            "refuses the token or the password",
        ),
        (Fault::status(404), &[], "name the URL of its API's root"),
        (
            Fault::Json {
                status: 503,
                body: json!({ "status": "error", "error": "not ready" }),
            },
            &[],
            "(not ready)",
        ),
        (
            Fault::InvalidJson,
            &[],
            "does not answer as Prometheus does",
        ),
        (Fault::CloseMidBody, &[], "did not answer"),
        (
            answer(json!({ "groups": 7 })),
            &[],
            "does not answer as Prometheus does",
        ),
        (answer(huge), &[], "more than 64 MiB"),
        (
            answer(json!({ "groups": [{ "rules": many }] })),
            &[],
            "20001 alerting rules, more than 20000",
        ),
        (
            answer(json!({ "groups": [] })),
            &[],
            "there is no alerting rule",
        ),
        (
            Fault::Hang,
            &["--timeout", "300ms"],
            "did not answer in time: raise --timeout",
        ),
    ] {
        prometheus.faults().clear();
        prometheus.faults().until_cleared(RULES, fault);
        let asked = ask(dir.path(), &[&["--prometheus", &url], more].concat());
        assert_eq!(asked.code, Some(1), "{why}");
        assert!(
            asked.stderr.contains(why),
            "{why}: {}",
            asked.stderr.chars().take(500).collect::<String>()
        );
    }
    let count = prometheus.count();
    for (args, why) in [
        (
            &["--prometheus", "http://me:hush@127.0.0.1:9"][..],
            "--username and --password-file",
        ),
        (
            &["--prometheus", "http://127.0.0.1:9"],
            "no server answers at http://127.0.0.1:9/",
        ),
        (
            &["--prometheus", &url, "--bearer-token-file", "empty"],
            "empty is empty",
        ),
        (
            &["--prometheus", &url, "--bearer-token-file", "gone"],
            "cannot read the token",
        ),
        (&["--prometheus", "ftp://x"], "write http://HOST:PORT"),
    ] {
        let asked = ask(dir.path(), args);
        assert_eq!(asked.code, Some(1), "{why}");
        assert!(
            asked.stderr.contains(why) && !asked.stderr.contains("hush"),
            "{why}: {}",
            asked.stderr
        );
    }
    assert_eq!(
        prometheus.count(),
        count,
        "without a secret, nothing is asked"
    );
}

#[tokio::test]
async fn the_rules_and_labels_of_a_real_prometheus_are_understood() {
    let binaries = match find() {
        Found::Both(binaries) => binaries,
        Found::Missing(what) => {
            tests::skipped(&what);
            return;
        }
    };
    let sink = Sink::start().await;
    let stack = Stack::start(&binaries, &sink.url()).await.unwrap();
    let dir = prepared(CONFIG);
    let asked = ask(
        dir.path(),
        &["--prometheus", &stack.prometheus.to_string(), "--json"],
    );
    let json = json_of(&asked);
    assert_eq!(json["assumptions"], json!([]), "{json:#}");
    let alert = &json["alerts"][0];
    assert_eq!(
        (&alert["alertname"], &alert["unread"]),
        (&json!("KubePodCrashLooping"), &Value::Null),
        "{}",
        stack.logs()
    );
    // Its external label is `cluster-main`, unless the series has another.
    let names: Vec<_> = alert["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| route["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["payments", "main", "apps"], "{json:#}");
}
