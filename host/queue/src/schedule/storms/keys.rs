//! All keys, the storms that are open, and the generations that have not ended.

use std::collections::{BTreeSet, HashMap};

use alert_manager_core::alert::{DeliveryId, Event, Priority};

use crate::model::clock::Ticks;
use crate::model::{Candidate, LIFE, QUIET, Storm, StormKey, StormOptions};

use super::key::{Key, Pool, ticks};

/// A [`Candidate`] that is in the schedule.
#[derive(Debug)]
pub(in crate::schedule) struct InStorm {
    pub(super) key: usize,
    pub(super) event: Event,
    pub(super) storm: Option<DeliveryId>,
    pub(super) is_counted: bool,
    pub(super) is_clean: bool,
}

impl InStorm {
    pub(in crate::schedule) fn belongs_to_storm(&self) -> bool {
        self.storm.is_some()
    }

    pub(in crate::schedule) fn set_clean(&mut self, is_clean: bool) {
        self.is_clean = is_clean;
    }
}

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PoolName {
    /// Firings of a key.
    Firings(usize),
    /// What has resolved of a storm, with one key: its handlers may have changed since it fired.
    Resolves(DeliveryId, usize),
}

/// A storm that is open, by the monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) storm: Storm,
    pub(super) opened: Ticks,
    pub(super) last: Ticks,
    key: usize,
}

/// A generation that has not ended.
#[derive(Debug)]
pub(super) struct Generation {
    /// None if it is apart from all others: a firing that runs with its resolved, or one that was sent again. Several if
    /// generations were merged.
    pub(super) pools: Vec<PoolName>,
    pub(super) storm: Option<DeliveryId>,
    pub(super) members: BTreeSet<DeliveryId>,
    /// The highest priority of its members, and of what waits for them.
    pub(super) rank: Option<Priority>,
    /// The number of its updates of messages, by when its facts were made; absent until its representative is leased.
    pub(super) update: Option<u64>,
    /// What was before it, until it is durable.
    pub(super) before: Option<Box<Before>>,
}

/// What was before a generation was formed.
#[derive(Debug)]
pub(super) struct Before {
    /// Its storm, if that was open.
    pub(super) open: Option<Open>,
    /// To which storms its deliveries joined, and whether they were counted.
    pub(super) joined: Vec<(DeliveryId, Option<DeliveryId>, bool)>,
    /// Generations that became part of it.
    pub(super) merged: Vec<(DeliveryId, Generation)>,
    /// The storms that those joined to.
    pub(super) left: Vec<Open>,
}

/// How many keys are kept before those without anything are forgotten.
const KEYS_MIN: usize = 1_024;

/// A storm that cannot be closed yet is looked at again after this long.
const AGAIN: Ticks = 60_000;

/// All keys, storms and generations.
#[derive(Debug, Default)]
pub(in crate::schedule) struct Storms {
    pub(super) options: StormOptions,
    keys: Vec<Key>,
    unused: Vec<usize>,
    by_key: HashMap<StormKey, usize>,
    keys_max: usize,
    open: HashMap<DeliveryId, Open>,
    /// What has resolved of each, by key.
    resolves: HashMap<DeliveryId, HashMap<usize, Pool>>,
    /// By representative.
    pub(super) generations: HashMap<DeliveryId, Generation>,
    /// Representatives that were sent again while another of their storm had not ended, by storm.
    pub(super) behind: HashMap<DeliveryId, BTreeSet<DeliveryId>>,
    /// When the next storm may have to be closed.
    look_at: Option<Ticks>,
}

