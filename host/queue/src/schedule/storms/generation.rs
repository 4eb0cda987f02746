//! How a generation is formed, ends, and gets another representative.

use std::collections::BTreeSet;

use alert_manager_core::alert::{DeliveryId, Status, Timestamp};

use crate::model::clock::Ticks;
use crate::model::{DESCRIBED_MAX, MEMBERS_MAX, Storm, StormKey};

use super::super::{Entrant, Item, Phase, Provisional, Scheduler};
use super::keys::{Before, Generation, Open, PoolName};
use super::{Described, Formed, StandsFor};

impl Scheduler {
    /// Returns what runs of the delivery that is next, and for whom: the oldest of those that run as one with it, or itself.
    pub(in crate::schedule) fn form(
        &mut self,
        next: DeliveryId,
        now: Ticks,
    ) -> (DeliveryId, Option<StandsFor>) {
        if self.storms.generations.contains_key(&next) {
            return (next, Some(StandsFor::Known));
        }
        let Some((name, storm)) = self.next_generation(next, now) else {
            return (next, None);
        };
        let Some(pool) = self.storms.pool_mut(name) else {
            return (next, None);
        };
        let mut all = std::mem::take(&mut pool.eligible).into_iter();
        let representative = all.next().unwrap_or(next);
        let members: BTreeSet<_> = all.by_ref().take(MEMBERS_MAX).collect();
        pool.eligible = all.collect();
        pool.running = Some(representative);
        let held: Vec<_> = pool.eligible.iter().copied().collect();
        for id in held {
            self.stop_waiting(id);
        }
        let handler = self.items[&next].handler;
        self.move_to(representative, handler);
        let key = self.key_of(name);
        let formed = self.put_generation(representative, members, storm, (name, key));
        (representative, Some(StandsFor::New(formed)))
    }

    /// Returns whether what is next runs as one with others, and for which storm, if that is open.
    fn next_generation(
        &self,
        next: DeliveryId,
        now: Ticks,
    ) -> Option<(PoolName, Option<DeliveryId>)> {
        let name = self.pool_name(next)?;
        let pool = self.storms.pool(name)?;
        if pool.running.is_some() || !pool.eligible.contains(&next) {
            return None;
        }
        match name {
            PoolName::Resolves(storm) => Some((name, Some(storm))),
            PoolName::Firings(key) => {
                let own = self.items[&next].storm.as_ref()?.storm;
                let own = own.filter(|storm| self.storms.open(*storm).is_some());
                let storm = self.storms.of_key(key).or(own);
                let is_one_of = self.storms.is_in_storm(key, now)
                    && (pool.eligible.len() > 1 || storm.is_some());
                (is_one_of || own.is_some()).then_some((name, storm))
            }
        }
    }

    fn put_generation(
        &mut self,
        representative: DeliveryId,
        members: BTreeSet<DeliveryId>,
        storm: Option<DeliveryId>,
        (pool, key): (PoolName, StormKey),
    ) -> Box<Formed> {
        let storm = storm.unwrap_or(representative);
        for member in &members {
            self.dequeue(*member);
            self.item(*member).phase = Phase::Member { of: representative };
        }
        let mut all: Vec<_> = [representative].into_iter().chain(members.iter().copied()).collect();
        let open = self.storms.open(storm).cloned();
        let mut belonged = Vec::new();
        let mut resolves = Vec::new();
        let mut is_new = 0;
        for id in &all {
            is_new += u64::from(self.belong(*id, storm, &mut belonged));
            self.follow(*id, storm, &mut belonged, &mut resolves);
        }
        let (storm, opened, last) = match &open {
            Some(open) => self.grown(open, &all, is_new),
            None => self.opened(storm, key, &all),
        };
        self.storms.put(storm.clone(), opened, last);
        all.sort_by_key(|id| (self.items[id].priority, *id));
        let described = self.described(all);
        let generation = Generation {
            pool: Some(pool),
            storm: Some(storm.id),
            members: members.clone(),
            before: Some(Box::new(Before {
                open,
                belonged,
                merged: Vec::new(),
            })),
        };
        self.storms.generations.insert(representative, generation);
        self.provisional.push(Provisional::Formed(representative));
        Box::new(Formed {
            storm,
            members: members.into_iter().collect(),
            merged: Vec::new(),
            resolves,
            described,
        })
    }

