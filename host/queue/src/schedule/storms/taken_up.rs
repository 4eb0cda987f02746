//! Storms and generations that an earlier process left.

use std::collections::BTreeSet;

use alert_manager_core::alert::DeliveryId;

use crate::model::Storm;
use crate::model::clock::Ticks;

use super::super::{Entrant, Phase, Scheduler};
use super::keys::{Generation, PoolName};

impl Scheduler {
    /// Takes in a member that the store had before this process started.
    pub(crate) fn restore_member(
        &mut self,
        entrant: Entrant,
        of: DeliveryId,
        storm: Option<DeliveryId>,
        now: Ticks,
    ) {
        let id = entrant.id;
        self.insert(entrant, now);
        self.item(id).phase = Phase::Member { of };
        let generation = self.storms.generations.entry(of);
        let generation = generation.or_insert_with(|| Generation {
            pools: Vec::new(),
            storm,
            members: BTreeSet::new(),
            rank: None,
            update: None,
            before: None,
        });
        generation.members.insert(id);
    }

    /// Takes in an open storm that the store had, with how long ago it was opened, had its last firing, and anything.
    pub(crate) fn restore_storm(
        &mut self,
        storm: Storm,
        opened: Ticks,
        firing: Ticks,
        last: Ticks,
    ) {
        let id = storm.id;
        self.storms.put(storm, opened, last);
        self.storms.restore_last_in_storm(id, firing);
    }

    /// All that the store had is taken in: what belongs together is put together.
    pub(crate) fn restored(&mut self, now: Ticks) {
        let mut own: Vec<_> = self
            .items
            .iter()
            .filter(|(_, item)| item.storm.is_some())
            .collect();
        own.sort_by_key(|(id, item)| (item.since, **id));
        let own: Vec<_> = own
            .into_iter()
            .map(|(id, item)| (*id, item.since))
            .collect();
        for (id, since) in &own {
            self.arrive(*id, *since);
        }
        let representatives: Vec<_> = self.storms.generations.keys().copied().collect();
        for id in representatives {
            self.restore_generation(id, now);
        }
        for (id, _) in own {
            let is_due = self.items[&id].due <= now;
            if is_due && self.is_waiting(id) && self.is_next(id) && self.join_pool(id) {
                self.unqueue(id);
            }
        }
    }

    fn restore_generation(&mut self, representative: DeliveryId, now: Ticks) {
        let Some(item) = self.items.get(&representative) else {
            return;
        };
        let fingerprint = item.fingerprint;
        let own = item.storm.as_ref().and_then(|own| own.storm);
        // A firing that runs with its resolved belongs to no storm by that.
        let pool = self.pool_name(representative).filter(|_| own.is_some());
        let mut pools: Vec<_> = pool.into_iter().collect();
        // Generations that were merged may have had other keys, and so has their storm.
        if let Some(PoolName::Firings(_)) = pool {
            let members = self.storms.generations.get(&representative);
            let members = members.into_iter().flat_map(|of| of.members.iter());
            pools.extend(members.filter_map(|member| self.pool_name(*member)));
            let key = own.and_then(|storm| self.storms.key_of_open(storm));
            pools.extend(key.map(PoolName::Firings));
            pools.sort_unstable();
            pools.dedup();
        }
        for name in &pools {
            if let Some(pool) = self.storms.pool_mut(*name) {
                pool.running = Some(representative);
            }
        }
        let Some(generation) = self.storms.generations.get_mut(&representative) else {
            return;
        };
        // What was sent again belongs to the storm of its members, and to no pool.
        generation.storm = own.or(generation.storm);
        generation.pools = pools;
        let first = generation.members.first().copied();
        let is_before = |first: &DeliveryId| {
            *first < representative && self.items[first].fingerprint == fingerprint
        };
        if let Some(first) = first.filter(is_before) {
            self.move_ahead(representative, first, now);
            self.wait_again(representative, now);
        }
        self.rank_representative(representative, now);
    }
}