impl Storms {
    /// Returns true if no storm is open.
    pub(super) fn has_no_open_storm(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn is_on(&self) -> bool {
        self.options.over > 0
    }

    /// Returns true if others run with a delivery.
    pub(in crate::schedule) fn has_members(&self, id: DeliveryId) -> bool {
        let generation = self.generations.get(&id);
        generation.is_some_and(|of| !of.members.is_empty())
    }

    /// Returns the number of the updates of what stands for a storm.
    pub(in crate::schedule) fn update_of(&self, representative: DeliveryId) -> Option<u64> {
        self.generations.get(&representative)?.update
    }

    /// Returns the place of a key.
    pub(super) fn key(&mut self, key: StormKey, now: Ticks) -> usize {
        if let Some(place) = self.by_key.get(&key) {
            return *place;
        }
        if self.by_key.len() >= self.keys_max.max(KEYS_MIN) {
            self.forget(now);
        }
        let new = Key::new(key.clone());
        let place = match self.unused.pop() {
            Some(place) => {
                self.keys[place] = new;
                place
            }
            None => {
                self.keys.push(new);
                self.keys.len() - 1
            }
        };
        self.by_key.insert(key, place);
        place
    }

    /// Forgets keys of which there is nothing: labels may have any number of values.
    fn forget(&mut self, now: Ticks) {
        let (keys, unused, within) = (&self.keys, &mut self.unused, self.options.within);
        self.by_key.retain(|_, place| {
            let is_forgotten = keys[*place].is_forgotten(now, within);
            if is_forgotten {
                unused.push(*place);
            }
            !is_forgotten
        });
        self.keys_max = self.by_key.len() * 2;
    }

    pub(super) fn enter(&mut self, candidate: Candidate, key: usize) -> Box<InStorm> {
        self.keys[key].items += 1;
        Box::new(InStorm {
            key,
            event: candidate.event,
            storm: candidate.storm,
            is_counted: candidate.is_counted,
            is_clean: candidate.is_clean,
        })
    }

    pub(super) fn leave(&mut self, key: usize) {
        self.keys[key].items -= 1;
    }

    pub(super) fn arrive(&mut self, key: usize, at: Ticks) {
        if self.is_on() {
            self.keys[key].arrive(at, self.options);
        }
    }

    pub(super) fn is_in_storm(&self, key: usize, now: Ticks) -> bool {
        self.is_on() && self.keys[key].is_in_storm(now)
    }

    pub(super) fn key_of(&self, key: usize) -> &StormKey {
        &self.keys[key].key
    }

    pub(super) fn key_of_storm(&self, id: DeliveryId) -> &StormKey {
        &self.open[&id].storm.key
    }

    pub(super) fn key_of_open(&self, storm: DeliveryId) -> Option<usize> {
        self.open.get(&storm).map(|open| open.key)
    }

    /// Returns the open storm of a key.
    pub(super) fn of_key(&self, key: usize) -> Option<DeliveryId> {
        self.keys[key].storm
    }

    pub(super) fn open(&self, id: DeliveryId) -> Option<&Open> {
        self.open.get(&id)
    }

    pub(super) fn pool(&self, name: PoolName) -> Option<&Pool> {
        match name {
            PoolName::Firings(key) => Some(&self.keys[key].pool),
            PoolName::Resolves(storm, key) => self.resolves.get(&storm)?.get(&key),
        }
    }

    pub(super) fn pool_mut(&mut self, name: PoolName) -> Option<&mut Pool> {
        match name {
            PoolName::Firings(key) => Some(&mut self.keys[key].pool),
            PoolName::Resolves(storm, key) => {
                Some(self.resolves.get_mut(&storm)?.entry(key).or_default())
            }
        }
    }

    /// Opens a storm, or changes what is known of one.
    pub(super) fn put(&mut self, storm: Storm, opened: Ticks, last: Ticks) {
        let id = storm.id;
        let key = match self.open.get(&id) {
            Some(open) => open.key,
            None => self.key(storm.key.clone(), last),
        };
        self.keys[key].storm = Some(id);
        let open = Open {
            storm,
            opened,
            last,
            key,
        };
        self.look(closes_at(&open));
        self.open.insert(id, open);
        self.resolves.entry(id).or_default();
    }

    /// A storm that is taken up had its last firing then.
    pub(super) fn restore_last_in_storm(&mut self, id: DeliveryId, last_firing: Ticks) {
        if let Some(open) = self.open.get(&id) {
            self.keys[open.key].last_in_storm = Some(last_firing);
        }
    }

    pub(super) fn open_mut(&mut self, id: DeliveryId) -> Option<&mut Open> {
        let open = self.open.get_mut(&id)?;
        // One that leaves may have been the last that has not resolved.
        let at = open.last.saturating_add(ticks(QUIET));
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
        Some(open)
    }

    /// Undoes [`Self::put`].
    pub(super) fn put_back(&mut self, id: DeliveryId, before: Option<Open>) {
        match before {
            Some(open) => drop(self.open.insert(id, open)),
            None => self.close(id),
        }
    }

    pub(super) fn close(&mut self, id: DeliveryId) {
        self.resolves.remove(&id);
        if let Some(open) = self.open.remove(&id)
            && self.keys[open.key].storm == Some(id)
        {
            self.keys[open.key].storm = None;
        }
    }

    /// Returns the storms that are over.
    pub(super) fn over(&mut self, now: Ticks) -> Vec<DeliveryId> {
        if self.look_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut over = Vec::new();
        let mut next = None;
        for (id, open) in &self.open {
            let at = closes_at(open);
            if at <= now && self.is_idle(*id) {
                over.push(*id);
                continue;
            }
            let at = if at > now { at } else { now + AGAIN };
            next = Some(next.map_or(at, |next: Ticks| next.min(at)));
        }
        self.look_at = next;
        over
    }

    /// Returns true if nothing of a storm runs, or is about to.
    fn is_idle(&self, id: DeliveryId) -> bool {
        let open = self.open.get(&id);
        open.is_none_or(|open| self.keys[open.key].pool.is_idle())
            && self
                .resolves
                .get(&id)
                .is_none_or(|pools| pools.values().all(Pool::is_idle))
            && self.generations.values().all(|of| of.storm != Some(id))
    }

    /// Returns true if a storm that was over is so still; looks at it again later if not.
    pub(super) fn is_still_over(&mut self, id: DeliveryId, now: Ticks) -> bool {
        let open = self.open.get(&id);
        let is_over = open.is_none_or(|open| closes_at(open) <= now) && self.is_idle(id);
        if !is_over {
            self.look(now + AGAIN);
        }
        is_over
    }

    pub(super) fn look(&mut self, at: Ticks) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    pub(super) fn looks_at(&self) -> Option<Ticks> {
        self.look_at
    }
}

fn closes_at(open: &Open) -> Ticks {
    let end = open.opened.saturating_add(ticks(LIFE));
    match open.storm.resolved >= open.storm.count {
        true => end.min(open.last.saturating_add(ticks(QUIET))),
        false => end,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alert_manager_core::alert::HandlerName;

    use super::*;

    fn key(text: &str) -> StormKey {
        StormKey {
            route: "route".into(),
            pipeline: vec![HandlerName::new("a")].into(),
            text: text.into(),
            priority: Priority::Normal,
        }
    }

    fn storms() -> Storms {
        Storms {
            options: StormOptions {
                over: 3,
                within: Duration::from_secs(60),
            },
            ..Storms::default()
        }
    }

    #[test]
    fn a_key_is_in_a_storm_once_more_came_than_it_may_within_its_time() {
        let mut storms = storms();
        let a = storms.key(key("a"), 0);
        for at in [0, 30_000, 60_000, 90_000, 120_000] {
            storms.arrive(a, at);
            assert!(!storms.is_in_storm(a, at), "three within a minute: {at}");
        }
        storms.arrive(a, 120_001);
        storms.arrive(a, 120_002);
        assert!(storms.is_in_storm(a, 120_002));
        assert!(storms.is_in_storm(a, 120_002 + ticks(QUIET)));
        assert!(!storms.is_in_storm(a, 120_003 + ticks(QUIET)));
        storms.arrive(a, 130_000);
        assert!(
            storms.is_in_storm(a, 130_000 + ticks(QUIET)),
            "one prolongs it"
        );
        storms.arrive(a, 130_001 + ticks(QUIET) * 2);
        assert!(!storms.is_in_storm(a, 130_001 + ticks(QUIET) * 2));
    }

    #[test]
    fn keys_of_which_nothing_is_left_are_forgotten() {
        let mut storms = storms();
        for n in 0..10 * KEYS_MIN {
            let at = Ticks::try_from(n).unwrap_or_default() * 1_000;
            let key = storms.key(key(&n.to_string()), at);
            storms.arrive(key, at);
        }
        assert!(storms.keys.len() <= 2 * KEYS_MIN, "{}", storms.keys.len());
    }
}
