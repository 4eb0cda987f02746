//! The interface of a store, which keeps deliveries and decides nothing.
//!
//! The committer's thread alone calls [`Store`] and [`Txn`], one transaction at a time; these calls block. A [`Reader`] answers
//! queries on other threads.

mod change;
mod codes;
mod labels;
pub(crate) mod migrate;
mod pages;
mod past;
pub(crate) mod postgres;
pub(crate) mod sqlite;
mod tables;
mod url;
mod whole;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, HandlerName, Timestamp};
use alert_manager_core::gate::GateName;
use alert_manager_core::journal::{
    Earlier, KvChange, KvQuota, KvReply, Past, Recorded, TimerQuota, TimerReply,
};

use crate::model::{
    Abandoned, Activity, ActivityKind, ActivityOf, Arrived, AuditFilter, Audited, Cause, Contents,
    Delivery, Filter, Follower, Grant, GrantsUsed, Known, LastEnd, OpenError, Outline, Owner, Page,
    Position, ReadError, RetryBatch, Row, Run, Selection, State, StoredTimer, Storm, Story,
    TimerId,
};

pub(crate) use change::{Applied, Change, Revive, Settle, SettleMembers};
pub use postgres::database::{Database, InvalidDatabase};
pub use url::{InvalidStoreUrl, StoreUrl};

/// A durable store.
pub(crate) trait Store: Send + fmt::Debug + 'static {
    /// A transaction. One that is dropped is rolled back.
    type Txn<'s>: Txn
    where
        Self: 's;

    /// Reads what an earlier process left. Calls `each` with each delivery that is not settled, in the order of acceptance, and
    /// with how far its lease had come, if it had one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn recover(&mut self, each: impl FnMut(Row, Option<Abandoned>)) -> Result<Found, OpenError>;

    /// Returns the error of a start that failed with `error`.
    fn refused(&self, error: StoreError) -> OpenError;

    /// Begins a transaction.
    fn begin(&mut self) -> Result<Self::Txn<'_>, StoreError>;

    /// Returns whether the last transaction was committed, after [`Committed::Unknown`].
    fn resolve(&mut self) -> Result<Resolved, StoreError>;

    /// Runs one step of retention, if it is due: removes a few deliveries that are too old, or that make the store too large.
    fn run_retention(&mut self, now: Timestamp) -> Result<RetentionRun, StoreError>;

    /// Checks that the store can be written, with a transaction that changes nothing.
    fn probe(&mut self) -> Result<(), StoreError>;

    /// Returns when the store next needs [`Self::run_retention`], or a transaction though there is nothing to write.
    fn next_step(&self) -> Option<Instant>;

    /// Returns true if a transaction is due though there is nothing to write: the store has deferred a write, or another server has
    /// accepted something.
    fn is_transaction_due(&self) -> bool;

    /// Returns what says whether this server may still begin an effect.
    fn hold(&self) -> Hold;

    /// Returns a reader for other threads.
    fn reader(&self) -> Arc<dyn Reader>;

    /// Ends leases that no worker will end, and closes the store. One that was not started is undone, as if it had not been
    /// granted. One that was started is marked as interrupted, but not as a death of the server.
    fn close(self, abandoned: &[(DeliveryId, Abandoned)]) -> Result<(), StoreError>;
}

/// A transaction. It reads what was committed, and what it has applied itself.
pub(crate) trait Txn {
    /// Returns the time of the transaction, which dates what it stores.
    fn now(&self) -> Timestamp;

    /// Takes at most `most` of what servers without the term have accepted, in the order of acceptance. With the transaction they are
    /// removed.
    fn take_arrivals(&mut self, most: usize) -> Result<Vec<Arrived>, StoreError>;

    /// Returns what is remembered of the starts of these events. They are locked until the transaction ends: another server that
    /// recalls one of them waits.
    fn recall(&mut self, events: &[Event]) -> Result<Vec<Known>, StoreError>;

    /// Returns at most `most` firings of a fingerprint that no resolved has ended, the latest first. Searches the latest [`OPEN_AMONG`](crate::model::OPEN_AMONG) starts.
    fn open_firings(&mut self, of: Fingerprint, most: usize) -> Result<Vec<Event>, StoreError>;

