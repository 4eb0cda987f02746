//! A storm: many alerts that are alike, of which those that wait together run as one delivery.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{
    Alert, DeliveryId, Event, HandlerName, Labels, Priority, Timestamp,
};

/// A storm without a firing for this long has become quiet: what comes then runs alone, and a storm of which all alerts have
/// resolved is closed.
pub(crate) const QUIET: Duration = Duration::from_secs(10 * 60);

/// A storm is closed after this long, whatever is left of it.
pub(crate) const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Deliveries that one representative stands for at most, besides itself.
pub(crate) const MEMBERS_MAX: usize = 5_000;

/// Deliveries whose labels are looked at for the facts of one generation. What is beyond is counted.
pub(crate) const DESCRIBED_MAX: usize = 1_000;

/// A firing that has waited for longer than this when its resolved arrives is coalesced into it.
pub(crate) const LATE: Duration = Duration::from_secs(2 * 60);

/// What deliveries that may run as one have in common, besides whether they fire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StormKey {
    pub(crate) route: Arc<str>,
    pub(crate) pipeline: Arc<[HandlerName]>,
    /// The values of the labels `storm.by`, or the gate that they wait at.
    pub(crate) text: Arc<str>,
    pub(crate) priority: Priority,
}

/// What the text of a key begins with if it names a gate. The values of labels never begin so.
const AT_GATE: &str = "\u{1}at ";

/// The text of the key of what has resolved. The values of labels are never this one.
const RESOLVES: &str = "\u{1}resolves";

impl StormKey {
    /// Returns the key of what has resolved: it runs as one whatever its labels, if it is of the same storm.
    pub(crate) fn of_resolves(of: Self) -> Self {
        Self {
            text: RESOLVES.into(),
            ..of
        }
    }

    /// Returns the key of deliveries that wait at a gate, whatever their labels. Critical ones are apart from all others.
    pub(crate) fn at_gate(of: &Self, gate: &str) -> Self {
        Self {
            route: Arc::clone(&of.route),
            pipeline: Arc::clone(&of.pipeline),
            text: format!("{AT_GATE}{gate}").into(),
            priority: match of.priority {
                Priority::Critical => Priority::Critical,
                Priority::Warning | Priority::Normal => Priority::Normal,
            },
        }
    }
}

/// A storm that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storm {
    /// The first delivery that stood for it.
    pub(crate) id: DeliveryId,
    pub(crate) key: StormKey,
    /// Alerts that fired, each counted once.
    pub(crate) count: u64,
    /// How many of them have resolved.
    pub(crate) resolved: u64,
    /// When the oldest of its alerts was accepted.
    pub(crate) opened_at: Timestamp,
    /// When the last firing of it was accepted.
    pub(crate) last_firing_at: Timestamp,
    /// The same of whatever belongs to it.
    pub(crate) last_at: Timestamp,
}

impl Storm {
    /// One of its alerts leaves it. What has resolved is some of those that are left.
    pub(crate) fn leave(&mut self) {
        self.count = self.count.saturating_sub(1);
        self.resolved = self.resolved.min(self.count);
    }
}

/// What the facts about a generation are made of.
#[derive(Clone, Debug)]
pub(crate) struct Generation<'a> {
    pub(crate) storm: &'a Storm,
    /// When the first of its alerts began.
    pub(crate) since: Timestamp,
    /// The labels of its alerts, the most urgent first, and among equals the oldest: as many as were looked at.
    pub(crate) labels: &'a [Labels],
}

/// For whom a delivery runs.
#[derive(Clone, Debug)]
pub(crate) enum StandsFor {
    /// For a generation that is formed with this lease.
    New(Box<Formed>),
    /// For one that was formed before.
    Known,
}

/// A generation that was just formed.
#[derive(Clone, Debug)]
pub(crate) struct Formed {
    /// Its storm, with this generation.
    pub(crate) storm: Storm,
    /// All of it but the representative.
    pub(crate) members: Vec<DeliveryId>,
    /// Representatives among all of it: what they stood for is part of it.
    pub(crate) merged: Vec<DeliveryId>,
    /// The storms that those belonged to, without them.
    pub(crate) left: Vec<Storm>,
    /// What has resolved of it and waits behind: that belongs to the same storm.
    pub(crate) resolves: Vec<DeliveryId>,
    /// Those to describe it by.
    pub(crate) described: Vec<Described>,
}

/// A delivery whose labels describe a generation.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) id: DeliveryId,
    /// When its alert began.
    pub(crate) since: Timestamp,
    /// Absent if memory had no room for it.
    pub(crate) alert: Option<Arc<Alert>>,
}

/// A delivery that may run as one with others, or be one of those.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The values by which a storm is recognized.
    pub(crate) text: Arc<str>,
    pub(crate) event: Event,
    /// The storm that it belongs to: its firing does, or it fired in it before.
    pub(crate) storm: Option<DeliveryId>,
    /// True if it is counted there already.
    pub(crate) is_counted: bool,
    /// True if it has run, and was parked without an effect or a doubt.
    pub(crate) is_clean: bool,
}
