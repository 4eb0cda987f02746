//! The priority of an ordering key: the highest of what waits on it. A member waits by way of its representative, which has the
//! highest of all ordering keys that its members hold.

use alert_manager_core::alert::{DeliveryId, Fingerprint, Priority};

use crate::model::clock::Ticks;

use super::Scheduler;

impl Scheduler {
    /// Gives every delivery of a fingerprint the highest priority of what waits for it.
    pub(super) fn rank_all(&mut self, fingerprint: Fingerprint, now: Ticks) {
        let Some(queue) = self.fingerprints.get(&fingerprint) else {
            return;
        };
        let mut members = Vec::new();
        for (id, rank) in queue.ranks(|id| self.urgency(id)) {
            let before = self.set_rank(id, rank, now);
            if let (Some(before), Some(of)) = (before, self.representative_of(id)) {
                members.push((of, (before, rank)));
            }
        }
        for (of, ranks) in members {
            self.member_ranked(of, ranks, now);
        }
    }

    /// Returns its priority before, if that was another.
    fn set_rank(&mut self, id: DeliveryId, rank: Priority, now: Ticks) -> Option<Priority> {
        let item = self.item(id);
        let before = (std::mem::replace(&mut item.rank, rank), id);
        let after = (rank, id);
        if before == after {
            return None;
        }
        let item = &self.items[&id];
        for dependency in &item.waits_for {
            if let Some(waiters) = self.waiters.get_mut(dependency)
                && waiters.remove(&before)
            {
                waiters.insert(after);
            }
        }
        if let Some(at) = &item.at_gate {
            let alike = at.alike(item.handler);
            if self.gates.leave(&alike, before) {
                self.gates.wait(&alike, after, now);
            }
        } else if self.handlers[item.handler].remove(before) {
            self.handlers[item.handler].push(after);
        }
        Some(before.0)
    }
}
