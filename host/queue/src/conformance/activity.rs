//! Aggregates of what the queue has done are kept as it is done. The sizes are small, so that each transaction writes what it counts.

use std::collections::BTreeMap;

use super::prelude::*;

/// What is counted, as text, with how many.
type Counts = BTreeMap<String, u64>;

fn text(of: &ActivityOf) -> String {
    match of {
        ActivityOf::Received(received) => received.as_str().to_owned(),
        ActivityOf::Route(route) => format!("route {route}"),
        ActivityOf::Settled(reason) => reason.as_str().to_owned(),
        ActivityOf::Handler(handler, reason) => format!("{handler} {}", reason.as_str()),
    }
}

fn counts(pairs: &[(&str, u64)]) -> Counts {
    let pairs = pairs.iter();
    pairs
        .map(|(of, count)| ((*of).to_owned(), *count))
        .collect()
}

impl<B: Bench> Harness<B> {
    async fn all_activity(&self, of: ActivityKind) -> Vec<Activity> {
        let to = self.clock.now() + Duration::from_secs(60);
        let from = Timestamp::UNIX_EPOCH;
        self.queue.activity(of, from, to).await.unwrap()
    }

    async fn counted(&self, of: ActivityKind) -> Counts {
        let sums = total(&self.all_activity(of).await);
        let sums = sums.into_iter();
        sums.map(|(of, amount)| (text(&of), amount.count)).collect()
    }

    /// The times of deliveries that were handled.
    async fn handled(&self) -> Times {
        let sums = total(&self.all_activity(ActivityKind::Settled).await);
        let handled = ActivityOf::Settled(Reason::Handled);
        sums.get(&handled)
            .map(|amount| amount.times.clone())
            .unwrap_or_default()
    }
}

pub(super) async fn what_is_received_is_counted_by_its_result_and_by_route<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let mut twice = firing("A");
    twice.plans = vec![plan("one", &["notify"]), plan("two", &["other"])];
    bench.accept(twice).await;
    bench.accept(firing("B")).await;
    assert_eq!(bench.accept(firing("B")).await, DUPLICATE);
    let mut unrouted = firing("C");
    unrouted.plans.clear();
    bench.accept(unrouted).await;
    let refused = no_alert(1);
    for _ in 0..2 {
        let parcel = Parcel::new(Vec::new(), vec![refused.clone()]);
        bench.queue.accept(parcel).await.unwrap();
    }
    let received = counts(&[("accepted", 3), ("duplicate", 1), ("rejected", 2)]);
    let routes = counts(&[
        ("route one", 1),
        ("route two", 1),
        ("route route", 1),
        ("route ", 1),
    ]);
    for _ in 0..2 {
        assert_eq!(bench.counted(ActivityKind::Received).await, received);
        assert_eq!(bench.counted(ActivityKind::Route).await, routes);
        bench = bench.crash();
    }
    assert_eq!(
        bench.counted(ActivityKind::Settled).await,
        counts(&[("unrouted", 1), ("refused", 1)])
    );
}

pub(super) async fn what_has_ended_is_counted_by_reason_and_handler_with_its_time<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let mut submission = firing("A");
    submission.plans = vec![plan("route", &["other", "notify"])];
    bench.accept_new(submission).await;
    let leased = bench.lease().await;
    bench.clock.advance(Duration::from_millis(5));
    bench.settle(&leased, Next::Done);
    let dead = bench.accept_new(firing("B")).await;
    bench.run(Next::Dead("why".into())).await;
    let cancelled = bench.accept_new(firing("C")).await;
    bench.queue.cancel(cancelled).await.unwrap();
    bench.flush().await;
    let ended = counts(&[("handled", 1), ("failed", 1), ("cancelled", 1)]);
    assert_eq!(bench.counted(ActivityKind::Settled).await, ended);
    let by_handler = counts(&[
        ("notify handled", 1),
        ("other handled", 1),
        ("notify failed", 1),
        ("notify cancelled", 1),
    ]);
    assert_eq!(bench.counted(ActivityKind::Handler).await, by_handler);
    let handled = bench.handled().await;
    assert_eq!((handled.buckets, handled.sum_ms), (vec![0, 0, 0, 1], 5));
    // A retry counts as another end, and its time from the retry.
    bench.clock.advance(Duration::from_secs(3_600));
    bench.queue.retry(dead, Force::No).await.unwrap();
    bench.run(Next::Done).await;
    let handled = bench.handled().await;
    assert_eq!((handled.count(), handled.sum_ms), (2, 5));
}

