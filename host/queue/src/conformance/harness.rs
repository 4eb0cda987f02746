//! A queue on a store under test, with a manual clock.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::journal::{Entry, Ledger};

use super::alerts::{DUPLICATE, START_MS, from_millis, name, settlement};
use super::bench::{Bench, Sizes};
use crate::{
    Caps, Clock, Leased, Leases, Next, Options, Parcel, Queue, Retried, Selection, State, Story,
    Submission, Verdict,
};

/// A queue on a store of its own.
pub(crate) struct Harness<B: Bench> {
    pub(crate) bench: B,
    pub(crate) clock: Clock,
    pub(crate) queue: Queue,
    options: Options,
    caps: Caps,
    leases: Leases,
}

impl<B: Bench> Harness<B> {
    /// Opens a queue that runs eight invocations of each handler.
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), Caps::all(8))
    }

    pub(crate) fn with(options: Options, caps: Caps) -> Self {
        Self::on(B::new(Sizes::Production), options, caps)
    }

    /// Opens a queue on a store with [`Sizes::Small`].
    pub(crate) fn small(caps: Caps) -> Self {
        Self::on(B::new(Sizes::Small), Options::default(), caps)
    }

    /// Opens a queue on a store.
    pub(crate) fn on(bench: B, options: Options, caps: Caps) -> Self {
        Self::at(bench, Clock::manual(from_millis(START_MS)), options, caps)
    }

    /// Opens a queue on a store, with this clock.
    pub(crate) fn at(bench: B, clock: Clock, options: Options, caps: Caps) -> Self {
        let mut harness = Self::unattended(bench, clock, options, caps);
        harness.attend();
        harness
    }

    /// Opens a queue without a worker: nothing is leased yet.
    fn unattended(mut bench: B, clock: Clock, options: Options, caps: Caps) -> Self {
        let (queue, leases) = bench.open(options.clone(), caps.clone(), clock.clone());
        Self {
            bench,
            clock,
            queue,
            options,
            caps,
            leases,
        }
    }

    /// Begins to lease deliveries.
    pub(crate) fn attend(&mut self) {
        self.leases.attach();
    }

    /// Returns the recorded calls of a step.
    pub(crate) async fn recorded(&self, id: DeliveryId, step: u32) -> Vec<Entry> {
        self.queue.recorded(id, step).await.unwrap().entries
    }

    /// Drops the queue, which was shut down; returns the store and the clock.
    #[cfg(test)]
    pub(crate) fn ended(self) -> (B, Clock) {
        drop((self.queue, self.leases));
        (self.bench, self.clock)
    }

    /// Kills the server, and starts another.
    pub(crate) fn crash(self) -> Self {
        let mut harness = self.crash_unattended();
        harness.attend();
        harness
    }

    /// Kills the server, and starts another without a worker: nothing is leased yet.
    pub(crate) fn crash_unattended(mut self) -> Self {
        self.bench.crash(self.queue, self.leases);
        Self::unattended(self.bench, self.clock, self.options, self.caps)
    }

    /// Closes the queue in order, and opens it again.
    pub(crate) async fn restart(self) -> Self {
        self.queue.shutdown().await;
        self.crash()
    }

    /// Kills the server, and starts one with other options.
    pub(crate) fn crash_into(mut self, options: Options) -> Self {
        self.options = options;
        self.crash()
    }

    /// Returns the next lease.
    pub(crate) async fn lease(&mut self) -> Leased {
        self.leases.next().await.unwrap()
    }

    /// Returns the next lease, or nothing once the queue is closed.
    pub(crate) async fn lease_or_end(&mut self) -> Option<Leased> {
        self.leases.next().await
    }

    /// Returns all leases that are granted now.
    pub(crate) fn leased(&mut self) -> Vec<Leased> {
        let mut leased = Vec::new();
        while let Some(Some(next)) = self.leases.next().now_or_never() {
            leased.push(next);
        }
        leased
    }

    /// Takes the next lease and settles it as done.
    pub(crate) async fn run(&mut self, next: Next) -> DeliveryId {
        let leased = self.lease().await;
        self.settle(&leased, next);
        self.flush().await;
        leased.id
    }

    /// Ends an invocation, and its lease.
    pub(crate) fn settle(&self, leased: &Leased, next: Next) {
        self.queue.release_permit(&leased.handler);
        self.queue.settle(settlement(leased, next));
    }

    /// Returns the ledger of a step under a lease.
    pub(crate) fn ledger(&self, leased: &Leased, step: u32) -> Arc<dyn Ledger> {
        self.ledger_of(leased, step, "notify")
    }

    /// The same for a step of another handler.
    pub(crate) fn ledger_of(&self, leased: &Leased, step: u32, handler: &str) -> Arc<dyn Ledger> {
        let handler = name(handler);
        self.queue.ledger(leased.lease, step, &handler)
    }

    /// Moves the clocks forward, and wakes the queue.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.queue.set_caps(self.caps.clone());
    }

    /// Changes the concurrency limit of every handler.
    pub(crate) fn set_caps(&mut self, caps: Caps) {
        self.caps = caps.clone();
        self.queue.set_caps(caps);
    }

    /// Changes the concurrency limit of every handler from the next start on.
    pub(crate) fn set_next_caps(&mut self, caps: Caps) {
        self.caps = caps;
    }

    /// Accepts one alert. A duplicate is returned without its deliveries.
    pub(crate) async fn accept(&self, submission: Submission) -> Verdict {
        let parcel = Parcel::new(vec![submission], Vec::new());
        let receipt = self.queue.accept(parcel).await.unwrap();
        match receipt.verdicts.into_iter().next().unwrap() {
            Verdict::Duplicate(_) => DUPLICATE,
            verdict => verdict,
        }
    }

    /// Accepts a new alert, and returns its only delivery.
    pub(crate) async fn accept_new(&self, submission: Submission) -> DeliveryId {
        match self.accept(submission).await {
            Verdict::Accepted(accepted) if accepted.len() == 1 => accepted[0].id,
            other => panic!("not accepted once: {other:?}"),
        }
    }

    /// Waits until all earlier messages are stored.
    pub(crate) async fn flush(&self) {
        self.queue.alarms().await.unwrap();
    }

    /// Removes a delivery, like retention.
    pub(crate) async fn remove(&self, id: DeliveryId) {
        self.flush().await;
        self.bench.remove(id);
    }

    pub(crate) async fn story(&self, id: DeliveryId) -> Story {
        self.queue.story(id).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, id: DeliveryId) -> State {
        self.story(id).await.delivery.state
    }

    /// Retries all dead deliveries of `notify` after this one.
    pub(crate) async fn retry_all(&self, after: Option<DeliveryId>) -> Retried {
        let selection = Selection {
            handler: Some(name("notify")),
            ..Selection::default()
        };
        self.queue.retry_all(selection, after).await.unwrap()
    }

    /// Takes the next lease, and settles it to be retried ten minutes after the start.
    pub(crate) async fn run_to_a_wait(&mut self) -> DeliveryId {
        let until = from_millis(START_MS + 600_000);
        let handler = name("notify");
        self.run(Next::Retry { until, handler }).await
    }

    /// Returns how many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        *self.queue.commits().borrow()
    }

    /// Makes every write fail, or none.
    pub(crate) fn fail_writes(&self, fail: bool) {
        self.bench.fail_writes(fail);
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, waited).await.unwrap();
}