    /// Returns deliveries, absent if they are not stored.
    fn rows(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<Row>>, StoreError>;

    /// Returns the alerts and progress of deliveries that are stored.
    fn contents(&mut self, of: &[Wanted]) -> Result<Vec<Contents>, StoreError>;

    /// Returns a delivery as it is listed.
    fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    /// Returns true if step `from_step` of a delivery, or a later one, has changed something outside the server.
    fn has_effect(&mut self, id: DeliveryId, from_step: u32) -> Result<bool, StoreError>;

    /// Returns true if a delivery has any effect on record.
    fn has_recorded_effect(&mut self, id: DeliveryId) -> Result<bool, StoreError>;

    /// Returns the dead deliveries that this one stood for, in the order of acceptance.
    fn dead_members(&mut self, of: DeliveryId) -> Result<Vec<Row>, StoreError>;

    /// Returns the state of each delivery and its number of leases; absent if it is not stored. A member counts its
    /// representative's first lease as one of its own.
    fn states(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<(State, u32)>>, StoreError>;

    /// Calls `each` with every delivery after `after`, in the order of acceptance, except refused parts of bodies.
    fn followers(
        &mut self,
        after: DeliveryId,
        each: impl FnMut(Follower<'_>),
    ) -> Result<(), StoreError>;

    /// Returns the deliveries as which these refused parts of bodies are kept; absent if the part is not stored.
    fn parts(&mut self, digests: &[[u8; 32]]) -> Result<Vec<Option<DeliveryId>>, StoreError>;

    /// Returns at most `most` classes of deaths that are not reported yet, ordered by class.
    fn unreported(&mut self, most: u32) -> Result<Vec<Unreported>, StoreError>;

    /// Returns at most `most` deaths from before the store gathered unreported ones, some of which may have no notice; nothing if all
    /// of them were looked at.
    fn earlier_deaths(&mut self, most: u32) -> Result<Option<EarlierDeaths>, StoreError>;

    /// Returns the alarms that were raised and have not ended.
    fn alarms(&mut self) -> Result<BTreeSet<Fingerprint>, StoreError>;

    /// Changes the key-value state of a handler; returns the reply, and true if the state has changed.
    fn kv(&mut self, op: &KvOp<'_>) -> Result<(KvReply, bool), StoreError>;

    /// Changes the timers of a handler.
    fn timer(&mut self, op: &TimerOp<'_>) -> Result<TimerChanged, StoreError>;

    /// Returns a timer; absent if it is not open.
    fn open_timer(&mut self, id: TimerId) -> Result<Option<StoredTimer>, StoreError>;

    /// Returns the open timers that a delivery has set.
    fn timers_of(&mut self, set_by: DeliveryId) -> Result<Vec<TimerId>, StoreError>;

    /// Makes changes in order, and appends the result of each to `answers`. A change under a lease that is no longer valid is
    /// [`Applied::Fenced`], and does not affect the others.
    fn apply(
        &mut self,
        changes: &[Change<'_>],
        answers: &mut Vec<Applied>,
    ) -> Result<(), StoreError>;

    /// Ends the transaction.
    fn commit(self) -> Committed;
}

/// A store that several servers open. One of them at a time has its term: it decides, and runs. The others accept alerts for it.
pub(crate) trait Replica: Send + fmt::Debug + 'static {
    /// The store, as the server with the term has it.
    type Held: Store;

    /// Shows that this server lives, and takes the term if nobody has it. To be called every [`Self::CAMPAIGN_EVERY`].
    ///
    /// # Errors
    /// If the store does not answer.
    fn campaign(&mut self) -> Result<Option<Self::Held>, StoreError>;

    /// How often this server shows that it lives, and looks whether the term is free.
    const CAMPAIGN_EVERY: Duration;

    /// Stores what was accepted, in order, for the server that has the term.
    fn forward(&mut self, arrived: &[Arrived]) -> Committed;

    /// Returns whether the last call of [`Self::forward`] was committed, after [`Committed::Unknown`].
    fn resolve(&mut self) -> Result<Resolved, StoreError>;

    /// Notifies the server that has the term that something was stored for it. If it is not notified, it looks a little later.
    fn notify(&mut self);

    /// Returns how many deliveries and arrivals are not settled; stops counting at `most`.
    fn depth(&mut self, most: usize) -> Result<usize, StoreError>;

    /// Calls `wake` whenever something was stored for this server while it has the term, until this is dropped.
    ///
    /// # Errors
    /// If the system does not start a thread.
    fn on_arrival(&mut self, wake: Box<dyn Fn() + Send>) -> Result<(), StoreError>;

    /// Returns the error of a start that failed with `error`.
    fn refused(&self, error: StoreError) -> OpenError;

    /// Returns the store's own random secret, and which grants handlers have used.
    fn common(&self) -> Result<([u8; 32], GrantsUsed), StoreError>;

    /// Returns a reader for other threads.
    fn reader(&self) -> Arc<dyn Reader>;

    /// Takes this server out of those that are listed.
    fn leave(self);
}

/// Says whether this server may begin an effect. A store that several servers can open lets only one of them do so.
#[derive(Clone)]
pub(crate) struct Hold(Arc<dyn Fn() -> Result<(), String> + Send + Sync>);

impl Hold {
    /// Returns what asks a function, which gives the reason if no effect may begin.
    pub(crate) fn new(check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// Returns that of a store that no other server can open.
    pub(crate) fn always() -> Self {
        Self::new(|| Ok(()))
    }

    /// Returns the reason if no effect may begin.
    pub(crate) fn check(&self) -> Result<(), String> {
        (self.0)()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

/// The result of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is durable.
    Yes,
    /// Nothing of it is stored.
    RolledBack(StoreError),
    /// The store did not answer: [`Store::resolve`] returns the result.
    #[allow(
        dead_code,
        reason = "a store behind a network answers so; the suite's faults do"
    )]
    Unknown,
}

/// The result of [`Store::resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "a store behind a network answers so; the suite's faults do"
)]
pub(crate) enum Resolved {
    /// The transaction is durable.
    Committed,
    /// Nothing of it is stored.
    RolledBack,
}

/// Why a store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(
    dead_code,
    reason = "a store behind a network fails in more ways than a file"
)]
pub(crate) enum StoreError {
    /// It conflicted with another transaction: repeating it may succeed.
    #[error("{0}")]
    Repeat(String),
    /// The store does not answer, or is full. That may pass by itself.
    #[error("{0}")]
    Away(String),
    /// The store refuses every write.
    #[error("{0}")]
    ReadOnly(String),
    /// Another server has taken over.
    #[error("another server has taken over")]
    Fenced,
    /// What is stored, or was to be stored, is invalid.
    #[error("{0}")]
    Fatal(String),
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Fatal(error.to_string())
    }
}

