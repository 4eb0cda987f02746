//! The errors of the queue, one type for each kind of request.

use std::path::PathBuf;

/// Why a body was not accepted. Its sender should try again (503).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// As many deliveries wait as `webhook.queue_depth_max` allows.
    #[error("the queue is full: {0} deliveries wait; try again")]
    QueueFull(usize),
    /// The store cannot be written now.
    #[error("alerts cannot be stored now: {0}; try again")]
    Unavailable(String),
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file cannot be made or written.
    #[error(
        "cannot write the store {path}: {reason}; make its folder writable for this user, or set `store` to another place"
    )]
    Unwritable {
        /// The path of the store.
        path: PathBuf,
        /// The error of the system.
        reason: String,
    },
    /// Another process has opened it.
    #[error(
        "the store {0} is in use by another alert-manager; stop that one, or set `store` to another place"
    )]
    InUse(PathBuf),
    /// A move into it has not finished.
    #[error(
        "the store {0} is incomplete: `migrate-store` into it has not finished; run that again, or set `store` to another place"
    )]
    Unfinished(PathBuf),
    /// The file was not made by this program.
    #[error("{0} is not a store of alert-manager; set `store` to another place")]
    Foreign(PathBuf),
    /// The file is damaged.
    #[error(
        "the store {path} is damaged ({reason}); move it away, with its -wal and -shm, and start again: a new one is made, and `sqlite3 {path} .recover` may save what is in the old one"
    )]
    Damaged {
        /// The path of the store.
        path: PathBuf,
        /// What is damaged.
        reason: String,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the store {path} has layout {found}, and this version knows layouts up to {known}; run the version that wrote it, or set `store` to another place"
    )]
    Newer {
        /// The path of the store.
        path: PathBuf,
        /// The layout of the file.
        found: i64,
        /// The latest layout that this version knows.
        known: i64,
    },
    /// Anything else.
    #[error("cannot open the store {path}: {reason}")]
    Failed {
        /// The path of the store.
        path: PathBuf,
        /// The error of the store.
        reason: String,
    },
}

/// The store did not answer a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer: {0}")]
pub struct ReadError(pub String);

/// Why a delivery was not retried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// There is no such delivery: retention may have removed it.
    #[error("no such delivery: it may be older than the retention")]
    NotFound,
    /// It is neither dead nor waiting for another try.
    #[error("this delivery is neither dead nor waiting for another try")]
    NotDead,
    /// It is a part of a body that is not a valid alert.
    #[error("this is a part of a body that was not an alert: it cannot be sent again")]
    NoAlert,
    /// A later event of its ordering key has run.
    #[error(
        "a later event of this alert has already run; to send this one nevertheless, use --force (force=true)"
    )]
    Overtaken,
    /// The queue is full, or the store cannot be written.
    #[error("it cannot be sent again now: {0}")]
    Unavailable(String),
}

/// Why a delivery was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such delivery: retention may have removed it.
    #[error("no such delivery: it may be older than the retention")]
    NotFound,
    /// It has ended already.
    #[error("this delivery has already ended")]
    Settled,
    /// The store cannot be written.
    #[error("it cannot be cancelled now: {0}")]
    Unavailable(String),
}
