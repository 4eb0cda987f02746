//! A server that is asked to stop, and asked again.

use reqwest::{Client, StatusCode};
use tests::fakes::Fault;

use crate::load::post;
use crate::rig::Rig;
use crate::tally::Tally;

const POST: &str = "chat.postMessage";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_exits_at_once_and_loses_nothing() {
    let mut rig = Rig::new().await;
    let url = rig.start(None).expect("nothing kills it");
    rig.slack.faults().next_n(POST, 3, Fault::Hang.but_done());
    let http = Client::new();
    for n in [0, 2, 4] {
        let (status, answer) = post(&http, &url, n).await.expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    rig.slack.wait_for_calls(POST, 3).await;
    // The first alone would wait for the calls that hang.
    assert_eq!(rig.signal(&["TERM", "INT"]), Some(130));
    rig.slack.faults().clear();
    rig.start(None).expect("it starts again");
    let tally = Tally::take(&mut rig, &[0, 2, 4].into()).await;
    println!("two signals under three calls: {tally}");
    tally.assert_kept();
    assert_eq!(
        tally.doubled.len(),
        3,
        "each was posted and not answered: {tally}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_gives_back_what_does_not_end_within_its_bound() {
    let mut rig = Rig::new().await;
    let url = rig.start(None).expect("nothing kills it");
    rig.slack.faults().next_n(POST, 2, Fault::Hang.but_done());
    let http = Client::new();
    for n in [0, 2] {
        let (status, answer) = post(&http, &url, n).await.expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    rig.slack.wait_for_calls(POST, 2).await;
    // Behind one that hangs: it has not begun, and begins after the next start.
    let (_, answer) = post(&http, &url, 1).await.expect("an answer");
    assert_eq!(answer["accepted"], 1, "{answer}");
    rig.stop();
    rig.slack.faults().clear();
    rig.start(None).expect("it starts again");
    let tally = Tally::take(&mut rig, &[0, 1, 2].into()).await;
    println!("a shutdown under two calls that hang: {tally}");
    tally.assert_kept();
    assert_eq!(
        tally.doubled.len(),
        2,
        "each was posted and not answered: {tally}"
    );
}
