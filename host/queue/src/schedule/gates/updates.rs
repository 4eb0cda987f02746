//! Updates of messages: of several that wait for one message, the latest wins.

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::schedule::turn::Rank;

use super::{GATES_MIN, Gates};

impl Gates {
    /// Notes that a delivery has an update of a message; returns false if another has asked for a later one.
    pub(in crate::schedule) fn is_latest_update(
        &mut self,
        id: DeliveryId,
        message: &GateName,
    ) -> bool {
        let Some(gate) = self.gates.get_mut(message) else {
            return true;
        };
        let asked = gate.updates.entry(id).or_insert_with(|| {
            self.updates += 1;
            gate.latest_update = self.updates;
            self.updates
        });
        *asked == gate.latest_update
    }

    /// Returns what waits at a gate, and in which group.
    pub(in crate::schedule) fn waiting_at(&self, name: &GateName) -> Vec<Rank> {
        let Some(gate) = self.gates.get(name) else {
            return Vec::new();
        };
        let groups = gate.groups.iter();
        groups
            .flat_map(|alike| self.groups[alike].waiting.all())
            .collect()
    }

    /// Forgets a delivery that has ended.
    pub(in crate::schedule) fn forget(
        &mut self,
        id: DeliveryId,
        messages: &[GateName],
        now: Ticks,
    ) {
        self.end_lease(id);
        for message in messages {
            let Some(gate) = self.gates.get_mut(message) else {
                continue;
            };
            gate.updates.remove(&id);
            if gate.is_idle(now) {
                self.gates.remove(message);
            }
        }
    }

    /// Forgets the gates of messages that are open and that nobody waits for, whenever there are twice as many as were left.
    pub(super) fn sweep(&mut self, now: Ticks) {
        if self.gates.len() < self.sweep_at.max(GATES_MIN) {
            return;
        }
        let is_message = |name: &GateName| matches!(name, GateName::SlackMessage(_));
        self.gates
            .retain(|name, gate| !is_message(name) || !gate.is_idle(now));
        self.sweep_at = self.gates.len() * 2;
    }
}
