//! A lease: a worker's hold on a delivery.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Priority};

use super::clock::Ticks;
use super::progress::Progress;
use super::storm::StandsFor;
use super::timer::Cause;
use super::wake::Woken;

/// The server that grants leases. Each start of a server is another owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner(pub u64);

/// The identity of a lease. A request under a lease that has ended, or was revoked, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The delivery.
    pub id: DeliveryId,
    /// 1 for the first lease of the delivery, one more for each later one. It is stored.
    pub number: u32,
    /// The server that granted it.
    pub owner: Owner,
}

/// A delivery under lease, as a worker gets it. A concurrency permit of `handler` is taken for it.
#[derive(Debug)]
pub struct Leased {
    /// The delivery.
    pub id: DeliveryId,
    /// The lease to settle it under.
    pub lease: Lease,
    /// The alert.
    pub alert: Arc<Alert>,
    /// The name of its route.
    pub route: Arc<str>,
    /// The state of its steps.
    pub progress: Progress,
    /// The handler of the first due step, whose permit is taken.
    pub handler: HandlerName,
    /// Its own priority.
    pub priority: Priority,
    /// True if the server died under the lease before this one.
    pub after_crash: bool,
    /// The dependencies whose recovery made it due early; empty if its time had come.
    pub woken: Vec<Woken>,
    /// How long ago the alert was accepted, or retried by a person, on the monotonic clock. `max_age` is measured by it.
    pub age: Duration,
}

/// A lease between the scheduler, which grants it, and a worker. It becomes [`Leased`] when the worker takes it out: the JSON is
/// parsed there, not on the thread that writes.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) lease: Lease,
    pub(crate) route: Arc<str>,
    pub(crate) pipeline: Arc<[HandlerName]>,
    /// As in [`Leased`].
    pub(crate) handler: HandlerName,
    /// As in [`Leased`].
    pub(crate) priority: Priority,
    /// As in [`Leased`].
    pub(crate) after_crash: bool,
    /// As in [`Leased`].
    pub(crate) woken: Vec<Woken>,
    /// When the alert was accepted, or retried by a person. Negative if that was before this process started.
    pub(crate) since: Ticks,
    /// Absent if it did not fit in memory; it is in `stored` then.
    pub(crate) alert: Option<Arc<Alert>>,
    /// For whom it runs besides itself; absent if it runs for itself alone.
    pub(crate) stands_for: Option<StandsFor>,
    pub(crate) cause: Cause,
    /// What the committer has read for it. Empty when the scheduler grants the lease.
    pub(crate) stored: Contents,
}

/// What is stored of a delivery, as JSON, as far as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) alert: Option<String>,
    /// Absent if no lease of the delivery has stored any progress yet.
    pub(crate) progress: Option<String>,
}

/// How far a lease had come that was not ended by its worker, because the server died or is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// No worker has started it.
    NotStarted,
    /// A worker has started it: it may have made a call outside the server.
    Started,
}
