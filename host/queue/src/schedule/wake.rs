//! Deliveries that wait for a dependency outside the server to recover.
//!
//! A delivery that is woken is due: permits, ordering keys and priorities apply to it as to any other.

use std::collections::{BTreeSet, HashMap};

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::journal::Dependency;

use crate::model::clock::Ticks;
use crate::model::{ByPriority, Wake};

use super::turn::Rank;
use super::{Phase, Scheduler};

/// Deliveries by their dependency, then by priority, then by age.
pub(super) type Waiters = HashMap<Dependency, BTreeSet<Rank>>;

/// How many dependencies have their last recovery remembered. If there are more, the oldest half is forgotten, which a lease that
/// began before may miss.
const RECOVERIES_MAX: usize = 1_024;

/// The last recovery of each dependency, by a running number. A delivery under lease waits for nothing yet: if it settles to wait
/// for a dependency that has recovered meanwhile, it is found here.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    count: u64,
    last: HashMap<Dependency, u64>,
}

impl Recoveries {
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
        if self.last.len() >= RECOVERIES_MAX {
            let mut counts: Vec<_> = self.last.values().copied().collect();
            let (_, middle, _) = counts.select_nth_unstable(RECOVERIES_MAX / 2);
            let middle = *middle;
            self.last.retain(|_, last| *last > middle);
        }
        self.last.insert(dependency.clone(), self.count);
    }

    /// Returns those of the dependencies that have recovered after the first `count` recoveries.
    pub(super) fn since(&self, count: u64, of: &[Dependency]) -> Vec<Dependency> {
        let recovered = |d: &&Dependency| self.last.get(*d).is_some_and(|last| *last > count);
        of.iter().filter(recovered).cloned().collect()
    }
}

impl Scheduler {
    /// Has a delivery wait for dependencies.
    pub(super) fn wait_for_all(&mut self, id: DeliveryId, waits_for: Vec<Dependency>) {
        let rank = self.items[&id].rank;
        for dependency in &waits_for {
            let waiters = self.waiters.entry(dependency.clone()).or_default();
            waiters.insert((rank, id));
        }
        self.item(id).waits_for = waits_for;
    }

    /// Has a delivery wait for no dependency any more.
    pub(super) fn stop_waiting(&mut self, id: DeliveryId) {
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

    /// Makes the deliveries due that wait for `dependency`; returns how many.
    pub(crate) fn wake(&mut self, dependency: &Dependency, which: Wake, now: Ticks) -> usize {
        if which == Wake::All {
            self.recoveries.note(dependency);
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
            self.make_due(*id, now);
        }
        ids.len()
    }

    /// Makes a delivery due that waits for another try.
    pub(crate) fn make_due(&mut self, id: DeliveryId, now: Ticks) {
        if !self.is_waiting(id) || self.items[&id].due <= now {
            return;
        }
        self.stop_waiting(id);
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

    /// Returns how many deliveries wait for a dependency.
    pub(crate) fn waiting_for(&self, dependency: &Dependency) -> ByPriority {
        let mut counts = ByPriority::default();
        for (priority, _) in self.waiters.get(dependency).into_iter().flatten() {
            *counts.of_mut(*priority) += 1;
        }
        counts
    }

    /// Returns the dependencies that deliveries wait for.
    pub(crate) fn awaited(&self) -> Vec<Dependency> {
        self.waiters.keys().cloned().collect()
    }
}
