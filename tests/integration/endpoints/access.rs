//! Access to the endpoints: credentials, the origin check, signatures, rate limits.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::json;
use tests::alerts;
use tests::process::{self, Process};
use tests::server::{Server, Setup};

use super::{PREVIEW, Peer, server, signed};

#[tokio::test]
async fn every_answer_says_that_it_is_no_page() {
    let server = server("").await;
    let client = reqwest::Client::new();
    for path in [
        "/healthz",
        "/metrics",
        "/api/v1/deliveries",
        "/nowhere",
        "/webhook",
    ] {
        let answer = client.get(format!("{}{path}", server.url)).send().await;
        let headers = answer.unwrap().headers().clone();
        let header = |name: &str| {
            headers
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        let policy = header("cross-origin-resource-policy");
        assert_eq!(policy, "same-origin", "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path}");
        let kind = header("content-type");
        assert!(
            kind.starts_with("application/json") || kind.starts_with("text/plain"),
            "{path}: {kind}"
        );
        assert!(
            header("content-security-policy").contains("default-src 'none'"),
            "{path}"
        );
        let is_private = path.starts_with("/api/") || path == "/webhook";
        assert_eq!(header("cache-control") == "no-store", is_private, "{path}");
    }
}

#[tokio::test]
async fn a_public_address_needs_proof_from_everybody_or_insecure() {
    let open = |config: &str| {
        let setup = Setup::new().config(PREVIEW).config(config);
        let dir = Arc::new(tempfile::tempdir().unwrap());
        async move { setup.try_start_in(dir).await.map(|_| ()) }
    };
    let refused = open("listen: 0.0.0.0:0").await.unwrap_err();
    assert!(
        refused.contains("webhook and api have no authorization"),
        "{refused}"
    );
    assert!(refused.contains("insecure: true"), "{refused}");
    let half = "listen: 0.0.0.0:0\nwebhook: { hmac: { secret: s } }";
    let refused = open(half).await.unwrap_err();
    assert!(refused.contains("api has no authorization"), "{refused}");
    open("listen: 0.0.0.0:0\ninsecure: true").await.unwrap();

    let closed = "listen: 0.0.0.0:0\nwebhook: { authorization: { credentials: a } }\n\
        api: { basic_auth: { username: u, password: p } }";
    let server = server(closed).await;
    let body = alerts::firing("A", &[]);
    assert_eq!(server.post(&body).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        server.command("/-/reload").await.0,
        StatusCode::UNAUTHORIZED
    );
    for path in [
        "/",
        "/api/v1/deliveries",
        "/api/v1/deliveries/x",
        "/api/v1/handlers",
    ] {
        assert_eq!(server.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/healthz", "/readyz", "/-/healthy", "/-/ready", "/metrics"] {
        assert_eq!(server.get(path).await.0, StatusCode::OK, "{path}");
    }
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/handlers", server.url);
    let asked = client.get(url).basic_auth("u", Some("p")).send().await;
    assert_eq!(asked.unwrap().status(), StatusCode::OK);
    let url = format!("{}/webhook", server.url);
    let posted = client.post(url).bearer_auth("a").json(&body).send().await;
    assert_eq!(posted.unwrap().status(), StatusCode::ACCEPTED);
}

/// Returns the status of a request as a browser might send it.
async fn asked_as(server: &Server, line: &str, headers: &str, body: &str) -> u16 {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let heard = Peer::asking(server, &request)
        .await
        .heard_until_closed()
        .await;
    let status = heard
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    status
        .unwrap_or_else(|| panic!("{heard:?}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_page_in_this_machines_browser_gets_nothing() {
    let server = server("").await;
    let alert = alerts::firing("A", &[]).to_string();
    // DNS rebinding: its name resolves to 127.0.0.1 since it was loaded, so the browser treats it as our origin.
    let rebound = "host: evil.example:5000\r\norigin: http://evil.example:5000\r\n";
    let json = format!("{rebound}content-type: application/json\r\n");
    for (line, headers, body) in [
        ("GET /api/v1/deliveries", rebound, ""),
        ("GET /", rebound, ""),
        ("GET /metrics", rebound, ""),
        ("POST /-/reload", rebound, ""),
        ("POST /webhook", json.as_str(), alert.as_str()),
    ] {
        assert_eq!(asked_as(&server, line, headers, body).await, 421, "{line}");
    }
    // The same by multicast DNS, which any machine of the network can answer.
    for host in ["x.local", "x.lan:5000", "printer", "10.1.2.3:5000"] {
        let headers = format!("host: {host}\r\norigin: http://{host}\r\n");
        assert_eq!(
            asked_as(&server, "GET /api/v1/deliveries", &headers, "").await,
            421
        );
    }
    // It posts across origins, as a form may: no content type, and no answer that it could read.
    for headers in [
        "host: localhost:5000\r\norigin: http://evil.example\r\n",
        "host: localhost:5000\r\norigin: null\r\n",
        "host: 127.0.0.1:5000\r\nsec-fetch-site: cross-site\r\n",
    ] {
        for (line, body) in [
            ("POST /webhook", alert.as_str()),
            ("POST /-/reload", ""),
            ("POST /api/v1/deliveries/retry", ""),
        ] {
            assert_eq!(asked_as(&server, line, headers, body).await, 403, "{line}");
        }
    }
    let (_, deliveries) = server.get("/api/v1/deliveries").await;
    assert_eq!(deliveries["deliveries"], json!([]), "nothing came in");
    for path in ["/healthz", "/readyz"] {
        let line = format!("GET {path}");
        assert_eq!(asked_as(&server, &line, rebound, "").await, 200, "{path}");
    }
    // A scraper that asks through a proxy of this machine.
    let scraper = "host: 10.1.2.3:8443\r\n";
    assert_eq!(asked_as(&server, "GET /metrics", scraper, "").await, 200);
    let (_, metrics) = server.get_text("/metrics").await;
    let line = "alert_manager_webhook_refused_requests_total{reason=\"page\"} 4";
    assert!(metrics.contains(line), "{metrics}");
    // Every other client names us as we are known, and no origin.
    let plain = "host: localhost:5000\r\ncontent-type: application/json\r\n";
    assert_eq!(asked_as(&server, "POST /webhook", plain, &alert).await, 202);
}

#[tokio::test]
async fn if_the_operator_opened_the_endpoints_any_name_will_do_and_no_page() {
    let server = server("listen: 0.0.0.0:0\ninsecure: true").await;
    let named = "host: alerts.example.com\r\n";
    assert_eq!(
        asked_as(&server, "GET /api/v1/handlers", named, "").await,
        200
    );
    let page = "host: alerts.example.com\r\norigin: https://evil.example\r\n";
    assert_eq!(asked_as(&server, "POST /-/reload", page, "").await, 403);
}

#[tokio::test]
async fn a_reload_does_not_open_what_the_network_reaches() {
    let closed = "listen: 0.0.0.0:0\nwebhook: { authorization: { credentials: a } }\n\
        api: { authorization: { credentials: b } }";
    let server = server(closed).await;
    let file = server.dir.path().join("alert-manager.yml");
    let good = std::fs::read_to_string(&file).unwrap();
    let reload = async || {
        let url = format!("{}/-/reload", server.url);
        let answer = reqwest::Client::new()
            .post(url)
            .bearer_auth("b")
            .send()
            .await;
        let answer = answer.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    // The file alone is valid, but this process keeps its listener, which is reachable from the network.
    std::fs::write(&file, good.replace(closed, "listen: 127.0.0.1:0")).unwrap();
    let (status, answer) = reload().await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(
        answer.contains("webhook and api have no authorization"),
        "{answer}"
    );
    assert_eq!(
        server.get("/api/v1/handlers").await.0,
        StatusCode::UNAUTHORIZED
    );
    std::fs::write(&file, good.replace("credentials: a", "credentials: c")).unwrap();
    let (status, answer) = reload().await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn a_body_signed_as_grafana_signs_it_is_taken_and_no_other() {
    let server = server(
        "webhook: { hmac: { secret: key, timestamp_header: X-Grafana-Alerting-Timestamp } }",
    )
    .await;
    let small = alerts::grafana().to_string();
    // Of a size at which bodies are checked on a thread beside the others.
    let large = format!("{small}{}", " ".repeat(256 << 10));
    for body in [small, large] {
        only_a_signed_body_is_taken(&server, &body).await;
    }
}

async fn only_a_signed_body_is_taken(server: &Server, body: &str) {
    let (_, before) = server.get("/api/v1/deliveries").await;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let post = async |signature: String, time: u64| {
        let answer = reqwest::Client::new()
            .post(format!("{}/webhook", server.url))
            .header("content-type", "application/json")
            .header("x-grafana-alerting-signature", signature)
            .header("x-grafana-alerting-timestamp", time)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let sign = |secret: &str, time: u64| signed(secret, &format!("{time}:{body}"));
    let (status, answer) = post(sign("another", now), now).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    let (status, answer) = post(sign("key", now), now - 1).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    let (status, answer) = post(sign("key", now - 301), now - 301).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    assert!(answer.contains("5 minutes"), "{answer}");
    let (status, answer) = server.post(&alerts::grafana()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    let (_, deliveries) = server.get("/api/v1/deliveries").await;
    assert_eq!(deliveries, before, "nothing came in");
    let (status, answer) = post(sign("key", now), now).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

#[tokio::test]
async fn a_sender_over_its_rate_limit_gets_a_503() {
    let server = server("webhook: { rate: { per_second: 0.001, burst: 2 } }").await;
    for expected in [202, 202, 503] {
        let (status, answer) = server.post(&alerts::firing("A", &[])).await;
        assert_eq!(status.as_u16(), expected, "{answer}");
    }
    let (status, _) = server.get("/api/v1/deliveries").await;
    assert_eq!(status, StatusCode::OK, "the rest is not the webhook");
    let (_, metrics) = server.get_text("/metrics").await;
    let line = "alert_manager_webhook_refused_requests_total{reason=\"rate\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_keeps_its_memory_and_its_files_to_itself() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("handlers")).unwrap();
    let process = Process::start(process::command(dir.path(), &["serve"]));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let core = limits
        .lines()
        .find(|l| l.contains("core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "handlers" {
            continue;
        }
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", entry.path());
        seen += 1;
    }
    assert!(seen > 0, "there is a store");
}
