//! How a lease ends.

use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Timestamp};

use super::delivery::Delivery;
use super::lease::LeaseToken;
use super::progress::Progress;

/// How a lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Every step is done.
    Done,
    /// Given up, and why.
    Dead(String),
    /// To be tried again, not before `until`, by `handler`. Holds no slot meanwhile.
    Retry {
        /// Not before this.
        until: Timestamp,
        /// Whose slot it then needs.
        handler: HandlerName,
    },
    /// Goes on as soon as `handler` has a free slot: nothing failed.
    Yield {
        /// Whose slot it needs.
        handler: HandlerName,
    },
}

/// What a worker says at the end of a lease.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which delivery.
    pub id: DeliveryId,
    /// Under which lease.
    pub token: LeaseToken,
    /// How it ends.
    pub next: Next,
    /// How far it is now.
    pub progress: Progress,
    /// The alert, for the report of a delivery that is done; what is dead is read from the store.
    pub alert: Option<Arc<Alert>>,
    /// The story of this lease, as JSON; absent where nothing worth telling happened.
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
