//! Updates of messages: of several that wait for one message, the latest wins.

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::schedule::turn::Rank;

use super::gate::Update;
use super::{GATES_MIN, Gates};

/// What an ask for an update of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::schedule) enum Asked {
    /// The latest: earlier ones need not be made.
    First,
    /// The same ask as before: still the latest.
    Again,
    /// Not the latest: a later one waits, or was sent.
    Superseded,
}

impl Gates {
    /// Notes that a delivery asks for an update of a message under a lease.
    pub(in crate::schedule) fn ask_update(
        &mut self,
        id: DeliveryId,
        lease: u32,
        message: &GateName,
    ) -> Asked {
        let Some(gate) = self.gates.get_mut(message) else {
            return Asked::Again;
        };
        let known = gate.updates.get(&id).copied();
        // A later lease makes a call again that has failed; under the same one it is another.
        let own = known.filter(|update| update.sent_by != Some(lease));
        let (number, is_new) = match own {
            Some(update) => (update.number, false),
            None => {
                self.updates += 1;
                (self.updates, true)
            }
        };
        let waits = |(of, other): (&DeliveryId, &Update)| {
            *of != id && other.sent_by.is_none() && other.number > number
        };
        let is_superseded = gate.latest_sent > number || gate.updates.iter().any(waits);
        // One that is superseded counts as sent: it waits no more.
        let sent_by = is_superseded.then_some(lease);
        gate.updates.insert(id, Update { number, sent_by });
        match (is_superseded, is_new) {
            (true, _) => Asked::Superseded,
            (false, true) => Asked::First,
            (false, false) => Asked::Again,
        }
    }

    /// Notes that the update that a delivery has asked for is sent under this lease.
    pub(in crate::schedule) fn update_sent(
        &mut self,
        id: DeliveryId,
        lease: u32,
        message: &GateName,
    ) {
        let Some(gate) = self.gates.get_mut(message) else {
            return;
        };
        if let Some(update) = gate.updates.get_mut(&id) {
            update.sent_by = Some(lease);
            gate.latest_sent = gate.latest_sent.max(update.number);
        }
    }

    /// Notes that an update was not made after all, and waits.
    pub(in crate::schedule) fn update_waits(&mut self, id: DeliveryId, message: &GateName) {
        let gate = self.gates.get_mut(message);
        if let Some(update) = gate.and_then(|gate| gate.updates.get_mut(&id)) {
            update.sent_by = None;
        }
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
