//! A firing and its resolved at two servers keep their order.

use std::sync::Arc;

use reqwest::{Client, StatusCode};
use tokio::sync::Barrier;

use super::fleet::Fleet;
use super::history::Complaint;
use crate::load::post;

/// How many pairs are sent.
const PAIRS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_firing_and_its_resolved_at_two_servers_at_the_same_moment_keep_the_order() {
    let Some(mut fleet) = Fleet::new(3).await else {
        return;
    };
    fleet.start_all();
    let http = Client::new();
    for pair in 0..PAIRS {
        let barrier = Arc::new(Barrier::new(2));
        // Each server has each of the two, beside each other.
        let (fires, resolves) = (pair % 3, (pair + 1 + pair / 3 % 2) % 3);
        let send = |at: usize, n: usize| {
            let (http, url, barrier) = (http.clone(), fleet.url(at), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let (status, answer) = post(&http, &url, n).await.expect("an answer");
                assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
            })
        };
        let sent = [send(fires, 2 * pair), send(resolves, 2 * pair + 1)];
        for sent in sent {
            sent.await.unwrap();
        }
    }
    let history = fleet.history((0..2 * PAIRS).collect()).await;
    let complaints = history.complaints();
    // Either may be the first. A firing that its resolved has overtaken is stale, and has no effect.
    let is_stale = |complaint: &&Complaint| matches!(complaint, Complaint::Lost(n) if n % 2 == 0);
    let stale = complaints.iter().filter(is_stale).count();
    println!("replicas: {PAIRS} pairs at the same moment, {stale} firings overtaken at the door");
    assert_eq!(complaints.len(), stale, "{complaints:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_resolved_that_is_sent_elsewhere_after_its_firing_was_answered_comes_after_it() {
    let Some(mut fleet) = Fleet::new(3).await else {
        return;
    };
    fleet.start_all();
    let http = Client::new();
    for n in 0..2 * PAIRS {
        let (status, answer) = post(&http, &fleet.url(n % 3), n).await.expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    let history = fleet.history((0..2 * PAIRS).collect()).await;
    assert_eq!(history.complaints(), []);
    assert!(history.doubled().is_empty());
}
