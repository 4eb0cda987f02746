//! How long it takes until another server runs what a killed one had accepted. It is measured, not asserted.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};

use super::fleet::Fleet;
use crate::load::post;

/// How many times the server with the term is killed.
fn kills() -> usize {
    match std::env::var_os("ALERT_MANAGER_TEST_LONG") {
        Some(_) => 20,
        None => 2,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_server_runs_what_is_accepted_after_the_one_with_the_term_was_killed() {
    let Some(mut fleet) = Fleet::new(3).await else {
        return;
    };
    fleet.start_all();
    let http = Client::new();
    let mut took = Vec::new();
    for n in 0..kills() {
        let holder = fleet.holder().await;
        let other = fleet.other_than(holder);
        fleet.kill(holder);
        let began = Instant::now();
        // Firings alone, which no other alert waits for.
        let (status, answer) = post(&http, &fleet.url(other), 2 * n)
            .await
            .expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        fleet.sink.wait_for_count(n + 1).await;
        took.push(began.elapsed());
        fleet.start(holder);
    }
    took.sort();
    let (median, max): (Duration, _) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "replicas: {} kills; from the kill to the effect of an alert that another server took after it: \
         median {median:.1?}, longest {max:.1?}",
        took.len()
    );
    let acknowledged = (0..kills()).map(|n| 2 * n).collect();
    assert_eq!(fleet.history(acknowledged).await.complaints(), []);
}
