//! History: each occurrence of an alert is kept for 90 days, longer than its delivery.

use super::prelude::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An alert of a pod in a namespace.
fn of_pod(pod: &str, seconds: u64) -> Submission {
    let mut submission = started(firing("Crash"), seconds);
    let labels = [("alertname", "Crash"), ("ns", "shop"), ("pod", pod)];
    submission.alert.labels = labels.into_iter().collect();
    submission.alert.fingerprint = Fingerprint::of(&submission.alert.labels);
    submission
}

/// The end of that occurrence, a minute after it began.
fn ended(mut firing: Submission) -> Submission {
    firing.alert.status = Status::Resolved;
    firing.alert.ends_at = Some(firing.alert.starts_at + Duration::from_secs(60));
    firing
}

impl<B: Bench> Harness<B> {
    /// Asks as the handler `handler` under this lease.
    async fn earlier_of(&self, leased: &Leased, handler: &str, same: &[&str]) -> Past {
        let asked = Earlier {
            same: same.iter().map(|&name| name.to_owned()).collect(),
            since: self.clock.now() - 90 * DAY,
        };
        let ledger = self.ledger_of(leased, 1, handler);
        ledger.earlier(asked).await.unwrap()
    }

    async fn earlier(&self, leased: &Leased, same: &[&str]) -> Past {
        self.earlier_of(leased, "notify", same).await
    }
}

fn deliveries(past: &Past) -> Vec<DeliveryId> {
    let listed = past.occurrences.iter();
    listed.map(|occurrence| occurrence.delivery).collect()
}

pub(super) async fn earlier_occurrences_are_found_by_the_labels_that_are_named<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let first = bench.accept_new(of_pod("a", 0)).await;
    bench.run(Next::Done).await;
    bench.accept_new(ended(of_pod("a", 0))).await;
    bench.run(Next::Done).await;
    let other = bench.accept_new(of_pod("b", 100)).await;
    bench.run(Next::Dead("why".into())).await;
    // Another name, and the same labels otherwise.
    let mut elsewhere = of_pod("a", 50);
    let labels = [("alertname", "Other"), ("ns", "shop"), ("pod", "a")];
    elsewhere.alert.labels = labels.into_iter().collect();
    elsewhere.alert.fingerprint = Fingerprint::of(&elsewhere.alert.labels);
    bench.accept_new(elsewhere).await;
    bench.run(Next::Done).await;
    let own = bench.accept_new(of_pod("a", 200)).await;
    let leased = bench.lease().await;
    assert_eq!(leased.id, own);

    let of_pod_a = bench.earlier(&leased, &["pod"]).await;
    let at = |seconds: i64| from_millis(START_MS + seconds * 1_000);
    let expected = PastOccurrence {
        delivery: first,
        starts_at: at(0),
        ends_at: Some(at(60)),
        state: "done".into(),
    };
    assert_eq!(
        (of_pod_a.count, &of_pod_a.occurrences[..]),
        (1, &[expected][..])
    );
    let of_all = bench.earlier(&leased, &["ns"]).await;
    assert_eq!((of_all.count, deliveries(&of_all)), (2, vec![other, first]));
    let dead = &of_all.occurrences[0];
    assert_eq!((dead.ends_at, dead.state.as_str()), (None, "dead"));
    // A label that the alert lacks is lacking there too.
    assert_eq!(bench.earlier(&leased, &["node"]).await.count, 2);
    assert_eq!(bench.earlier(&leased, &[]).await.count, 2);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    // It is counted for the others.
    bench.accept_new(of_pod("b", 300)).await;
    let leased = bench.lease().await;
    assert_eq!(bench.earlier(&leased, &["ns"]).await.count, 3);
}

pub(super) async fn only_what_began_within_the_time_is_found<B: Bench>() {
    let mut bench = Harness::<B>::new();
    for seconds in [0, 100, 200] {
        bench.accept_new(of_pod("a", seconds)).await;
        bench.run(Next::Done).await;
    }
    bench.accept_new(of_pod("a", 300)).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
    for (since, expected) in [(0, 3), (100, 2), (101, 1), (201, 0)] {
        let since = from_millis(START_MS + since * 1_000);
        let same = Vec::new();
        let past = ledger.earlier(Earlier { same, since }).await.unwrap();
        assert_eq!(past.count, expected, "{since}");
    }
}

pub(super) async fn each_occurrence_counts_once_however_often_it_was_sent_and_on_how_many_routes<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let mut twice = of_pod("a", 0);
    twice.plans = vec![plan("one", &["notify"]), plan("two", &["notify"])];
    let repeat_after = twice.plans[0].repeat_after;
    bench.accept(twice.clone()).await;
    for _ in 0..2 {
        bench.run(Next::Done).await;
    }
    assert_eq!(bench.accept(twice.clone()).await, DUPLICATE);
    bench.clock.advance(repeat_after);
    bench.accept(twice).await;
    for _ in 0..2 {
        bench.run(Next::Done).await;
    }
    bench.accept_new(of_pod("b", 100)).await;
    let leased = bench.lease().await;
    let past = bench.earlier(&leased, &["ns"]).await;
    assert_eq!((past.count, past.occurrences.len()), (1, 1));
}

