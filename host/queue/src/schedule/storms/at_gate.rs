//! The mixed rule: what waits to post to one channel runs as one, whatever its labels, if too much waits there.

use alert_manager_core::alert::{DeliveryId, Priority, Status};
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::model::{Formed, MEMBERS_MAX, StormKey};

use super::super::{Phase, Scheduler};
use super::generation::Gathered;
use super::keys::PoolName;

impl Scheduler {
    /// Has everything that may run as one, and waits to post to one channel, do so with the delivery that is next there, if that is
    /// more than may wait. Each that waits may stand for others already. What waits to update a message has one of its own.
    pub(super) fn form_at_gate(&mut self, next: DeliveryId, now: Ticks) -> Option<Box<Formed>> {
        if !self.storms.is_on() || !self.may_merge(next) {
            return None;
        }
        let (gate, alike) = self.alike_at_channel(next)?;
        let alike: Vec<_> = alike.collect();
        if alike.len() < self.storms.options.over as usize {
            return None;
        }
        let own = self.items[&next].storm.as_ref()?.key;
        let key = StormKey::at_gate(self.storms.key_of(own), &gate.to_string());
        let place = self.storms.key(key.clone(), now);
        let pool = PoolName::Firings(place);
        if self.storms.pool(pool)?.running.is_some() {
            return None;
        }
        let gathered = self.merge(next, alike, pool);
        let storm = self.storms.of_key(place);
        Some(self.put_generation(next, storm, key, gathered, now))
    }

    /// Returns the channel that a delivery waits to post to, and what else may run as one there.
    fn alike_at_channel(
        &self,
        of: DeliveryId,
    ) -> Option<(GateName, impl Iterator<Item = DeliveryId>)> {
        let names = self.items.get(&of)?.at_gate.as_ref()?.names();
        let is_channel = |name: &&GateName| matches!(name, GateName::SlackChannel(_));
        let gate = names.iter().find(is_channel)?.clone();
        let waiting = self.gates.waiting_at(&gate).into_iter();
        let waiting = waiting.map(|(_, id)| id);
        let alike =
            waiting.filter(move |id| *id != of && self.may_merge(*id) && self.are_alike(*id, of));
        Some((gate, alike))
    }

    /// Returns true if a delivery waits to post to a channel with so many others that they will run as one.
    pub(super) fn waits_with_many(&self, id: DeliveryId) -> bool {
        let over = self.storms.options.over as usize;
        let others = self.alike_at_channel(id);
        others.is_some_and(|(_, alike)| alike.take(over).count() >= over)
    }

    /// Takes together what runs as one: each of these, and what it stands for.
    fn merge(&mut self, next: DeliveryId, alike: Vec<DeliveryId>, pool: PoolName) -> Gathered {
        let mut gathered = Gathered {
            members: Vec::new(),
            pools: vec![pool],
            merged: Vec::new(),
        };
        for id in [next].into_iter().chain(alike) {
            if gathered.members.len() >= MEMBERS_MAX {
                break;
            }
            if id != next {
                gathered.members.push(id);
            }
            if let Some(generation) = self.storms.generations.remove(&id) {
                // One that was cancelled in this transaction goes.
                let members = generation.members.iter().copied();
                let members = members.filter(|member| self.representative_of(*member) == Some(id));
                gathered.members.extend(members);
                gathered.pools.extend(&generation.pools);
                gathered.merged.push((id, generation));
            }
        }
        for name in &gathered.pools {
            if let Some(pool) = self.storms.pool_mut(*name) {
                pool.running = Some(next);
            }
        }
        gathered
    }

    /// Returns true if a delivery that is parked may run as one with any other: it is a firing, and nothing of it was done.
    fn may_merge(&self, id: DeliveryId) -> bool {
        let item = &self.items[&id];
        let own = item.storm.as_ref();
        let of_a_storm = |id| {
            let generation = self.storms.generations.get(id);
            generation.is_none_or(|generation| generation.storm.is_some())
        };
        item.phase == Phase::Waiting
            && own.is_some_and(|own| own.is_clean && own.event.status == Status::Firing)
            && of_a_storm(&id)
    }

    /// Returns true if two go the same way, and are critical both or neither.
    fn are_alike(&self, one: DeliveryId, other: DeliveryId) -> bool {
        let (one, other) = (&self.items[&one], &self.items[&other]);
        let is_critical = |priority| priority == Priority::Critical;
        one.route == other.route
            && one.pipeline == other.pipeline
            && is_critical(one.priority) == is_critical(other.priority)
    }
}
