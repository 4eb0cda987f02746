//! The values that go into the scheduler and come out of it, except grants.

use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, Fingerprint, HandlerName, Priority, Timestamp};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::Dependency;

use crate::model::clock::Ticks;
use crate::model::{Candidate, Cause, OtherRoutes};

/// A delivery that is added to the schedule: new, retried by a person, or found in the store at startup.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) id: DeliveryId,
    pub(crate) route: Arc<str>,
    pub(crate) other_routes: OtherRoutes,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) pipeline: Arc<[HandlerName]>,
    /// The handler whose permit it needs next.
    pub(crate) handler: HandlerName,
    pub(crate) priority: Priority,
    /// When it may run, at the earliest.
    pub(crate) due: Ticks,
    /// When it was accepted, or retried by a person.
    pub(crate) accepted_at: Timestamp,
    /// The same on the monotonic clock. Negative if that was before this process started.
    pub(crate) since: Ticks,
    /// How many leases it has had.
    pub(crate) leases: u32,
    pub(crate) after_crash: bool,
    /// How often the server died while it ran, since one of its leases last ended. If above 0, it runs alone first.
    pub(crate) suspected: u32,
    /// Dependencies whose recovery makes it due before `due`.
    pub(crate) waits_for: Vec<Dependency>,
    /// Kept in memory if it fits, so that it need not be read again.
    pub(crate) alert: Option<Arc<Alert>>,
    /// The size of the alert's JSON.
    pub(crate) alert_bytes: usize,
    /// Present if it may run as one with others.
    pub(crate) storm: Option<Candidate>,
    pub(crate) cause: Cause,
}

/// Where a delivery that is not settled comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) route: Arc<str>,
    pub(crate) pipeline: Arc<[HandlerName]>,
    pub(crate) priority: Priority,
    /// When it was accepted, or retried by a person.
    pub(crate) accepted_at: Timestamp,
}

/// How a lease ended, once that is durable.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// Done or dead.
    Settled,
    /// Waits for a permit of `handler` once `due` has come, or one of `waits_for` has recovered.
    Waits {
        handler: HandlerName,
        due: Ticks,
        waits_for: Vec<Dependency>,
    },
    /// Waits for its turn at a gate, then for a permit of `handler`.
    Parked {
        handler: HandlerName,
        parked: Parked,
        /// True if another may stand for it meanwhile.
        is_clean: bool,
        /// When another step of it is due, and whose permit that needs.
        due: Option<(Ticks, HandlerName)>,
        /// What that step waits for, besides its time.
        waits_for: Vec<Dependency>,
    },
}

/// What a delivery was doing when it was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    /// It waited.
    Waiting,
    /// It was leased. Later deliveries of its ordering key wait until its worker has settled it.
    Leased,
    /// It was admitted or leased in the same transaction. Nothing is changed.
    Uncommitted,
    /// It is not in the schedule, or was cancelled before. Nothing is changed.
    Absent,
}
