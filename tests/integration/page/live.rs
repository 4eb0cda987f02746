//! The events by which a page follows what happens.

use std::io::Read as _;
use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use reqwest::{Client, StatusCode};
use tests::alerts;
use tests::server::{PATIENCE, Server, Setup};

use super::Browser;

async fn server() -> Server {
    Setup::new()
        .config("slack: { preview: true }")
        .start()
        .await
}

type Events = Pin<Box<dyn Stream<Item = String>>>;

/// Follows the events, as a browser does that has seen the event with this number.
async fn follow(server: &Server, seen: Option<&str>) -> Events {
    let mut request = Client::new().get(format!("{}/api/v1/events", server.url));
    if let Some(seen) = seen {
        request = request.header("last-event-id", seen);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let chunks = answer.bytes_stream();
    Box::pin(chunks.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()))
}

async fn next(events: &mut Events) -> String {
    let next = tokio::time::timeout(PATIENCE, events.next()).await;
    next.expect("an event comes")
        .expect("the server still runs")
}

fn number(event: &str) -> String {
    let line = event.lines().find_map(|line| line.strip_prefix("id: "));
    line.unwrap_or_else(|| panic!("{event:?}")).to_owned()
}

#[tokio::test]
async fn who_follows_learns_of_each_change_and_what_was_missed() {
    let server = server().await;
    let mut events = follow(&server, None).await;
    let begin = next(&mut events).await;
    assert!(!begin.contains("event:"), "{begin:?}");
    server.accept(&alerts::firing("A", &[])).await;
    let change = next(&mut events).await;
    assert!(change.contains("event: change"), "{change:?}");
    assert_ne!(number(&change), number(&begin));
    drop(events);
    // After a cut the browser names what it has seen.
    let mut again = follow(&server, Some(&number(&begin))).await;
    assert!(next(&mut again).await.contains("event: change"));
}

#[tokio::test]
async fn a_shutdown_ends_the_events() {
    let server = server().await;
    let mut events = follow(&server, None).await;
    next(&mut events).await;
    server.stop().await;
    let end = tokio::time::timeout(PATIENCE, events.next()).await;
    assert!(end.expect("they end").is_none());
}

#[tokio::test]
async fn events_end_once_the_token_has_changed() {
    let server = Setup::new()
        .config("slack: { preview: true }")
        .config("api: { authorization: { credentials: a-token } }")
        .start()
        .await;
    let request = Client::new().get(format!("{}/api/v1/events", server.url));
    let answer = request.bearer_auth("a-token").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut events: Events = Box::pin(
        answer
            .bytes_stream()
            .map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()),
    );
    next(&mut events).await;
    server.accept(&alerts::firing("A", &[])).await;
    assert!(next(&mut events).await.contains("event: change"));
    let file = server.dir.path().join("alert-manager.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("a-token", "another")).unwrap();
    let reload = Client::new().post(format!("{}/-/reload", server.url));
    let reloaded = reload.bearer_auth("a-token").send().await.unwrap();
    assert_eq!(reloaded.status(), StatusCode::OK);
    server.accept(&alerts::firing("B", &[])).await;
    let end = async { while events.next().await.is_some() {} };
    let end = tokio::time::timeout(PATIENCE, end).await;
    end.expect("they end");
}

#[tokio::test]
async fn every_view_that_changes_says_which_parts() {
    let server = server().await;
    server.accept(&alerts::firing("A", &[])).await;
    let browser = Browser::new(&server);
    for path in ["/", "/deliveries", "/routes"] {
        let page = browser.see(path).await;
        assert_eq!(page.attributes("body", "data-root"), ["./"], "{path}");
        let live = page.elements("[data-live]");
        assert!(!live.is_empty(), "{path}");
        assert!(
            live.iter().all(|part| part.value().id().is_some()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn views_are_compressed_unless_another_site_has_asked_for_them() {
    let server = Setup::new().module("probe").start().await;
    let get = async |path: &str, site: &str| {
        let request = reqwest::Client::new().get(format!("{}{path}", server.url));
        let request = request.header("accept-encoding", "gzip");
        let answer = request.header("sec-fetch-site", site).send().await.unwrap();
        let encoding = answer.headers().get("content-encoding").cloned();
        (encoding, answer.bytes().await.unwrap())
    };
    for path in [
        "/",
        "/deliveries",
        "/timeline",
        "/handlers",
        "/handlers/probe",
    ] {
        let (encoding, body) = get(path, "same-origin").await;
        assert_eq!(encoding.unwrap(), "gzip", "{path}");
        let mut html = String::new();
        let read = flate2::read::GzDecoder::new(&*body).read_to_string(&mut html);
        assert!(read.unwrap() > body.len(), "{path}");
        assert!(html.trim_end().ends_with("</html>"), "{path}");
    }
    // A link that leads here is followed all the same.
    let (encoding, body) = get("/deliveries", "cross-site").await;
    assert!(encoding.is_none() && body.trim_ascii_end().ends_with(b"</html>"));
}
