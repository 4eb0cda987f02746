//! Storms: which deliveries run as one.
//!
//! Those that are alike and wait at the same time form a *generation* when the first of them is leased: the oldest is its
//! *representative*, the others are its *members*. A member keeps its place on its ordering key, and holds nothing else, until its
//! representative ends. There is one generation of a key at a time; what comes meanwhile waits for the next.

mod at_gate;
mod generation;
mod key;
mod keys;
mod rank;
mod sent_again;
mod taken_up;
mod undo;

use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Event, Status};

use crate::model::clock::Ticks;
use crate::model::{Candidate, LATE, Storm, StormKey, StormOptions};

use super::{Phase, Provisional, Scheduler};
use key::ticks;
use keys::{Generation, PoolName};

pub(super) use keys::{InStorm, Storms};

/// How a representative stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Its storm, if that is open.
    pub(crate) storm: Option<Storm>,
    /// The member that would stand for the others.
    pub(crate) next: Option<DeliveryId>,
    pub(crate) members: u64,
}

impl Scheduler {
    /// Changes when deliveries run as one. Generations that have been formed stay.
    pub(crate) fn set_storm(&mut self, options: StormOptions) {
        self.storms.options = options;
    }

    /// Returns when deliveries run as one.
    pub(super) fn storm_options(&self) -> StormOptions {
        self.storms.options
    }

    /// Notes what may run as one with others.
    pub(super) fn enter_storms(&mut self, id: DeliveryId, candidate: Candidate, now: Ticks) {
        let item = &self.items[&id];
        let key = StormKey {
            route: Arc::clone(&self.routes[item.route]),
            pipeline: Arc::clone(&item.pipeline),
            text: Arc::clone(&candidate.text),
            priority: item.priority,
        };
        let key = match candidate.event.status {
            Status::Firing => key,
            Status::Resolved => StormKey::of_resolves(key),
        };
        let key = self.storms.key(key, now);
        let entered = self.storms.enter(candidate, key);
        self.item(id).storm = Some(entered);
    }

    /// The opposite of [`Self::enter_storms`].
    pub(super) fn leave_storms(&mut self, own: &InStorm) {
        self.storms.leave(own.key);
    }

    /// Returns when a storm may have to be closed.
    pub(super) fn storms_looked_at(&self) -> Option<Ticks> {
        self.storms.looks_at()
    }

    /// Counts a firing that has come.
    pub(super) fn arrive(&mut self, id: DeliveryId, at: Ticks) {
        if let Some(own) = &self.items[&id].storm
            && own.event.status == Status::Firing
        {
            self.storms.arrive(own.key, at);
        }
    }

    /// Returns true if a delivery is not to be leased the moment it comes: others like it are to run with it.
    pub(super) fn waits_for_storm(&self, id: DeliveryId, now: Ticks) -> bool {
        let Some(own) = &self.items[&id].storm else {
            return false;
        };
        let belongs = own
            .storm
            .is_some_and(|storm| self.storms.open(storm).is_some());
        belongs || (own.event.status == Status::Firing && self.storms.is_in_storm(own.key, now))
    }

    /// Returns where a delivery may become part of a generation.
    fn pool_name(&self, id: DeliveryId) -> Option<PoolName> {
        let own = self.items[&id].storm.as_ref()?;
        match own.event.status {
            Status::Firing => Some(PoolName::Firings(own.key)),
            Status::Resolved => {
                let storm = own.storm?;
                let open = self.storms.open(storm);
                open.map(|_| PoolName::Resolves(storm, own.key))
            }
        }
    }

    /// Returns true if nothing of a delivery was done yet: it has not been leased, or is parked without an effect or a doubt.
    fn is_untouched(&self, id: DeliveryId) -> bool {
        let item = &self.items[&id];
        item.phase == Phase::Waiting
            && (item.leases == 0 || self.is_clean(id))
            && !item.after_crash
            && !self.storms.generations.contains_key(&id)
    }

    /// Notes whether a delivery that is parked has done nothing.
    pub(super) fn set_clean(&mut self, id: DeliveryId, is_clean: bool) {
        if let Some(own) = &mut self.item(id).storm {
            own.set_clean(is_clean);
        }
    }

