//! How a lease ends.

use std::sync::Arc;

use alert_manager_core::alert::{Alert, HandlerName, Timestamp};
use alert_manager_core::gate::Parked;

use super::delivery::Delivery;
use super::lease::Lease;
use super::progress::Progress;

/// How a lease ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Every step is done.
    Done,
    /// Dead-lettered, and why.
    Dead(String),
    /// Dead, since it was not done within its `max_age`, and why.
    Expired(String),
    /// Waits for its turn at a gate, then needs a permit of `handler`. Nothing failed, and it holds nothing meanwhile.
    Park {
        /// Whose permit it then needs.
        handler: HandlerName,
        /// At which gate.
        parked: Parked,
        /// True if the delivery has no effect on record and nothing in doubt: another may then stand for it.
        is_clean: bool,
    },
    /// To be tried again, not before `until`, by `handler`. Holds no permit meanwhile.
    Retry {
        /// Not before this.
        until: Timestamp,
        /// Whose permit it then needs.
        handler: HandlerName,
    },
    /// Goes on as soon as `handler` has a free permit: nothing failed.
    Yield {
        /// Whose permit it needs.
        handler: HandlerName,
    },
}

/// What a worker says at the end of a lease.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which lease.
    pub lease: Lease,
    /// How it ends.
    pub next: Next,
    /// How far it is now.
    pub progress: Progress,
    /// The alert, for the report of a delivery that is done; what is dead is read from the store.
    pub alert: Option<Arc<Alert>>,
    /// The story of this lease, as JSON; absent if nothing ran.
    pub story: Option<String>,
    /// The last error, for lists.
    pub last_error: Option<String>,
}

/// What one transaction settled, reported once it is durable.
#[derive(Debug)]
pub struct Settled {
    /// As they are listed. `received_at` of one that was sent again is when that was.
    pub deliveries: Vec<Delivery>,
    /// How many before these were not reported, because too many reports waited to be taken.
    pub missed: u64,
}