/// What [`Store::recover`] found.
#[derive(Debug)]
pub(crate) struct Found {
    /// How the last process ended.
    pub(crate) last_end: LastEnd,
    /// The owner of the leases that are granted from now on.
    pub(crate) owner: Owner,
    /// The last identifier that was assigned.
    pub(crate) last_id: i64,
    /// The store's own random secret, from which keys are derived that stay the same over restarts.
    pub(crate) secret: [u8; 32],
    /// How many dead letters there are.
    pub(crate) dead_letters: u64,
    /// True if there are deaths that are not reported yet.
    pub(crate) is_unreported: bool,
    /// Unsettled deliveries whose end may end a notice, with their routes: revived ones, and notices.
    pub(crate) watched: Vec<(DeliveryId, String)>,
    /// The storms that are open.
    pub(crate) storms: Vec<Storm>,
    /// The gates that a service had closed, each with when it opens, in milliseconds since 1970.
    pub(crate) closed_gates: Vec<(GateName, i64)>,
    /// The timers that are open, each with its handler, and when it is due, in milliseconds since 1970.
    pub(crate) timers: Vec<(TimerId, HandlerName, i64)>,
    /// Which grants handlers have used.
    pub(crate) grants_used: GrantsUsed,
}

/// Which contents of a delivery are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: DeliveryId,
    pub(crate) alert: bool,
    pub(crate) progress: bool,
}

impl Wanted {
    /// Returns what has to be read for a lease: the alert if it is not in memory, and the progress if this is not the first
    /// lease, or if it stands for others, or was made for a timer.
    pub(crate) fn by(grant: &Grant) -> Self {
        Self {
            id: grant.lease.id,
            alert: grant.alert.is_none(),
            progress: grant.lease.number > 1
                || grant.stands_for.is_some()
                || grant.cause != Cause::Alert,
        }
    }
}

/// Deaths of one class that are not reported yet.
#[derive(Debug)]
pub(crate) struct Unreported {
    pub(crate) class: String,
    pub(crate) count: u64,
    pub(crate) since: Timestamp,
    /// The first few of them.
    pub(crate) ids: Vec<DeliveryId>,
}

/// Deliveries that died before the store gathered unreported deaths.
#[derive(Debug)]
pub(crate) struct EarlierDeaths {
    /// Empty if there are no more.
    pub(crate) deliveries: Vec<Delivery>,
    /// The end of that time, in milliseconds since 1970.
    pub(crate) until_ms: i64,
}