    /// Notes that a delivery belongs to a storm; returns true if it counts there for the first time.
    fn belong(
        &mut self,
        id: DeliveryId,
        storm: DeliveryId,
        belonged: &mut Vec<(DeliveryId, Option<DeliveryId>)>,
    ) -> bool {
        let Some(own) = &mut self.item(id).storm else {
            return false;
        };
        let before = own.storm.replace(storm);
        belonged.push((id, before));
        let is_known = own.is_counted && before == Some(storm);
        !is_known
    }

    /// Notes that what ends a firing belongs to its storm.
    fn follow(
        &mut self,
        firing: DeliveryId,
        storm: DeliveryId,
        belonged: &mut Vec<(DeliveryId, Option<DeliveryId>)>,
        resolves: &mut Vec<DeliveryId>,
    ) {
        let item = &self.items[&firing];
        let Some(line) = self.lines.get(&item.fingerprint).filter(|line| line.len() > 1) else {
            return;
        };
        let event_of = |id: &DeliveryId| {
            let other = self.items.get(id)?;
            (other.route == item.route).then_some(other.storm.as_ref()?.event)
        };
        let Some(event) = event_of(&firing).filter(|event| event.status == Status::Firing) else {
            return;
        };
        let ends = |id: &DeliveryId| {
            event_of(id).is_some_and(|other| {
                other.status == Status::Resolved
                    && (other.starts_at, other.occurrence) == (event.starts_at, event.occurrence)
            })
        };
        let ending: Vec<_> = line.ids().filter(ends).collect();
        for id in ending {
            if let Some(own) = &mut self.item(id).storm {
                belonged.push((id, own.storm.replace(storm)));
                resolves.push(id);
            }
        }
    }

    fn key_of(&self, pool: PoolName) -> StormKey {
        match pool {
            PoolName::Firings(key) => self.storms.key_of(key).clone(),
            PoolName::Resolves(storm) => self.storms.key_of_storm(storm).clone(),
        }
    }

    /// Returns an open storm with one more generation, when it was opened, and when the last of it came.
    fn grown(&self, open: &Open, all: &[DeliveryId], is_new: u64) -> (Storm, Ticks, Ticks) {
        let items = || all.iter().map(|id| &self.items[id]);
        let is_firing = |item: &Item| {
            let own = item.storm.as_ref();
            own.is_some_and(|own| own.event.status == Status::Firing)
        };
        let last_at = items().map(|item| item.accepted_at);
        let last_at = last_at.fold(open.storm.last_at, Timestamp::max);
        let last = items().map(|item| item.since).fold(open.last, Ticks::max);
        let mut storm = Storm {
            takeovers: 0,
            last_at,
            ..open.storm.clone()
        };
        if items().any(is_firing) {
            storm.count += is_new;
            storm.last_firing_at = last_at;
        } else {
            storm.resolved += is_new;
        }
        (storm, open.opened, last)
    }

    /// The same of a storm that is opened.
    fn opened(
        &self,
        id: DeliveryId,
        key: StormKey,
        all: &[DeliveryId],
    ) -> (Storm, Ticks, Ticks) {
        let items = || all.iter().map(|id| &self.items[id]);
        let first = &self.items[&id];
        let accepted = || items().map(|item| item.accepted_at);
        let since = || items().map(|item| item.since);
        let last_at = accepted().fold(first.accepted_at, Timestamp::max);
        let storm = Storm {
            id,
            key,
            count: all.len() as u64,
            resolved: 0,
            takeovers: 0,
            opened_at: accepted().fold(first.accepted_at, Timestamp::min),
            last_firing_at: last_at,
            last_at,
        };
        let opened = since().fold(first.since, Ticks::min);
        (storm, opened, since().fold(first.since, Ticks::max))
    }

    fn described(&self, ids: Vec<DeliveryId>) -> Vec<Described> {
        let described = ids.into_iter().take(DESCRIBED_MAX);
        described
            .map(|id| Described {
                alert: self.items.get(&id).and_then(|item| item.alert.clone()),
                id,
            })
            .collect()
    }

    /// Returns what a representative stands for that has taken over, and is to be described anew.
    pub(crate) fn describe(&self, representative: DeliveryId) -> Option<(Storm, Vec<Described>)> {
        let generation = self.storms.generations.get(&representative)?;
        let storm = self.open_storm(generation.storm?)?.clone();
        let members = generation.members.iter().copied();
        let mut all: Vec<_> = [representative].into_iter().chain(members).collect();
        all.sort_by_key(|id| (self.items[id].priority, *id));
        Some((storm, self.described(all)))
    }

