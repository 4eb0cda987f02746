//! Where deliveries are kept: what the thread that writes asks of a store, one transaction at a time.
//!
//! The rules decide what becomes of alerts and deliveries, the schedule when; a store keeps it, and decides nothing. Its calls on
//! the way of a write block, and are made by the committer's thread alone.

mod change;
pub(crate) mod sqlite;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, HandlerName, Timestamp};
use alert_manager_core::gate::GateName;
use alert_manager_core::journal::{KvChange, KvQuota, KvReply, Recorded};

use crate::model::{
    Chosen, Delivery, Filter, Known, LastEnd, Left, OnKey, OpenError, OrderingKey, Owner, Page,
    ReadError, Row, Run, Selection, State, Story,
};

pub(crate) use change::{Applied, Change, Revive, Settle};

/// A durable store.
pub(crate) trait Store: Send + fmt::Debug + 'static {
    /// A transaction. One that is dropped is rolled back.
    type Txn<'s>: Txn
    where
        Self: 's;

    /// Reads what an earlier process left: each delivery that is not settled is given to `each`, in the order of acceptance, with
    /// how far its lease had come, if it had one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn recover(&mut self, each: impl FnMut(Row, Option<Left>)) -> Result<Found, OpenError>;

    /// Says that the store cannot be opened for this reason.
    fn refused(&self, error: StoreError) -> OpenError;

    /// Begins a transaction.
    fn begin(&mut self) -> Result<Self::Txn<'_>, StoreError>;

    /// Finds out what became of the last transaction, after [`Committed::Unknown`].
    fn resolve(&mut self) -> Result<Resolved, StoreError>;

    /// Removes a little of what is too old or too much, if that is due.
    fn tidy(&mut self, now: Timestamp) -> Result<Tidied, StoreError>;

    /// Finds out whether the store can be written, by a transaction that changes nothing.
    fn probe(&mut self) -> Result<(), StoreError>;

    /// Returns when the store has something to do though nobody asks for it: [`Self::tidy`], or a transaction of its own.
    fn next_step(&self) -> Option<Instant>;

    /// Returns true if a transaction is due though there is nothing to write: the store has put something off.
    fn is_transaction_due(&self) -> bool;

    /// Returns what answers questions beside the committer.
    fn reader(&self) -> Arc<dyn Reader>;

    /// Gives leases back that nobody will end any more, and closes the store. One that no worker has begun is taken back as if it
    /// had never been; one that was begun counts as cut off, without counting as a death of the server.
    fn close(self, left: &[(DeliveryId, Left)]) -> Result<(), StoreError>;
}

/// A transaction. What it reads is what was committed, and what this transaction has applied.
pub(crate) trait Txn {
    /// Returns the time by which the transaction is dated.
    fn now(&self) -> Timestamp;

    /// Returns what is known of the starts of these events. It stays true until the transaction ends: another server that asks
    /// for one of them waits.
    fn recall(&mut self, events: &[Event]) -> Result<Vec<Known>, StoreError>;

    /// Returns the firings of a fingerprint that no resolved has ended, the one that began last first: no more than `most`, among
    /// the latest [`OPEN_AMONG`](crate::model::OPEN_AMONG).
    fn open_firings(&mut self, of: Fingerprint, most: usize) -> Result<Vec<Event>, StoreError>;

