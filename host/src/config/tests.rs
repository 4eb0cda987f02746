//! Whole configurations, good and bad.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bombs;
mod doors;
mod limits;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::alert::Labels;
use crate::router::Router;
use crate::runtime::{CredentialKind, Limits, SlackRate};
use crate::secret::Authorization;

const CLOSED: &str = "slack: { preview: true }\n";

struct Given {
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
    flags: Overrides,
}

impl Given {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
            flags: Overrides::default(),
        }
    }

    fn file(self, name: &str, content: &str) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, file: Option<&Path>) -> Result<Config, Problems> {
        Config::load(file, &self.flags, &|name| self.variables.get(name).cloned())
    }

    fn load_text(self, text: &str) -> (Self, Result<Config, Problems>) {
        let given = self.file("am.yml", text);
        let config = given.load(Some(&given.path("am.yml")));
        (given, config)
    }

    fn bare(self) -> Result<Config, Problems> {
        self.load(None)
    }
}

fn good(text: &str) -> Config {
    Given::new().load_text(text).1.unwrap()
}

/// Returns the problems as printed, with the file's folder left out.
fn problems(given: Given, text: &str) -> Vec<String> {
    let (given, config) = given.load_text(text);
    let prefix = format!("{}/", given.folder.path().display());
    let printed = config.unwrap_err().to_string().replace(&prefix, "");
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn without_a_file_every_handler_may_post_to_one_channel_in_preview() {
    let config = Given::new().bare().unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.store, Store::Sqlite("alert-manager.db".into()));
    assert_eq!(config.handlers_dir, Path::new("handlers"));
    assert!(config.slack.preview);
    assert_eq!(config.slack.channels["alerts"], "#alerts");
    let handler = config.handlers.of(&HandlerName::new("anything"));
    assert!(handler.grants.slack("alerts").is_ok());
    assert!(handler.grants.http.is_empty());

    let given = Given::new()
        .variable("PORT", "0")
        .variable("SLACK_TOKEN", "xoxb-1")
        .variable("SLACK_CHANNEL", "#night")
        .variable("SLACK_API_URL", "http://127.0.0.1:1/api")
        .variable("ALERT_MANAGER_STORE", "sqlite:/tmp/x.db")
        .variable("ALERT_MANAGER_PORT", "tcp://10.0.0.1:5000");
    let config = given.bare().unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:0");
    assert!(!config.slack.preview);
    assert_eq!(
        config.slack.token.unwrap().read().unwrap().expose(),
        "xoxb-1"
    );
    assert_eq!(config.slack.channels["alerts"], "#night");
    assert_eq!(config.slack.api_url.as_str(), "http://127.0.0.1:1/api/");
    assert_eq!(config.store, Store::Sqlite("/tmp/x.db".into()));
}

const FULL: &str = r##"
listen: 0.0.0.0:5001
external_url: https://alerts.example.com
handlers_dir: handlers
store: sqlite:alert-manager.db
retention: { time: 3d, size: 1GiB }
webhook: { authorization: { credentials_file: webhook }, body_bytes_max: 1MiB, queue_depth_max: 10 }
api: { basic_auth: { username: me, password_env: API_PASSWORD } }
slack: { token_file: slack, channels: { alerts: "#alerts", oncall: C0123456 }, rate: { per_second: 0.5, burst: 2 }, preview: false }
credentials:
  github: { authorization: { credentials_file: webhook }, origins: ["https://api.github.com"] }
  key: { header: { name: X-Api-Key, value_file: webhook }, origins: ["https://*.example.com"] }
  kubernetes: { service_account: true, origins: ["https://kubernetes.default.svc"] }
routes:
  - name: crash-loops
    matchers: ['alertname="KubePodCrashLooping"', 'namespace=~"prod-.*"']
    handlers: [kube-pod-crash-looping]
    continue: true
    repeat_after: 1h30m
    priority: critical
    config: { channel: oncall }
  - handlers: [slack-notify]
