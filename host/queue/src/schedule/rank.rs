//! The priority of an ordering key: the highest of what waits on it. A member waits by way of its representative, which has the
//! highest of all ordering keys that its members hold.

use alert_manager_core::alert::{DeliveryId, Priority};

use crate::model::clock::Ticks;

use super::Scheduler;
use super::fingerprint_queue::NewRank;

impl Scheduler {
    /// Gives these deliveries the rank that they have in the queue of their fingerprint.
    pub(super) fn rank(&mut self, ranks: Vec<NewRank>, now: Ticks) {
        let mut members = Vec::new();
        for (id, rank) in ranks {
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
