//! The parts of a body: accepted, unrouted, refused, or too many.

use super::prelude::*;

pub(super) async fn a_body_larger_than_a_transaction_is_answered_when_all_of_it_is_stored<
    B: Bench,
>() {
    let bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let body: Vec<_> = (0..2_500).map(|i| firing(&format!("A{i}"))).collect();
    let receipt = bench
        .queue
        .accept(Parcel::new(body, Vec::new()))
        .await
        .unwrap();
    assert_eq!(receipt.verdicts.len(), 2_500);
    let bench = bench.crash();
    assert_eq!(bench.queue.counts().depth, 2_500);
}

pub(super) async fn a_handler_with_half_of_the_queue_gets_no_more_and_the_others_do<B: Bench>() {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    let bench = Harness::<B>::with(options, Caps::all(0));
    for started in 0..2 {
        bench.accept_new(firing(&format!("A{started}"))).await;
    }
    let over = bench.accept_new(firing("A3")).await;
    let story = bench.story(over).await;
    assert_eq!(story.delivery.state, State::Dead);
    assert!(story.delivery.last_error.unwrap().starts_with("backlog"));
    for started in 0..2 {
        let mut other = firing(&format!("B{started}"));
        other.plans = vec![plan("other", &["other"])];
        let id = bench.accept_new(other).await;
        assert_eq!(bench.state(id).await, State::Queued);
    }
    let full = bench
        .queue
        .accept(Parcel::new(vec![firing("C")], Vec::new()))
        .await;
    assert_eq!(full, Err(AcceptError::QueueFull(4)));
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.dead), (4, 1));
    assert_eq!(counts.handlers[0].waiting, 2);
}

pub(super) async fn what_no_route_wants_is_done_and_what_is_no_alert_is_dead<B: Bench>() {
    let bench = Harness::<B>::new();
    let mut unrouted = firing("A");
    unrouted.plans.clear();
    let refused = no_alert(7);
    let receipt = bench
        .queue
        .accept(Parcel::new(vec![unrouted], vec![refused]))
        .await
        .unwrap();
    let Verdict::Accepted(accepted) = &receipt.verdicts[0] else {
        panic!("not accepted");
    };
    let done = bench.story(accepted[0].id).await.delivery;
    assert_eq!(
        (done.state, done.last_error.as_deref()),
        (State::Done, Some("unrouted"))
    );
    assert!(accepted[0].handlers.is_empty());
    let dead = bench.story(receipt.refused[0].id).await;
    assert_eq!(dead.delivery.state, State::Dead);
    assert_eq!(
        dead.alert,
        serde_json::Value::String(r#"{"labels":7}"#.into())
    );
    assert_eq!(dead.delivery.fingerprint, "");
    let again = bench.queue.retry(receipt.refused[0].id, Force::Yes).await;
    assert_eq!(again, Err(RetryError::NoAlert));
}

pub(super) async fn a_refused_part_that_comes_again_is_kept_once<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let post = async |bench: &Harness<B>, digests: &[u8]| {
        let parts = digests.iter().copied().map(no_alert).collect();
        let receipt = bench.queue.accept(Parcel::new(vec![firing("A")], parts));
        receipt.await.unwrap().refused
    };
    let first = post(&bench, &[1, 2, 1]).await;
    let known: Vec<_> = first.iter().map(|kept| kept.is_known).collect();
    assert_eq!(known, [false, false, true]);
    assert_eq!(first[0].id, first[2].id);
    for restart in [false, true] {
        if restart {
            bench = bench.crash();
        }
        let again = post(&bench, &[2, 1]).await;
        assert!(again.iter().all(|kept| kept.is_known));
        assert_eq!((again[0].id, again[1].id), (first[1].id, first[0].id));
        assert_eq!(bench.queue.counts().dead, 2);
    }
}

pub(super) async fn a_refused_part_whose_dead_letter_was_removed_is_kept_and_reported_again<
    B: Bench,
>() {
    let bench = Harness::<B>::new();
    let post = async || {
        let parcel = Parcel::new(Vec::new(), vec![no_alert(7)]);
        let receipt = bench.queue.accept(parcel);
        receipt.await.unwrap().refused.remove(0)
    };
    let first = post().await;
    bench.remove(first.id).await;
    let second = post().await;
    assert!(!second.is_known && second.id != first.id);
    assert_eq!(bench.state(second.id).await, State::Dead);
    let third = post().await;
    assert!(third.is_known && third.id == second.id);
}
