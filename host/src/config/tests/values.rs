//! Whole configurations: the value of every key.

use std::time::Duration;

use super::{Given, good};
use crate::alert::{HandlerName, Labels, Priority};
use crate::config::Config;
use crate::queue::{StoreUrl, StormOptions};
use crate::router::Router;
use crate::runtime::{CredentialKind, Limits, Proxy, SlackRate};
use crate::secret::Authorization;

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
    assert_eq!(
        config.store,
        StoreUrl::Sqlite(given.path("alert-manager.db"))
    );
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
    assert_eq!(route.priority, Some(Priority::Critical));
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
            "story_base=https://alerts.example.com/deliveries",
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
fn words_of_a_team_and_storms_are_read() {
    let config = good(
        "slack: { preview: true }
severity_map: { critical: [Gold, 1], normal: [page] }
storm: { over: 50, within: 30s, by: [team, alertname] }
",
    );
    let priority = |word: &str| {
        let labels = Labels::from_iter([("severity", word)]);
        config.router.severity_map.of(&labels).priority
    };
    assert_eq!(priority("gold"), Priority::Critical);
    assert_eq!(priority("1"), Priority::Critical);
    assert_eq!(priority("page"), Priority::Normal);
    assert_eq!(priority("warn"), Priority::Warning);
    let storm = |over, within| StormOptions {
        over,
        within: Duration::from_secs(within),
    };
    assert_eq!(config.queue.storm, storm(50, 30));
    let by = |config: &Config| config.router.storm_by.iter().cloned().collect::<Vec<_>>();
    assert_eq!(by(&config), ["alertname", "team"]);

    let config = good("slack: { preview: true }");
    assert_eq!(config.queue.storm, storm(20, 60));
    assert_eq!(by(&config), ["alertname", "cluster"]);
    let config = good("slack: { preview: true }\nstorm: { over: 0, by: [a] }");
    assert_eq!(config.queue.storm.over, 0);
    assert!(by(&config).is_empty(), "storms are off");
}

#[test]
fn handlers_get_how_a_route_threads_messages_as_a_setting() {
    let config = good(
        "slack: { preview: true }
routes:
  - { matchers: ['a=b'], handlers: [x], slack: { thread_by: group }, config: { channel: c } }
  - { handlers: [x] }
",
    );
    let settings = config.handlers.of(&HandlerName::new("x"));
    let given = settings.config_under(&config.routes[0].config);
    let given: Vec<_> = given.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(given, ["channel=c", "slack.thread_by=group"]);
    assert!(config.routes[1].config.is_empty());
}

#[test]
fn every_handler_gets_the_url_of_stories_unless_it_has_its_own() {
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
    let below_external_url = "https://alerts.example.com/am/deliveries";
    assert_eq!(base("listed").as_deref(), Some(below_external_url));
    assert_eq!(base("not-listed").as_deref(), Some(below_external_url));
    assert_eq!(base("set").as_deref(), Some("https://stories.example.com"));

    let given = Given::new().file("am.yml", "slack: { preview: true }");
    let config = given.load(Some(&given.path("am.yml"))).unwrap();
    let settings = config.handlers.of(&HandlerName::new("listed"));
    assert!(settings.config.is_empty(), "no address, no link");
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
fn slack_uses_the_proxy_of_the_whole_unless_it_has_its_own() {
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
    // The usual variables of the environment are not read.
    let given = Given::new().variable("HTTPS_PROXY", "http://elsewhere");
    let config = given
        .variable("https_proxy", "http://elsewhere")
        .bare()
        .unwrap();
    assert!(config.proxy.is_none() && config.slack.proxy.is_none());
}
