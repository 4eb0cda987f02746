//! How a generation is formed, ends, and gets another representative.

use std::collections::BTreeSet;
use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Status, Timestamp};

use crate::model::clock::Ticks;
use crate::model::{DESCRIBED_MAX, Described, Formed, MEMBERS_MAX, StandsFor, Storm, StormKey};

use super::super::gates::number_of;
use super::super::{Entrant, Item, Phase, Provisional, Scheduler};
use super::keys::{Before, Generation, Open, PoolName};

/// What a generation is formed of.
pub(super) struct Gathered {
    /// All but the representative.
    pub(super) members: Vec<DeliveryId>,
    /// In which no other generation is formed meanwhile.
    pub(super) pools: Vec<PoolName>,
    /// Generations that become part of it, each with its representative.
    pub(super) merged: Vec<(DeliveryId, Generation)>,
}

/// What belongs to a storm from now on.
#[derive(Default)]
struct Changed {
    /// What it joined to before.
    joined: Vec<(DeliveryId, Option<DeliveryId>, bool)>,
    /// Storms that something has left, as they were.
    left: Vec<Open>,
    /// Resolved ones that wait behind their firings.
    resolves: Vec<DeliveryId>,
}

impl Scheduler {
    /// Returns what runs of the delivery that is next, and for whom: the oldest of those that run as one with it, or itself.
    pub(in crate::schedule) fn form(
        &mut self,
        next: DeliveryId,
        now: Ticks,
    ) -> (DeliveryId, Option<StandsFor>) {
        let has_turn = self.items[&next].at_gate.is_some();
        let is_known = self.storms.generations.contains_key(&next);
        if !is_known && let Some(of) = self.next_generation(next, now) {
            let (representative, formed) = self.form_of_pool(next, has_turn, of, now);
            return (representative, Some(StandsFor::New(formed)));
        }
        if has_turn && let Some(formed) = self.form_at_gate(next, now) {
            return (next, Some(StandsFor::New(formed)));
        }
        self.number_updates(next);
        (next, is_known.then_some(StandsFor::Known))
    }

    /// Gives the updates of what stands for a storm their place among those of its message, if it has none.
    fn number_updates(&mut self, representative: DeliveryId) {
        let was_leased = self.items[&representative].leases > 0;
        if let Some(generation) = self.storms.generations.get_mut(&representative)
            && generation.storm.is_some()
            && generation.update.is_none()
        {
            generation.update = Some(match was_leased {
                true => number_of(representative),
                false => self.gates.next_update(representative),
            });
        }
    }