    /// A generation is durable: its members' alerts are not needed in memory.
    pub(in crate::schedule) fn keep_generation(&mut self, representative: DeliveryId) {
        let Some(generation) = self.storms.generations.get_mut(&representative) else {
            return;
        };
        generation.before = None;
        for member in &generation.members {
            if let Some(item) = self.items.get_mut(member)
                && item.alert.take().is_some()
            {
                self.alert_bytes -= item.alert_bytes;
            }
        }
    }

    /// Undoes the forming of a generation.
    pub(in crate::schedule) fn undo_generation(&mut self, representative: DeliveryId, now: Ticks) {
        let Some(generation) = self.storms.generations.remove(&representative) else {
            return;
        };
        if let Some(before) = generation.before {
            if let Some(storm) = generation.storm {
                self.storms.put_back(storm, before.open);
            }
            for (id, storm) in before.belonged {
                if let Some(own) = &mut self.item(id).storm {
                    own.storm = storm;
                }
            }
            for (id, merged) in before.merged {
                for member in &merged.members {
                    self.item(*member).phase = Phase::Member { of: id };
                }
                self.storms.generations.insert(id, merged);
            }
        }
        let is_own = |id: &&DeliveryId| {
            matches!(self.items[*id].phase, Phase::Member { of } if of == representative)
        };
        let members: Vec<_> = generation.members.iter().filter(is_own).copied().collect();
        for member in members {
            self.item(member).phase = Phase::Waiting;
            self.wait_again(member, now);
        }
        self.wait_again(representative, now);
        self.free_pool(generation.pool, now);
    }

    /// A firing does not run with its resolved after all.
    pub(in crate::schedule) fn undo_runs_with(&mut self, firing: DeliveryId, now: Ticks) {
        let Phase::Member { of } = self.items[&firing].phase else {
            return;
        };
        self.storms.generations.remove(&of);
        self.move_ahead(firing, of);
        self.item(firing).phase = Phase::Waiting;
        self.wait_again(firing, now);
    }

    /// A member did not come with its representative after all.
    pub(in crate::schedule) fn undo_adoption(&mut self, member: DeliveryId, now: Ticks) {
        if let Some(of) = self.representative_of(member) {
            self.leave_generation(member, of);
        }
        self.remove(member, now);
    }

    /// The next generation of a pool may be formed.
    fn free_pool(&mut self, name: Option<PoolName>, now: Ticks) {
        let Some(pool) = name.and_then(|name| self.storms.pool_mut(name)) else {
            return;
        };
        pool.running = None;
        let held: Vec<_> = pool.eligible.iter().copied().collect();
        for id in held {
            self.wait_again(id, now);
        }
    }

    /// What a delivery stands for has ended.
    pub(crate) fn end_generation(&mut self, representative: DeliveryId, now: Ticks) {
        let Some(generation) = self.storms.generations.remove(&representative) else {
            return;
        };
        for member in generation.members {
            self.remove(member, now);
        }
        self.free_pool(generation.pool, now);
    }

    /// A delivery has gone that stood for none.
    pub(in crate::schedule) fn leave_generation(&mut self, member: DeliveryId, of: DeliveryId) {
        if let Some(generation) = self.storms.generations.get_mut(&of) {
            generation.members.remove(&member);
        }
    }

    /// A member stands for the others from now on, instead of `from`.
    pub(crate) fn hand_over(&mut self, from: DeliveryId, to: DeliveryId, now: Ticks) {
        let Some(mut generation) = self.storms.generations.remove(&from) else {
            return;
        };
        generation.members.remove(&to);
        // One that was cancelled in this transaction goes.
        let items = &mut self.items;
        generation.members.retain(|member| match items.get_mut(member) {
            Some(item) if item.phase == (Phase::Member { of: from }) => {
                item.phase = Phase::Member { of: to };
                true
            }
            _ => false,
        });
        let pool = generation.pool.and_then(|name| self.storms.pool_mut(name));
        if let Some(pool) = pool {
            pool.running = Some(to);
        }
        self.storms.generations.insert(to, generation);
        self.item(to).phase = Phase::Waiting;
        self.wait_again(to, now);
    }

    /// Takes in what stands behind a representative that was sent again.
    pub(crate) fn adopt(
        &mut self,
        members: Vec<Entrant>,
        of: DeliveryId,
        storm: Option<DeliveryId>,
    ) {
        let mut ids = BTreeSet::new();
        for entrant in members {
            let id = entrant.id;
            self.insert(entrant);
            self.item(id).phase = Phase::Member { of };
            self.provisional.push(Provisional::Adopted(id));
            ids.insert(id);
        }
        let generation = Generation {
            pool: None,
            storm,
            members: ids,
            before: None,
        };
        self.storms.generations.insert(of, generation);
    }
}
