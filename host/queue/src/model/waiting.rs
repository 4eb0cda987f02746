//! What deliveries wait for: their turn at a gate, a permit, an earlier one, or their time.

use alert_manager_core::alert::{DeliveryId, HandlerName, Priority, Timestamp};
use alert_manager_core::gate::{GateName, GateRate};
use alert_manager_core::journal::Dependency;

use super::counts::ByPriority;

/// The longest that a gate is closed for what a service has said, in milliseconds: an hour.
pub(crate) const GATE_CLOSED_MS_MAX: i64 = 60 * 60 * 1_000;

/// How a gate stands.
#[derive(Clone, Debug, PartialEq)]
pub struct GateStatus {
    /// Its name.
    pub name: GateName,
    /// What it is called for people and in metrics.
    pub label: String,
    /// Its rate; absent if only what the service said about waiting counts, or if it was not asked for since the start.
    pub rate: Option<GateRate>,
    /// The deliveries that wait for it, some of them for another gate, too. Each has the highest priority of its ordering key.
    pub waiting: ByPriority,
    /// For how many alerts they stand: in a storm, one delivery runs for many.
    pub alerts: usize,
    /// Since when the one waits that has waited longest.
    pub waiting_since: Option<Timestamp>,
    /// When it next lets one pass; absent if it would do so now.
    pub next_token_at: Option<Timestamp>,
    /// Until when the service behind it has said to wait.
    pub closed_until: Option<Timestamp>,
}

/// What a delivery waits for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it waits for.
    pub what: WaitsFor,
    /// The highest priority of what waits for it to end, and of its own.
    pub priority: Priority,
    /// Since when.
    pub since: Timestamp,
    /// How many wait for the same and have their turn before it.
    pub ahead: usize,
    /// What has to recover, if it waits for that: it is due as soon as that has happened, and at its time otherwise.
    pub until_recovered: Option<Dependency>,
}

/// Something that a delivery waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Its turn at a gate.
    Gate {
        /// Which.
        name: GateName,
        /// What it is called for people.
        label: String,
    },
    /// A permit of a handler.
    Permit(HandlerName),
    /// The end of an earlier delivery of its ordering key.
    Earlier(DeliveryId),
    /// The end of what runs as one with others of its kind: it runs with the next of them.
    Generation(DeliveryId),
    /// Its time.
    Time(Timestamp),
}

/// A kind of thing that deliveries wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Their turn at a gate.
    Gate,
    /// A permit of a handler.
    Permit,
    /// An earlier delivery of their ordering key, or what runs of their storm.
    Others,
    /// The time of their next attempt.
    Time,
    /// The end of another one, which runs in their place.
    Representative,
}

/// The deliveries that are not settled, by what they wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Under lease.
    pub running: usize,
    /// Waiting for their turn at a gate.
    pub at_gates: usize,
    /// Waiting for a permit of a handler.
    pub for_permits: usize,
    /// Waiting behind an earlier delivery of their ordering key, or behind what runs of their storm.
    pub behind_others: usize,
    /// Waiting for the time of their next attempt.
    pub for_time: usize,
    /// Those in whose place another one waits or runs.
    pub members: usize,
    /// Those that have waited longest, since they were accepted, with what they wait for.
    pub longest: Vec<(DeliveryId, Waiting)>,
}
