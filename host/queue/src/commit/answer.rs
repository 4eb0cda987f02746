//! The answers to messages, once their transaction is durable.

use alert_manager_core::alert::Alert;
use alert_manager_core::journal::{KvOutcome, LedgerError, TimerReply};

use crate::model::{CancelError, Raised, RetryError, Selected};

use super::inbox::Urgent;

/// The answer to a message.
#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    Record(Result<(), LedgerError>),
    Kv(Result<KvOutcome, LedgerError>),
    Timer(Result<TimerReply, LedgerError>),
    Retry(Result<Selected, RetryError>),
    Cancel(Result<(), CancelError>),
    Raised(Raised),
    Ended(bool),
    Alarms(Vec<Alert>),
}

impl Answer {
    /// Replaces the answer by an error, because the lease of the message is no longer valid.
    pub(super) fn set_lease_lost(&mut self) {
        match self {
            Self::Record(result) => *result = Err(LedgerError::LeaseLost),
            Self::Kv(result) => *result = Err(LedgerError::LeaseLost),
            Self::Timer(result) => *result = Err(LedgerError::LeaseLost),
            _ => {}
        }
    }

    /// Answers `message`. Nothing happens if its sender has gone.
    pub(super) fn give(self, message: Urgent) {
        match (self, message) {
            (Self::Record(result), Urgent::Record { reply, .. } | Urgent::Note { reply, .. }) => {
                drop(reply.send(result));
            }
            (Self::Kv(result), Urgent::Kv(_, reply)) => drop(reply.send(result)),
            (Self::Timer(result), Urgent::Timer(_, reply)) => drop(reply.send(result)),
            (Self::Retry(result), Urgent::Retry { reply, .. }) => drop(reply.send(result)),
            (Self::Cancel(result), Urgent::Cancel { reply, .. }) => drop(reply.send(result)),
            (Self::Raised(raised), Urgent::Raise { reply, .. }) => drop(reply.send(raised)),
            (Self::Ended(ended), Urgent::End { reply, .. }) => drop(reply.send(ended)),
            (Self::Alarms(alarms), Urgent::Alarms(reply)) => drop(reply.send(alarms)),
            _ => {}
        }
    }
}
