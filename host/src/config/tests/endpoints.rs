//! The server's own endpoints, and what it does if alerts fail or do not arrive.

use std::time::Duration;

use super::{CLOSED, Given, good, problems};
use crate::http::server::{self, ClientAuth, TlsVersion};

const KEYS: &str = r#"
web: { connections_max: 5, header_timeout: 1s, header_bytes_max: 8KiB, body_timeout: 2s, body_rate_min: 1KiB, bodies_bytes_max: 1MiB, idle_timeout: 3s }
tls_server_config: { cert_file: c.pem, key_file: k.pem, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem, min_version: TLS13 }
webhook: { hmac: { secret_file: secret, header: X-Sign, timestamp_header: X-Time }, rate: { per_second: 2.5, burst: 7 }, body_bytes_max: 1MiB }
dead_letter: { handlers: [slack-notify, page] }
heartbeats:
  prometheus: { matchers: ['alertname="Watchdog"', 'cluster="a"'], every: 5m }
  self: { ping_url_file: url, every: 1m }
"#;

#[test]
fn every_key_of_them_is_read() {
    let given = ["c.pem", "k.pem", "ca.pem"]
        .into_iter()
        .fold(Given::new(), |given, file| given.file(file, "PEM"))
        .file("secret", "key\n")
        .file("url", "https://hc.example.com/token\n");
    let (given, config) = given.load_text(&format!("{CLOSED}{KEYS}"));
    let config = config.unwrap();
    let web = server::Settings {
        connections_max: 5,
        header_timeout: Duration::from_secs(1),
        header_bytes_max: 8 << 10,
        body_timeout: Duration::from_secs(2),
        body_rate_min: 1 << 10,
        bodies_bytes_max: 1 << 20,
        idle_timeout: Duration::from_secs(3),
    };
    assert_eq!(config.server, web);
    let tls = config.tls_server.unwrap();
    assert_eq!(tls.cert_file, given.path("c.pem"));
    assert_eq!(tls.key_file, given.path("k.pem"));
    let ca_file = given.path("ca.pem");
    assert_eq!(tls.client_auth, ClientAuth::IfGiven { ca_file });
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    let hmac = config.webhook.hmac.unwrap();
    assert_eq!(hmac.secret.read().unwrap().expose(), "key");
    assert_eq!(hmac.header, "x-sign");
    assert_eq!(hmac.timestamp_header.unwrap(), "x-time");
    assert_eq!(config.webhook.rate.per_second, 2.5);
    assert_eq!(config.webhook.rate.burst, 7);
    let reporting: Vec<_> = config
        .dead_letter
        .iter()
        .flatten()
        .map(|h| h.as_str())
        .collect();
    assert_eq!(reporting, ["slack-notify", "page"]);
    assert_eq!(config.heartbeats.len(), 1);
    let expected = &config.heartbeats["prometheus"];
    assert_eq!(expected.matchers.len(), 2);
    assert_eq!(expected.every, Duration::from_secs(300));
    assert_eq!(config.pings.len(), 1);
    let ping = &config.pings[0];
    assert_eq!((ping.name.as_str(), ping.every.as_secs()), ("self", 60));
    assert!(!format!("{ping:?}").contains("token"));
}

#[test]
fn without_them_limits_are_generous_and_nothing_is_expected() {
    let config = good(CLOSED);
    assert_eq!(config.server, server::Settings::default());
    assert_eq!(config.webhook.rate.per_second, 0.0);
    assert!(config.tls_server.is_none() && config.webhook.hmac.is_none());
    assert!(config.heartbeats.is_empty() && config.pings.is_empty());
    assert!(config.dead_letter.is_none(), "the last route reports");
    let off = good(&format!("{CLOSED}dead_letter: {{ handlers: [] }}"));
    assert_eq!(off.dead_letter, Some(Vec::new()));
}

