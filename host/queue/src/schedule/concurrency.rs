//! One handler's concurrency permits, and the deliveries that wait for one in the order in which they get it.

use std::collections::BTreeSet;

use alert_manager_core::alert::{DeliveryId, HandlerName, Priority};

/// Every tenth lease goes to the oldest, so that nothing starves behind a flood of urgent ones.
const OLDEST_EVERY: u64 = 10;

#[derive(Debug)]
pub(super) struct Permits {
    pub(super) name: HandlerName,
    /// How many may be taken at one time.
    pub(super) cap: u32,
    /// How many are taken, from when a lease is given.
    pub(super) taken: u32,
    /// Deliveries not settled whose next step, or last one, is this handler's.
    pub(super) depth: usize,
    /// By priority, then by age.
    ready: [BTreeSet<DeliveryId>; 3],
    /// Leases given.
    turn: u64,
}

impl Permits {
    pub(super) fn new(name: HandlerName, cap: u32) -> Self {
        Self {
            name,
            cap,
            taken: 0,
            depth: 0,
            ready: Default::default(),
            turn: 0,
        }
    }

    /// Returns true if one is free.
    pub(super) fn has_free(&self) -> bool {
        self.taken < self.cap
    }

    /// Returns true if nothing waits for a permit.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.iter().all(BTreeSet::is_empty)
    }

    pub(super) fn ready(&mut self, priority: Priority, id: DeliveryId) {
        self.ready[class(priority)].insert(id);
    }

    pub(super) fn unready(&mut self, priority: Priority, id: DeliveryId) {
        self.ready[class(priority)].remove(&id);
    }

    /// Returns true if a delivery waits for a permit.
    pub(super) fn is_ready(&self, priority: Priority, id: DeliveryId) -> bool {
        self.ready[class(priority)].contains(&id)
    }

    /// Takes out the delivery that runs next.
    pub(super) fn pick(&mut self) -> Option<DeliveryId> {
        let firsts = self
            .ready
            .iter()
            .enumerate()
            .filter_map(|(class, ids)| ids.first().map(|id| (*id, class)));
        let (id, class) = if self.turn % OLDEST_EVERY == OLDEST_EVERY - 1 {
            firsts.min()
        } else {
            firsts.into_iter().next()
        }?;
        self.turn += 1;
        self.ready[class].remove(&id);
        Some(id)
    }
}

fn class(priority: Priority) -> usize {
    match priority {
        Priority::Critical => 0,
        Priority::Warning => 1,
        Priority::Normal => 2,
    }
}
