//! Deliveries whose end may end a notice are watched until they are settled.

use std::time::Instant;

use futures_util::FutureExt as _;

use super::*;
use crate::commit::Committer;
use crate::conformance::reporting_by_one;
use crate::store::sqlite::SqliteStore;

/// A queue whose committer has no thread: the test runs it when it waits for something.
struct ByHand {
    committer: Committer<SqliteStore>,
    queue: Queue,
    leases: Leases,
}

impl ByHand {
    fn open(bench: &SqliteBench, clock: &Clock) -> Self {
        let (committer, queue, mut leases) = Queue::of(bench.start(clock.clone()));
        leases.attach();
        Self {
            committer,
            queue,
            leases,
        }
    }

    /// Runs the committer until there is nothing left to do: what ends in one transaction lets the next grant a lease or store a
    /// notice.
    fn work(&mut self) {
        for _ in 0..3 {
            let inbox = &self.queue.inner.shared.inbox;
            let taken = inbox.take(Some(Instant::now()), usize::MAX);
            self.committer.work(taken);
        }
    }

    /// Runs the committer until this is answered.
    async fn answer<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let mut asked = std::pin::pin!(asked);
        loop {
            if let Some(answer) = (&mut asked).now_or_never() {
                return answer;
            }
            self.work();
            tokio::task::yield_now().await;
        }
    }

    async fn accept_new(&mut self, submission: Submission) -> DeliveryId {
        let queue = self.queue.clone();
        let parcel = Parcel::new(vec![submission], Vec::new());
        let receipt = self.answer(queue.accept(parcel)).await.unwrap();
        match &receipt.verdicts[..] {
            [Verdict::Accepted(accepted)] => accepted[0].id,
            other => panic!("not accepted: {other:?}"),
        }
    }

    async fn retry(&mut self, id: DeliveryId) {
        let queue = self.queue.clone();
        let retried = self.answer(queue.retry(id, Force::No)).await;
        assert_eq!(retried, Ok(Selected::Dead));
    }

    /// Takes the next lease and settles it.
    fn run(&mut self, next: Next) {
        let leased = self.leases.next().now_or_never().flatten().unwrap();
        self.queue.release_permit(&leased.handler);
        self.queue.settle(settlement(&leased, next));
        self.work();
    }

    /// Returns how many deliveries are watched: those that were revived, and notices.
    fn watched(&self) -> (usize, usize) {
        self.committer.watched()
    }
}

fn bench() -> (SqliteBench, Clock) {
    let clock = Clock::manual(from_millis(START_MS));
    (SqliteBench::new(Sizes::Production), clock)
}

#[tokio::test]
async fn what_is_cancelled_while_it_waits_is_watched_no_longer() {
    let (bench, clock) = bench();
    let mut by_hand = ByHand::open(&bench, &clock);
    let id = by_hand.accept_new(firing("A")).await;
    by_hand.run(Next::Dead("why".into()));
    by_hand.queue.set_caps(Caps::all(0));
    by_hand.retry(id).await;
    assert_eq!(by_hand.watched(), (1, 0));
    let queue = by_hand.queue.clone();
    by_hand.answer(queue.cancel(id)).await.unwrap();
    assert_eq!(by_hand.watched(), (0, 0));
}

#[tokio::test]
async fn notices_are_watched_apart_from_what_was_revived_also_after_a_restart() {
    let (bench, clock) = bench();
    let mut by_hand = ByHand::open(&bench, &clock);
    by_hand.queue.set_dead_letters(Some(reporting_by_one()));
    let id = by_hand.accept_new(firing("A")).await;
    by_hand.run(Next::Dead("why".into()));
    assert_eq!(by_hand.watched(), (0, 1));
    by_hand.retry(id).await;
    assert_eq!(by_hand.watched(), (1, 1));
    drop(by_hand);
    let mut by_hand = ByHand::open(&bench, &clock);
    by_hand.queue.set_dead_letters(Some(reporting_by_one()));
    by_hand.work();
    assert_eq!(by_hand.watched(), (1, 1));
    while by_hand.queue.counts().depth > 0 {
        by_hand.run(Next::Done);
    }
    assert_eq!(by_hand.watched(), (0, 0));
}
