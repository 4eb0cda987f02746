//! A lease: a delivery in the hands of a worker.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName};
use alert_manager_core::journal::Dependency;

use super::progress::Progress;

/// Proof that a worker holds a delivery; a settlement under an old one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub u64);

/// A delivery handed to a worker, with the slot of `handler` held for it.
#[derive(Debug)]
pub struct Leased {
    /// Its identity.
    pub id: DeliveryId,
    /// What it is settled under.
    pub token: LeaseToken,
    /// The alert.
    pub alert: Arc<Alert>,
    /// The route that it is on.
    pub route: Arc<str>,
    /// How far it is.
    pub progress: Progress,
    /// Whose slot is held: the handler of the first due step.
    pub handler: HandlerName,
    /// 1 for the first lease of this delivery, one more for each later one.
    pub lease: u32,
    /// True where the lease before this one ended with the server dying under it.
    pub after_crash: bool,
    /// What it waited for that is back, if that is why it goes on before its time.
    pub woken: Vec<Woken>,
    /// How long ago the alert was accepted, or sent again: `max_age` is measured by it. A time of day that is
    /// set meanwhile makes nothing older.
    pub age: Duration,
}

/// What a delivery waited for, and how it was woken.
pub type Woken = (Dependency, Wake);

/// How much of what waits for something goes on when that is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// All of it.
    All,
    /// The most urgent, and of those the oldest, to find out.
    First,
}

/// How far a lease had come that nobody will end any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// No worker has taken it out.
    Unbegun,
    /// What was asked of the world may have been done.
    UnderWay,
}