/// A change to the key-value state of a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvOp<'m> {
    pub(crate) handler: &'m HandlerName,
    pub(crate) key: &'m str,
    pub(crate) change: &'m KvChange,
    pub(crate) quota: KvQuota,
}

/// A change to the timers that a handler has for the alert of a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerOp<'m> {
    pub(crate) handler: &'m HandlerName,
    /// The delivery that makes it, which is stored.
    pub(crate) set_by: DeliveryId,
    pub(crate) key: &'m str,
    /// When it is due, in milliseconds since 1970, and what `act` is given as found, as JSON; absent if it is cancelled.
    pub(crate) set: Option<(i64, &'m str)>,
    pub(crate) quota: TimerQuota,
}

/// The result of a change to timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerChanged {
    pub(crate) reply: TimerReply,
    /// The timer that was set, replaced or cancelled; absent if nothing has changed.
    pub(crate) id: Option<TimerId>,
}

/// What one step of retention removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetentionRun {
    /// Deliveries that were settled longer ago than `retention.time`.
    pub(crate) by_time: Removed,
    /// Younger deliveries, removed because the store was larger than `retention.size`.
    pub(crate) by_size: Removed,
    /// How many of them were dead letters.
    pub(crate) dead_letters: u64,
}

/// How many deliveries were removed, by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) done: u64,
    pub(crate) dead: u64,
}

/// Answers queries without blocking the committer. Each answer is one consistent view of the store.
pub(crate) trait Reader: fmt::Debug + Send + Sync {
    /// Returns a page of deliveries, newest first.
    fn list(&self, filter: &Filter) -> Result<Page, ReadError>;

    /// Returns what was counted between two times, the oldest first; if `handler` is given, of this handler alone.
    fn activity(
        &self,
        of: ActivityKind,
        handler: Option<&HandlerName>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Activity>, ReadError>;

    /// Returns how many were counted together between two times.
    fn counted(
        &self,
        of: ActivityKind,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<HashMap<ActivityOf, u64>, ReadError>;

    /// Returns the beginning of the last minute, or hour, in which something was counted, as long as that is kept.
    fn last_counted(&self, of: ActivityKind) -> Result<HashMap<ActivityOf, Timestamp>, ReadError>;

    /// Returns entries of the audit log, newest first.
    fn audited(&self, filter: &AuditFilter) -> Result<Vec<Audited>, ReadError>;

    /// Returns how many keys a handler has in its key-value state, and the bytes of keys and values together.
    fn kv_used(&self, handler: &HandlerName) -> Result<(u64, u64), ReadError>;

    /// Returns everything that is stored of a delivery.
    fn story(&self, id: DeliveryId) -> Result<Option<Story>, ReadError>;

    /// Returns a delivery as it is listed.
    fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, ReadError>;

    /// Returns those of some deliveries that are stored, each with its effects, in the order in which they are asked for.
    fn outlines(&self, ids: &[DeliveryId]) -> Result<Vec<Outline>, ReadError>;

    /// Returns the recorded calls of a step.
    fn recorded(&self, id: DeliveryId, step: u32) -> Result<Recorded, ReadError>;

    /// Returns the runs of the firing with the same start as `event`, with their deliveries.
    fn runs(&self, event: Event) -> Result<Vec<(Run, Option<Row>)>, ReadError>;

    /// Reads a value of a handler's key-value state.
    fn kv_get(
        &self,
        handler: &HandlerName,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, ReadError>;

    /// Returns the earlier occurrences of alerts like that of a delivery, on its route and on the routes that `handler` served,
    /// without its own.
    fn earlier(
        &self,
        of: DeliveryId,
        handler: &HandlerName,
        asked: &Earlier,
    ) -> Result<Past, ReadError>;

    /// Returns the deliveries of a selection after `after`, in the order of acceptance. Leaves out refused parts of bodies, cancelled
    /// deliveries, and dead notices about dead letters: what a notice says may be over, may have been reported by another route, and
    /// is reported again if the delivery dies again. Reads at most `count_max`, including those whose labels are not selected.
    fn selected(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
        count_max: u32,
    ) -> Result<RetryBatch, ReadError>;

    /// Returns the position of a delivery; nothing if it is not stored, or is a refused part of a body.
    fn position(&self, id: DeliveryId) -> Result<Option<Position>, ReadError>;

    /// Calls `each` with every delivery after `after`, in the order of acceptance, except refused parts of bodies.
    fn followers(
        &self,
        after: DeliveryId,
        each: &mut dyn FnMut(Follower<'_>),
    ) -> Result<(), ReadError>;
}
