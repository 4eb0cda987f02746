//! What enters the schedule, and what it gives out.

use std::sync::Arc;

use crate::model::clock::Ticks;
use crate::model::{Beside, Lease, Woken};
use alert_manager_core::alert::{Alert, DeliveryId, Fingerprint, HandlerName, Priority, Timestamp};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::Dependency;

/// A delivery that enters, new or sent again.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) id: DeliveryId,
    pub(crate) route: Arc<str>,
    pub(crate) beside: Beside,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) pipeline: Arc<[HandlerName]>,
    /// Whose permit it needs next.
    pub(crate) handler: HandlerName,
    pub(crate) priority: Priority,
    /// Not before this.
    pub(crate) due: Ticks,
    pub(crate) accepted_at: Timestamp,
    /// The same on the monotonic clock: before its start, if another process accepted it.
    pub(crate) since: Ticks,
    /// Leases taken so far.
    pub(crate) leases: u32,
    pub(crate) after_crash: bool,
    /// How often the server died while it ran, and no lease of it ended since. Above 0 it is first to run alone.
    pub(crate) suspected: u32,
    /// What it waits for, besides its time.
    pub(crate) waits_for: Vec<Dependency>,
    /// Kept in memory as long as there is room, to save reading it again.
    pub(crate) alert: Option<Arc<Alert>>,
    /// The size of its JSON.
    pub(crate) alert_bytes: usize,
}

/// A lease, and a permit of `handler` for it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) lease: Lease,
    pub(crate) route: Arc<str>,
    pub(crate) pipeline: Arc<[HandlerName]>,
    pub(crate) handler: HandlerName,
    pub(crate) priority: Priority,
    pub(crate) after_crash: bool,
    /// What it waited for that was back, if that is why it goes on before its time.
    pub(crate) woken: Vec<Woken>,
    /// When it was accepted, as in [`Entrant`].
    pub(crate) since: Ticks,
    /// Absent if memory had no room for it.
    pub(crate) alert: Option<Arc<Alert>>,
}

/// Where a delivery comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) route: Arc<str>,
    pub(crate) pipeline: Arc<[HandlerName]>,
    /// When it was accepted, or sent again.
    pub(crate) accepted_at: Timestamp,
}

/// How a lease ended, once that is durable.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// Done or dead.
    Settled,
    /// Waits for `handler` until `due`, or until something of `waits_for` is back.
    Waits {
        handler: HandlerName,
        due: Ticks,
        waits_for: Vec<Dependency>,
    },
    /// Waits for its turn at a gate, then for a permit of `handler`.
    Parked {
        handler: HandlerName,
        parked: Parked,
        /// When another step of it is due, and whose permit that needs.
        due: Option<(Ticks, HandlerName)>,
        /// What that step waits for, besides its time.
        waits_for: Vec<Dependency>,
    },
}

/// What a delivery that is cancelled was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    /// Nothing yet.
    Waiting,
    /// A worker had it; its ordering key stays held until that worker has let go.
    Leased,
    /// It was taken in, or leased, in the same transaction.
    Uncommitted,
    /// It is not here.
    Absent,
}
