//! The test bench of a store: opens it, breaks it, and looks into it while the queue uses it.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use alert_manager_core::alert::{DeliveryId, Status};

use crate::{Caps, Clock, Leases, Options, Queue, State};

/// A store for one case, empty at first, and everything that may happen to it.
///
/// A hook that does not apply to a store returns [`Unsupported`]. The cases that need it then do not run, and have to be listed in
/// [`Bench::NOT_SHOWN`]. A case fails if it is listed and runs, or is not listed and does not run.
pub trait Bench: Sized {
    /// The cases, as `file::case`, that do not apply to this store, each with the reason in a comment.
    const NOT_SHOWN: &'static [&'static str];

    /// How many random sequences the model is compared with by default. Fewer for a store that takes longer for each.
    const SEQUENCES: u32 = 1_000;

    /// True if a crash loses how often an event was sent again since it was last written.
    const FORGETS_DUPLICATES: bool = false;

    /// Returns what has to be installed for the cases to run; nothing if it is. Without it they are skipped, loudly.
    fn missing() -> Option<String> {
        None
    }

    /// Creates an empty store.
    fn new(sizes: Sizes) -> Self;

    /// Opens the store, and recovers what is in it.
    fn open(&mut self, options: Options, caps: Caps, clock: Clock) -> (Queue, Leases);

    /// Ends a queue like a kill of its process: what waits is not stored, leases are not ended, and what was written stays.
    fn crash(&mut self, queue: Queue, leases: Leases);

    /// Makes every write fail, and its transaction, until this is called with `false`.
    fn fail_writes(&self, fail: bool);

    /// Makes this write fail in the middle of its transaction, with [`REFUSED`] in the error, until `fail_writes(false)`.
    fn fail_on(&self, write: Write<'_>);

    /// Returns how many transactions have failed.
    fn failures(&self) -> u64;

    /// Loses the answer to the next commit, so that the queue has to ask for the result.
    ///
    /// # Errors
    /// If the store always answers.
    fn lose_answer(&self, of: LostAnswer) -> Result<(), Unsupported>;

    /// Has another server take the lease of a delivery, so that nothing more is stored under it.
    ///
    /// # Errors
    /// If the store is for one server alone.
    fn take_lease(&self, of: DeliveryId) -> Result<(), Unsupported>;

    /// Opens the same store a second time while the queue uses it, like another server.
    ///
    /// # Errors
    /// If the store is for one server alone.
    fn open_second(&self, options: Options, caps: Caps) -> Result<(Queue, Leases), Unsupported>;

    /// Stops the next transaction after it has recalled its events, and before it changes anything.
    ///
    /// # Errors
    /// If its transactions cannot be stopped.
    fn stop_after_recall(&self) -> Result<Stopped, Unsupported>;

    /// Loses the last commit, like a fail-over to a standby that lags.
    ///
    /// # Errors
    /// If the store has no standby.
    fn lose_last_commit(&mut self) -> Result<(), Unsupported>;

    /// Moves the clock by which the store dates its transactions by this many milliseconds. The queue's time of day is set with
    /// [`Clock::set_time_of_day`].
    ///
    /// # Errors
    /// If the store has no clock of its own.
    fn step_clock(&self, by_ms: i64) -> Result<(), Unsupported>;

    /// Returns what is stored of a delivery.
    fn peek(&self, id: DeliveryId) -> Option<Peek>;

    /// Returns what is stored of every delivery that is not settled, in the order of acceptance.
    fn peek_open(&self) -> Vec<Peek>;

    /// Returns how many alerts fired in each storm that is not over, and how many of them have resolved.
    fn peek_storms(&self) -> Vec<PeekStorm>;

    /// Returns the leases with stored progress or a stored story, in order, even if the delivery is not stored.
    fn peek_runs(&self, id: DeliveryId) -> Vec<u32>;

    /// Removes a delivery from all tables, like retention.
    fn remove(&self, id: DeliveryId);

    /// Replaces the stored progress of a delivery by what cannot be parsed, as if this lease had stored it.
    fn spoil(&self, id: DeliveryId, lease: u32);
}

/// What is stored of a storm.
#[derive(Clone, Copy, Debug)]
pub struct PeekStorm {
    /// The delivery that it is called by.
    pub id: DeliveryId,
    /// Alerts that fired.
    pub count: u64,
    /// How many of them have resolved.
    pub resolved: u64,
}

/// The sizes at which a store does background work, such as writing what it has gathered in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Those of production.
    Production,
    /// As small as possible, so that a short test reaches them.
    Small,
}

/// A kind of write that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// A new delivery on this route.
    InsertOn(&'a str),
    /// A new delivery of an alert with this status.
    Insert(Status),
    /// A dead delivery that is queued again.
    Revive,
}

/// The text in the error of a write that [`Bench::fail_on`] has refused.
pub const REFUSED: &str = "refused by the bench";

/// What is stored of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Its identity.
    pub id: DeliveryId,
    /// Its state.
    pub state: State,
    /// How many leases it has had.
    pub leases: u32,
    /// How often the server died while it ran alone.
    pub deaths: u32,
    /// How often the server died while it ran, since one of its leases last ended.
    pub suspected: u32,
    /// The occurrence of its event, from 1.
    pub occurrence: u32,
    /// True if its last lease ended parked at a gate.
    pub is_parked: bool,
}

/// The result of a transaction whose commit was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostAnswer {
    /// It is durable.
    Stored,
    /// It was rolled back.
    NotStored,
}

/// A transaction that is to be stopped. It continues when this is dropped.
#[derive(Debug)]
pub struct Stopped {
    arrived: oneshot::Receiver<()>,
    _go_on: Sender<()>,
}

impl Stopped {
    /// Returns the end that a case holds, and the one that stops the transaction.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let ((arrives, arrived), (go_on, goes_on)) = (oneshot::channel(), channel());
        let stopped = Self {
            arrived,
            _go_on: go_on,
        };
        (stopped, Stop { arrives, goes_on })
    }

    /// Waits until the transaction has stopped.
    ///
    /// # Panics
    /// If it never will.
    pub async fn wait_until_stopped(&mut self) {
        (&mut self.arrived).await.unwrap();
    }
}

/// Stops a transaction.
#[derive(Debug)]
pub struct Stop {
    arrives: oneshot::Sender<()>,
    goes_on: Receiver<()>,
}

impl Stop {
    /// Blocks until the case lets the transaction continue.
    pub fn stand(self) {
        let _ = self.arrives.send(());
        // Returns when the other end is dropped.
        let _ = self.goes_on.recv();
    }
}

/// A hook does not apply to a store, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub &'static str);
