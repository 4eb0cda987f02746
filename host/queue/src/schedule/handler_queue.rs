//! The deliveries that wait for one handler, and its concurrency permits.

use alert_manager_core::alert::{HandlerName, Priority};

use super::turn::{Class, Rank, Ranks, Turns};

/// One in so many permits is for critical deliveries, and at least one if there are two.
const CRITICAL_ONE_IN: u32 = 8;

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
    /// Deliveries that wait for a permit.
    waiting: Ranks,
    turns: Turns,
}

impl HandlerQueue {
    pub(super) fn new(handler: HandlerName, permits_max: u32) -> Self {
        Self {
            handler,
            permits_max,
            permits_taken: 0,
            depth: 0,
            waiting: Ranks::default(),
            turns: Turns::default(),
        }
    }

    /// Returns true if a permit is free for a delivery of this priority.
    pub(super) fn has_permit(&self, priority: Priority) -> bool {
        let kept = match priority {
            Priority::Critical => 0,
            _ if self.permits_max < 2 => 0,
            _ => (self.permits_max / CRITICAL_ONE_IN).max(1),
        };
        self.permits_taken < self.permits_max - kept
    }

    /// Returns true if a delivery of this priority that does not wait may take a permit: one is free, and no other has it first.
    pub(super) fn may_take(&self, priority: Priority) -> bool {
        let is_first = match priority {
            Priority::Critical => !self.waiting.has_critical(),
            _ => self.waiting.is_empty(),
        };
        is_first && self.has_permit(priority)
    }

    pub(super) fn push(&mut self, rank: Rank) {
        self.waiting.insert(rank);
    }

    pub(super) fn remove(&mut self, rank: Rank) -> bool {
        self.waiting.remove(rank)
    }

    pub(super) fn contains(&self, rank: Rank) -> bool {
        self.waiting.contains(rank)
    }

    /// Returns how many of those that wait run before this one.
    pub(super) fn ahead_of(&self, rank: Rank) -> usize {
        self.waiting.ahead_of(rank)
    }

    /// Returns true if a delivery waits that may have a permit.
    pub(super) fn can_pop(&self) -> bool {
        let mut firsts = self.waiting.firsts();
        firsts.any(|(priority, _)| self.has_permit(priority))
    }

    /// Takes out the delivery of a class that runs next, if it may have a permit.
    pub(super) fn pop(&mut self, class: Class) -> Option<Rank> {
        let may_have = |rank: &Rank| class.has(rank.0) && self.has_permit(rank.0);
        let firsts = self.waiting.firsts().filter(may_have);
        let rank = self.turns.pick(firsts, self.waiting.has_critical())?;
        self.turns.took(rank);
        self.waiting.remove(rank);
        Some(rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_the_permits_is_for_critical_ones_and_one_if_there_are_two() {
        for (cap, others) in [(0, 0), (1, 1), (2, 1), (3, 2), (8, 7), (15, 14), (16, 14)] {
            let mut queue = HandlerQueue::new(HandlerName::new("a"), cap);
            let mut free = |priority| {
                queue.permits_taken = 0;
                while queue.has_permit(priority) {
                    queue.permits_taken += 1;
                }
                queue.permits_taken
            };
            let (normal, warning) = (free(Priority::Normal), free(Priority::Warning));
            assert_eq!((normal, warning), (others, others), "of {cap}");
            assert_eq!(free(Priority::Critical), cap);
        }
    }
}