    fn is_clean(&self, id: DeliveryId) -> bool {
        let own = self.items[&id].storm.as_ref();
        own.is_some_and(|own| own.is_clean)
    }

    /// A delivery could run now. Returns true if it waits for a generation to end instead.
    pub(super) fn join_pool(&mut self, id: DeliveryId) -> bool {
        let Some(name) = self.pool_name(id).filter(|_| self.is_untouched(id)) else {
            return false;
        };
        let Some(pool) = self.storms.pool_mut(name) else {
            return false;
        };
        pool.eligible.insert(id);
        pool.running.is_some()
    }

    /// Returns the representative of the generation that a delivery waits for the end of.
    pub(super) fn waits_for_generation(&self, id: DeliveryId) -> Option<DeliveryId> {
        let pool = self.storms.pool(self.pool_name(id)?)?;
        pool.running.filter(|_| pool.eligible.contains(&id))
    }

    /// A delivery runs, or cannot run now.
    pub(super) fn leave_pool(&mut self, id: DeliveryId) {
        if let Some(name) = self.pool_name(id)
            && let Some(pool) = self.storms.pool_mut(name)
        {
            pool.eligible.remove(&id);
        }
    }

    /// Returns the storm that a delivery which is not settled belongs to; nothing if that
    /// is not known here.
    pub(crate) fn storm_of(&self, id: DeliveryId) -> Option<Option<DeliveryId>> {
        let own = self.items.get(&id)?.storm.as_ref()?;
        Some(own.storm)
    }

    /// Returns true if no storm is open.
    pub(crate) fn has_no_open_storm(&self) -> bool {
        self.storms.has_no_open_storm()
    }

    /// Returns a storm that is open.
    pub(crate) fn open_storm(&self, id: DeliveryId) -> Option<&Storm> {
        self.storms.open(id).map(|open| &open.storm)
    }

    /// Returns an open storm without one of its deliveries.
    pub(crate) fn leave_storm(&mut self, id: DeliveryId, status: Status) -> Option<Storm> {
        let open = self.storms.open_mut(id)?;
        let step = Provisional::LeftStorm {
            storm: id,
            count: open.storm.count,
            resolved: open.storm.resolved,
        };
        if status == Status::Firing {
            open.storm.leave();
        }
        let storm = open.storm.clone();
        self.provisional.push(step);
        Some(storm)
    }

    /// Returns true if a delivery says that this firing has ended.
    fn ends(&self, id: DeliveryId, firing: Event) -> bool {
        let own = self.items.get(&id).and_then(|item| item.storm.as_ref());
        let ended = Event {
            status: Status::Resolved,
            ..firing
        };
        firing.status == Status::Firing && own.is_some_and(|own| own.event == ended)
    }

    /// A firing leaves a storm: what has resolved of it and has not run leaves with it. Returns that.
    pub(crate) fn let_its_resolved_leave(
        &mut self,
        firing: Event,
        storm: DeliveryId,
        now: Ticks,
    ) -> Vec<DeliveryId> {
        let leaves = |id: &DeliveryId| {
            let item = &self.items[id];
            let own = item.storm.as_ref();
            self.ends(*id, firing)
                && own.is_some_and(|own| own.storm == Some(storm))
                && !item.is_leased()
                && !self.storms.generations.contains_key(id)
        };
        let queue = self.fingerprints.get(&firing.fingerprint).into_iter();
        let leaving: Vec<_> = queue.flat_map(|queue| queue.ids()).filter(leaves).collect();
        for id in &leaving {
            self.move_to_storm(*id, None, now);
            let step = Provisional::ResolvedLeft { id: *id, storm };
            self.provisional.push(step);
        }
        leaving
    }

    /// Has a delivery that waits belong to another storm, or to none.
    pub(super) fn move_to_storm(&mut self, id: DeliveryId, storm: Option<DeliveryId>, now: Ticks) {
        self.dequeue(id);
        if let Some(own) = &mut self.item(id).storm {
            own.storm = storm;
        }
        self.wait_again(id, now);
    }

    pub(super) fn undo_leaving(&mut self, storm: DeliveryId, count: u64, resolved: u64) {
        if let Some(open) = self.storms.open_mut(storm) {
            open.storm.count = count;
            open.storm.resolved = resolved;
        }
    }

