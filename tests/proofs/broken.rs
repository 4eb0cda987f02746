//! A server that breaks a promise is caught: each failpoint makes the same sums come out wrong that are right without it.
//!
//! The moments are set by events, so nothing here depends on when a process is killed.

use std::collections::BTreeSet;
use std::path::Path;

use alert_manager::queue::failpoint::Failpoint;
use reqwest::{Client, StatusCode};
use tests::fakes::Fault;
use tests::fakes::faults::ANY;
use tests::process;

use crate::load::post;
use crate::rig::Rig;
use crate::tally::Tally;

async fn accept(url: &str, n: usize) {
    let (status, answer) = post(&Client::new(), url, n).await.expect("an answer");
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

/// Kills the server between the last effect of a delivery and its settlement, and starts it again with these promises broken.
async fn crash_before_settling(broken: &[Failpoint]) -> Tally {
    let mut rig = Rig::new().await;
    rig.set_broken(&[Failpoint::DiesBeforeSettling]);
    let url = rig.start(None).expect("it dies later");
    accept(&url, 0).await;
    rig.wait_for_death();
    rig.set_broken(broken);
    rig.start(None).expect("nothing kills it now");
    Tally::take(&mut rig, &[0].into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_its_journal_is_caught() {
    let kept = crash_before_settling(&[]).await;
    kept.assert_kept();
    assert_eq!(kept.doubled, BTreeSet::new(), "{kept}");
    let tally = crash_before_settling(&[Failpoint::Unrecorded]).await;
    println!(
        "crash, without the journal: {tally}; counters wrong {:?}",
        tally.miscounted
    );
    let miscounted: Vec<_> = tally.miscounted.iter().map(|(key, _)| &**key).collect();
    assert_eq!(miscounted, ["count-0", "total"]);
    assert_eq!(tally.doubled, BTreeSet::from([(0, "http"), (0, "slack")]));
    // The first effect after a crash is in doubt by itself.
    assert_eq!(tally.unexplained(), [(0, "http")]);
}

/// Restarts the server while a firing waits for its next attempt, with its resolved behind it and these promises broken; then
/// again, intact and so late that the attempt is due.
async fn restart_while_a_firing_waits(broken: &[Failpoint]) -> Tally {
    let mut rig = Rig::new().await.with_clock();
    let url = rig.start(None).expect("nothing kills it");
    rig.sink.faults().next(ANY, Fault::rate_limited(3_600));
    accept(&url, 0).await;
    rig.wait_until_retrying().await;
    accept(&url, 1).await;
    rig.stop();
    rig.set_broken(broken);
    rig.start(None).expect("nothing kills it");
    if broken.contains(&Failpoint::Unordered) {
        rig.sink.wait_for_count(2).await;
    }
    rig.stop();
    rig.set_broken(&[]);
    rig.set_clock(2 * 3_600);
    rig.start(None).expect("nothing kills it");
    Tally::take(&mut rig, &[0, 1].into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_the_order_is_caught() {
    restart_while_a_firing_waits(&[]).await.assert_kept();
    let tally = restart_while_a_firing_waits(&[Failpoint::Unordered]).await;
    println!("restart, without the order: {tally}");
    assert_eq!(tally.overtaking, BTreeSet::from([(1, "http")]));
}

#[test]
fn the_server_that_is_released_has_no_failpoints() {
    let has = |program: &Path| {
        let bytes = std::fs::read(program).unwrap();
        let text = b"there is no failpoint";
        bytes.windows(text.len()).any(|window| window == text)
    };
    assert!(has(process::binary_with_failpoints()));
    assert!(!has(process::binary()));
}