pub(super) async fn a_second_occurrence_with_the_same_start_is_one_of_its_own<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.accept_new(of_pod("a", 0)).await;
    bench.run(Next::Done).await;
    bench.accept_new(ended(of_pod("a", 0))).await;
    bench.run(Next::Done).await;
    let second = bench.accept_new(of_pod("a", 0)).await;
    let leased = bench.lease().await;
    assert_eq!(leased.id, second);
    let past = bench.earlier(&leased, &["pod"]).await;
    assert_eq!(past.count, 1);
    assert!(
        past.occurrences[0].ends_at.is_some(),
        "the first has ended, and it has not"
    );
}

pub(super) async fn a_handler_finds_what_its_routes_had_and_no_other<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let on = |pod: &str, seconds, route: &str, handlers: &[&str]| {
        let mut submission = of_pod(pod, seconds);
        submission.plans = vec![plan(route, handlers)];
        submission
    };
    let mine = bench.accept_new(on("a", 0, "mine", &["notify"])).await;
    bench.run(Next::Done).await;
    bench.accept_new(on("b", 1, "other", &["other"])).await;
    bench.run(Next::Done).await;
    // A route that the handler did not serve then, and does now.
    let before = bench.accept_new(on("c", 2, "both", &["other"])).await;
    bench.run(Next::Done).await;
    bench.accept_new(on("d", 3, "both", &["notify"])).await;
    let leased = bench.lease().await;
    let past = bench.earlier(&leased, &["ns"]).await;
    assert_eq!(deliveries(&past), [before, mine]);
    let of_other = bench.earlier_of(&leased, "third", &["ns"]).await;
    assert_eq!(deliveries(&of_other), [before], "it has the route alone");
}

pub(super) async fn at_most_fifty_are_listed_and_all_are_counted<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let body: Vec<_> = (0..60).map(|n| of_pod(&format!("p{n}"), n)).collect();
    bench
        .queue
        .accept(Parcel::new(body, Vec::new()))
        .await
        .unwrap();
    for _ in 0..60 {
        let leased = bench.lease().await;
        bench.settle(&leased, Next::Done);
    }
    bench.accept_new(of_pod("own", 100)).await;
    let leased = bench.lease().await;
    let past = bench.earlier(&leased, &["ns"]).await;
    assert_eq!((past.count, past.occurrences.len()), (60, PAST_LISTED_MAX));
    let newest = from_millis(START_MS + 59_000);
    assert_eq!(past.occurrences[0].starts_at, newest);
}

pub(super) async fn it_outlives_its_delivery_by_far_and_goes_after_ninety_days<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let done = bench.accept_new(of_pod("a", 0)).await;
    bench.run(Next::Done).await;
    let dead = bench.accept_new(of_pod("b", 1)).await;
    bench.run(Next::Dead("why".into())).await;
    bench.clock.advance(30 * DAY);
    let bench = bench.restart().await;
    for id in [done, dead] {
        eventually(async || bench.queue.story(id).await.unwrap().is_none()).await;
    }
    let mut bench = bench.crash();
    let after = 30 * 24 * 60 * 60;
    bench.accept_new(of_pod("c", after)).await;
    let leased = bench.lease().await;
    let past = bench.earlier(&leased, &["ns"]).await;
    assert_eq!(deliveries(&past), [dead, done]);
    let states: Vec<_> = past.occurrences.iter().map(|o| o.state.as_str()).collect();
    assert_eq!(states, ["dead", "done"], "as they ended");
    bench.clock.advance(60 * DAY);
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    let asked = || Earlier {
        same: Vec::new(),
        since: Timestamp::UNIX_EPOCH,
    };
    let ledger = bench.ledger(&leased, 1);
    eventually(async || ledger.earlier(asked()).await.unwrap().count == 0).await;
}

pub(super) async fn what_a_transaction_that_fails_has_begun_is_not_in_it<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.fail_writes(true);
    let parcel = Parcel::new(vec![of_pod("a", 0)], Vec::new());
    assert!(bench.queue.accept(parcel).await.is_err());
    bench.fail_writes(false);
    eventually(async || {
        let parcel = Parcel::new(vec![of_pod("b", 1)], Vec::new());
        bench.queue.accept(parcel).await.is_ok()
    })
    .await;
    let leased = bench.lease().await;
    assert_eq!(bench.earlier(&leased, &["ns"]).await.count, 0);
}