handlers:
  kube-pod-crash-looping:
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    allow:
      http:
        - https://kubernetes.default.svc
        - { url: "https://h.org/api", methods: [get], addresses: [private, 10.0.0.0/8] }
      slack: [alerts, oncall]
      credentials: [kubernetes]
    limits: { memory: 32MiB, cpu: 250ms, wall: 10s, concurrency: 2, http_calls: 7 }
    enrich: { attempts: 1, within: 5s }
    retry: { max_attempts: 3, min_backoff: 2s, max_backoff: 1m, max_age: 2h }
    config: { channel: alerts, version: 1.10, deep: true, list: [a, 1, {b: null}], none: }
"##;

#[test]
fn every_key_is_read() {
    let given = Given::new()
        .file("webhook", "hook-secret\n")
        .file("slack", "xoxb-file\n")
        .variable("API_PASSWORD", "pw");
    let (given, config) = given.load_text(FULL);
    let config = config.unwrap();

    assert_eq!(config.listen.to_string(), "0.0.0.0:5001");
    assert_eq!(
        config.external_url.unwrap().as_str(),
        "https://alerts.example.com/"
    );
    assert_eq!(
        config.handlers_dir,
        given.path("handlers"),
        "relative to the file"
    );
    assert_eq!(config.store, Store::Sqlite(given.path("alert-manager.db")));
    assert_eq!(config.queue.retention_time, Duration::from_secs(3 * 86_400));
    assert_eq!(config.queue.retention_bytes_max, 1 << 30);
    assert_eq!(config.webhook.body_bytes_max, 1 << 20);
    assert_eq!(config.queue.queue_depth_max, 10);
    let Some(Authorization::Scheme {
        scheme,
        credentials,
    }) = config.webhook.authorization
    else {
        panic!("the webhook has a scheme");
    };
    assert_eq!(
        (scheme.as_str(), credentials.read().unwrap().expose()),
        ("Bearer", "hook-secret")
    );
    let Some(Authorization::Basic { username, password }) = config.api.authorization else {
        panic!("the api has basic authentication");
    };
    assert_eq!(
        (username.as_str(), password.read().unwrap().expose()),
        ("me", "pw")
    );
    assert_eq!(
        config.slack.token.unwrap().read().unwrap().expose(),
        "xoxb-file"
    );
    assert_eq!(config.slack.channels["oncall"], "C0123456");
    assert_eq!(
        config.slack.rate,
        SlackRate {
            per_second: 0.5,
            burst: 2
        }
    );
    assert_eq!(config.slack.api_url.as_str(), "https://slack.com/api/");

    let github = &config.credentials["github"];
    assert!(github.is_for(&"https://api.github.com/user".parse().unwrap()));
    assert!(!github.is_for(&"https://github.com/".parse().unwrap()));
    assert!(
        matches!(&config.credentials["key"].kind, CredentialKind::Header { name, .. } if name == "X-Api-Key")
    );
    let CredentialKind::ServiceAccount { ca_file, .. } = &config.credentials["kubernetes"].kind
    else {
        panic!("kubernetes is a service account");
    };
    assert!(ca_file.ends_with("serviceaccount/ca.crt"));
}

#[test]
fn routes_and_handlers_are_read() {
    let given = Given::new()
        .file("webhook", "hook-secret\n")
        .file("slack", "xoxb-file\n")
        .variable("API_PASSWORD", "pw");
    let config = given.load_text(FULL).1.unwrap();

    let route = &config.routes[0];
    assert_eq!(&*route.name, "crash-loops");
    assert_eq!(route.repeat_after, Duration::from_secs(5_400));
    assert_eq!(route.priority, Some(crate::alert::Priority::Critical));
    assert_eq!(route.config["channel"], "oncall");
    let alert: Labels = [
        ("alertname", "KubePodCrashLooping"),
        ("namespace", "prod-eu"),
    ]
    .into_iter()
    .map(|(n, v)| (n.to_owned(), v.to_owned()))
    .collect();
    assert_eq!(Router::new(config.routes.clone()).matching(&alert), [0, 1]);

    let handler = config
        .handlers
        .of(&HandlerName::new("kube-pod-crash-looping"));
    assert_eq!(handler.sha256.unwrap()[..2], [0x9f, 0x86]);
    assert_eq!(
        handler.limits,
        Limits {
            memory_bytes_max: 32 << 20,
            cpu_max: Duration::from_millis(250),
            wall_max: Duration::from_secs(10),
            concurrency_max: 2,
            http_calls_max: 7,
            ..Limits::default()
        }
    );
    assert_eq!(handler.enrich.attempts_max, 1);
    assert_eq!(handler.enrich.within, Duration::from_secs(5));
    assert_eq!(handler.retry.attempts_max, 3);
    assert_eq!(handler.retry.age_max, Duration::from_secs(7_200));
    assert_eq!(handler.grants.http.len(), 2);
    assert!(
        handler
            .grants
            .http("GET", &"https://h.org/api/x".parse().unwrap())
            .is_ok()
    );
    assert!(handler.grants.credential("kubernetes").is_ok());
    let settings: Vec<_> = handler
        .config
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        settings,
        [
            "channel=alerts",
            "deep=true",
            r#"list=["a",1,{"b":null}]"#,
            "none=",
            "story_base=https://alerts.example.com/api/v1/deliveries",
            "version=1.10"
        ],
        "scalars as written, and where stories are"
    );
    assert_eq!(handler.config_under(&route.config)["channel"], "oncall");
    assert_eq!(handler.config_under(&route.config)["version"], "1.10");
    assert_eq!(
        handler.config_under(&config.routes[1].config),
        handler.config
    );
    let other = config.handlers.of(&HandlerName::new("slack-notify"));
    assert!(
        other.grants.slack.is_empty(),
        "with a file, nothing is granted by itself"
    );
    assert_eq!(other.limits, Limits::default());
}

