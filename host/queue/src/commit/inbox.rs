//! The inbox of the committer: urgent messages, which come first, and new alerts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use alert_manager_core::alert::{Alert, DeliveryId, Fingerprint, HandlerName};
use alert_manager_core::gate::GateName;
use alert_manager_core::journal::{
    Entry, KvChange, KvOutcome, KvQuota, LedgerError, Note, TimerChange, TimerQuota, TimerReply,
};

use super::retry_job::RetryJob;
use crate::model::{
    AcceptError, Audited, CancelError, GrantUsed, IfBlocked, Lease, NewAlert, Raised, Receipt,
    Refused, RetryError, Selected, Verdict,
};
use crate::rules::overtaken::Later;
use crate::rules::settle::Outcome;

/// The bounds of one transaction.
pub(crate) const GROUP_BYTES_MAX: usize = 4 << 20;
pub(crate) const GROUP_ALERTS_MAX: usize = 1_000;
const GROUP_MESSAGES_MAX: usize = 2_000;

/// The JSON bytes of alerts that may wait in the inbox.
const ACCEPT_BYTES_MAX: usize = 128 << 20;

/// A settlement, serialized for the store.
#[derive(Debug)]
pub(crate) struct Settle {
    pub(crate) lease: Lease,
    pub(crate) outcome: Outcome,
    pub(crate) progress: String,
    pub(crate) alert: Option<Arc<Alert>>,
    pub(crate) story: Option<String>,
    pub(crate) last_error: Option<String>,
    /// Of one that was not done in time: what it waited for.
    pub(crate) waited_for: Option<String>,
}

/// A change to the key-value state of a handler, with its record.
#[derive(Debug)]
pub(crate) struct KvMessage {
    pub(crate) lease: Lease,
    pub(crate) step: u32,
    pub(crate) handler: HandlerName,
    pub(crate) key: String,
    pub(crate) change: KvChange,
    pub(crate) quota: KvQuota,
    pub(crate) before: Vec<Entry>,
    pub(crate) entry: Entry,
}

/// A change to the timers of a handler, with its record.
#[derive(Debug)]
pub(crate) struct TimerMessage {
    pub(crate) lease: Lease,
    pub(crate) step: u32,
    pub(crate) handler: HandlerName,
    pub(crate) key: String,
    pub(crate) change: TimerChange,
    pub(crate) quota: TimerQuota,
    pub(crate) before: Vec<Entry>,
    pub(crate) entry: Entry,
}

/// A message, which is handled before new alerts.
#[derive(Debug)]
pub(crate) enum Urgent {
    Settle(Settle),
    Progress {
        lease: Lease,
        progress: String,
    },
    /// A call begins, which is stored before it is made.
    Note {
        lease: Lease,
        step: u32,
        note: Box<Note>,
        reply: oneshot::Sender<Result<(), LedgerError>>,
    },
    Record {
        lease: Lease,
        step: u32,
        entries: Vec<Entry>,
        reply: oneshot::Sender<Result<(), LedgerError>>,
    },
    Kv(
        Box<KvMessage>,
        oneshot::Sender<Result<KvOutcome, LedgerError>>,
    ),
    Timer(
        Box<TimerMessage>,
        oneshot::Sender<Result<TimerReply, LedgerError>>,
    ),
    Retry {
        id: DeliveryId,
        force: bool,
        later: Later,
        reply: oneshot::Sender<Result<Selected, RetryError>>,
    },
    Cancel {
        id: DeliveryId,
        reply: oneshot::Sender<Result<(), CancelError>>,
    },
    /// An alarm is raised.
    Raise {
        alert: Box<Alert>,
        if_blocked: IfBlocked,
        reply: oneshot::Sender<Raised>,
    },
    /// An alarm ends. The answer is false if that cannot be stored now.
    End {
        fingerprint: Fingerprint,
        reply: oneshot::Sender<bool>,
    },
    /// Requests the alarms that fire.
    Alarms(oneshot::Sender<Vec<Alert>>),
    /// A service has said to wait: a gate is closed until then, in milliseconds since 1970.
    CloseGate {
        name: GateName,
        until_ms: i64,
    },
    /// The order of a delivery's updates of messages has changed.
    NoteUpdates(DeliveryId),
    /// Grants have been used.
    GrantsUsed(Vec<GrantUsed>),
    /// Something is to be kept in the audit log.
    Audit(Box<Audited>),
    /// The ways to report have changed: notices that wait may take another one.
    LookAgain,
}

impl Urgent {
    /// Returns the lease of the message, if it has one.
    pub(super) fn lease(&self) -> Option<Lease> {
        match self {
            Self::Settle(settle) => Some(settle.lease),
            Self::Kv(message, _) => Some(message.lease),
            Self::Timer(message, _) => Some(message.lease),
            Self::Progress { lease, .. }
            | Self::Note { lease, .. }
            | Self::Record { lease, .. } => Some(*lease),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Settle(s) => s.progress.len() + s.story.as_ref().map_or(0, String::len) + 256,
            Self::Progress { progress, .. } => progress.len() + 64,
            Self::Record { entries, .. } => entries.iter().map(Entry::bytes).sum(),
            Self::Kv(kv, _) => kv.entry.bytes() + kv.before.iter().map(Entry::bytes).sum::<usize>(),
            Self::Timer(timer, _) => {
                let found = match &timer.change {
                    TimerChange::Set { found, .. } => found.len(),
                    TimerChange::Cancel => 0,
                };
                let before = timer.before.iter().map(Entry::bytes).sum::<usize>();
                found + timer.entry.bytes() + before
            }
            Self::GrantsUsed(uses) => 256 * uses.len(),
            _ => 256,
        }
    }
}