pub(super) async fn what_a_crash_or_a_backlog_has_ended_is_counted<B: Bench>() {
    let options = Options {
        queue_depth_max: 2,
        ..Options::default()
    };
    let mut bench = Harness::<B>::on(B::new(Sizes::Small), options, Caps::all(1));
    bench.accept_new(firing("A")).await;
    for _ in 0..3 {
        let leased = bench.lease().await;
        bench.ledger(&leased, 0).ready().unwrap();
        bench = bench.crash();
    }
    assert_eq!(
        bench.counted(ActivityKind::Settled).await,
        counts(&[("died", 1)])
    );
    bench.accept_new(firing("B")).await;
    bench.accept_new(firing("C")).await;
    let ended = counts(&[("died", 1), ("backlog", 1)]);
    assert_eq!(bench.counted(ActivityKind::Settled).await, ended);
}

pub(super) async fn a_transaction_that_fails_counts_nothing<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(firing("A")).await;
    bench.fail_writes(true);
    let parcel = Parcel::new(vec![firing("B")], Vec::new());
    assert!(bench.queue.accept(parcel).await.is_err());
    bench.fail_writes(false);
    eventually(async || {
        let parcel = Parcel::new(vec![firing("C")], Vec::new());
        bench.queue.accept(parcel).await.is_ok()
    })
    .await;
    assert_eq!(
        bench.counted(ActivityKind::Received).await,
        counts(&[("accepted", 2)])
    );
}

pub(super) async fn minutes_become_hours_after_two_days_and_hours_go_after_ninety<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    for n in 0..3 {
        bench.accept_new(firing(&format!("A{n}"))).await;
        bench.clock.advance(Duration::from_millis(7));
        bench.run(Next::Done).await;
        bench.clock.advance(Duration::from_secs(60));
    }
    let minutes = bench.all_activity(ActivityKind::Received).await;
    let lengths: Vec<_> = minutes.iter().map(|one| one.length.as_secs()).collect();
    assert_eq!(lengths, [60, 60, 60]);
    // From the second minute on, and before the third.
    let (from, to) = (minutes[1].from, minutes[2].from);
    let second = bench
        .queue
        .activity(ActivityKind::Received, from, to)
        .await
        .unwrap();
    assert_eq!(second, minutes[1..2]);
    let times = bench.handled().await;
    bench.clock.advance(Duration::from_secs(50 * 3_600));
    let bench = bench.restart().await;
    eventually(async || {
        let received = bench.all_activity(ActivityKind::Received).await;
        let settled = bench.all_activity(ActivityKind::Settled).await;
        let mut all = received.iter().chain(&settled);
        all.all(|one| one.length.as_secs() == 3_600)
    })
    .await;
    let hours = bench.all_activity(ActivityKind::Received).await;
    assert_eq!((hours.len(), hours[0].amount.count), (1, 3));
    assert!(hours[0].from <= minutes[0].from);
    assert_eq!(bench.handled().await, times, "the times are kept");
    bench.clock.advance(Duration::from_secs(91 * 24 * 3_600));
    let bench = bench.restart().await;
    eventually(async || bench.all_activity(ActivityKind::Received).await.is_empty()).await;
}

