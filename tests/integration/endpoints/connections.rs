//! Slow, silent or many peers: the limits of each wait and of each body.

use reqwest::StatusCode;
use tests::alerts;
use tests::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Peer, server, signed};

/// A request whose headers are whole and whose body is awaited once `100 Continue` has come.
const AWAITED: &str = "POST /webhook HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
    content-length: 100000\r\nexpect: 100-continue\r\n\r\n";

/// The header of a sender with the credential `a`.
const PROOF: &str = "expect: 100-continue\r\nauthorization: Bearer a\r\n";

/// A header that anybody can send: a signature that is checked once the body is complete.
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
async fn a_body_that_stops_or_trickles_gets_a_503() {
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
    // A small body fits, and so does the large one once the first has ended.
    let (status, _) = post(alerts::firing("B", &[]).to_string()).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    first.send(&" ".repeat(20_000)).await;
    first.hears("400").await;
    let (status, answer) = post(body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

/// Limits for the tests of unauthenticated bodies: with signatures, or without authentication.
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
        // More than there are connections, and each with more than a quarter of the budget.
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
    // There are enough connections, but not enough bytes.
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
