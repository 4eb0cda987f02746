//! One handler's slots, and the deliveries that wait for one in the order in which they get it.

use std::collections::BTreeSet;

use crate::alert::{DeliveryId, HandlerName, Priority};
use crate::queue::types::Stay;

/// Every tenth lease goes to the oldest, so that nothing starves behind a flood of urgent ones.
const OLDEST_EVERY: u64 = 10;

/// How many leases a handler has ahead for each of its slots, and in all, while its invocations are brief. A lease takes a
/// commit, and such an invocation a small part of that time: without, its slots would be empty for most of it.
const AHEAD: (u32, u32) = (8, 64);

/// Brief invocations in a row after which it does.
pub(in crate::queue) const BRIEF_MIN: u32 = 64;

#[derive(Debug)]
pub(super) struct Slots {
    pub(super) name: HandlerName,
    /// How many may be taken at one time.
    pub(super) cap: u32,
    /// Leases given whose slot was not given back: those that have a slot, and those ahead of one.
    pub(super) leased: u32,
    /// Slots taken.
    pub(super) running: u32,
    /// Brief invocations since the last other one.
    brief: u32,
    /// Deliveries not settled whose turn is, or was last, this handler's.
    pub(super) depth: usize,
    /// By urgency, then by age.
    ready: [BTreeSet<DeliveryId>; 3],
    /// Leases given.
    turn: u64,
}

impl Slots {
    pub(super) fn new(name: HandlerName, cap: u32) -> Self {
        Self {
            name,
            cap,
            leased: 0,
            running: 0,
            brief: 0,
            depth: 0,
            ready: Default::default(),
            turn: 0,
        }
    }

    /// Returns true where a lease that is given now has a slot, or will soon.
    pub(super) fn may_lease(&self) -> bool {
        let ahead = if self.brief < BRIEF_MIN {
            0
        } else {
            self.cap.saturating_mul(AHEAD.0).min(AHEAD.1)
        };
        self.leased < self.cap.saturating_add(ahead)
    }

    /// Returns true where every slot has a lease already.
    pub(super) fn is_full(&self) -> bool {
        self.leased >= self.cap
    }

    /// Returns true where an invocation may begin.
    pub(super) fn has_slot(&self) -> bool {
        self.running < self.cap
    }

    /// Gives a slot to a delivery that is leased.
    pub(super) fn take(&mut self) {
        self.running += 1;
    }

    /// Takes back a lease that never had its slot: invocations are not brief any more.
    pub(super) fn unlease(&mut self) {
        self.leased = self.leased.saturating_sub(1);
        self.brief = 0;
    }

    /// Takes back the slot of a lease.
    pub(super) fn give_back(&mut self, stay: Stay) {
        self.running = self.running.saturating_sub(1);
        self.leased = self.leased.saturating_sub(1);
        self.brief = match stay {
            Stay::Brief => self.brief.saturating_add(1),
            Stay::Long => 0,
        };
    }

    /// As after many brief invocations.
    #[cfg(test)]
    pub(super) fn expect_brief(&mut self) {
        self.brief = BRIEF_MIN;
    }

    /// Returns true where nothing waits for a slot.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.iter().all(BTreeSet::is_empty)
    }

    pub(super) fn ready(&mut self, priority: Priority, id: DeliveryId) {
        self.ready[class(priority)].insert(id);
    }

    pub(super) fn unready(&mut self, priority: Priority, id: DeliveryId) {
        self.ready[class(priority)].remove(&id);
    }

    /// Returns true if a delivery waits for a slot.
    pub(super) fn is_ready(&self, priority: Priority, id: DeliveryId) -> bool {
        self.ready[class(priority)].contains(&id)
    }

    /// Takes out the delivery whose turn it is.
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
