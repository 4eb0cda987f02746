//! Updates of messages: of several that wait for one message, the latest wins.
//!
//! Which is the latest is decided by when each was first asked for, because a delivery that resumes makes the call that it was
//! parked with. What stands for a storm was given the storm's facts before: there it is when these were made that decides. The order is stored with the progress of each delivery (`commit/updates.rs`), and so is that a later update was
//! sent, before that is on record.

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::gate::GateName;

use crate::model::UpdateOrder;
use crate::model::clock::Ticks;
use crate::schedule::turn::Rank;

use super::gate::{Gate, Standing, Update};
use super::{GATES_MIN, Gates};

/// Returns the number of what a delivery sends whose content was decided in an earlier process: lower than that of each whose
/// content was decided later.
pub(in crate::schedule) fn number_of(id: DeliveryId) -> u64 {
    id.as_raw().max(0).unsigned_abs()
}

impl Gates {
    /// Numbers the updates that are asked for from now on higher than this.
    pub(in crate::schedule) fn number_updates_from(&mut self, number: u64) {
        self.updates = self.updates.max(number);
    }

    /// Returns the number of an update whose content was decided just now.
    pub(in crate::schedule) fn next_update(&mut self, of: DeliveryId) -> u64 {
        self.updates = (self.updates + 1).max(number_of(of));
        self.updates
    }

    /// Notes that a delivery asks for an update of a message under a lease. `decided` is its number, if its content was decided
    /// before. Returns false if it is not the latest: a later one waits, or was sent.
    pub(in crate::schedule) fn ask_update(
        &mut self,
        id: DeliveryId,
        lease: u32,
        message: &GateName,
        decided: Option<u64>,
    ) -> bool {
        let Some(gate) = self.gates.get_mut(message) else {
            return true;
        };
        let known = gate.updates.get(&id).copied();
        // A later lease makes a call again that has failed; under the same one it is another.
        let own = known.filter(|update| !update.is_answered_under(lease));
        let number = match own.map(|update| update.number).max(decided) {
            Some(number) => number,
            None => {
                self.updates += 1;
                self.updates
            }
        };
        let is_outdated = own.is_some_and(|update| update.is_outdated);
        let is_later = |(of, other): (&DeliveryId, &Update)| {
            *of != id && other.standing == Standing::Waits && other.number > number
        };
        let is_superseded =
            is_outdated || gate.latest_sent > number || gate.updates.iter().any(is_later);
        let update = Update {
            number,
            // One that is superseded waits no more.
            standing: match is_superseded {
                true => Standing::Superseded(lease),
                false => Standing::Waits,
            },
            is_outdated,
        };
        gate.updates.insert(id, update);
        !is_superseded
    }

    /// Notes that the update that a delivery has asked for is sent under this lease. Returns the deliveries with an earlier one,
    /// of which it is to be stored that they need not make theirs.
    pub(in crate::schedule) fn update_sent(
        &mut self,
        id: DeliveryId,
        lease: u32,
        message: &GateName,
    ) -> Vec<DeliveryId> {
        let Some(gate) = self.gates.get_mut(message) else {
            return Vec::new();
        };
        let Some(update) = gate.updates.get_mut(&id) else {
            return Vec::new();
        };
        update.standing = Standing::Sent(lease);
        let number = update.number;
        gate.latest_sent = gate.latest_sent.max(number);
        let updates = gate.updates.iter_mut();
        let earlier = updates.filter(|(_, other)| other.number < number && !other.is_outdated);
        earlier
            .map(|(of, other)| {
                other.is_outdated = true;
                *of
            })
            .collect()
    }

    /// Forgets an update that was sent under this lease, and is on record.
    pub(in crate::schedule) fn update_made(
        &mut self,
        id: DeliveryId,
        lease: u32,
        message: &GateName,
    ) {
        let Some(gate) = self.gates.get_mut(message) else {
            return;
        };
        let update = gate.updates.get(&id);
        if update.is_some_and(|update| update.standing == Standing::Sent(lease)) {
            gate.updates.remove(&id);
        }
    }

    /// Notes that an update was not made after all, and waits.
    pub(in crate::schedule) fn update_waits(&mut self, id: DeliveryId, message: &GateName) {
        let gate = self.gates.get_mut(message);
        if let Some(update) = gate.and_then(|gate| gate.updates.get_mut(&id)) {
            update.standing = Standing::Waits;
        }
    }

    /// Takes up an update that a delivery had asked for before this process started.
    pub(in crate::schedule) fn recall_update(&mut self, id: DeliveryId, stored: &UpdateOrder) {
        let gate = self.gates.entry(stored.message.clone());
        let gate = gate.or_insert_with(|| Gate::new(stored.message.to_string()));
        gate.updates.entry(id).or_insert(Update {
            number: stored.number,
            standing: Standing::Waits,
            is_outdated: stored.is_outdated,
        });
    }

    /// Returns the update of a message that a delivery has asked for, unless it was sent under this lease: if the server dies
    /// under that, it is made anew.
    pub(in crate::schedule) fn update_of(
        &self,
        id: DeliveryId,
        message: &GateName,
        under_way: Option<u32>,
    ) -> Option<UpdateOrder> {
        let update = self.gates.get(message)?.updates.get(&id)?;
        let is_under_way = |lease| update.standing == Standing::Sent(lease);
        (!under_way.is_some_and(is_under_way)).then(|| UpdateOrder {
            message: message.clone(),
            number: update.number,
            is_outdated: update.is_outdated,
        })
    }

    /// Returns what waits at a gate, and in which group.
    pub(in crate::schedule) fn waiting_at(&self, name: &GateName) -> Vec<Rank> {
        let groups = self.groups_at(name);
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
