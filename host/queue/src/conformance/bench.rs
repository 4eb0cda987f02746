//! What a store brings to be tested: a way to open it, to break it, and to look into it beside the queue.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use alert_manager_core::alert::{DeliveryId, Status};

use crate::{Caps, Clock, Leases, Options, Queue, State};

/// A store of its own, empty at first, and everything that may happen to it.
///
/// A hook that makes no sense for a store answers [`Unsupported`]. The cases that need it then do not run, and have to be listed
/// in [`Bench::NOT_SHOWN`]: a case that is listed and runs fails as one that is not listed and does not.
pub trait Bench: Sized {
    /// The cases, as `file::case`, that need what this store has not, each with the reason beside it.
    const NOT_SHOWN: &'static [&'static str];

    /// Makes an empty store.
    fn new(sizes: Sizes) -> Self;

    /// Opens the store, and takes up what was left.
    fn open(&mut self, options: Options, caps: Caps, clock: Clock) -> (Queue, Leases);

    /// Ends a queue as a kill of its process would: nothing that waits is stored, nothing is given back, and what has been
    /// written stays as it is.
    fn crash(&mut self, queue: Queue, leases: Leases);

    /// From now on every write fails, and the transaction with it, until this is called with `false`.
    fn fail_writes(&self, fail: bool);

    /// From now on this write fails in the middle of its transaction, with [`REFUSED`] in the error, until
    /// `fail_writes(false)`.
    fn fail_on(&self, write: Write<'_>);

    /// Returns how many transactions have failed.
    fn failures(&self) -> u64;

    /// The answer to the next commit is lost: the queue cannot know what became of it, and has to ask.
    ///
    /// # Errors
    /// If the store has no commits that can be lost so.
    fn lose_answer(&self, of: LostAnswer) -> Result<(), Unsupported>;

    /// Another server takes the lease of a delivery: nothing more is stored under it.
    ///
    /// # Errors
    /// If its leases cannot be taken.
    fn take_lease(&self, of: DeliveryId) -> Result<(), Unsupported>;

    /// Opens the same store once more, beside the queue that has it, as another server would.
    ///
    /// # Errors
    /// If the store is for one server alone.
    fn open_beside(&self, options: Options, caps: Caps) -> Result<(Queue, Leases), Unsupported>;

    /// Stops the next transaction after it has recalled what is known of its events and before it changes anything.
    ///
    /// # Errors
    /// If its transactions cannot be stopped.
    fn stop_after_recall(&self) -> Result<Stopped, Unsupported>;

    /// The store loses its last commit, as the fail-over to a standby that lags does.
    ///
    /// # Errors
    /// If the store has no standby.
    fn lose_last_commit(&mut self) -> Result<(), Unsupported>;

    /// Sets the clock by which the store dates its transactions, by this many milliseconds. The clocks of the queue stay as they
    /// are: those are moved with [`Clock::set_time_of_day`].
    ///
    /// # Errors
    /// If the store has no clock of its own.
    fn step_clock(&self, by_ms: i64) -> Result<(), Unsupported>;

    /// Returns what is stored of a delivery.
    fn peek(&self, id: DeliveryId) -> Option<Peek>;

    /// Returns what is stored of every delivery that is not settled, in the order of acceptance.
    fn peek_open(&self) -> Vec<Peek>;

    /// Returns the leases of which progress or a story is stored, in order, whether or not the delivery is.
    fn peek_runs(&self, id: DeliveryId) -> Vec<u32>;

    /// Removes a delivery with all that belongs to it, as retention does.
    fn remove(&self, id: DeliveryId);

    /// Makes the stored progress of a delivery unreadable, as if this lease had stored what no version can read.
    fn spoil(&self, id: DeliveryId, lease: u32);
}

/// How large the sizes are at which a store does something apart, such as to write what it has gathered in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Those of production.
    Production,
    /// As small as they can be, so that a short test gets there.
    Small,
}

/// A write that can be made to fail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// A new delivery on this route.
    InsertOn(&'a str),
    /// A new delivery of an alert with this status.
    Insert(Status),
    /// A dead delivery is to run again.
    Revive,
}

/// What the error of a write says that [`Bench::fail_on`] has refused.
pub const REFUSED: &str = "refused by the bench";

/// What is stored of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Its identity.
    pub id: DeliveryId,
    /// How it stands.
    pub state: State,
    /// How often it was leased.
    pub leases: u32,
    /// Under how many of its leases the server died while nothing else ran.
    pub deaths: u32,
    /// Under how many leases since it last ended in order the server died, whatever else ran.
    pub suspected: u32,
    /// The occurrence of its event, from 1.
    pub occurrence: u32,
    /// True if its last lease ended parked at a gate.
    pub is_parked: bool,
}

/// What became of a transaction whose commit was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostAnswer {
    /// It is durable.
    Stored,
    /// It was rolled back.
    NotStored,
}

/// A transaction that is to stand still. It goes on when this is dropped.
#[derive(Debug)]
pub struct Stopped {
    arrived: oneshot::Receiver<()>,
    _go_on: Sender<()>,
}

impl Stopped {
    /// Returns what a case holds, and what the transaction meets.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let ((arrives, arrived), (go_on, goes_on)) = (oneshot::channel(), channel());
        let stopped = Self {
            arrived,
            _go_on: go_on,
        };
        (stopped, Stop { arrives, goes_on })
    }

    /// Waits until the transaction stands still.
    ///
    /// # Panics
    /// If it never will.
    pub async fn stands(&mut self) {
        (&mut self.arrived).await.unwrap();
    }
}

/// Where a transaction stands still.
#[derive(Debug)]
pub struct Stop {
    arrives: oneshot::Sender<()>,
    goes_on: Receiver<()>,
}

impl Stop {
    /// Blocks until the case lets the transaction go on.
    pub fn stand(self) {
        let _ = self.arrives.send(());
        // Ends as soon as the other end is dropped.
        let _ = self.goes_on.recv();
    }
}

/// A store has no such thing, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub &'static str);
