//! How gates stand, for people and metrics.

use alert_manager_core::gate::{GateName, GateRate};

use crate::model::ByPriority;
use crate::model::clock::Ticks;
use crate::schedule::turn::Rank;

use super::Gates;

/// How a gate stands.
#[derive(Debug)]
pub(in crate::schedule) struct GateState<'g> {
    pub(in crate::schedule) name: &'g GateName,
    pub(in crate::schedule) label: &'g str,
    pub(in crate::schedule) rate: Option<GateRate>,
    /// Present if it is later than now.
    pub(in crate::schedule) opens_at: Option<Ticks>,
    pub(in crate::schedule) closed_until: Option<Ticks>,
    pub(in crate::schedule) waiting: ByPriority,
}

impl Gates {
    /// Returns how each gate stands, in no order.
    pub(in crate::schedule) fn states(&self, now: Ticks) -> impl Iterator<Item = GateState<'_>> {
        self.gates.iter().map(move |(name, gate)| GateState {
            name,
            label: &gate.label,
            rate: gate.rate,
            opens_at: Some(gate.opens_at(now)).filter(|at| *at > now),
            closed_until: Some(gate.closed_until).filter(|at| *at > now),
            waiting: gate.waiting,
        })
    }

    /// Returns what a gate is called for people.
    pub(in crate::schedule) fn label(&self, name: &GateName) -> Option<&str> {
        self.gates.get(name).map(|gate| &*gate.label)
    }

    /// Returns until when the service behind a gate has said to wait; nothing if the gate is not closed.
    pub(in crate::schedule) fn closed_until(&self, name: &GateName, now: Ticks) -> Option<Ticks> {
        let gate = self.gates.get(name)?;
        Some(gate.closed_until).filter(|at| *at > now)
    }

    /// Returns how many wait at a gate and have their turn before this one.
    pub(in crate::schedule) fn ahead_of(&self, rank: Rank, name: &GateName) -> usize {
        let groups = self.groups_at(name);
        groups
            .map(|alike| self.groups[alike].waiting.ahead_of(rank))
            .sum()
    }
}
