//! The deliveries that wait for one handler, and its concurrency permits.

use std::collections::BTreeSet;

use alert_manager_core::alert::{DeliveryId, HandlerName, Priority};

/// Every tenth lease goes to the oldest delivery whatever its priority, so that none starves.
const OLDEST_EVERY: u64 = 10;

/// The deliveries that wait for a concurrency permit of one handler, and how many permits it has.
#[derive(Debug)]
pub(super) struct HandlerQueue {
    pub(super) handler: HandlerName,
    /// How many permits there are.
    pub(super) permits_max: u32,
    /// How many permits are taken. One is taken when a lease is granted, before that is committed.
    pub(super) permits_taken: u32,
    /// Deliveries that are not settled and whose next step, or last one, is this handler's: waiting for a permit or not.
    pub(super) depth: usize,
    /// Deliveries that wait for a permit: by priority, then by age.
    waiting: [BTreeSet<DeliveryId>; 3],
    /// How many deliveries have been taken out.
    popped: u64,
}

impl HandlerQueue {
    pub(super) fn new(handler: HandlerName, permits_max: u32) -> Self {
        Self {
            handler,
            permits_max,
            permits_taken: 0,
            depth: 0,
            waiting: Default::default(),
            popped: 0,
        }
    }

    pub(super) fn has_permit(&self) -> bool {
        self.permits_taken < self.permits_max
    }

    /// Returns true if no delivery waits for a permit.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.iter().all(BTreeSet::is_empty)
    }

    pub(super) fn push(&mut self, priority: Priority, id: DeliveryId) {
        self.waiting[class(priority)].insert(id);
    }

    pub(super) fn remove(&mut self, priority: Priority, id: DeliveryId) {
        self.waiting[class(priority)].remove(&id);
    }

    pub(super) fn contains(&self, priority: Priority, id: DeliveryId) -> bool {
        self.waiting[class(priority)].contains(&id)
    }

    /// Takes out the delivery that runs next.
    pub(super) fn pop(&mut self) -> Option<DeliveryId> {
        let firsts = self
            .waiting
            .iter()
            .enumerate()
            .filter_map(|(class, ids)| ids.first().map(|id| (*id, class)));
        let (id, class) = if self.popped % OLDEST_EVERY == OLDEST_EVERY - 1 {
            firsts.min()
        } else {
            firsts.into_iter().next()
        }?;
        self.popped += 1;
        self.waiting[class].remove(&id);
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
