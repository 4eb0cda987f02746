//! Accepted alerts survive a crash, and deaths of the server are counted.

use super::prelude::*;

pub(super) async fn an_accepted_alert_survives_a_crash<B: Bench>() {
    let bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    let mut bench = bench.crash();
    assert_eq!(bench.queue.counts().depth, 1);
    bench.set_caps(Caps::all(1));
    let leased = bench.lease().await;
    assert_eq!(
        (leased.id, leased.lease.number, leased.after_crash),
        (id, 1, false)
    );
    assert_eq!(leased.alert.name(), "A");
    assert_eq!(leased.progress, Progress::new(&[name("notify")]));
}

pub(super) async fn a_settled_delivery_is_listed_as_it_was<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    assert_eq!(bench.state(id).await, State::Running);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    let bench = bench.crash();
    let story = bench.story(id).await;
    assert_eq!(story.delivery.state, State::Done);
    assert_eq!(story.delivery.attempts, 1);
    assert_eq!(story.delivery.handlers, [name("notify")]);
    assert_eq!(story.delivery.settled_at, Some(bench.clock.now()));
    assert_eq!(story.attempts, [serde_json::json!({"lease": 1})]);
    assert_eq!(story.alert["labels"]["alertname"], "A");
    assert!(
        story
            .progress
            .steps
            .iter()
            .all(|s| s.status == StepStatus::Done)
    );
    assert_eq!(bench.queue.counts().depth, 0);
}

pub(super) async fn three_deaths_of_the_server_under_a_delivery_end_it<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    for death in 0..3 {
        let leased = bench.lease().await;
        assert_eq!(
            (leased.lease.number, leased.after_crash),
            (death + 1, death > 0)
        );
        bench = bench.crash();
    }
    let story = bench.story(id).await;
    assert_eq!(story.delivery.state, State::Dead);
    assert!(
        story
            .delivery
            .last_error
            .unwrap()
            .contains("died three times")
    );
    assert_eq!(bench.queue.counts().dead, 1);
    assert_eq!(bench.queue.counts().depth, 0);
}

pub(super) async fn an_orderly_end_gives_leases_back_and_counts_no_death<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let begun = bench.accept_new(firing("A")).await;
    let waiting = bench.accept_new(firing("B")).await;
    for _ in 0..4 {
        let leased = bench.lease().await;
        assert_eq!(leased.id, begun);
        bench = bench.restart().await;
    }
    let (a, b) = (bench.lease().await, bench.lease().await);
    assert_eq!(
        (a.id, a.after_crash),
        (begun, true),
        "what it did is not known"
    );
    assert_eq!((b.id, b.after_crash, b.lease.number), (waiting, false, 1));
}

pub(super) async fn nothing_is_handed_out_after_the_end<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.accept_new(firing("A")).await;
    bench.queue.shutdown().await;
    assert!(bench.lease_or_end().await.is_none());
    let refused = bench
        .queue
        .accept(Parcel::new(vec![firing("B")], Vec::new()))
        .await;
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))));
    bench.queue.shutdown().await;
}

pub(super) async fn identifiers_grow_though_the_clock_goes_back<B: Bench>() {
    let bench = Harness::<B>::new();
    let first = bench.accept_new(firing("A")).await;
    bench
        .clock
        .set_time_of_day(from_millis(START_MS - 1_000_000));
    let bench = bench.crash();
    let second = bench.accept_new(firing("B")).await;
    assert!(second > first);
    assert_eq!(second.as_raw(), first.as_raw() + 1);
}

pub(super) async fn the_seed_of_a_step_is_its_own_and_outlives_the_process<B: Bench>() {
    let bench = Harness::<B>::new();
    let id = DeliveryId::from_raw(7);
    let seed = bench.queue.seed(id, 0);
    assert_ne!(seed, bench.queue.seed(id, 1));
    assert_ne!(
        seed,
        Harness::<B>::new().queue.seed(id, 0),
        "each store has its own"
    );
    let bench = bench.crash();
    assert_eq!(bench.queue.seed(id, 0), seed);
}
