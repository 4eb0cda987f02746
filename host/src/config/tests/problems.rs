//! What is wrong with a configuration: each with its place and a remedy, and without secrets.

use super::{CLOSED, Given, good, problems};
use crate::config::Problem;

#[test]
fn three_problems_are_reported_at_once_with_their_lines() {
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
fn each_problem_has_a_place_and_a_remedy() {
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
            "storm: { over: -1 }",
            "am.yml:2:16: storm.over is \"-1\" — it should be a whole number up to 4294967295; 0 is off",
        ),
        (
            "storm: { within: 0s }",
            "am.yml:2:18: storm.within is \"0s\" — it should be a duration of more than 0",
        ),
        (
            "storm: { over: 5000000000 }",
            "am.yml:2:16: storm.over is \"5000000000\" — it should be a whole number up to 4294967295",
        ),
        (
            "storm: off",
            "am.yml:2:8: storm should be a mapping of keys to values, not off — to turn storms off, write storm: { over: 0 }",
        ),
        (
            "storm: { by: [''] }",
            "am.yml:2:15: storm.by is empty — write a text",
        ),
        (
            "severity_map: { gold: critical }",
            "am.yml:2:17: severity_map.gold is a word, and the key is the priority — write it the other way round: critical: [gold]",
        ),
        (
            "severity_map: { critical: [\"\\t\"] }",
            "am.yml:2:28: severity_map.critical has a word that is empty",
        ),
        (
            "storm: { by: [] }",
            "am.yml:2:14: storm.by names no label, so alerts of any name would run as one — name one, as in [alertname, cluster]; to turn storms off, write over: 0",
        ),
        (
            "storm: { by: alertname }",
            "am.yml:2:14: storm.by is \"alertname\" — it should be a list",
        ),
        (
            "storm: { by: [a, b, a] }",
            "am.yml:2:21: storm.by names a twice — name each label once",
        ),
        (
            "storm: { above: 3 }",
            "am.yml:2:10: unknown key storm.above — the keys here are over, within, by",
        ),
        (
            "severity_map: { critical: [gold, GOLD] }",
            "am.yml:2:34: severity_map.critical has \"GOLD\" twice — name each word once",
        ),
        (
            "severity_map: { warning: [Gold], critical: [gold] }",
            "am.yml:2:27: severity_map.warning has \"Gold\", which severity_map.critical has too",
        ),
        (
            "severity_map: { critical: gold }",
            "am.yml:2:27: severity_map.critical is \"gold\" — it should be a list",
        ),
        (
            "severity_map: { high: [gold] }",
            "am.yml:2:17: unknown key severity_map.high — the keys here are critical, warning, normal",
        ),
        (
            "routes: [{ handlers: [x], slack: { thread_by: alert } }]",
            "am.yml:2:47: routes[0].slack.thread_by is \"alert\" — it should be group",
        ),
        (
            "routes: [{ handlers: [x], slack: { thread: group } }]",
            "am.yml:2:36: unknown key routes[0].slack.thread — did you mean thread_by?",
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
            "am.yml:2:9: 0.0.0.0:5000 can be reached from other machines",
        ),
        (
            "store: postgres://u:pw@h/db?sslmode=maybe",
            "am.yml:2:8: store is not the URL of a store — sslmode has to be disable, prefer",
        ),
        (
            "store: postgres:h/db",
            "am.yml:2:8: store is not the URL of a store — write postgres://USER@HOST/DATABASE",
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
            "webhook: { basic_auth: { username: , password: p } }",
            "webhook.basic_auth has no username",
        ),
        (
            "credentials: { a: { authorization: , origins: ['https://h.org'] } }",
            "credentials.a does not say what to send",
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
            "\"X_y\" is not the name of a handler",
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
            "am.yml:2:13: \"Slack_Notify\" is not the name of a handler",
        ),
        (
            "external_url: alerts.example.com",
            "a URL such as https://alerts.example.com",
        ),
        ("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", "am.yml:3:"),
        ("routes: [", "this is not YAML"),
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
fn a_file_that_is_not_a_mapping_is_reported() {
    let found = problems(Given::new(), "- a\n");
    assert!(
        found[0].contains("am.yml:1:1: the configuration is a list"),
        "{found:?}"
    );
}

#[test]
fn a_route_that_no_alert_reaches_is_a_warning() {
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
fn a_proxy_that_cannot_be_used_is_reported_without_its_password() {
    let text =
        "proxy_url: 'socks5://user:hunter2@proxy'\nno_proxy: 'https://x'\nslack: { preview: true }";
    let found = problems(Given::new(), text);
    assert_eq!(found.len(), 2, "{found:?}");
    let all = found.join("\n");
    assert!(
        all.contains(":2:11: no_proxy: \"https://x\" is not a name"),
        "{all}"
    );
    assert!(all.contains("the proxy's scheme is http or https"), "{all}");
    assert!(!found.concat().contains("hunter2"), "{found:?}");
    let text = "proxy_url: 'http://a'\nproxy_url_file: b\nslack: { preview: true }";
    let found = problems(Given::new(), text);
    assert!(
        found[0].contains("there is more than one of proxy_url, proxy_url_file, proxy_url_env"),
        "{found:?}"
    );
    let text = "slack: { preview: true, via_proxy: true }\n\
        heartbeats: { self: { ping_url: 'http://x', every: 1m, via_proxy: true } }\n\
        handlers: { x: { allow: { http: [{ url: 'http://x', via_proxy: true }] } } }";
    let found = problems(Given::new(), text);
    assert_eq!(found.len(), 3, "{found:?}");
    for line in found {
        assert!(
            line.contains("via_proxy is set, and there is no proxy — add proxy_url"),
            "{line}"
        );
    }
}

#[test]
fn what_re2_refuses_is_refused_with_line_and_remedy_and_odd_matchers_are_warned_of() {
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
        let found = problems(Given::new(), &routes(matcher));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("am.yml:3:16: routes[0].matchers: the regular expression"),
            "{found:?}"
        );
        assert!(found[0].contains(part), "{found:?}");
    }
    let warned = |matcher: &str| good(&routes(matcher)).warnings[0].to_string();
    assert!(warned("'{}'").contains("holds no matcher, so it matches every alert"));
    assert!(warned("'a==b'").contains("the operator is =, not =="));
    assert!(good(&routes(r#"'a="=x"'"#)).warnings.is_empty());
    assert!(good(&routes(r#"'volume="D:\backup"'"#)).warnings.is_empty());
}