    /// Returns the storms that are over. They stay open until [`Self::close_storms`].
    pub(crate) fn storms_over(&mut self, now: Ticks) -> Vec<DeliveryId> {
        if self.attached {
            self.storms.over(now)
        } else {
            Vec::new()
        }
    }

    /// Returns those that are over still: no generation of them was formed meanwhile.
    pub(crate) fn still_over(&mut self, mut over: Vec<DeliveryId>, now: Ticks) -> Vec<DeliveryId> {
        over.retain(|id| self.storms.is_still_over(*id, now));
        over
    }

    /// Closes storms.
    pub(crate) fn close_storms(&mut self, ids: &[DeliveryId]) {
        for id in ids {
            self.storms.close(*id);
        }
    }

    /// Has the storms looked at again, because those that are over could not be closed.
    pub(crate) fn look_at_storms(&mut self, now: Ticks) {
        self.storms.look(now);
    }

    /// Returns how a representative stands; nothing if it runs for itself alone.
    pub(crate) fn standing(&self, id: DeliveryId) -> Option<Standing> {
        let generation = self.storms.generations.get(&id)?;
        let is_member = |member: &&DeliveryId| self.representative_of(**member) == Some(id);
        Some(Standing {
            storm: generation
                .storm
                .and_then(|storm| self.open_storm(storm))
                .cloned(),
            next: generation.members.iter().find(is_member).copied(),
            members: generation.members.iter().filter(is_member).count() as u64,
        })
    }

    /// Returns how many others a delivery stands for.
    pub(in crate::schedule) fn members_of(&self, id: DeliveryId) -> usize {
        let generation = self.storms.generations.get(&id);
        generation.map_or(0, |generation| generation.members.len())
    }

    /// Returns the delivery that runs in the place of another.
    pub(crate) fn representative_of(&self, id: DeliveryId) -> Option<DeliveryId> {
        match self.items.get(&id)?.phase {
            Phase::Member { of } => Some(of),
            _ => None,
        }
    }

    /// Has the firing that a resolved ends run with that, if it has waited so long that nobody is to be notified of it any more,
    /// and nothing of it was done. Returns it. One that is to run as one with others does that: each resolved alone would be a
    /// message more.
    pub(crate) fn run_with_late_firing(
        &mut self,
        resolved: DeliveryId,
        now: Ticks,
    ) -> Option<DeliveryId> {
        if !self.storms.is_on() {
            return None;
        }
        let ended = self.items[&resolved].storm.as_ref()?.event;
        if ended.status != Status::Resolved {
            return None;
        }
        let queue = self.fingerprints.get(&ended.fingerprint)?;
        let firing = queue.before(resolved)?;
        let item = &self.items[&firing];
        let own = item.storm.as_ref()?;
        let is_its_firing = own.event
            == Event {
                status: Status::Firing,
                ..ended
            };
        let pool = self
            .pool_name(firing)
            .and_then(|name| self.storms.pool(name));
        let is_eligible =
            pool.is_some_and(|pool| pool.running.is_none() && pool.eligible.contains(&firing));
        let is_in_storm = own.storm.is_some() || self.storms.is_in_storm(own.key, now);
        let is_late = now - item.since > ticks(LATE);
        let is_alike = item.pipeline == self.items[&resolved].pipeline;
        if !(is_its_firing && is_alike && is_eligible && is_late && !is_in_storm)
            || self.waits_with_many(firing)
        {
            return None;
        }
        self.dequeue(firing);
        self.item(firing).phase = Phase::Member { of: resolved };
        self.move_ahead(resolved, firing, now);
        let generation = Generation {
            pools: Vec::new(),
            storm: None,
            members: [firing].into(),
            rank: None,
            update: None,
            before: None,
        };
        self.storms.generations.insert(resolved, generation);
        self.rank_representative(resolved, now);
        self.provisional.push(Provisional::RunsWith(firing));
        Some(firing)
    }

    fn move_ahead(&mut self, id: DeliveryId, of: DeliveryId, now: Ticks) {
        let fingerprint = self.items[&id].fingerprint;
        if let Some(queue) = self.fingerprints.get_mut(&fingerprint) {
            let ranks = queue.move_ahead(id, of);
            self.rank(ranks, now);
        }
    }
}
