//! Timers: at its time, each becomes a delivery that calls `act` of the handler that has set it.

use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{DeliveryId, HandlerName, Priority, Timestamp};

/// The longest time until a timer is due, in milliseconds: 30 days.
pub(crate) const TIMER_DELAY_MS_MAX: i64 = 30 * 24 * 60 * 60 * 1_000;

/// Why a delivery exists. Only deliveries of the same cause wait for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An alert was sent.
    #[default]
    Alert,
    /// A timer of this handler was due.
    Timer(HandlerName),
}

/// The timer that a delivery was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueTimer {
    /// The key that the handler gave it.
    pub key: String,
    /// The delivery that has set it, which may have been removed since.
    pub set_by: DeliveryId,
}

/// A timer that is not due yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTimer {
    /// The handler whose `act` it calls.
    pub handler: HandlerName,
    /// The key that the handler gave it.
    pub key: String,
    /// When it is due.
    pub due_at: Timestamp,
}

/// The identity of an open timer in the store. It may be assigned again once the timer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TimerId(pub(crate) i64);

/// A timer as it is stored, with all that its delivery needs.
#[derive(Clone, Debug)]
pub(crate) struct StoredTimer {
    pub(crate) key: String,
    pub(crate) set_by: DeliveryId,
    pub(crate) handler: HandlerName,
    pub(crate) route: String,
    pub(crate) priority: Priority,
    /// The alert, as JSON.
    pub(crate) alert: String,
    /// What `act` is given as found, as JSON.
    pub(crate) found: String,
}