    /// Returns deliveries, as the rules go by them.
    fn rows(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<Row>>, StoreError>;

    /// Returns alerts and progress of deliveries that are stored.
    fn contents(&mut self, of: &[Wanted]) -> Result<Vec<Contents>, StoreError>;

    /// Returns a delivery as it is listed.
    fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    /// Returns true if a step of a delivery from this one on has changed something outside the server.
    fn has_effect(&mut self, id: DeliveryId, from_step: u32) -> Result<bool, StoreError>;

    /// Returns how deliveries stand, and how often each was leased.
    fn states(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<(State, u32)>>, StoreError>;

    /// Gives every delivery after `after` that held an alert to `each`, in the order of acceptance.
    fn follow(&mut self, after: DeliveryId, each: impl FnMut(OnKey<'_>)) -> Result<(), StoreError>;

    /// Returns what each of these parts of bodies is kept as, if one like it came before and is still kept.
    fn parts(&mut self, digests: &[[u8; 32]]) -> Result<Vec<Option<DeliveryId>>, StoreError>;

    /// Returns the first classes of deaths that are not reported yet.
    fn unreported(&mut self, most: u32) -> Result<Vec<Unreported>, StoreError>;

    /// Returns the next deaths of a time in which none was reported when it came; nothing if all were looked at.
    fn earlier_deaths(&mut self, most: u32) -> Result<Option<EarlierDeaths>, StoreError>;

    /// Returns the alarms that were raised and have not ended.
    fn alarms(&mut self) -> Result<BTreeSet<Fingerprint>, StoreError>;

    /// Makes a change to a handler's own state; returns what it came to, and whether anything is different now.
    fn kv(&mut self, op: &KvOp<'_>) -> Result<(KvReply, bool), StoreError>;

    /// Makes changes, in their order. What each came to is appended to `answers`: a change under a lease that no longer holds is
    /// [`Applied::Fenced`], and spoils no other.
    fn apply(
        &mut self,
        changes: &[Change<'_>],
        answers: &mut Vec<Applied>,
    ) -> Result<(), StoreError>;

    /// Ends the transaction.
    fn commit(self) -> Committed;
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is durable.
    Yes,
    /// Nothing of it is stored.
    RolledBack(StoreError),
    /// The store did not answer: [`Store::resolve`] finds out.
    #[allow(
        dead_code,
        reason = "a store behind a network answers so; the suite's faults do"
    )]
    Unknown,
}

/// What [`Store::resolve`] found.
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

/// Why a store did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(
    dead_code,
    reason = "a store behind a network fails in more ways than a file"
)]
pub(crate) enum StoreError {
    /// The transaction met another one: the same again may do.
    #[error("{0}")]
    Repeat(String),
    /// The store does not answer, or has no room now.
    #[error("{0}")]
    Away(String),
    /// The store refuses every write.
    #[error("{0}")]
    ReadOnly(String),
    /// Another server has taken over.
    #[error("another server has taken over")]
    Fenced,
    /// What is stored, or was to be stored, is broken.
    #[error("{0}")]
    Fatal(String),
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Fatal(error.to_string())
    }
}

/// What a start found in a store.
#[derive(Debug)]
pub(crate) struct Found {
    /// How the process that had it before ended, as far as the store says.
    pub(crate) last_end: LastEnd,
    /// In whose name leases are given from now on: every start has its own.
    pub(crate) owner: Owner,
    /// The last identifier that was given out.
    pub(crate) last_id: i64,
    /// The store's own, for what must be random and yet the same on every attempt.
    pub(crate) secret: [u8; 32],
    /// Dead letters.
    pub(crate) dead_letters: u64,
    /// True if something is unreported.
    pub(crate) is_unreported: bool,
    /// Open deliveries whose end may end a notice, with their routes: those that were sent again, and notices.
    pub(crate) watched: Vec<(DeliveryId, String)>,
    /// The gates that a service had closed, each with when it opens, in milliseconds since 1970.
    pub(crate) closed_gates: Vec<(GateName, i64)>,
}

/// What is wanted of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: DeliveryId,
    pub(crate) alert: bool,
    pub(crate) progress: bool,
}

/// What was wanted, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) alert: Option<String>,
    /// Absent before the first lease of the delivery has ended, or noted anything.
    pub(crate) progress: Option<String>,
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

/// Dead deliveries of a time in which no death was reported when it came.
#[derive(Debug)]
pub(crate) struct EarlierDeaths {
    /// None if there are no more.
    pub(crate) deliveries: Vec<Delivery>,
    /// The end of that time, in milliseconds since 1970.
    pub(crate) until_ms: i64,
}

/// A change to a handler's own state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvOp<'m> {
    pub(crate) handler: &'m HandlerName,
    pub(crate) key: &'m str,
    pub(crate) change: &'m KvChange,
    pub(crate) quota: KvQuota,
}

/// What [`Store::tidy`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tidied {
    /// Because they were settled longer ago than `retention.time`.
    pub(crate) by_time: Removed,
    /// Before that, because the store was larger than `retention.size`.
    pub(crate) by_size: Removed,
    /// How many of them were dead letters.
    pub(crate) dead_letters: u64,
}

/// Deliveries by how they had ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) done: u64,
    pub(crate) dead: u64,
}

/// Answers questions beside the committer, without ever holding it up. Each answer is one view of the store.
pub(crate) trait Reader: fmt::Debug + Send + Sync {
    /// Returns a page of deliveries, newest first.
    fn list(&self, filter: &Filter) -> Result<Page, ReadError>;

    /// Returns everything that is known of a delivery.
    fn story(&self, id: DeliveryId) -> Result<Option<Story>, ReadError>;

    /// Returns a delivery as it is listed.
    fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, ReadError>;

    /// Returns what a step has on record.
    fn recorded(&self, id: DeliveryId, step: u32) -> Result<Recorded, ReadError>;

    /// Returns where the firing of an event's start has run.
    fn runs(&self, event: Event) -> Result<Vec<(Run, Option<Row>)>, ReadError>;

    /// Reads a value of a handler's own state.
    fn kv_get(
        &self,
        handler: &HandlerName,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, ReadError>;

    /// Returns the deliveries of a selection after `after` that held an alert, in the order of acceptance, but for what a
    /// person has cancelled, and for dead notices of the server's own: what they say may be over, or was reported by another
    /// way, or is reported anew if what they are about dies again. At most `count_max` are looked at, whatever their labels.
    fn selected(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
        count_max: u32,
    ) -> Result<Chosen, ReadError>;

    /// Returns the ordering key of a delivery that held an alert.
    fn ordering_key(&self, id: DeliveryId) -> Result<Option<OrderingKey>, ReadError>;

    /// Gives every delivery after `after` that held an alert to `each`, in the order of acceptance.
    fn follow(&self, after: DeliveryId, each: &mut dyn FnMut(OnKey<'_>)) -> Result<(), ReadError>;
}
