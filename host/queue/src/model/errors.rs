//! Why the queue refuses, one type for each thing that is asked of it.

use std::path::PathBuf;

/// Why a body was not taken: its sender is to try again (503).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// As many deliveries wait as `webhook.queue_depth_max` allows.
    #[error("the queue is full: {0} deliveries wait; try again")]
    QueueFull(usize),
    /// Nothing can be committed now.
    #[error("alerts cannot be stored now: {0}; try again")]
    Unavailable(String),
}

/// Why the store could not be opened: for the line that the server ends with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file cannot be made or written.
    #[error(
        "cannot write the store {path}: {reason}; make its folder writable for this user, or set `store` to another place"
    )]
    Unwritable {
        /// Of the store.
        path: PathBuf,
        /// From the system.
        reason: String,
    },
    /// Another process has it.
    #[error(
        "the store {0} is in use by another alert-manager; stop that one, or set `store` to another place"
    )]
    InUse(PathBuf),
    /// The file is something else.
    #[error("{0} is not a store of alert-manager; set `store` to another place")]
    Foreign(PathBuf),
    /// The file is damaged.
    #[error(
        "the store {path} is damaged ({reason}); move it away, with its -wal and -shm, and start again: a new one is made, and `sqlite3 {path} .recover` may save what is in the old one"
    )]
    Damaged {
        /// Of the store.
        path: PathBuf,
        /// What the check found.
        reason: String,
    },
    /// A newer version wrote it.
    #[error(
        "the store {path} has layout {found}, and this version knows layouts up to {known}; run the version that wrote it, or set `store` to another place"
    )]
    Newer {
        /// Of the store.
        path: PathBuf,
        /// In the file.
        found: i64,
        /// By this version.
        known: i64,
    },
    /// Anything else.
    #[error("cannot open the store {path}: {reason}")]
    Failed {
        /// Of the store.
        path: PathBuf,
        /// From the store.
        reason: String,
    },
}

/// The store did not answer a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer: {0}")]
pub struct ReadError(pub String);

/// Why a delivery was not sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// No such delivery: retention may have removed it.
    #[error("no such delivery: it may be older than the retention")]
    NotFound,
    /// Only a delivery that is dead, or waits for another try, can be sent again.
    #[error("this delivery is neither dead nor waiting for another try")]
    NotDead,
    /// It was a part of a body that is no alert.
    #[error("this is a part of a body that was not an alert: it cannot be sent again")]
    NoAlert,
    /// A later event of the same fingerprint has run on the same route.
    #[error(
        "a later event of this alert has already run; to send this one nevertheless, use --force (force=true)"
    )]
    Passed,
    /// No room, or the store cannot write.
    #[error("it cannot be sent again now: {0}")]
    Unavailable(String),
}

/// Why a delivery was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// No such delivery: retention may have removed it.
    #[error("no such delivery: it may be older than the retention")]
    NotFound,
    /// It has ended already.
    #[error("this delivery has already ended")]
    Settled,
    /// The store cannot write.
    #[error("it cannot be cancelled now: {0}")]
    Unavailable(String),
}
