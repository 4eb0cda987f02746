//! A lease: a delivery in the hands of a worker.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Priority};

use super::progress::Progress;
use super::wake::Woken;

/// A server that gives leases: one start of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner(pub u64);

/// A lease: proof that a worker holds a delivery. What is asked for under one that no longer stands is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Of which delivery.
    pub id: DeliveryId,
    /// 1 for the first lease of this delivery, one more for each later one. It is stored.
    pub number: u32,
    /// Who gave it.
    pub owner: Owner,
}

/// A delivery handed to a worker, with a concurrency permit of `handler` taken for it.
#[derive(Debug)]
pub struct Leased {
    /// Its identity.
    pub id: DeliveryId,
    /// What it is settled under.
    pub lease: Lease,
    /// The alert.
    pub alert: Arc<Alert>,
    /// The route that it is on.
    pub route: Arc<str>,
    /// How far it is.
    pub progress: Progress,
    /// Whose permit is taken: the handler of the first due step.
    pub handler: HandlerName,
    /// Its own priority.
    pub priority: Priority,
    /// True if the server died under the lease before this one.
    pub after_crash: bool,
    /// What it waited for that is back, if that is why it goes on before its time.
    pub woken: Vec<Woken>,
    /// How long ago the alert was accepted, or sent again: `max_age` is measured by it. A change of the
    /// time of day makes nothing older.
    pub age: Duration,
}

/// How far a lease had come that nobody will end any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// No worker has taken it out.
    Unbegun,
    /// A worker has it: a call to the outside may have been made.
    UnderWay,
}
