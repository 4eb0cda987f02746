//! The reason of a delivery is stored and listed, and decides whether it is a dead letter.

use super::prelude::*;

async fn listed<B: Bench>(bench: &Harness<B>, reason: Reason) -> Vec<DeliveryId> {
    let filter = Filter {
        reason: Some(reason),
        limit: 10,
        ..Filter::default()
    };
    let page = bench.queue.list(filter).await.unwrap();
    let of_reason = |delivery: &Delivery| delivery.reason == Some(reason);
    assert!(page.deliveries.iter().all(of_reason));
    page.deliveries.iter().map(|listed| listed.id).collect()
}

pub(super) async fn each_ending_has_its_reason_and_is_listed_by_it<B: Bench>() {
    let options = Options {
        queue_depth_max: 2,
        ..Options::default()
    };
    let mut bench = Harness::<B>::with(options, Caps::all(1));
    let handled = bench.accept_new(firing("Handled")).await;
    assert_eq!(bench.run(Next::Done).await, handled);
    let failed = bench.accept_new(firing("Failed")).await;
    assert_eq!(bench.run(Next::Dead("gave up".into())).await, failed);
    let waits = bench.accept_new(firing("Waits")).await;
    let backlog = bench.accept_new(firing("Backlog")).await;
    let mut unrouted = firing("Unrouted");
    unrouted.plans.clear();
    let unrouted = bench.accept_new(unrouted).await;
    let parcel = Parcel::new(Vec::new(), vec![no_alert(7)]);
    let refused = bench.queue.accept(parcel).await.unwrap().refused[0].id;
    assert_eq!(bench.story(waits).await.delivery.reason, None);
    bench.queue.cancel(waits).await.unwrap();
    let bench = bench.restart().await;
    for (reason, id) in [
        (Reason::Handled, handled),
        (Reason::Failed, failed),
        (Reason::Backlog, backlog),
        (Reason::Unrouted, unrouted),
        (Reason::Refused, refused),
        (Reason::Cancelled, waits),
    ] {
        assert_eq!(listed(&bench, reason).await, [id], "{reason}");
        assert_eq!(bench.state(id).await, reason.state());
    }
    for reason in [Reason::Coalesced, Reason::Outdated, Reason::Died] {
        assert_eq!(listed(&bench, reason).await, [], "{reason}");
    }
    assert_eq!(bench.queue.counts().dead, 3, "all but the cancelled one");
}

pub(super) async fn a_reason_goes_with_the_end_that_it_is_of<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run(Next::Dead("why".into())).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.story(id).await.delivery.reason, None);
    bench.run(Next::Done).await;
    assert_eq!(bench.story(id).await.delivery.reason, Some(Reason::Handled));
}

pub(super) async fn what_a_person_cancelled_is_no_dead_letter_and_can_be_sent_again<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
    let dead = bench.accept_new(firing("Dead")).await;
    bench.run(Next::Dead("why".into())).await;
    let cancelled = bench.accept_new(firing("Cancelled")).await;
    let leased = bench.lease().await;
    bench.queue.cancel(cancelled).await.unwrap();
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    assert_eq!(bench.queue.counts().dead, 1);
    bench.queue.retry(cancelled, Force::No).await.unwrap();
    assert_eq!(bench.queue.counts().dead, 1);
    let bench = bench.restart().await;
    assert_eq!(bench.queue.recovered().dead, 1);
    bench.queue.retry(dead, Force::No).await.unwrap();
    assert_eq!(bench.queue.counts().dead, 0);
}

pub(super) async fn a_reason_and_a_state_that_do_not_go_together_list_nothing<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.accept_new(firing("A")).await;
    bench.run(Next::Done).await;
    let filter = Filter {
        state: Some(State::Dead),
        reason: Some(Reason::Handled),
        limit: 10,
        ..Filter::default()
    };
    let page = bench.queue.list(filter).await.unwrap();
    assert_eq!((page.deliveries, page.next), (Vec::new(), None));
}

pub(super) async fn dead_ones_are_retried_by_their_reason_or_by_a_part_of_its_text<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let failed = bench.accept_new(firing("A")).await;
    bench.run(Next::Dead("no such host".into())).await;
    for (text, expected) in [
        ("backlog", vec![]),
        ("SUCH", vec![failed]),
        ("failed", vec![failed]),
    ] {
        let selection = Selection {
            reason: Some(text.to_owned()),
            ..Selection::default()
        };
        let retried = bench.queue.retry_all(selection, None).await.unwrap();
        assert_eq!(retried.retried, expected, "{text}");
        if !expected.is_empty() {
            bench.run(Next::Dead("no such host".into())).await;
        }
    }
}