pub(super) async fn what_is_gathered_is_written_soon_and_before_the_store_is_closed<B: Bench>() {
    let bench = Harness::<B>::new();
    for n in 0..20 {
        bench.accept_new(firing(&format!("A{n}"))).await;
    }
    let all = counts(&[("accepted", 20)]);
    eventually(async || bench.counted(ActivityKind::Received).await == all).await;
    for n in 20..25 {
        bench.accept_new(firing(&format!("A{n}"))).await;
    }
    let bench = bench.restart().await;
    let all = counts(&[("accepted", 25)]);
    assert_eq!(bench.counted(ActivityKind::Received).await, all);
}

pub(super) async fn when_a_route_was_used_last_is_known_over_minutes_and_hours<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    let on = |name: &str, route: &str| {
        let mut submission = firing(name);
        submission.plans = vec![plan(route, &["notify"])];
        submission
    };
    bench.accept_new(on("A", "old")).await;
    bench.accept_new(on("B", "both")).await;
    bench.clock.advance(Duration::from_secs(50 * 3_600));
    let bench = bench.restart().await;
    bench.accept_new(on("C", "both")).await;
    let now = bench.clock.now();
    let end = now + Duration::from_secs(60);
    let minute = Duration::from_secs(60);
    // The first two may be hours by now, or still minutes.
    let last = bench.queue.last_counted(ActivityKind::Route).await.unwrap();
    let route = |name: &str| ActivityOf::Route(name.into());
    let (old, both) = (last[&route("old")], last[&route("both")]);
    assert!(both <= now && both + minute > now, "{last:?}");
    let age = Duration::try_from(now.duration_since(old)).unwrap();
    assert!(
        age >= 50 * 60 * minute && age <= 51 * 60 * minute,
        "{age:?}"
    );
    let counted = async |from| {
        let found = bench.queue.counted(ActivityKind::Route, from, end).await;
        let found = found.unwrap().into_iter();
        let found: Counts = found.map(|(of, count)| (text(&of), count)).collect();
        found
    };
    let all = counts(&[("route both", 2), ("route old", 1)]);
    assert_eq!(counted(Timestamp::UNIX_EPOCH).await, all);
    // A minute that has begun before is not counted.
    let lately = counts(&[("route both", 1)]);
    assert_eq!(counted(now - minute).await, lately);
}

pub(super) async fn what_is_counted_of_a_handler_is_read_alone<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    for (name, handler) in [("A", "notify"), ("B", "notify-more"), ("C", "notify")] {
        let mut submission = firing(name);
        submission.plans = vec![plan("route", &[handler])];
        bench.accept_new(submission).await;
        bench.run(Next::Done).await;
    }
    let to = bench.clock.now() + Duration::from_secs(60);
    let handler = HandlerName::new("notify");
    let found = bench
        .queue
        .activity_of(handler, Timestamp::UNIX_EPOCH, to)
        .await
        .unwrap();
    let sums = total(&found).into_iter();
    let sums: Counts = sums.map(|(of, amount)| (text(&of), amount.count)).collect();
    assert_eq!(sums, counts(&[("notify handled", 2)]));
}

pub(super) async fn what_is_counted_is_read_before_it_is_written<B: Bench>() {
    // The sizes are those of a server, so that counts are gathered for a second.
    let mut bench = Harness::<B>::new();
    for n in 1..=20 {
        let name = format!("A{n}");
        bench.accept_new(firing(&name)).await;
        assert_eq!(
            bench.counted(ActivityKind::Received).await,
            counts(&[("accepted", n)])
        );
        bench.run(Next::Done).await;
        assert_eq!(
            bench.counted(ActivityKind::Settled).await,
            counts(&[("handled", n)])
        );
        assert_eq!(bench.handled().await.count(), n);
        let (from, to) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let by_route = bench.queue.counted(ActivityKind::Route, from, to).await;
        assert_eq!(by_route.unwrap()[&ActivityOf::Route("route".into())], n);
    }
}
