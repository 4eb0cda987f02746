//! What waits for something outside of the server, and goes on when that is back.
//!
//! It is woken by its dependency, the most urgent first, and is due from then on: permits, ordering keys and priorities hold as for
//! any other delivery that is due.

use std::collections::{BTreeSet, HashMap};

use crate::model::Wake;
use crate::model::clock::Ticks;
use alert_manager_core::alert::DeliveryId;
use alert_manager_core::journal::Dependency;

use super::turn::Rank;
use super::{Phase, Scheduler};

/// Deliveries by their dependency, then by priority, then by age.
pub(super) type Waiters = HashMap<Dependency, BTreeSet<Rank>>;

/// How many dependencies are remembered as back. A lease that began long before misses one that is forgotten.
const BACKS_MAX: usize = 1_024;

/// When each dependency was last back, by the number of the wake: a lease under way waits for nothing yet, and would miss it.
#[derive(Debug, Default)]
pub(super) struct Backs {
    count: u64,
    last: HashMap<Dependency, u64>,
}

impl Backs {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    fn note(&mut self, dependency: &Dependency) {
        self.count += 1;
        if let Some(last) = self.last.get_mut(dependency) {
            *last = self.count;
            return;
        }
        if self.last.len() >= BACKS_MAX {
            let mut counts: Vec<_> = self.last.values().copied().collect();
            let (_, middle, _) = counts.select_nth_unstable(BACKS_MAX / 2);
            let middle = *middle;
            self.last.retain(|_, last| *last > middle);
        }
        self.last.insert(dependency.clone(), self.count);
    }

    /// Returns which of these were back after so many wakes.
    pub(super) fn since(&self, count: u64, of: &[Dependency]) -> Vec<Dependency> {
        let was_back = |d: &&Dependency| self.last.get(*d).is_some_and(|last| *last > count);
        of.iter().filter(was_back).cloned().collect()
    }
}

impl Scheduler {
    /// Notes what a delivery waits for.
    pub(super) fn await_all(&mut self, id: DeliveryId, waits_for: Vec<Dependency>) {
        let rank = self.items[&id].rank;
        for dependency in &waits_for {
            let waiters = self.waiters.entry(dependency.clone()).or_default();
            waiters.insert((rank, id));
        }
        self.item(id).waits_for = waits_for;
    }

    /// Notes that a delivery waits for nothing any more.
    pub(super) fn await_none(&mut self, id: DeliveryId) {
        let Some(item) = self.items.get_mut(&id) else {
            return;
        };
        let key = (item.rank, id);
        for dependency in std::mem::take(&mut item.waits_for) {
            if let Some(waiters) = self.waiters.get_mut(&dependency) {
                waiters.remove(&key);
                if waiters.is_empty() {
                    self.waiters.remove(&dependency);
                }
            }
        }
    }

    /// Makes due what waits for `dependency`, all of it or the most urgent; returns how many.
    pub(crate) fn wake(&mut self, dependency: &Dependency, which: Wake, now: Ticks) -> usize {
        if which == Wake::All {
            self.backs.note(dependency);
        }
        let Some(waiters) = self.waiters.get(dependency) else {
            return 0;
        };
        let waits = |id: &DeliveryId| {
            let item = &self.items[id];
            item.phase == Phase::Waiting && item.due > now
        };
        let ids = waiters.iter().map(|(_, id)| *id).filter(waits);
        let ids: Vec<_> = match which {
            Wake::All => ids.collect(),
            Wake::First => ids.take(1).collect(),
        };
        for id in &ids {
            self.item(*id).woken.push((dependency.clone(), which));
            self.hurry(*id, now);
        }
        ids.len()
    }

    /// Makes a delivery due that waits for its time.
    pub(crate) fn hurry(&mut self, id: DeliveryId, now: Ticks) {
        if !self.is_waiting(id) || self.items[&id].due <= now {
            return;
        }
        self.await_none(id);
        self.item(id).due = now;
        if self.is_next(id) {
            self.dequeue(id);
            self.enqueue(id, now);
        }
    }

    /// Returns true if a delivery is neither leased nor cancelled.
    pub(crate) fn is_waiting(&self, id: DeliveryId) -> bool {
        let item = self.items.get(&id);
        item.is_some_and(|item| item.phase == Phase::Waiting)
    }

    /// Returns what deliveries wait for.
    pub(crate) fn awaited(&self) -> Vec<Dependency> {
        self.waiters.keys().cloned().collect()
    }
}
