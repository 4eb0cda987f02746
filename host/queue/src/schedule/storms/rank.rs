//! The priority of a representative: as high as what waits on any ordering key that its members hold.

use alert_manager_core::alert::{DeliveryId, Priority};

use crate::model::clock::Ticks;

use super::super::Scheduler;

impl Scheduler {
    /// Returns the priority of a delivery and of what it stands for.
    pub(in crate::schedule) fn urgency(&self, id: DeliveryId) -> Priority {
        let own = self.items[&id].priority;
        let generation = self.storms.generations.get(&id);
        let of_members = generation.and_then(|generation| generation.rank);
        of_members.map_or(own, |rank| rank.min(own))
    }

    /// A member has another priority than before.
    pub(in crate::schedule) fn member_ranked(
        &mut self,
        of: DeliveryId,
        (before, after): (Priority, Priority),
        now: Ticks,
    ) {
        let generation = self.storms.generations.get(&of);
        let rank = generation.and_then(|generation| generation.rank);
        // If it had the highest, another may have that now.
        if rank.is_none_or(|rank| after < rank || before == rank) {
            self.rank_representative(of, now);
        }
    }

    /// Gives a representative the highest priority of its members, and of what waits for them.
    pub(in crate::schedule) fn rank_representative(&mut self, id: DeliveryId, now: Ticks) {
        if let Some(generation) = self.storms.generations.get_mut(&id) {
            let members = generation.members.iter();
            let ranks = members.filter_map(|member| self.items.get(member));
            generation.rank = ranks.map(|item| item.rank).min();
        }
        let Some(item) = self.items.get(&id) else {
            return;
        };
        let urgency = self.urgency(id);
        if let Some(queue) = self.fingerprints.get_mut(&item.fingerprint) {
            let ranks = queue.set_own(id, urgency);
            self.rank(ranks, now);
        }
    }
}
