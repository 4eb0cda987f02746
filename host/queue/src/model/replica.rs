//! The servers of a store, as one of them sees the others, and what they ask each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use alert_manager_core::alert::{HandlerName, Timestamp};

/// After which time without a beat a replica counts as dead: another one takes over from one that has the term.
const BEATS_WITHIN: Duration = Duration::from_secs(6);

/// What a server says of itself to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaAbout {
    /// The name of its machine, or of its pod.
    pub host: String,
    /// Its version.
    pub version: String,
    /// The handlers that serve there, by name; absent until its first scan of the folder has ended.
    pub handlers: Option<Vec<ServedHandler>>,
}

/// A handler that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedHandler {
    /// Its name.
    pub name: HandlerName,
    /// Its version, as the module says it.
    pub version: String,
    /// The digest of its module.
    pub sha256: String,
}

/// A server of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedReplica {
    /// What distinguishes it from every other start of a server.
    pub id: String,
    /// What it says of itself.
    pub about: ReplicaAbout,
    /// When it was started, by the clock of the database.
    pub since: Timestamp,
    /// True for the server that answers.
    pub is_this: bool,
    /// Since when it has the term, by the clock of the database; absent if it has not.
    pub term_since: Option<Timestamp>,
    /// How long ago the server that answers has seen it beat, by its own clock.
    pub beat_age: Duration,
}

impl ListedReplica {
    /// Returns true unless it has stopped beating for so long that it counts as dead.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.beat_age < BEATS_WITHIN
    }
}

/// Whether what a database commits outlives a fail-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It waits for no standby.
    Alone,
    /// It waits for a standby.
    Synchronous,
    /// It waits for a standby, and none is there.
    NoStandby,
}

/// Why the server that has the term did not answer a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It was not done.
    #[error("{0}; try again")]
    NotDone(String),
    /// It may have been done.
    #[error(
        "the replica that has the term has taken this request and did not answer: look whether it was done before you try again"
    )]
    Unknown,
}

/// What another server asks the one that has the term.
#[derive(Debug)]
pub struct Asked {
    /// The request. The queue does not look inside.
    pub request: String,
    pub(crate) answer: oneshot::Sender<String>,
}

impl Asked {
    /// Answers it.
    pub fn answer(self, answer: String) {
        // An error means that the store has been closed.
        let _ = self.answer.send(answer);
    }
}
