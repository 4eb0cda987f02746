//! Counts of the queue, and what was recovered at startup.

use std::collections::BTreeMap;

use alert_manager_core::alert::{HandlerName, Priority, Timestamp};

use super::delivery::Delivery;
use super::grant_use::GrantsUsed;
use super::waiting::{GateStatus, Open};

/// How the last process that had the store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEnd {
    /// There was no store.
    None,
    /// It was shut down in order.
    Clean,
    /// It was killed, or the machine stopped: something was under lease, or the write-ahead log was not empty.
    Crash,
}

impl LastEnd {
    /// Returns the word for it in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Clean => "clean",
            Self::Crash => "crash",
        }
    }
}

/// What was found in the store when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// How the last process ended.
    pub last_end: LastEnd,
    /// Deliveries that were under lease when the last process ended.
    pub under_lease: u64,
    /// Those of them that are dead now, because the server has died under them too often.
    pub died: Vec<Delivery>,
    /// Deliveries that wait for a permit, including those that were under lease.
    pub queued: u64,
    /// Deliveries that wait for their next attempt.
    pub retrying: u64,
    /// Dead letters: dead deliveries, except those that a person cancelled.
    pub dead: u64,
    /// When the oldest delivery that is not settled was accepted.
    pub oldest: Option<Timestamp>,
    /// Which grants handlers have used.
    pub grants_used: GrantsUsed,
}

/// How many deliveries the queue has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that are not settled.
    pub depth: usize,
    /// Dead letters: dead deliveries, except those that a person cancelled.
    pub dead: u64,
    /// When the oldest delivery that is not settled was accepted.
    pub oldest: Option<Timestamp>,
    /// The same of critical deliveries alone.
    pub oldest_critical: Option<Timestamp>,
    /// One for each handler that has had a delivery since the start.
    pub handlers: Vec<HandlerCounts>,
    /// Timers that are not due yet, or for whose delivery there is no room, by handler.
    pub timers: BTreeMap<HandlerName, usize>,
    /// What was discarded or coalesced.
    pub losses: Losses,
}

/// How everything stands: each delivery is counted once, as it was within the same few milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// How many deliveries are in which state.
    pub counts: Counts,
    /// What those wait for that are not settled.
    pub open: Open,
    /// The gates that were asked for, or closed, since the start, in the order of their names.
    pub gates: Vec<GateStatus>,
}

/// How many deliveries and notices were discarded or coalesced since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Done deliveries removed because they were settled longer ago than `retention.time`.
    pub done_by_time: u64,
    /// The same of dead ones.
    pub dead_by_time: u64,
    /// Younger done deliveries, removed because the store was larger than `retention.size`.
    pub done_by_size: u64,
    /// The same of dead ones.
    pub dead_by_size: u64,
    /// Dead letters that were reported together in one notice.
    pub reported_together: u64,
    /// Deliveries that another one ran in place of.
    pub storm: u64,
    /// Notices that died on the last way there is, so that nobody was notified.
    pub unreported: u64,
}

/// How many deliveries a handler has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerCounts {
    /// The handler.
    pub handler: HandlerName,
    /// Deliveries that wait: for a permit, for another try, or behind another delivery of their ordering key.
    pub waiting: usize,
    /// The same by priority: a delivery has the highest of its ordering key.
    pub by_priority: ByPriority,
    /// Deliveries in whose place another one waits or runs.
    pub members: usize,
    /// When the oldest of those that wait was accepted, or sent again.
    pub oldest: Option<Timestamp>,
    /// Permits taken.
    pub running: u32,
}

/// How many deliveries there are of each priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByPriority {
    /// Of priority critical.
    pub critical: usize,
    /// Of priority warning.
    pub warning: usize,
    /// Of priority normal.
    pub normal: usize,
}

impl ByPriority {
    /// Returns how many there are of all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.critical + self.warning + self.normal
    }

    /// Returns how many there are of one.
    #[must_use]
    pub fn of(&self, priority: Priority) -> usize {
        match priority {
            Priority::Critical => self.critical,
            Priority::Warning => self.warning,
            Priority::Normal => self.normal,
        }
    }

    pub(crate) fn of_mut(&mut self, priority: Priority) -> &mut usize {
        match priority {
            Priority::Critical => &mut self.critical,
            Priority::Warning => &mut self.warning,
            Priority::Normal => &mut self.normal,
        }
    }
}