    fn form_of_pool(
        &mut self,
        next: DeliveryId,
        has_turn: bool,
        (name, storm): (PoolName, Option<DeliveryId>),
        now: Ticks,
    ) -> (DeliveryId, Box<Formed>) {
        let key = self.key_of(name);
        let pool = self.storms.pool_mut(name);
        let mut all = pool
            .map(|pool| std::mem::take(&mut pool.eligible))
            .unwrap_or_default();
        // The tokens of a gate are reserved for the one that is next.
        let representative = match all.first() {
            Some(oldest) if !has_turn => *oldest,
            _ => next,
        };
        all.remove(&representative);
        let mut all = all.into_iter();
        let members: Vec<_> = all.by_ref().take(MEMBERS_MAX).collect();
        let held: Vec<_> = all.collect();
        if let Some(pool) = self.storms.pool_mut(name) {
            pool.eligible.extend(&held);
            pool.running = Some(representative);
        }
        for id in held {
            self.unqueue(id);
        }
        let handler = self.items[&next].handler;
        self.dequeue(representative);
        self.move_to(representative, handler);
        let gathered = Gathered {
            members,
            pools: vec![name],
            merged: Vec::new(),
        };
        let formed = self.put_generation(representative, storm, key, gathered, now);
        (representative, formed)
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
            PoolName::Resolves(storm, _) => Some((name, Some(storm))),
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

    pub(super) fn put_generation(
        &mut self,
        representative: DeliveryId,
        storm: Option<DeliveryId>,
        key: StormKey,
        gathered: Gathered,
        now: Ticks,
    ) -> Box<Formed> {
        let id = storm.unwrap_or(representative);
        let Gathered {
            members,
            pools,
            merged,
        } = gathered;
        for member in &members {
            self.dequeue(*member);
            self.item(*member).phase = Phase::Member { of: representative };
        }
        let open = self.storms.open(id).cloned();
        let mut change = Changed::default();
        let mut is_new = 0;
        for one in [representative].iter().chain(&members) {
            is_new += u64::from(self.add_to_storm(*one, id, &mut change));
            self.add_its_resolved(*one, id, &mut change);
        }
        let all: Vec<_> = [representative]
            .into_iter()
            .chain(members.iter().copied())
            .collect();
        let (storm, opened, last) = match &open {
            Some(open) => self.grown(open, &all, is_new),
            None => self.opened(id, key, &all),
        };
        self.storms.put(storm.clone(), opened, last);
        let described = self.described(all);
        let merged_ids = merged.iter().map(|(id, _)| *id).collect();
        let left = change
            .left
            .iter()
            .filter_map(|open| self.open_storm(open.storm.id));
        let left = left.cloned().collect();
        let generation = Generation {
            pools,
            storm: Some(id),
            members: members.iter().copied().collect(),
            rank: None,
            update: Some(self.gates.next_update(representative)),
            before: Some(Box::new(Before {
                open,
                joined: change.joined,
                merged,
                left: change.left,
            })),
        };
        self.storms.generations.insert(representative, generation);
        self.rank_representative(representative, now);
        self.provisional.push(Provisional::Formed(representative));
        Box::new(Formed {
            storm,
            members,
            merged: merged_ids,
            left,
            resolves: change.resolves,
            described,
        })
    }

    /// Notes that a delivery belongs to a storm; returns true if it counts there for the first time.
    fn add_to_storm(&mut self, id: DeliveryId, storm: DeliveryId, change: &mut Changed) -> bool {
        let Some(own) = &mut self.item(id).storm else {
            return false;
        };
        let before = own.storm.replace(storm);
        let was_counted = std::mem::replace(&mut own.is_counted, true);
        let is_known = was_counted && before == Some(storm);
        change.joined.push((id, before, was_counted));
        if let Some(other) = before.filter(|other| *other != storm)
            && let Some(open) = self.storms.open_mut(other)
        {
            if change.left.iter().all(|left| left.storm.id != other) {
                change.left.push(open.clone());
            }
            open.storm.leave();
        }
        !is_known
    }

    /// Notes that what ends a firing belongs to its storm.
    fn add_its_resolved(&mut self, firing: DeliveryId, storm: DeliveryId, change: &mut Changed) {
        let item = &self.items[&firing];
        let Some(line) = self
            .fingerprints
            .get(&item.fingerprint)
            .filter(|line| line.len() > 1)
        else {
            return;
        };
        let Some(event) = item.storm.as_ref().map(|own| own.event) else {
            return;
        };
        let ends = |id: &DeliveryId| self.ends(*id, event);
        let ending: Vec<_> = line.waiting_for(firing).filter(ends).collect();
        for id in ending {
            if let Some(own) = &mut self.item(id).storm {
                let before = own.storm.replace(storm);
                change.joined.push((id, before, own.is_counted));
                change.resolves.push(id);
            }
        }
    }

    fn key_of(&self, pool: PoolName) -> StormKey {
        match pool {
            PoolName::Firings(key) => self.storms.key_of(key).clone(),
            PoolName::Resolves(storm, _) => self.storms.key_of_storm(storm).clone(),
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
    fn opened(&self, id: DeliveryId, key: StormKey, all: &[DeliveryId]) -> (Storm, Ticks, Ticks) {
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
            opened_at: accepted().fold(first.accepted_at, Timestamp::min),
            last_firing_at: last_at,
            last_at,
        };
        let opened = since().fold(first.since, Ticks::min);
        (storm, opened, since().fold(first.since, Ticks::max))
    }

    /// Returns those that describe a generation: the most urgent ones first, and among equals those that fire longest.
    fn described(&self, ids: Vec<DeliveryId>) -> Vec<Described> {
        let ranked = ids.into_iter().map(|id| {
            let item = &self.items[&id];
            let event = item.storm.as_ref().map(|own| own.event);
            let since = event.map_or(item.accepted_at, |event| event.starts_at);
            (item.priority, since, id)
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        let described = ranked.into_iter().take(DESCRIBED_MAX);
        described
            .map(|(_, since, id)| Described {
                alert: self.items.get(&id).and_then(|item| item.alert.clone()),
                since,
                id,
            })
            .collect()
    }

    fn own_key(&self, id: DeliveryId) -> Option<StormKey> {
        let item = self.items.get(&id)?;
        Some(StormKey {
            route: Arc::clone(&self.routes[item.route]),
            pipeline: Arc::clone(&item.pipeline),
            text: "".into(),
            priority: item.priority,
        })
    }

    /// Returns what a representative stands for that has taken over, and is to be described anew.
    pub(crate) fn describe(&self, representative: DeliveryId) -> Option<(Storm, Vec<Described>)> {
        let generation = self.storms.generations.get(&representative)?;
        let storm = generation.storm?;
        let members = generation.members.iter().copied();
        let all = [representative].into_iter().chain(members);
        let all: Vec<_> = all.filter(|id| self.items.contains_key(id)).collect();
        let storm = match self.open_storm(storm) {
            Some(open) => open.clone(),
            // It is closed: what is left of it is all that there is to tell.
            None => Storm {
                id: storm,
                ..self
                    .opened(representative, self.own_key(representative)?, &all)
                    .0
            },
        };
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

    /// The next generation of each of these pools may be formed.
    pub(super) fn free_pools(&mut self, names: &[PoolName], now: Ticks) {
        for name in names {
            let Some(pool) = self.storms.pool_mut(*name) else {
                continue;
            };
            pool.running = None;
            let held: Vec<_> = pool.eligible.iter().copied().collect();
            for id in held {
                self.wait_again(id, now);
            }
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
        self.free_pools(&generation.pools, now);
        if let Some(storm) = generation.storm {
            self.next_sent_again(storm, now);
        }
    }

    /// A delivery has gone that stood for none.
    pub(in crate::schedule) fn leave_generation(
        &mut self,
        member: DeliveryId,
        of: DeliveryId,
        now: Ticks,
    ) {
        let rank = self.items.get(&member).map(|item| item.rank);
        if let Some(generation) = self.storms.generations.get_mut(&of) {
            generation.members.remove(&member);
            if rank.is_some() && rank == generation.rank {
                self.rank_representative(of, now);
            }
        }
    }

    /// A member stands for the others from now on, instead of `from`.
    pub(crate) fn hand_over(&mut self, from: DeliveryId, to: DeliveryId, now: Ticks) {
        let Some(mut generation) = self.storms.generations.remove(&from) else {
            return;
        };
        generation.members.remove(&to);
        // The facts are made anew for the next.
        generation.update = None;
        // One that was cancelled in this transaction goes.
        let items = &mut self.items;
        generation
            .members
            .retain(|member| match items.get_mut(member) {
                Some(item) if item.phase == (Phase::Member { of: from }) => {
                    item.phase = Phase::Member { of: to };
                    true
                }
                _ => false,
            });
        for name in &generation.pools {
            if let Some(pool) = self.storms.pool_mut(*name) {
                pool.running = Some(to);
            }
        }
        self.storms.generations.insert(to, generation);
        self.item(to).phase = Phase::Waiting;
        self.wait_again(to, now);
        self.rank_representative(to, now);
    }

    /// Takes in what stands behind a representative that was sent again.
    pub(crate) fn adopt(
        &mut self,
        members: Vec<Entrant>,
        of: DeliveryId,
        storm: Option<DeliveryId>,
        now: Ticks,
    ) {
        let mut ids = BTreeSet::new();
        for entrant in members {
            let id = entrant.id;
            self.insert(entrant, now);
            self.item(id).phase = Phase::Member { of };
            if self.items[&id].fingerprint == self.items[&of].fingerprint {
                // A firing runs with its resolved, which goes first.
                self.move_ahead(of, id, now);
            }
            self.provisional.push(Provisional::Adopted(id));
            ids.insert(id);
        }
        let generation = Generation {
            pools: Vec::new(),
            storm,
            members: ids,
            rank: None,
            update: Some(number_of(of)),
            before: None,
        };
        self.storms.generations.insert(of, generation);
        self.rank_representative(of, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alert_manager_core::alert::{Event, Fingerprint, HandlerName, Occurrence, Priority};

    use super::*;
    use crate::model::clock::from_millis;
    use crate::model::{Candidate, Caps, Cause, OtherRoutes, StormOptions};

    /// A firing delivery whose alert began at `starts_at`, in milliseconds since 1970.
    fn firing(id: i64, starts_at: i64) -> Entrant {
        let handler = HandlerName::new("a");
        let fingerprint = Fingerprint(id.cast_unsigned());
        Entrant {
            id: DeliveryId::from_raw(id),
            route: "route".into(),
            other_routes: OtherRoutes::None,
            fingerprint,
            pipeline: [handler.clone()].into(),
            handler,
            priority: Priority::Normal,
            due: 0,
            accepted_at: from_millis(1_000 + id),
            since: 0,
            leases: 0,
            after_crash: false,
            suspected: 0,
            waits_for: Vec::new(),
            alert: None,
            storm: Some(Candidate {
                text: "A".into(),
                event: Event {
                    fingerprint,
                    starts_at: from_millis(starts_at),
                    status: Status::Firing,
                    occurrence: Occurrence::FIRST,
                },
                storm: None,
                is_counted: false,
                is_clean: true,
            }),
            alert_bytes: 0,
            cause: Cause::Alert,
        }
    }

    #[test]
    fn a_generation_is_described_by_the_alerts_that_fire_longest() {
        let mut scheduler = Scheduler::new(Caps::all(0), 1_000, 1 << 20);
        scheduler.set_storm(StormOptions {
            over: 2,
            within: Duration::from_secs(60),
        });
        scheduler.attach(0);
        for (id, starts_at) in [(1, 500), (2, 100), (3, 700), (4, 100)] {
            scheduler.admit(firing(id, starts_at), 0);
            scheduler.commit(0);
        }
        scheduler.set_caps(Caps::all(1));
        let grants = scheduler.grant(0);
        let Some(StandsFor::New(formed)) = grants.first().and_then(|g| g.stands_for.clone()) else {
            panic!("{grants:?}");
        };
        let ids: Vec<_> = formed.described.iter().map(|one| one.id.as_raw()).collect();
        assert_eq!(ids, [2, 4, 1, 3]);
        assert_eq!(formed.described[0].since, from_millis(100));
    }
}