/// A body that is to be stored. A large one takes several transactions, and is answered after the last.
#[derive(Debug)]
pub(crate) struct AcceptJob {
    pub(crate) alerts: Vec<NewAlert>,
    /// How many of the alerts are durable.
    pub(crate) taken: usize,
    pub(crate) refused: Vec<Refused>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Receipt, AcceptError>>,
}

/// How the committer ends.
#[derive(Debug)]
pub(crate) enum Close {
    /// It commits what waits, ends the leases and closes the store, then answers.
    Orderly(oneshot::Sender<()>),
    /// It stops at once, like in a crash: all handles have been dropped.
    Abandon,
}

/// What the committer takes for one transaction.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) urgent: Vec<Urgent>,
    pub(crate) accepts: Vec<AcceptJob>,
    pub(crate) retries: VecDeque<RetryJob>,
    pub(crate) close: Option<Close>,
}

#[derive(Debug, Default)]
struct State {
    urgent: VecDeque<Urgent>,
    accepts: VecDeque<AcceptJob>,
    accept_bytes: usize,
    /// Requests to retry many deliveries; each takes several transactions.
    retries: VecDeque<RetryJob>,
    /// True if something may be leased.
    nudged: bool,
    close: Option<Close>,
    closed: bool,
}

/// The messages and alerts that wait for the committer.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

impl Inbox {
    /// Adds a message. If the committer has ended, the message is dropped, and its sender gets an error.
    pub(crate) fn push(&self, message: Urgent) {
        let mut state = self.state.lock();
        if !state.closed {
            state.urgent.push_back(message);
            self.wake.notify_one();
        }
    }

    /// Adds a body.
    ///
    /// # Errors
    /// If too many alerts wait already, or the server is shutting down.
    pub(crate) fn accept(&self, job: AcceptJob) -> Result<(), AcceptError> {
        let mut state = self.state.lock();
        if state.closed || state.close.is_some() {
            return Err(AcceptError::Unavailable(
                "the server is shutting down".into(),
            ));
        }
        if state.accept_bytes > 0 && state.accept_bytes + job.bytes > ACCEPT_BYTES_MAX {
            return Err(AcceptError::Unavailable(
                "too many alerts wait for the disk".into(),
            ));
        }
        state.accept_bytes += job.bytes;
        state.accepts.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    /// Adds a request to retry many deliveries.
    pub(crate) fn retry_many(&self, job: RetryJob) {
        let mut state = self.state.lock();
        if !state.closed {
            state.retries.push_back(job);
            self.wake.notify_one();
        }
    }

    /// Puts back the messages of a transaction that was rolled back, in order.
    pub(crate) fn put_back(&self, urgent: Vec<Urgent>) {
        let mut state = self.state.lock();
        for message in urgent.into_iter().rev() {
            state.urgent.push_front(message);
        }
    }

    /// Puts back a body that is not yet stored as a whole.
    pub(crate) fn put_back_accept(&self, job: AcceptJob) {
        let mut state = self.state.lock();
        state.accept_bytes += job.bytes;
        state.accepts.push_front(job);
    }

    /// Wakes the committer, because something may be leased.
    pub(crate) fn nudge(&self) {
        self.state.lock().nudged = true;
        self.wake.notify_one();
    }

    /// Asks the committer to end.
    pub(crate) fn close(&self, close: Close) {
        let mut state = self.state.lock();
        if !state.closed {
            state.close = Some(close);
            self.wake.notify_one();
        }
    }

    /// Closes the inbox: what waits and what comes later is dropped.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        *state = State {
            closed: true,
            ..State::default()
        };
    }

    /// Waits until there is something to do, or until `deadline`; takes at most `urgent_max` urgent messages.
    pub(crate) fn take(&self, deadline: Option<Instant>, urgent_max: usize) -> Taken {
        let mut state = self.state.lock();
        loop {
            let something = (urgent_max > 0 && !state.urgent.is_empty())
                || !state.accepts.is_empty()
                || !state.retries.is_empty()
                || state.nudged
                || state.close.is_some();
            if something {
                break;
            }
            let timed_out = match deadline {
                Some(deadline) => self.wake.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.wake.wait(&mut state);
                    false
                }
            };
            if timed_out {
                break;
            }
        }
        state.nudged = false;
        let mut taken = Taken {
            retries: std::mem::take(&mut state.retries),
            ..Taken::default()
        };
        let mut bytes = 0;
        while taken.urgent.len() < urgent_max.min(GROUP_MESSAGES_MAX)
            && bytes < GROUP_BYTES_MAX
            && let Some(message) = state.urgent.pop_front()
        {
            bytes += message.bytes();
            taken.urgent.push(message);
        }
        let mut alerts = 0;
        while bytes < GROUP_BYTES_MAX
            && alerts < GROUP_ALERTS_MAX
            && let Some(job) = state.accepts.pop_front()
        {
            state.accept_bytes -= job.bytes;
            bytes += job.bytes;
            alerts += job.alerts.len() - job.taken;
            taken.accepts.push(job);
        }
        let empty = (urgent_max == 0 || state.urgent.is_empty()) && state.accepts.is_empty();
        if empty || matches!(state.close, Some(Close::Abandon)) {
            taken.close = state.close.take();
        }
        taken
    }
}
