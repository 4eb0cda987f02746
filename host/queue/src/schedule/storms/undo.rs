//! Undoes what was decided about storms in a transaction that is not stored.

use alert_manager_core::alert::DeliveryId;

use crate::model::clock::Ticks;

use super::super::{Phase, Scheduler};

impl Scheduler {
    /// Undoes the forming of a generation.
    pub(in crate::schedule) fn undo_generation(&mut self, representative: DeliveryId, now: Ticks) {
        let Some(generation) = self.storms.generations.remove(&representative) else {
            return;
        };
        let mut members = generation.members;
        let mut merged = Vec::new();
        if let Some(before) = generation.before {
            if let Some(storm) = generation.storm {
                self.storms.put_back(storm, before.open);
            }
            for open in before.left {
                self.storms.put_back(open.storm.id, Some(open));
            }
            for (id, storm, is_counted) in before.joined {
                if let Some(own) = &mut self.item(id).storm {
                    own.is_counted = is_counted;
                    own.storm = storm;
                }
            }
            merged = before.merged;
        }
        // What waits in their pools goes on waiting for them.
        let mut pools = generation.pools;
        for (id, generation) in merged {
            for member in &generation.members {
                self.item(*member).phase = Phase::Member { of: id };
                members.remove(member);
            }
            pools.retain(|pool| !generation.pools.contains(pool));
            for name in &generation.pools {
                if let Some(pool) = self.storms.pool_mut(*name) {
                    pool.running = Some(id);
                }
            }
            self.storms.generations.insert(id, generation);
        }
        self.free_pools(&pools, now);
        for member in members {
            self.item(member).phase = Phase::Waiting;
            self.wait_again(member, now);
        }
        self.wait_again(representative, now);
        self.rank_representative(representative, now);
    }

    /// A firing does not run with its resolved after all.
    pub(in crate::schedule) fn undo_runs_with(&mut self, firing: DeliveryId, now: Ticks) {
        let Phase::Member { of } = self.items[&firing].phase else {
            return;
        };
        self.storms.generations.remove(&of);
        self.move_ahead(firing, of, now);
        self.item(firing).phase = Phase::Waiting;
        self.wait_again(firing, now);
        self.rank_representative(of, now);
    }

    /// A member did not come with its representative after all.
    pub(in crate::schedule) fn undo_adoption(&mut self, member: DeliveryId, now: Ticks) {
        if let Some(of) = self.representative_of(member) {
            self.leave_generation(member, of, now);
        }
        self.remove(member, now);
    }
}
