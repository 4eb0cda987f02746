//! Retention removes settled deliveries that are too old, or that make the store too large, and nothing else.
//!
//! It runs shortly after each start, so the cases restart the queue when something is to be removed.

use super::prelude::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An alert of some 20 kB.
fn large(alertname: &str) -> Submission {
    let mut submission = firing(alertname);
    let text = ("text".to_owned(), "x".repeat(20_000));
    submission.alert.annotations = [text].into_iter().collect();
    submission
}

fn up_to(bytes_max: u64) -> Options {
    Options {
        retention_bytes_max: bytes_max,
        ..Options::default()
    }
}

impl<B: Bench> Harness<B> {
    /// Accepts this many large alerts, and ends each in this way.
    async fn run_many(&mut self, kind: &str, count: usize, next: Next) -> Vec<DeliveryId> {
        let body = (0..count).map(|n| large(&format!("{kind}{n}"))).collect();
        let receipt = self.queue.accept(Parcel::new(body, Vec::new())).await;
        let verdicts = receipt.unwrap().verdicts;
        for _ in 0..count {
            let leased = self.lease().await;
            self.settle(&leased, next.clone());
        }
        self.flush().await;
        let of = |verdict: &Verdict| match verdict {
            Verdict::Accepted(accepted) => accepted[0].id,
            other => panic!("not accepted: {other:?}"),
        };
        verdicts.iter().map(of).collect()
    }

    async fn is_there(&self, id: DeliveryId) -> bool {
        self.queue.story(id).await.unwrap().is_some()
    }

    /// Waits until retention has removed this one.
    async fn removed(&self, id: DeliveryId) {
        eventually(async || !self.is_there(id).await).await;
    }

    /// Returns those of the deliveries that are stored. Reads the newest first, since the oldest may be removed meanwhile.
    async fn left(&self, ids: &[DeliveryId]) -> Vec<DeliveryId> {
        let mut left = Vec::new();
        for id in ids.iter().rev() {
            if self.is_there(*id).await {
                left.insert(0, *id);
            }
        }
        left
    }

    /// Waits until the removals are counted.
    async fn lost(&self, is_so: impl Fn(Losses) -> bool) {
        eventually(async || is_so(self.queue.counts().losses)).await;
    }
}

pub(super) async fn what_was_settled_longer_ago_than_the_retention_goes_with_all_that_belongs_to_it<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let done = bench.accept_new(firing("Done")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
    ledger.record(vec![entry(0)]).await.unwrap();
    bench.settle(&leased, Next::Done);
    let dead = bench.accept_new(firing("Dead")).await;
    assert_eq!(bench.run(Next::Dead("why".into())).await, dead);
    bench.clock.advance(DAY);
    let recent = bench.accept_new(firing("Recent")).await;
    assert_eq!(bench.run(Next::Done).await, recent);
    bench.set_caps(Caps::all(0));
    let waits = bench.accept_new(firing("Waits")).await;
    bench.clock.advance(6 * DAY - Duration::from_millis(1));
    let bench = bench.restart().await;
    bench.clock.advance(Duration::from_millis(1));
    let bench = bench.restart().await;
    bench.removed(done).await;
    bench.removed(dead).await;
    assert_eq!(bench.queue.recorded(done, 0).await.unwrap().entries, []);
    assert!(bench.bench.peek_runs(done).is_empty());
    assert_eq!(bench.left(&[recent, waits]).await, [recent, waits]);
    let expected = Losses {
        done_by_time: 1,
        dead_by_time: 1,
        ..Losses::default()
    };
    bench.lost(|losses| losses == expected).await;
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.dead), (1, 0));
}

pub(super) async fn identifiers_go_on_after_the_newest_was_removed<B: Bench>() {
    // A refused part has no event, only a delivery.
    for parcel in [
        Parcel::new(vec![firing("A")], Vec::new()),
        Parcel::new(Vec::new(), vec![no_alert(7)]),
    ] {
        let mut bench = Harness::<B>::new();
        let receipt = bench.queue.accept(parcel).await.unwrap();
        let id = match (&receipt.verdicts[..], &receipt.refused[..]) {
            ([], [refused]) => refused.id,
            _ => bench.run(Next::Done).await,
        };
        bench.clock.advance(8 * DAY);
        let bench = bench.restart().await;
        bench.removed(id).await;
        bench.clock.set_time_of_day(from_millis(START_MS - 1));
        let bench = bench.restart().await;
        assert!(bench.accept_new(firing("B")).await > id);
    }
}

pub(super) async fn an_event_is_remembered_for_seven_days_after_it_was_last_sent<B: Bench>() {
    let seldom = || {
        let mut submission = firing("A");
        submission.plans[0].repeat_after = 100 * DAY;
        submission
    };
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(seldom()).await;
    bench.run(Next::Done).await;
    // Each time its delivery is removed by then, and so is another one, whose event is as old.
    for later in [6 * DAY, 7 * DAY - Duration::from_millis(1)] {
        bench.clock.advance(later);
        bench = bench.restart().await;
        assert_eq!(bench.accept(seldom()).await, DUPLICATE, "{later:?} later");
    }
    bench.removed(id).await;
    let other = bench.accept_new(firing("Other")).await;
    bench.run(Next::Done).await;
    bench.clock.advance(7 * DAY);
    let bench = bench.restart().await;
    bench.removed(other).await;
    bench.accept_new(seldom()).await;
}

pub(super) async fn a_store_that_is_too_large_loses_what_is_done_the_oldest_first<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let done = bench.run_many("Done", 200, Next::Done).await;
    bench.set_caps(Caps::all(0));
    let waits = bench.accept_new(large("Waits")).await;
    bench.queue.shutdown().await;
    let bench = bench.crash_into(up_to(2 << 20));
    bench.removed(done[99]).await;
    let left = bench.left(&done).await;
    assert!(!left.is_empty() && done.ends_with(&left), "the oldest go");
    assert!(bench.is_there(waits).await);
    bench.lost(|losses| losses.done_by_size >= 100).await;
    let losses = bench.queue.counts().losses;
    assert_eq!((losses.done_by_time, losses.dead_by_size), (0, 0));
}

pub(super) async fn dead_letters_stay_while_anything_is_done<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let dead = bench.run_many("Dead", 20, Next::Dead("why".into())).await;
    let done = bench.run_many("Done", 200, Next::Done).await;
    bench.queue.shutdown().await;
    let bench = bench.crash_into(up_to(2 << 20));
    bench.removed(done[99]).await;
    assert_eq!(bench.left(&dead).await, dead, "though they are the oldest");
    assert_eq!(bench.queue.counts().dead, 20);
}

pub(super) async fn what_is_not_settled_never_goes<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let done = bench.run_many("Done", 1, Next::Done).await;
    bench.set_caps(Caps::all(0));
    let body = (0..100).map(|n| large(&format!("Waits{n}"))).collect();
    let parcel = Parcel::new(body, Vec::new());
    bench.queue.accept(parcel).await.unwrap();
    bench.queue.shutdown().await;
    let bench = bench.crash_into(up_to(1));
    bench.removed(done[0]).await;
    // Twice, so that a round has ended.
    let bench = bench.restart().await;
    assert_eq!(bench.queue.counts().depth, 100);
    assert_eq!(bench.bench.peek_open().len(), 100);
}
