//! What the queue asks for when a delivery was dead-lettered: an alert about it, for the handlers that report it.

use std::fmt;

use crate::alert::{HandlerName, Timestamp};

use super::types::{Delivery, Submission};

/// Why a delivery was dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathKind {
    /// A step failed for good.
    Failed,
    /// It came when its handler already had half of the queue.
    Backlog,
    /// The server died under it again and again.
    ServerDied,
    /// It was a part of a body that is no alert.
    Refused,
    /// A person cancelled it.
    Cancelled,
}

impl DeathKind {
    /// Returns the word for it in labels, and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Backlog => "backlog",
            Self::ServerDied => "server-died",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        [
            Self::Backlog,
            Self::ServerDied,
            Self::Refused,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .unwrap_or(Self::Failed)
    }
}

/// What is to be reported.
#[derive(Clone, Copy, Debug)]
pub enum DeadLetter<'a> {
    /// One delivery.
    One(&'a Delivery),
    /// Many of a kind, in one notice: each alone would flood whoever reads them.
    Many(DeadLetters<'a>),
}

/// Deliveries that were dead-lettered for the same reason, with the same handlers.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetters<'a> {
    /// Why.
    pub kind: DeathKind,
    /// The handlers of their pipeline; none for parts of bodies.
    pub handlers: &'a [HandlerName],
    /// How many.
    pub count: u64,
    /// When the first of them was.
    pub since: Timestamp,
}

/// Makes the alerts about dead letters. The queue stores them in the transaction of the death itself, so this must neither
/// wait nor do I/O.
pub trait DeadLetterNotices: fmt::Debug + Send + Sync {
    /// Returns the alert about a dead letter, with the plan of who reports it.
    fn notice(&self, about: &DeadLetter<'_>, now: Timestamp) -> Submission;
}
