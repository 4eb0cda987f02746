//! The journal of a step: the record of its host calls, which keeps an effect from happening twice.
//!
//! The runtime makes and replays calls, the queue stores them; [`Ledger`] is the interface between the two.

mod dependency;
mod doubt;
mod history;
mod kv;
mod replay;
mod timer;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::Timestamp;
use crate::gate::{GateAsk, Pass};

pub use dependency::lines;
pub use dependency::{Dependency, NotADependency};
pub use doubt::{Begun, DOUBTS_MAX, Doubt, Doubts, NamedCall, Note, Suspect};
pub use history::{Earlier, PAST_LISTED_MAX, Past, PastOccurrence};
pub use kv::{KvChange, KvOutcome, KvQuota, KvReply, KvWrite};
pub use replay::Replay;
pub use timer::{TimerChange, TimerQuota, TimerReply};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The host interface of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallKind {
    /// `http.send`.
    Http,
    /// `slack.post`, `slack.update`, `slack.react`, `slack.upload`.
    Slack,
    /// All functions of `kv`.
    Kv,
    /// `config.get`.
    Config,
    /// `history.earlier`.
    History,
    /// `timer.after`, `timer.cancel`.
    Timer,
}

impl CallKind {
    /// Every interface whose calls are recorded.
    pub const ALL: [Self; 6] = [
        Self::Http,
        Self::Slack,
        Self::Kv,
        Self::Config,
        Self::History,
        Self::Timer,
    ];

    /// Returns true if a change and its record are one transaction, so that no such change is ever in doubt.
    #[must_use]
    pub fn is_stored_with_record(self) -> bool {
        matches!(self, Self::Kv | Self::Timer)
    }

    /// Returns the interface's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Slack => "slack",
            Self::Kv => "kv",
            Self::Config => "config",
            Self::History => "history",
            Self::Timer => "timer",
        }
    }
}

/// The name of a call within its step: the author's key, or the digest of the request without its timeout.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallName {
    /// The author's key, for requests that differ from attempt to attempt.
    Key(String),
    /// The first 128 bits of SHA-256, in hexadecimal.
    Digest(String),
}

/// The size of an entry apart from its texts: numbers, times and their index.
pub const ENTRY_BYTES: usize = 128;

/// A call, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number among the calls of its step, over all attempts.
    pub seq: u32,
    /// The interface.
    pub kind: CallKind,
    /// The name by which a retry finds it.
    pub name: CallName,
    /// True if it changed something outside and succeeded.
    pub effect: bool,
    /// True if it may have happened before: an earlier attempt was interrupted, or a call ended without a clear result, and
    /// this may be the same call.
    pub in_doubt: bool,
    /// True for the last entry of an attempt whose delivery then waited for its turn at a gate: a retry is answered up to here.
    #[serde(default)]
    pub parked: bool,
    /// True for a change that was not made, or of which that is not known. Only the attempt that goes on after the step was parked
    /// is answered with it; a retry makes the call again.
    #[serde(default)]
    pub failed: bool,
    /// One line for people: the method and URL, the channel, or the key. Contains no secret and no body.
    pub request: String,
    /// One line for people: the status or the error.
    pub result: String,
    /// The reply that the guest got, in the runtime's JSON.
    pub reply: String,
    /// When it was answered.
    pub at: Timestamp,
    /// The time on the guest's clock; a retry is answered with the same.
    pub clock: Timestamp,
}

impl Entry {
    /// Returns its size for the limit on records, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let (CallName::Key(name) | CallName::Digest(name)) = &self.name;
        self.reply.len() + self.request.len() + self.result.len() + name.len() + ENTRY_BYTES
    }
}

/// The size of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordUse {
    /// The number of entries.
    pub entries: u64,
    /// Their size by [`Entry::bytes`].
    pub bytes: u64,
}

impl RecordUse {
    /// Returns the size of these entries.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut used = Self::default();
        for entry in entries {
            used.entries += 1;
            used.bytes += entry.bytes() as u64;
        }
        used
    }

    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// The record of a step, and the size of the records of its delivery's other steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The entries up to the last effect, in order; later ones are not replayed.
    pub entries: Vec<Entry>,
    /// True if the last attempt was parked: this one resumes where that one ended.
    pub resumes_parked: bool,
    /// The size of the records of the delivery's other steps.
    pub elsewhere: RecordUse,
}

/// The error of a store that cannot record: no effect may start, and a result that is not recorded yet has to wait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store does not answer or cannot write. Worth a retry.
    #[error("the store cannot record: {0}")]
    Unavailable(String),
    /// The lease was lost, because the delivery was cancelled or taken over: the invocation must end without another effect.
    #[error("the lease on this delivery was lost")]
    LeaseLost,
}

/// Stores the calls of one step. Each method that stores something returns once it is on disk.
pub trait Ledger: Send + Sync {
    /// Returns `Ok` if the lease is still held and the store accepts writes. Called before each effect.
    fn ready(&self) -> Result<(), LedgerError>;

    /// Returns whether a call may pass these gates now. A delivery that is parked ends its lease, and is leased again when it is
    /// its turn.
    ///
    /// # Errors
    /// If the lease is lost.
    fn pass(&self, asks: &[GateAsk]) -> Result<Pass, LedgerError>;

    /// Closes a gate for this long, for all deliveries: the service behind it has said to wait.
    fn close_gate(&self, gate: &GateAsk, wait: Duration);

    /// Stores the doubts of the step and the call that begins now, before it begins.
    fn note(&self, note: Note) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Appends entries to the step's record.
    fn record(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Reads a value of the handler's key-value store.
    fn kv_get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>>;

    /// Changes the handler's key-value store and appends `before` and the change's own entry in one transaction. The store
    /// sets `entry.reply` and `entry.result` from the [`KvReply`]. If the change has no effect, nothing is appended: the call
    /// counts as a read, which is held until the next effect.
    fn kv_change(
        &self,
        key: String,
        change: KvChange,
        quota: KvQuota,
        before: Vec<Entry>,
        entry: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>>;

    /// Reads the earlier occurrences of alerts like that of the delivery, on its route and on the routes that the step's
    /// handler served, without its own.
    fn earlier(&self, asked: Earlier) -> BoxFuture<'_, Result<Past, LedgerError>>;

    /// Changes the timer with this key that the step's handler has for the alert of the delivery, and appends `before` and the
    /// change's own entry, like [`Self::kv_change`]: if nothing was changed, nothing is appended.
    fn timer_change(
        &self,
        key: String,
        change: TimerChange,
        quota: TimerQuota,
        before: Vec<Entry>,
        entry: Entry,
    ) -> BoxFuture<'_, Result<TimerReply, LedgerError>>;
}
