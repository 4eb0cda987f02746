//! What one step of a delivery has asked of its host: the record that keeps an effect from happening twice.
//!
//! The runtime asks and replays, the queue makes it durable; both meet here, in [`Ledger`].

mod dependency;
mod doubt;
mod kv;
mod replay;

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::alert::Timestamp;

pub use dependency::lines;
pub use dependency::{Dependency, NotADependency};
pub use doubt::{Begun, DOUBTS_MAX, Doubt, Doubts, NamedCall, Note, Suspect};
pub use kv::{KvChange, KvOutcome, KvQuota, KvReply, KvWrite};
pub use replay::Replay;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Which host interface was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallKind {
    /// `http.send`.
    Http,
    /// `slack.post`, `slack.update`, `slack.react`.
    Slack,
    /// Everything of `kv`.
    Kv,
    /// `config.get`.
    Config,
}

impl CallKind {
    /// Returns the interface's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Slack => "slack",
            Self::Kv => "kv",
            Self::Config => "config",
        }
    }
}

/// What names a call within its step: the author's key, or the digest of the request without its timeout.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallName {
    /// The author's own, for requests whose bytes differ from attempt to attempt.
    Key(String),
    /// The first 128 bits of SHA-256, in hexadecimal.
    Digest(String),
}

/// What an entry takes besides its texts: numbers, times and their index.
pub const ENTRY_BYTES: usize = 128;

/// One call, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place among the calls of its step, over all attempts.
    pub seq: u32,
    /// Which interface.
    pub kind: CallKind,
    /// What it is known by on a retry.
    pub name: CallName,
    /// True where it changed something outside and succeeded.
    pub effect: bool,
    /// True if it may have happened before: it carries what an attempt that was cut off, or a call without a clear
    /// answer, had left in doubt.
    pub in_doubt: bool,
    /// One line for people: the method and URL, the channel, the key. No secret, no body.
    pub request: String,
    /// One line for people: the status, the error.
    pub result: String,
    /// The reply as the guest got it, in the runtime's own JSON.
    pub reply: String,
    /// When it was answered.
    pub at: Timestamp,
    /// What the guest's clock stood at: a retry is answered under the same.
    pub clock: Timestamp,
}

impl Entry {
    /// Returns how much of a bound on records it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let (CallName::Key(name) | CallName::Digest(name)) = &self.name;
        self.reply.len() + self.request.len() + self.result.len() + name.len() + ENTRY_BYTES
    }
}

/// How much is on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordUse {
    /// Entries.
    pub entries: u64,
    /// Their bytes, by [`Entry::bytes`].
    pub bytes: u64,
}

impl RecordUse {
    /// Returns what these entries take.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut used = Self::default();
        for entry in entries {
            used.entries += 1;
            used.bytes += entry.bytes() as u64;
        }
        used
    }

    /// Adds up.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What a step has on record, and how much the other steps of its delivery have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Up to the last effect, in order: what is past it answers no retry.
    pub entries: Vec<Entry>,
    /// Of the delivery's other steps.
    pub elsewhere: RecordUse,
}

/// The store cannot record now: no effect may start, and an answer in hand waits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store does not answer or cannot write; worth a retry.
    #[error("the store cannot record: {0}")]
    Unavailable(String),
    /// The lease was lost (cancelled, taken over): the invocation is to end without another effect.
    #[error("the lease on this delivery was lost")]
    LeaseLost,
}

/// Where one step's calls are made durable. Each method that stores something returns once it is on disk.
pub trait Ledger: Send + Sync {
    /// Returns `Ok` if the lease is still held and the store takes writes: asked before each effect.
    fn ready(&self) -> Result<(), LedgerError>;

    /// Stores what is in doubt of the step and which call begins now, with what the call before it came to.
    fn note(&self, note: Note) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Appends entries to the step's record.
    fn record(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Reads a value of the handler's own state.
    fn kv_get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>>;

    /// Changes the handler's state and appends `before` and the change's own entry in one transaction.
    /// `entry.reply` and `entry.result` are filled in by the store from the [`KvReply`] (its JSON). If nothing is
    /// different now, nothing is appended: the call is a read like any other, to be kept until the next effect.
    fn kv_change(
        &self,
        key: String,
        change: KvChange,
        quota: KvQuota,
        before: Vec<Entry>,
        entry: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>>;
}