#[test]
fn each_problem_has_a_place_and_a_remedy() {
    let cases = [
        (
            "web: { header_bytes_max: 1KiB }",
            "am.yml:2:26: web.header_bytes_max is \"1KiB\" — it should be a size from 8KiB to 1MiB",
        ),
        (
            "web: { bodies_bytes_max: 64MiB }",
            "am.yml:2:26: web.bodies_bytes_max is 64MiB (an eighth of it for small bodies), which has no room for one of \
             webhook.body_bytes_max, 64MiB — write bodies_bytes_max: 74MiB or more",
        ),
        (
            "webhook: { body_bytes_max: 225MiB }",
            "am.yml:2:28: web.bodies_bytes_max is 256MiB",
        ),
        (
            "web: { bodies_bytes_max: 1000 }\nwebhook: { body_bytes_max: 1001 }",
            "write bodies_bytes_max: 1MiB or more",
        ),
        ("web: { idle_timeout: 0 }", "a duration of more than 0"),
        ("web: { timeout: 1s }", "unknown key web.timeout"),
        (
            "tls_server_config: { cert_file: am.yml }",
            "am.yml:2:20: tls_server_config has no key_file — add key_file: FILE",
        ),
        (
            "tls_server_config: { cert_file: , key_file: am.yml }",
            "tls_server_config has no cert_file",
        ),
        (
            "heartbeats: { a: { every: , matchers: ['b=c'] } }",
            "heartbeats.a does not say how often",
        ),
        (
            "tls_server_config: { cert_file: am.yml, key_file: none }",
            "am.yml:2:51: tls_server_config.key_file: there is no file none",
        ),
        (
            "tls_server_config: { cert_file: am.yml, key_file: am.yml, client_auth_type: RequireAnyClientCert }",
            "it should be NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
        ),
        (
            "tls_server_config: { cert_file: am.yml, key_file: am.yml, client_auth_type: RequireAndVerifyClientCert }",
            "tls_server_config has no client_ca_file to verify with",
        ),
        (
            "tls_server_config: { cert_file: am.yml, key_file: am.yml, client_ca_file: am.yml }",
            "tls_server_config has a client_ca_file that nothing uses",
        ),
        (
            "tls_server_config: { cert_file: am.yml, key_file: am.yml, min_version: TLS11 }",
            "it should be TLS12 or TLS13",
        ),
        (
            "webhook: { hmac: { header: X-Sign } }",
            "webhook.hmac has 0 of secret, secret_file and secret_env",
        ),
        (
            "webhook: { hmac: { secret_file: none } }",
            "am.yml:2:18: webhook.hmac: cannot read none",
        ),
        (
            "webhook: { hmac: { secret: s, header: 'X Sign' } }",
            "the name of a header",
        ),
        (
            "webhook: { rate: { per_second: -1 } }",
            "a number, 0 or more; 0 is off",
        ),
        (
            "heartbeats: { a: { matchers: ['b=c'] } }",
            "am.yml:2:18: heartbeats.a does not say how often — add every: 5m",
        ),
        (
            "heartbeats: { a: { every: 5m } }",
            "heartbeats.a has neither matchers nor a URL to ping",
        ),
        (
            "heartbeats: { a: { every: 5m, matchers: ['b=c'], ping_url: 'http://h' } }",
            "heartbeats.a has matchers and a URL to ping",
        ),
        (
            "heartbeats: { a: { every: 5m, matchers: [] } }",
            "heartbeats.a.matchers is empty, so any alert would do",
        ),
        (
            "heartbeats: { a: { every: 5m, ping_url: h/secret } }",
            "heartbeats.a: what should be pinged is not a URL",
        ),
        (
            "routes: [{ name: dead-letter, handlers: [a] }]",
            "am.yml:2:10: routes[0] has the name of a route for dead letters",
        ),
        (
            "routes: [{ name: 'dead-letter@oncall', handlers: [a] }]",
            "am.yml:2:10: routes[0] has the name of a route for dead letters",
        ),
        ("dead_letter: {}", "dead_letter names no handler"),
        (
            "dead_letter: { handlers: [a, a] }",
            "dead_letter.handlers names a twice",
        ),
    ];
    for (line, part) in cases {
        let found = problems(Given::new(), &format!("{CLOSED}{line}\n"));
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        assert!(found[0].contains(part), "{line}: {found:#?}");
        assert!(!found[0].contains("secret — "), "{found:#?}");
    }
}

#[test]
fn a_signature_or_a_client_certificate_authenticates_too() {
    let public = format!("{CLOSED}listen: 0.0.0.0:0\n");
    good(&format!(
        "{public}webhook: {{ hmac: {{ secret: s }} }}\napi: {{ authorization: {{ credentials: a }} }}\n"
    ));
    let tls = "tls_server_config: { cert_file: am.yml, key_file: am.yml, client_ca_file: am.yml, client_auth_type:";
    good(&format!("{public}{tls} RequireAndVerifyClientCert }}\n"));
    let found = problems(
        Given::new(),
        &format!("{public}{tls} VerifyClientCertIfGiven }}\n"),
    );
    assert!(found[0].contains("no authorization"), "{found:?}");
}
