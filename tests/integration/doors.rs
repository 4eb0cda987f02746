//! The server's own doors: who may come in, how long they may take, and what they are told.

use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use tests::alerts;
use tests::fakes::{Fault, Sink, Slack};
use tests::process::{self, Process};
use tests::server::{PATIENCE, Server, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PREVIEW: &str = "slack: { preview: true }";

async fn server(config: &str) -> Server {
    Setup::new().config(PREVIEW).config(config).start().await
}

/// A peer that speaks as slowly and as badly as it likes.
struct Peer(TcpStream);

impl Peer {
    async fn connect(server: &Server) -> Self {
        let address = server.url.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn asking(server: &Server, request: &str) -> Self {
        let mut peer = Self::connect(server).await;
        peer.send(request).await;
        peer
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until what came contains `part`.
    async fn hears(&mut self, part: &str) -> String {
        let mut heard = String::new();
        tokio::time::timeout(PATIENCE, async {
            while !heard.contains(part) {
                let mut bytes = [0; 4096];
                let n = self.0.read(&mut bytes).await.unwrap();
                assert_ne!(n, 0, "closed before {part:?}: {heard}");
                heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        })
        .await
        .expect("it is said in time");
        heard
    }

    /// Reads until the server closes the connection.
    async fn heard_until_closed(mut self) -> String {
        let mut heard = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut heard))
            .await
            .expect("it is closed in time")
            .ok();
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// A request whose headers are whole and whose body is awaited once `100 Continue` has come.
const AWAITED: &str = "POST /webhook HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
    content-length: 100000\r\nexpect: 100-continue\r\n\r\n";

/// What a sender who knows the credential `a` adds to its headers.
const PROOF: &str = "expect: 100-continue\r\nauthorization: Bearer a\r\n";

/// What anybody can add to them: a signature that is still to be compared with a body.
const CLAIM: &str = "expect: 100-continue\r\nx-grafana-alerting-signature: \
    00000000000000000000000000000000ffffffffffffffffffffffffffffffff\r\n";

fn awaited(headers: &str) -> String {
    AWAITED.replace("expect: 100-continue\r\n", headers)
}

/// Begins to upload a body, and waits until the server reads it.
async fn upload(server: &Server, headers: &str, bytes: usize) -> Peer {
    let mut peer = Peer::asking(server, &awaited(headers)).await;
    peer.hears("100 Continue").await;
    peer.send(&" ".repeat(bytes)).await;
    peer
}

async fn cut(server: &Server, reason: &str) -> f64 {
    let (_, metrics) = server.get_text("/metrics").await;
    let line = format!("alert_manager_connections_cut_total{{reason=\"{reason}\"}} ");
    metrics
        .lines()
        .find_map(|l| l.strip_prefix(&line))
        .map_or(0.0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_peer_that_never_ends_its_headers_is_cut_off() {
    let server = server("web: { header_timeout: 200ms }").await;
    let slow = Peer::asking(&server, "POST /webhook HTTP/1.1\r\nhost: a\r\nx-slow:").await;
    let silent = Peer::connect(&server).await;
    let (status, _) = server.get("/api/v1/deliveries").await;
    assert_eq!(status, StatusCode::OK, "others are served meanwhile");
    assert_eq!(slow.heard_until_closed().await, "");
    assert_eq!(silent.heard_until_closed().await, "");
    assert!(cut(&server, "slow_headers").await >= 2.0);
}

#[tokio::test]
async fn headers_past_their_bound_are_refused() {
    let server = server("web: { header_bytes_max: 8KiB }").await;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(9_000)
    );
    let mut peer = Peer::asking(&server, &request).await;
    peer.hears("431").await;
}

#[tokio::test]
async fn a_body_that_stops_or_trickles_is_told_to_come_again() {
    let server = server("web: { body_timeout: 300ms, body_rate_min: 1MiB }").await;
    let mut stops = Peer::asking(&server, AWAITED).await;
    stops.hears("100 Continue").await;
    let mut trickles = Peer::asking(&server, AWAITED).await;
    trickles.hears("100 Continue").await;
    stops.send("{").await;
    let (mut read, mut write) = trickles.0.into_split();
    let mut heard = String::new();
    tokio::select! {
        // A byte at a time would get around a bound on pauses alone.
        never = async {
            loop {
                if write.write_all(b" ").await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
            }
        } => never,
        read = read.read_to_string(&mut heard) => { let _ = read; }
    }
    for heard in [stops.heard_until_closed().await, heard] {
        assert!(heard.contains("503"), "{heard}");
        assert!(heard.contains("too slowly"), "{heard}");
    }
    assert!(cut(&server, "slow_body").await >= 2.0);
}

#[tokio::test]
async fn large_bodies_at_one_time_share_their_room() {
    let server = server(
        "web: { bodies_bytes_max: 100KiB }\n\
         webhook: { body_bytes_max: 100KiB, authorization: { credentials: a } }",
    )
    .await;
    let post = async |body: String| {
        let request = reqwest::Client::new().post(format!("{}/webhook", server.url));
        let answer = request.bearer_auth("a").body(body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let mut first = upload(&server, PROOF, 80_000).await;
    // Whether its bytes have come shows in what is left for another: until then that one is let in.
    let body = alerts::firing("A", &[]).to_string() + &" ".repeat(50_000);
    let (status, answer) = loop {
        let (status, answer) = post(body.clone()).await;
        if status != StatusCode::ACCEPTED {
            break (status, answer);
        }
    };
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer.contains("bodies_bytes_max"), "{answer}");
    // A small one has room, and so has the large one when the first has gone.
    let (status, _) = post(alerts::firing("B", &[]).to_string()).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    first.send(&" ".repeat(20_000)).await;
    first.hears("400").await;
    let (status, answer) = post(body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

/// Where anybody can claim a signature, or nobody is asked for a proof.
const FEW: &str =
    "web: { connections_max: 6, bodies_bytes_max: 100KiB, body_timeout: 1h, header_timeout: 1h }";

#[tokio::test]
async fn uploads_without_proof_do_not_keep_out_who_has_one() {
    let server = server(&format!(
        "{FEW}\nwebhook: {{ body_bytes_max: 100KiB, hmac: {{ secret: key }}, authorization: {{ credentials: a }} }}"
    ))
    .await;
    let url = format!("{}/webhook", server.url);
    let mut flood = Vec::new();
    for round in ["1", "2", "3"] {
        // More than there are connections, and each more than a quarter of the room.
        for _ in 0..30 {
            flood.push(upload(&server, CLAIM, 30_000).await);
        }
        let body = alerts::firing("Known", &[("round", round)]).to_string();
        let known = reqwest::Client::new().post(&url).bearer_auth("a");
        let answer = known.body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let body = alerts::firing("Signed", &[("round", round)]).to_string();
        let signature = signed("key", &body);
        let claim = reqwest::Client::new().post(&url);
        let claim = claim.header("x-grafana-alerting-signature", signature);
        let answer = claim.body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
    let heard = flood.remove(0).heard_until_closed().await;
    assert!(
        heard.contains("503") && heard.contains("in favour of others"),
        "{heard}"
    );
    let displaced = cut(&server, "displaced").await + cut(&server, "displaced_body").await;
    assert!(displaced >= 80.0, "{displaced}");
}

#[tokio::test]
async fn who_has_proved_itself_is_not_cut_off_by_uploads_without_proof() {
    let server = server(&format!(
        "{FEW}\nwebhook: {{ body_bytes_max: 100KiB, hmac: {{ secret: key }}, authorization: {{ credentials: a }} }}"
    ))
    .await;
    let mut known = upload(&server, PROOF, 60_000).await;
    let mut flood = Vec::new();
    for _ in 0..30 {
        flood.push(upload(&server, CLAIM, 30_000).await);
    }
    known.send(&" ".repeat(40_000)).await;
    known.hears("the body is empty").await;
}

#[tokio::test]
async fn a_flood_of_slow_bodies_on_open_loopback_keeps_no_sender_out() {
    let server = server(&format!("{FEW}\nwebhook: {{ body_bytes_max: 100KiB }}")).await;
    let mut flood = Vec::new();
    for round in ["1", "2", "3"] {
        for _ in 0..30 {
            flood.push(upload(&server, "expect: 100-continue\r\n", 30_000).await);
        }
        let alert = alerts::firing("A", &[("round", round)]);
        let (status, answer) = server.post(&alert).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let body = alerts::firing("Large", &[("round", round)]).to_string() + &" ".repeat(90_000);
        let (status, answer) = server.post_raw(body, "application/json").await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    let heard = flood.remove(0).heard_until_closed().await;
    assert!(
        heard.contains("503") && heard.contains("in favour of others"),
        "{heard}"
    );
    let displaced = cut(&server, "displaced").await + cut(&server, "displaced_body").await;
    assert!(displaced >= 80.0, "{displaced}");
}

#[tokio::test]
async fn the_room_of_bodies_without_proof_is_given_to_the_newest() {
    // Connections are plenty: bytes are short.
    let server = server(
        "web: { bodies_bytes_max: 100KiB, body_timeout: 1h }\n\
         webhook: { body_bytes_max: 100KiB, hmac: { secret: key } }",
    )
    .await;
    let oldest = upload(&server, CLAIM, 60_000).await;
    let mut newest = upload(&server, CLAIM, 60_000).await;
    let heard = oldest.heard_until_closed().await;
    assert!(
        heard.contains("503") && heard.contains("bodies_bytes_max"),
        "{heard}"
    );
    newest.send(&" ".repeat(40_000)).await;
    newest.hears("does not match").await;
    assert!((cut(&server, "displaced_body").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_connection_that_waits_too_long_for_its_next_request_is_closed() {
    let server = server("web: { idle_timeout: 100ms }").await;
    let mut peer = Peer::asking(&server, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    peer.hears("ok").await;
    peer.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    peer.hears("ok").await;
    assert_eq!(peer.heard_until_closed().await, "");
}

#[tokio::test]
async fn past_the_most_connections_the_answer_is_503() {
    let server =
        server("web: { connections_max: 2 }\nwebhook: { authorization: { credentials: a } }").await;
    // Those of this machine may be 16 more.
    let mut asking = Vec::new();
    for _ in 0..18 {
        asking.push(upload(&server, PROOF, 0).await);
    }
    let refused = Peer::asking(&server, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let heard = refused.heard_until_closed().await;
    assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
    assert!(heard.contains("connections_max"), "{heard}");
    let mut first = asking.remove(0);
    first.send(&" ".repeat(100_000)).await;
    assert!(
        first.hears("error").await.contains("400"),
        "those under way go on"
    );
}

#[tokio::test]
async fn a_silent_connection_makes_room_for_one_that_asks() {
    let server = server("web: { connections_max: 1, header_timeout: 1h }").await;
    let silent = Peer::connect(&server).await;
    let mut asking = Peer::asking(&server, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    asking.hears("ok").await;
    assert_eq!(silent.heard_until_closed().await, "");
    assert!(cut(&server, "displaced").await >= 1.0);
}

#[tokio::test]
async fn a_flood_of_slow_peers_keeps_no_sender_out() {
    let server = server("web: { connections_max: 20 }").await;
    let mut slow = Vec::new();
    for round in 0..3 {
        for _ in 0..60 {
            slow.push(Peer::asking(&server, "POST /webhook HTTP/1.1\r\nx-slow:").await);
        }
        let alert = alerts::firing("A", &[("round", &round.to_string())]);
        let (status, answer) = server.post(&alert).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_eq!(answer["accepted"], 1);
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_no_idle_peer() {
    let server = server("").await;
    let mut idle = Peer::asking(&server, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    idle.hears("ok").await;
    let silent = Peer::connect(&server).await;
    server.stop().await;
    assert_eq!(idle.heard_until_closed().await, "");
    assert_eq!(silent.heard_until_closed().await, "");
}

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
    // Its name was turned to 127.0.0.1 after it was loaded: to the browser it is one origin with us.
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
    // So was one that somebody in the same network answered for by multicast DNS.
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
async fn where_the_operator_opened_the_doors_any_name_will_do_and_no_page() {
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
    // By itself it would be fine: but this process goes on listening where it does.
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

fn signed(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
async fn a_sender_past_its_rate_is_told_to_come_again() {
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

/// Writes a new certificate for 127.0.0.1 and its key as a deployment would, and returns the certificate.
fn new_pair(dir: &Path) -> String {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    replace(&dir.join("key.pem"), &pair.signing_key.serialize_pem());
    replace(&dir.join("cert.pem"), &pair.cert.pem());
    pair.cert.pem()
}

fn replace(path: &Path, content: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(&next, path).unwrap();
}

fn trusting(certificate: &str) -> reqwest::ClientBuilder {
    let certificate = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([certificate])
}

/// Asks over a new connection.
async fn asked(client: reqwest::ClientBuilder, server: &Server) -> Result<u16, reqwest::Error> {
    let url = format!("{}/healthz", server.url.replace("http:", "https:"));
    let answer = client.build().unwrap().get(url).send().await?;
    Ok(answer.status().as_u16())
}

const TLS: &str =
    "tls_server_config: { cert_file: cert.pem, key_file: key.pem, min_version: TLS13 }";

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let first = new_pair(dir.path());
    let setup = Setup::new().config(PREVIEW).config(TLS);
    let server = setup.start_in(Arc::clone(&dir)).await;
    assert_eq!(asked(trusting(&first), &server).await.unwrap(), 200);
    let plain = server.url.clone() + "/healthz";
    reqwest::get(plain)
        .await
        .expect_err("nothing is said in the clear");

    let second = new_pair(dir.path());
    assert_eq!(asked(trusting(&second), &server).await.unwrap(), 200);
    asked(trusting(&first), &server)
        .await
        .expect_err("the old one is gone");

    replace(&dir.path().join("cert.pem"), "no certificate");
    assert_eq!(asked(trusting(&second), &server).await.unwrap(), 200);
    // Another pair's certificate does not go with this key.
    replace(&dir.path().join("cert.pem"), &first);
    assert_eq!(asked(trusting(&second), &server).await.unwrap(), 200);
    assert!(asked(trusting(&first), &server).await.is_err());
}

#[tokio::test]
async fn a_client_without_the_certificate_that_is_asked_for_stays_outside() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let certificate = new_pair(dir.path());
    let client = rcgen::generate_simple_self_signed(["prometheus".to_owned()]).unwrap();
    replace(&dir.path().join("clients.pem"), &client.cert.pem());
    // Who has such a certificate has proved itself, so that a public address needs nothing else.
    let config = "listen: 0.0.0.0:0\ntls_server_config: { cert_file: cert.pem, key_file: key.pem, \
        client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients.pem }";
    let setup = Setup::new().config(PREVIEW).config(config);
    let server = setup.start_in(Arc::clone(&dir)).await;
    asked(trusting(&certificate), &server)
        .await
        .expect_err("it proves nothing");
    let identity = client.cert.pem() + &client.signing_key.serialize_pem();
    let identity = reqwest::Identity::from_pem(identity.as_bytes()).unwrap();
    let known = trusting(&certificate).identity(identity);
    assert_eq!(asked(known, &server).await.unwrap(), 200);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    for (file, content, part) in [
        ("cert.pem", "", "cert_file holds no certificate"),
        ("key.pem", "nothing", "key_file holds no private key"),
    ] {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        new_pair(dir.path());
        replace(&dir.path().join(file), content);
        let setup = Setup::new().config(PREVIEW).config(TLS);
        let Err(error) = setup.try_start_in(dir).await else {
            panic!("it starts without {file}");
        };
        assert!(error.contains(part), "{error}");
    }
}

const SLACK: &str = r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
routes: [{ handlers: [slack-notify] }]
handlers:
  slack-notify:
    allow: { slack: [alerts] }
    retry: { min_backoff: 1ms, max_backoff: 10ms, max_attempts: 2 }
"##;

/// Waits until a delivery in the list is as wanted.
async fn wait_for_delivery(server: &Server, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut commits = server.shared.commits();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            commits.mark_unchanged();
            let (_, list) = server.get("/api/v1/deliveries?limit=1000").await;
            let found = list["deliveries"]
                .as_array()
                .unwrap()
                .iter()
                .find(|d| wanted(d));
            if let Some(found) = found {
                return found.clone();
            }
            commits.changed().await.unwrap();
        }
    });
    waited.await.expect("it comes in time")
}

#[tokio::test]
async fn a_heartbeat_that_stops_is_told_and_so_is_its_return() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config(SLACK)
        .config(
            r#"heartbeats: { prometheus: { matchers: ['alertname="Watchdog"'], every: 50ms } }"#,
        )
        .start()
        .await;
    let beat = server.accept(&alerts::firing("Watchdog", &[])).await;
    let missing = async |after: &str, status: &str| {
        wait_for_delivery(&server, |delivery| {
            // Ids are in the order of acceptance.
            delivery["id"].as_str().unwrap() > after
                && delivery["alertname"] == "AlertManagerHeartbeatMissing"
                && delivery["status"] == status
                && delivery["state"] == "done"
        })
        .await
    };
    let told = missing(&beat[0], "firing").await;
    let gauge = |missing: u8| {
        format!("alert_manager_heartbeat_missing{{heartbeat=\"prometheus\"}} {missing}\n")
    };
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains(&gauge(1)), "{metrics}");
    // The same Watchdog again is a duplicate, and beats all the same.
    let (_, answer) = server.post(&alerts::firing("Watchdog", &[])).await;
    assert_eq!(answer["duplicates"], 1, "{answer}");
    let ended = missing(told["id"].as_str().unwrap(), "resolved").await;
    assert_eq!(ended["handlers"], json!(["slack-notify"]));
    let message = slack
        .wait_for(|message| message.contains("AlertManagerHeartbeatMissing"))
        .await;
    assert!(message.contains("prometheus"), "{}", message.shown());
}

#[tokio::test]
async fn a_heartbeat_that_returns_after_a_restart_ends_what_was_told_before() {
    let slack = Slack::start().await;
    let setup = |every: &str| {
        let heartbeat =
            format!("prometheus: {{ matchers: ['alertname=\"Watchdog\"'], every: {every} }}");
        Setup::new()
            .slack(&slack)
            .module("slack-notify")
            .config(SLACK)
            .config(&format!("heartbeats: {{ {heartbeat} }}"))
    };
    let is_about = |delivery: &Value, status: &str| {
        delivery["alertname"] == "AlertManagerHeartbeatMissing"
            && delivery["status"] == status
            && delivery["state"] == "done"
    };
    let server = setup("50ms").start().await;
    let told = wait_for_delivery(&server, |delivery| is_about(delivery, "firing")).await;
    let dir = server.stop().await;
    // From now on nothing is overdue: what ends is what was told before.
    let server = setup("1h").start_in(dir).await;
    let gauge = "alert_manager_heartbeat_missing{heartbeat=\"prometheus\"} 1";
    let taken_up = async {
        while !server.get_text("/metrics").await.1.contains(gauge) {
            tokio::task::yield_now().await;
        }
    };
    let taken_up = tokio::time::timeout(PATIENCE, taken_up).await;
    taken_up.expect("it knows what was missing before");
    server.accept(&alerts::firing("Watchdog", &[])).await;
    let ended = wait_for_delivery(&server, |delivery| is_about(delivery, "resolved")).await;
    let start = async |delivery: &Value| {
        let story = server.story(delivery["id"].as_str().unwrap()).await;
        story["alert"]["starts_at"].clone()
    };
    assert_eq!(
        start(&told).await,
        start(&ended).await,
        "it is the same alert"
    );
}

#[tokio::test]
async fn a_dead_mans_switch_is_pinged_again_and_again() {
    let sink = Sink::start().await;
    let pings = format!(
        "heartbeats: {{ self: {{ ping_url: {}/ping, every: 20ms }} }}",
        sink.url()
    );
    let _server = server(&pings).await;
    let pings = sink.wait_for_count(3).await;
    assert!(pings.iter().all(|ping| ping.method == "GET"), "{pings:?}");
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

#[tokio::test]
async fn a_dead_letter_is_told_once_and_a_dead_letter_of_it_is_not() {
    let slack = Slack::start().await;
    let refused = || Fault::slack_error("no_text");
    slack.faults().next("chat.postMessage", refused());
    let setup = || {
        Setup::new()
            .slack(&slack)
            .module("slack-notify")
            .config(SLACK)
            .config("dead_letter: { handlers: [slack-notify] }")
    };
    let server = setup().start().await;
    let first = server.accept(&alerts::firing("First", &[])).await;
    let told = slack.wait_for(|message| message.contains(&first[0])).await;
    assert!(told.contains("no_text"), "{}", told.shown());

    // Across a restart the store knows that it was told.
    let dir = server.stop().await;
    let server = setup().start_in(dir).await;
    slack.faults().next("chat.postMessage", refused());
    slack.faults().next("chat.postMessage", refused());
    let second = server.accept(&alerts::firing("Second", &[])).await;
    let untold = wait_for_delivery(&server, |delivery| {
        // Ids are in the order of acceptance.
        let is_later = delivery["id"].as_str().unwrap() > second[0].as_str();
        is_later && delivery["route"] == "dead-letter" && delivery["state"] == "dead"
    })
    .await;
    assert_eq!(untold["alertname"], "AlertManagerDeadLetter");
    let third = server.accept(&alerts::firing("Third", &[])).await;
    server.wait_settled(&third[0]).await;
    let (_, list) = server.get("/api/v1/deliveries").await;
    let all = list["deliveries"].as_array().unwrap();
    assert_eq!(all.len(), 5, "three alerts, two dead letters: {list:#}");
    let about = |id: &str| {
        let count = slack.messages().iter().filter(|m| m.contains(id)).count();
        assert!(count <= 1, "{count} messages about {id}");
        count
    };
    assert_eq!((about(&first[0]), about(&second[0])), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_brings_its_token_and_the_authority_to_trust() {
    use alert_manager::runtime::{Credential, CredentialKind};
    use alert_manager::secret::SecretSource;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    new_pair(dir.path());
    replace(&dir.path().join("token"), "account-token\n");
    let setup = Setup::new().config(PREVIEW).config(TLS);
    let setup = setup.config("api: { authorization: { credentials: account-token } }");
    // Any API over TLS will do: this one is at hand.
    let server = setup.start_in(Arc::clone(&dir)).await;
    let url = server.url.replace("http:", "https:");
    let bed = tests::bed::Bed::with_services(|services| {
        let account = Credential {
            kind: CredentialKind::ServiceAccount {
                token: SecretSource::file(dir.path().join("token")),
                ca_file: dir.path().join("cert.pem"),
            },
            origins: vec![alert_manager::policy::HttpGrant::parse(&url).unwrap()],
        };
        let account = Arc::new(account);
        services
            .credentials
            .insert("kubernetes".to_owned(), account);
    });
    let script =
        format!("credential kubernetes {url}/api/v1/deliveries\nget {url}/api/v1/deliveries");
    let call = bed.probe(&script).await.http(&url);
    let told = call.credential("kubernetes").facts().await;
    assert_eq!(told[0], "200 {\"deliveries\":[],\"next\":null}");
    let why = "without it nobody vouches for the certificate";
    assert!(told[1].contains("Unreachable"), "{why}: {}", told[1]);
}
