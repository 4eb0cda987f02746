//! How a lease ends.

use std::sync::Arc;
use std::time::Duration;

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
    /// Dead-lettered, with the reason.
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
        /// When it is too old to be sent, from now on: it then needs a permit even if its turn has not come. Absent if it may
        /// wait for ever.
        expires_in: Option<Duration>,
    },
    /// To be tried again. It holds no permit until then.
    Retry {
        /// When, at the earliest.
        until: Timestamp,
        /// The handler whose permit it then needs.
        handler: HandlerName,
    },
    /// Continues as soon as a permit is free. Nothing failed.
    Yield {
        /// The handler whose permit it needs.
        handler: HandlerName,
    },
}

/// The end of a lease, as a worker reports it.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The lease.
    pub lease: Lease,
    /// How it ends.
    pub next: Next,
    /// The state of its steps.
    pub progress: Progress,
    /// The alert, for the report of a delivery that is done. A dead one is read from the store.
    pub alert: Option<Arc<Alert>>,
    /// The story of this lease, as JSON; absent if nothing ran.
    pub story: Option<String>,
    /// The last error, for lists.
    pub last_error: Option<String>,
}

/// The deliveries that one transaction settled, reported once it is durable.
#[derive(Debug)]
pub struct Settled {
    /// As they are listed, except that `received_at` of a retried one is when it was retried.
    pub deliveries: Vec<Delivery>,
    /// How many earlier deliveries were not reported, because too many reports waited to be received.
    pub missed: u64,
}