#[test]
fn three_mistakes_are_reported_at_once_with_their_lines() {
    let text = "slack:\n  preview: true\nhandler:\n  x: {}\nretention:\n  time: 7 days\nroutes:\n  - matchers: ['alertname=~X**']\n    handlers: [a]\n";
    assert_eq!(
        problems(Given::new(), text),
        [
            "am.yml:3:1: unknown key handler — did you mean handlers?",
            "am.yml:6:9: retention.time is \"7 days\" — it should be a duration such as 30s, 5m or 1h30m",
            "am.yml:8:16: routes[0].matchers: the regular expression \"X**\" is refused: ** repeats a repetition: put the inner one into a group, as in (?:a*)* — the syntax is Alertmanager's: = != =~ !~",
        ]
    );
}

#[test]
fn each_mistake_says_where_it_is_and_what_to_do() {
    let cases = [
        (
            "lisen: 127.0.0.1:1",
            "am.yml:2:1: unknown key lisen — did you mean listen?",
        ),
        (
            "qqq: 1",
            "am.yml:2:1: unknown key qqq — the keys here are listen, ",
        ),
        (
            "storm: { over: 20 }",
            "am.yml:2:1: unknown key storm — it is not supported by this version: remove it",
        ),
        (
            "listen: here",
            "am.yml:2:9: listen is \"here\" — it should be an address",
        ),
        (
            "listen: [1]",
            "am.yml:2:9: listen is a list — it should be an address",
        ),
        (
            "listen: 0.0.0.0:5000",
            "am.yml:2:9: 0.0.0.0:5000 can be reached from outside",
        ),
        (
            "store: postgres://u:pw@h/db",
            "am.yml:2:8: store names no store that this version has — PostgreSQL",
        ),
        ("store: x.db", "write sqlite:FILE"),
        (
            "insecure: yes",
            "am.yml:2:11: insecure is \"yes\" — it should be true or false",
        ),
        (
            "webhook: { body_bytes_max: big }",
            "am.yml:2:28: webhook.body_bytes_max is \"big\"",
        ),
        (
            "webhook: { queue_depth_max: 0 }",
            "it should be a whole number, 1 or more",
        ),
        (
            "webhook: { authorization: { credentials_file: none } }",
            "none: No such file",
        ),
        (
            "webhook: { authorization: {} }",
            "has 0 of credentials, credentials_file and credentials_env",
        ),
        (
            "webhook: { authorization: { credentials_env: NOPE } }",
            "names the variable NOPE, which is not set",
        ),
        (
            "api: { authorization: { credentials: a }, basic_auth: { username: b, password: c } }",
            "api has authorization and basic_auth",
        ),
        (
            "credentials: { a: { origins: ['https://h.org'] } }",
            "credentials.a does not say what to send",
        ),
        (
            "credentials: { a: { authorization: { credentials: x } } }",
            "credentials.a has no origins",
        ),
        (
            "credentials: { a: { authorization: { credentials: x }, origins: [h.org] } }",
            "write the scheme too",
        ),
        (
            "credentials: { a: { header: { name: 'a b', value: x }, origins: ['https://h.org'] } }",
            "the name of a header",
        ),
        (
            "routes: [{ matchers: ['a=b'] }]",
            "am.yml:2:10: routes[0] names no handler — add handlers",
        ),
        (
            "routes: [{ handlers: [] }]",
            "routes[0] names no handler — name one, as in handlers: [slack-notify]; to drop these alerts, let Alertmanager not send them",
        ),
        ("routes: [{ handlers: [x, x] }]", "names x twice"),
        (
            "routes: [{ handlers: [X_y] }]",
            "\"X_y\" is no name of a handler",
        ),
        (
            "routes: [{ name: a, handlers: [x], matchers: ['a=b'] }, { name: a, handlers: [y] }]",
            "routes[1] is the second route with the name a",
        ),
        (
            "routes: [{ handlers: [x], priority: high }]",
            "it should be critical, warning or normal",
        ),
        ("handlers: { x: { sha256: 12 } }", "64 hexadecimal digits"),
        (
            "handlers: { x: { allow: { slack: [oncal] } } }",
            "am.yml:2:35: handlers.x.allow.slack names oncal, which slack.channels does not have — add it below slack.channels, or grant one of alerts",
        ),
        (
            "handlers: { x: { allow: { credentials: [k] } } }",
            "handlers.x.allow.credentials names a credential that is not below credentials (its name is not shown, since it may be the secret itself) — add it below credentials",
        ),
        (
            "handlers: { x: { allow: { http: [example.com] } } }",
            "write the scheme too",
        ),
        (
            "handlers: { x: { allow: { http: [{ methods: [GET] }] } } }",
            "has an entry without url",
        ),
        (
            "handlers: { x: { allow: { http: [{ url: 'https://h.org', methods: [BREW] }] } } }",
            "\"BREW\" is none of GET",
        ),
        (
            "handlers: { x: { allow: { http: [{ url: 'https://h.org', headers: [Accept] }] } } }",
            "needs no grant",
        ),
        (
            "handlers: { x: { allow: { http: [{ url: 'https://h.org', addresses: [127.0.0.1] }] } } }",
            "only a grant whose url is the very address",
        ),
        (
            "handlers: { x: { limits: { cpu: 0 } } }",
            "handlers.x.limits.cpu is \"0\" — it should be a duration of more than 0",
        ),
        (
            "handlers: { x: { limits: { memory: 64 Mb/s } } }",
            "a size such as 64MiB",
        ),
        (
            "handlers: { x: { retry: { min_backoff: 1h } } }",
            "min_backoff is longer than max_backoff",
        ),
        (
            "handlers: { Slack_Notify: {} }",
            "am.yml:2:13: \"Slack_Notify\" is no name of a handler",
        ),
        (
            "external_url: alerts.example.com",
            "a URL such as https://alerts.example.com",
        ),
        ("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", "am.yml:3:"),
        ("routes: [", "this is no YAML"),
        ("---\na: b", "more than one document"),
    ];
    for (line, part) in cases {
        let found = problems(Given::new(), &format!("{CLOSED}{line}\n"));
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        assert!(found[0].contains(part), "{line}: {found:#?}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for line in [
        "webhook: { authorization: hunter2 }",
        "webhook: { hmac: hunter2 }",
        "api: { basic_auth: hunter2 }",
        "api: { authorization: { type: \"hunter2 hunter2\" } }",
        "credentials: { x: { authorization: { credentials: [hunter2] }, origins: [\"https://h\"] } }",
        "credentials: { x: { header: hunter2, origins: [\"https://h\"] } }",
        "credentials: { x: { service_account: hunter2, origins: [\"https://h\"] } }",
        "heartbeats: { x: { every: 1m, ping_url: \"hunter2\" } }",
    ] {
        let found = problems(Given::new(), &format!("{CLOSED}{line}\n"));
        assert!(!found.concat().contains("hunter2"), "{line}: {found:#?}");
    }
}

#[test]
fn a_secret_in_a_store_url_is_not_repeated() {
    let found = problems(
        Given::new(),
        &format!("{CLOSED}store: mysql://u:hunter2@h/db\n"),
    );
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn with_a_file_a_missing_token_is_an_error_unless_preview_is_asked_for() {
    let found = problems(Given::new(), "listen: 127.0.0.1:1\n");
    assert!(
        found[0].contains("there is no Slack token — set SLACK_TOKEN"),
        "{found:?}"
    );
    let found = problems(Given::new(), "");
    assert!(
        found[0].starts_with("am.yml:1:1: there is no Slack token"),
        "{found:?}"
    );
    let found = problems(Given::new(), "slack: { token_file: nowhere }\n");
    assert!(
        found[0].starts_with("am.yml:1:22: slack.token_file: cannot read"),
        "{found:?}"
    );

    assert!(good(CLOSED).slack.preview);
    let (_, config) = Given::new().variable("SLACK_TOKEN", "xoxb").load_text("");
    assert!(!config.unwrap().slack.preview);
    let (_, config) = Given::new()
        .variable("SLACK_TOKEN", "xoxb")
        .load_text(CLOSED);
    assert!(
        config.unwrap().slack.token.is_none(),
        "in preview nothing is posted"
    );
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let text = "listen: 127.0.0.1:1\nstore: sqlite:a.db\nhandlers_dir: x\nslack: { token_file: t, channels: { alerts: A, b: B } }\n";
    let given = Given::new()
        .file("t", "from-file")
        .variable("PORT", "2")
        .variable("SLACK_TOKEN", "from-variable")
        .variable("SLACK_CHANNEL", "C")
        .variable("ALERT_MANAGER_STORE", "sqlite:b.db");
    let (mut given, config) = given.load_text(text);
    let config = config.unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.store, Store::Sqlite("b.db".into()));
    assert_eq!(
        config.slack.token.unwrap().read().unwrap().expose(),
        "from-variable"
    );
    assert_eq!(
        config.slack.channels,
        [("alerts", "C"), ("b", "B")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    );

    given.flags = Overrides {
        listen: Some("localhost:3".to_owned()),
        handlers_dir: Some("flag".into()),
        external_url: Some("http://h/base".to_owned()),
    };
    let config = given.load(Some(&given.path("am.yml"))).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3");
    assert_eq!(config.handlers_dir, Path::new("flag"));
    assert_eq!(config.external_url.unwrap().as_str(), "http://h/base/");
}

#[test]
fn a_file_that_is_no_mapping_is_named_as_such() {
    let found = problems(Given::new(), "- a\n");
    assert!(
        found[0].contains("am.yml:1:1: the configuration is a list"),
        "{found:?}"
    );
}

#[test]
fn every_handler_is_told_where_stories_are_unless_it_was_told_otherwise() {
    let file = "slack: { preview: true }
external_url: https://alerts.example.com/am
handlers:
  listed: { config: { a: b } }
  set: { config: { story_base: https://stories.example.com } }
";
    let given = Given::new().file("am.yml", file);
    let config = given.load(Some(&given.path("am.yml"))).unwrap();
    let base = |name: &str| {
        let settings = config.handlers.of(&HandlerName::new(name));
        settings.config.get("story_base").cloned()
    };
    let below_external_url = "https://alerts.example.com/am/api/v1/deliveries";
    assert_eq!(base("listed").as_deref(), Some(below_external_url));
    assert_eq!(base("not-listed").as_deref(), Some(below_external_url));
    assert_eq!(base("set").as_deref(), Some("https://stories.example.com"));

    let given = Given::new().file("am.yml", "slack: { preview: true }");
    let config = given.load(Some(&given.path("am.yml"))).unwrap();
    let settings = config.handlers.of(&HandlerName::new("listed"));
    assert!(settings.config.is_empty(), "no address, no link");
}

#[test]
fn the_folder_of_handlers_is_known_although_the_rest_is_wrong() {
    let given = Given::new().file("am.yml", "handlers_dir: mods\nnonsense: 1\nlisten: no\n");
    let path = given.path("am.yml");
    let none = |_: &str| None;
    let dir = |file, flags: &Overrides| Config::handlers_dir(file, flags, &none);
    assert!(given.load(Some(&path)).is_err());
    assert_eq!(dir(Some(&path), &given.flags), given.path("mods"));
    assert_eq!(dir(None, &given.flags), Path::new("handlers"));
    let flag = Overrides {
        handlers_dir: Some("flag".into()),
        ..Overrides::default()
    };
    assert_eq!(dir(Some(&path), &flag), Path::new("flag"));
}

#[test]
fn the_variable_names_the_file_and_what_is_wrong_outside_it_is_said_too() {
    let given = Given::new().file("am.yml", "listen: 127.0.0.1:9\nslack: { preview: true }\n");
    let path = given.path("am.yml");
    let mut given = given.variable("ALERT_MANAGER_CONFIG", path.to_str().unwrap());
    assert_eq!(given.load(None).unwrap().listen.port(), 9);

    given.variables.insert("PORT", "http".to_owned());
    given
        .variables
        .insert("ALERT_MANAGER_STORE", "postgres://h".to_owned());
    given.flags.external_url = Some("nowhere".to_owned());
    let places: Vec<_> = given
        .load(None)
        .unwrap_err()
        .0
        .into_iter()
        .map(|p| p.place)
        .collect();
    assert_eq!(
        places,
        [
            "the variable PORT",
            "--web.external-url",
            "the variable ALERT_MANAGER_STORE"
        ]
    );

    let missing = given.path("none.yml");
    let error = given.load(Some(&missing)).unwrap_err().to_string();
    assert!(
        error.contains("none.yml: the configuration cannot be read"),
        "{error}"
    );
}

#[test]
fn a_public_address_needs_both_doors_closed() {
    let closed = "webhook: { authorization: { credentials: a } }\napi: { authorization: { credentials: b } }\n";
    let public = "listen: '[::]:5000'\n";
    for (text, expected) in [
        (String::new(), "webhook and api have no authorization"),
        (
            "api: { authorization: { credentials: b } }\n".to_owned(),
            "webhook has no authorization",
        ),
        (
            "webhook: { authorization: { credentials: b } }\n".to_owned(),
            "api has no authorization",
        ),
    ] {
        let found = problems(Given::new(), &format!("{CLOSED}{public}{text}"));
        assert!(found[0].contains(expected), "{found:?}");
    }
    assert!(
        good(&format!("{CLOSED}{public}{closed}"))
            .webhook
            .authorization
            .is_some()
    );
    assert!(good(&format!("{CLOSED}{public}insecure: true\n")).insecure);

    let mut given = Given::new();
    given.flags.listen = Some(":5000".to_owned());
    let error = given.bare().unwrap_err().to_string();
    assert!(
        error.starts_with("the listen address: 0.0.0.0:5000 can be reached"),
        "{error}"
    );
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    let config = good(&format!(
        "{CLOSED}routes:\n  - handlers: [a]\n  - {{ handlers: [b], matchers: ['x=y'] }}\n"
    ));
    let warnings: Vec<_> = config.warnings.iter().map(Problem::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("am.yml:4:5: no alert reaches routes[1]: routes[0] takes every alert"),
        "{warnings:?}"
    );

    let config = good(&format!(
        "{CLOSED}routes:\n  - {{ handlers: [a], continue: true }}\n  - handlers: [b]\n"
    ));
    assert_eq!(config.warnings, []);
}

#[test]
fn a_credential_that_cannot_be_read_yet_does_not_stop_the_server() {
    let config = good(&format!(
        "{CLOSED}credentials:\n  k: {{ service_account: {{ token_file: none }}, origins: ['https://kubernetes.default.svc'] }}\n"
    ));
    assert!(
        config.warnings[0]
            .to_string()
            .contains("credentials.k: cannot read")
    );
    assert!(config.credentials.contains_key("k"));
}

#[test]
fn aliases_and_odd_spellings_of_yaml_are_read() {
    let config = good(
        r#"
slack: { preview: true }
handlers:
  a: &base
    limits: { memory: "32MiB", concurrency: 4 }
    config:
      1: 0x10
      quoted: 'it''s'
      é: ü  # a comment
      after: 1.50
      block: |
        two
        lines
  b: *base
"#,
    );
    let b = config.handlers.of(&HandlerName::new("b"));
    assert_eq!(b.limits.memory_bytes_max, 32 << 20);
    assert_eq!(b.limits.concurrency_max, 4);
    assert_eq!(b.config["1"], "0x10");
    assert_eq!(b.config["quoted"], "it's");
    assert_eq!(b.config["é"], "ü");
    assert_eq!(b.config["after"], "1.50");
    assert_eq!(b.config["block"], "two\nlines\n");

    let windows = "\u{feff}slack: { preview: true }\r\nhandlers:\r\n  a:\r\n    config:\r\n      x: 1.50\r\n      y: 2.50 # z\r\n";
    let a = good(windows).handlers.of(&HandlerName::new("a"));
    assert_eq!(
        (a.config["x"].as_str(), a.config["y"].as_str()),
        ("1.50", "2.50")
    );
}

#[test]
fn the_proxy_of_the_whole_is_slacks_unless_it_has_its_own() {
    let config = good("proxy_url: http://proxy:3128\nslack: { preview: true }");
    let address = |proxy: &Option<std::sync::Arc<Proxy>>| {
        proxy.as_ref().unwrap().address().unwrap().to_string()
    };
    assert_eq!(address(&config.proxy), "http://proxy:3128");
    assert_eq!(address(&config.slack.proxy), "http://proxy:3128");
    let text = "slack: { preview: true, proxy_url: 'https://u:p@other', via_proxy: true }";
    let config = good(text);
    assert!(config.proxy.is_none() && config.slack.via_proxy);
    assert_eq!(address(&config.slack.proxy), "https://other:443");
    // The environment's own variables are nobody's wish.
    let given = Given::new().variable("HTTPS_PROXY", "http://elsewhere");
    let config = given
        .variable("https_proxy", "http://elsewhere")
        .bare()
        .unwrap();
    assert!(config.proxy.is_none() && config.slack.proxy.is_none());
}

#[test]
fn a_proxy_that_cannot_be_used_is_told_without_its_password() {
    let text =
        "proxy_url: 'socks5://user:hunter2@proxy'\nno_proxy: 'https://x'\nslack: { preview: true }";
    let told = problems(Given::new(), text);
    assert_eq!(told.len(), 2, "{told:?}");
    let all = told.join("\n");
    assert!(
        all.contains(":2:11: no_proxy: \"https://x\" is no name"),
        "{all}"
    );
    assert!(all.contains("the proxy's scheme is http or https"), "{all}");
    assert!(!told.concat().contains("hunter2"), "{told:?}");
    let text = "proxy_url: 'http://a'\nproxy_url_file: b\nslack: { preview: true }";
    let told = problems(Given::new(), text);
    assert!(
        told[0].contains("there is more than one of proxy_url, proxy_url_file, proxy_url_env"),
        "{told:?}"
    );
    let text = "slack: { preview: true, via_proxy: true }\n\
        heartbeats: { self: { ping_url: 'http://x', every: 1m, via_proxy: true } }\n\
        handlers: { x: { allow: { http: [{ url: 'http://x', via_proxy: true }] } } }";
    let told = problems(Given::new(), text);
    assert_eq!(told.len(), 3, "{told:?}");
    for line in told {
        assert!(
            line.contains("via_proxy is set, and there is no proxy — add proxy_url"),
            "{line}"
        );
    }
}

#[test]
fn what_re2_refuses_is_refused_with_line_and_remedy_and_what_is_hardly_meant_is_warned_of() {
    let routes = |matchers: &str| {
        format!(
            "slack: {{ preview: true }}\nroutes:\n  - matchers: [{matchers}]\n    handlers: [x]\n"
        )
    };
    for (matcher, part) in [
        (
            "'a=~\"b**\"'",
            "** repeats a repetition: put the inner one into a group",
        ),
        ("'a=~\"b{1001}\"'", "{1001} is over 1,000"),
        ("'a!~\"(?=b)\"'", "RE2 has no group (?="),
    ] {
        let told = problems(Given::new(), &routes(matcher));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("am.yml:3:16: routes[0].matchers: the regular expression"),
            "{told:?}"
        );
        assert!(told[0].contains(part), "{told:?}");
    }
    let warned = |matcher: &str| good(&routes(matcher)).warnings[0].to_string();
    assert!(warned("'{}'").contains("holds no matcher, so it matches every alert"));
    assert!(warned("'a==b'").contains("the operator is =, not =="));
    assert!(good(&routes(r#"'a="=x"'"#)).warnings.is_empty());
    assert!(good(&routes(r#"'volume="D:\backup"'"#)).warnings.is_empty());
}
