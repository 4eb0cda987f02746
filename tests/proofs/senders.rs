//! Senders that hang up while their alerts wait for the disk, and a disk that does not answer.

use std::io::Write as _;
use std::net::TcpStream;

use reqwest::{Client, StatusCode};

use crate::load::{alert, post};
use crate::rig::Rig;
use crate::tally::Tally;

const SENDERS: usize = 24;

/// Sends the `n`th alert and does not wait for the answer.
fn send(url: &str, n: usize) -> TcpStream {
    let address = url.strip_prefix("http://").unwrap();
    let body = alert(n).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /webhook HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_that_hang_up_while_waiting_for_the_commit_lose_and_double_nothing() {
    let mut rig = Rig::new().await.with_stall();
    let url = rig.start(None).expect("nothing kills it");
    let stalled = rig.stall();
    // Firing alerts alone, each of its own fingerprint.
    let numbers = || (0..SENDERS).map(|n| 2 * n);
    let first = send(&url, 0);
    rig.wait_until_stalled(1).await;
    let others: Vec<_> = numbers().skip(1).map(|n| send(&url, n)).collect();
    drop((first, others));
    drop(stalled);
    // Nobody knows what became of them: each is sent again, as Alertmanager does.
    let http = Client::new();
    let (mut accepted, mut duplicates) = (0, 0);
    for n in numbers() {
        let (status, answer) = post(&http, &url, n).await.expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        accepted += answer["accepted"].as_u64().unwrap();
        duplicates += answer["duplicates"].as_u64().unwrap();
    }
    assert!(duplicates >= 1, "the first was in the commit that waited");
    assert_eq!(accepted + duplicates, SENDERS as u64);
    let tally = Tally::take(&mut rig, &numbers().collect()).await;
    println!("{SENDERS} senders hung up, {duplicates} of them known when they came again: {tally}");
    tally.assert_kept();
    assert_eq!((tally.doubled.len(), tally.ambiguous.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_answer_refuses_alerts_until_it_does() {
    let mut rig = Rig::new().await.with_stall();
    let url = rig.start(None).expect("nothing kills it");
    let http = Client::new();
    let stalled = rig.stall();
    let (status, answer) = post(&http, &url, 0).await.expect("an answer");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let reason = answer["error"].as_str().unwrap();
    assert!(reason.contains("the disk has not answered"), "{reason}");
    let live = http.get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!(live.status(), StatusCode::OK, "it lives all the same");
    drop(stalled);
    let (status, answer) = post(&http, &url, 0).await.expect("an answer");
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let (status, answer) = post(&http, &url, 2).await.expect("an answer");
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let tally = Tally::take(&mut rig, &[0, 2].into()).await;
    tally.assert_kept();
    assert_eq!((tally.doubled.len(), tally.ambiguous.len()), (0, 0));
}
