//! One handler's concurrency permits, and the deliveries that wait for one in the order in which they get it.

use alert_manager_core::alert::{HandlerName, Priority};

use super::turn::{Class, Rank, Ranks, Turns};

/// One in so many permits is for critical deliveries, and at least one if there are two.
const CRITICAL_ONE_IN: u32 = 8;

#[derive(Debug)]
pub(super) struct Permits {
    pub(super) name: HandlerName,
    /// How many may be taken at one time.
    pub(super) cap: u32,
    /// How many are taken, from when a lease is given.
    pub(super) taken: u32,
    /// Deliveries not settled whose next step, or last one, is this handler's.
    pub(super) depth: usize,
    pub(super) ready: Ranks,
    turns: Turns,
}

impl Permits {
    pub(super) fn new(name: HandlerName, cap: u32) -> Self {
        Self {
            name,
            cap,
            taken: 0,
            depth: 0,
            ready: Ranks::default(),
            turns: Turns::default(),
        }
    }

    /// Returns true if one is free for a delivery of this priority.
    pub(super) fn has_free(&self, priority: Priority) -> bool {
        let kept = match priority {
            Priority::Critical => 0,
            _ if self.cap < 2 => 0,
            _ => (self.cap / CRITICAL_ONE_IN).max(1),
        };
        self.taken < self.cap - kept
    }

    /// Returns true if a delivery that does not wait for a permit may take one: one is free, and no other has it first.
    pub(super) fn may_take(&self, priority: Priority) -> bool {
        let is_first = match priority {
            Priority::Critical => !self.ready.has_critical(),
            _ => self.ready.is_empty(),
        };
        is_first && self.has_free(priority)
    }

    /// Returns true if a delivery waits for a permit, and may have it.
    pub(super) fn can_pick(&self) -> bool {
        self.ready
            .firsts()
            .any(|(priority, _)| self.has_free(priority))
    }

    /// Takes out the delivery of a class that runs next, if it may have a permit.
    pub(super) fn pick(&mut self, class: Class) -> Option<Rank> {
        let may_have = |rank: &Rank| class.has(*rank) && self.has_free(rank.0);
        let firsts = self.ready.firsts().filter(may_have);
        let rank = self.turns.pick(firsts, self.ready.has_critical())?;
        self.turns.took(rank);
        self.ready.remove(rank);
        Some(rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_the_permits_is_for_critical_ones_and_one_if_there_are_two() {
        for (cap, others) in [(0, 0), (1, 1), (2, 1), (3, 2), (8, 7), (15, 14), (16, 14)] {
            let mut permits = Permits::new(HandlerName::new("a"), cap);
            let mut free = |priority| {
                permits.taken = 0;
                while permits.has_free(priority) {
                    permits.taken += 1;
                }
                permits.taken
            };
            let (normal, warning) = (free(Priority::Normal), free(Priority::Warning));
            assert_eq!((normal, warning), (others, others), "of {cap}");
            assert_eq!(free(Priority::Critical), cap);
        }
    }
}
