//! Timers of a handler, which call its `act` again later. Their semantics are used by the store and by the tests' ledger.

use serde::{Deserialize, Serialize};

/// A change to a handler's timers for the alert of its delivery, made in the same transaction as its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Sets a timer. One with the same key is replaced.
    Set {
        /// The time until it is due.
        delay_seconds: u32,
        /// What `act` is given as found then: an [`Enrichment`](crate::alert::Enrichment) as JSON.
        found: String,
    },
    /// Cancels the timer, if there is one.
    Cancel,
}

/// The limits of a handler's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerQuota {
    /// How many may be open for one alert.
    pub open_max: u64,
    /// The bytes of all its open timers: their alerts, and what is found.
    pub bytes_max: u64,
}

/// The reply to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimerReply {
    /// Set, or cancelled.
    Done,
    /// There was no timer to cancel; nothing was changed.
    Absent,
    /// There are as many open timers for the alert as are allowed; nothing was changed.
    TooMany,
    /// All open timers together would exceed their limit of bytes; nothing was changed.
    TooLarge,
}

impl TimerReply {
    /// Returns true if a timer was set or cancelled. If not, nothing was recorded either.
    #[must_use]
    pub fn has_changed(self) -> bool {
        self == Self::Done
    }
}
