//! Which is next among deliveries that wait for the same: for a permit of a handler, or for a token of a gate.

use std::collections::BTreeSet;

use alert_manager_core::alert::{DeliveryId, Priority};

/// Every so many turns of deliveries that are not critical, the oldest of these has it, so that none starves behind more urgent ones.
const OLDEST_EVERY: u64 = 10;

/// How urgent a delivery is, and then its age: the least has the first turn. The priority is the highest of its ordering key.
pub(super) type Rank = (Priority, DeliveryId);

/// Which deliveries a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Critical,
    Others,
}

impl Class {
    /// In the order in which they have their turns.
    pub(super) const ALL: [Self; 2] = [Self::Critical, Self::Others];

    pub(super) fn has(self, priority: Priority) -> bool {
        (priority == Priority::Critical) == (self == Self::Critical)
    }
}

/// Counts the turns of deliveries that are not critical.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns(u64);

impl Turns {
    /// Returns the one that is next. While a critical one waits, nobody has a turn for its age.
    pub(super) fn pick(
        self,
        among: impl IntoIterator<Item = Rank>,
        critical_waits: bool,
    ) -> Option<Rank> {
        let is_oldest_s = self.0 % OLDEST_EVERY == OLDEST_EVERY - 1 && !critical_waits;
        let order = |(priority, id): &Rank| match *priority {
            Priority::Critical => (Priority::Critical, *id),
            _ if is_oldest_s => (Priority::Warning, *id),
            other => (other, *id),
        };
        among.into_iter().min_by_key(order)
    }

    /// Notes that this one has had its turn.
    pub(super) fn took(&mut self, rank: Rank) {
        self.0 += u64::from(rank.0 != Priority::Critical);
    }
}

/// Deliveries that wait, by priority and then by age.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks([BTreeSet<DeliveryId>; 3]);

impl Ranks {
    pub(super) fn insert(&mut self, rank: Rank) {
        self.0[index(rank.0)].insert(rank.1);
    }

    pub(super) fn remove(&mut self, rank: Rank) -> bool {
        self.0[index(rank.0)].remove(&rank.1)
    }

    pub(super) fn contains(&self, rank: Rank) -> bool {
        self.0[index(rank.0)].contains(&rank.1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }

    pub(super) fn has_critical(&self) -> bool {
        !self.0[index(Priority::Critical)].is_empty()
    }

    /// Returns the first of each priority.
    pub(super) fn firsts(&self) -> impl Iterator<Item = Rank> {
        let of = |priority: Priority| self.0[index(priority)].first().map(|id| (priority, *id));
        Priority::ALL.into_iter().filter_map(of)
    }

    /// Returns how many have their turn before this one, but for those that are older and less urgent.
    pub(super) fn ahead_of(&self, rank: Rank) -> usize {
        let place = index(rank.0);
        let more_urgent: usize = self.0[..place].iter().map(BTreeSet::len).sum();
        more_urgent + self.0[place].range(..rank.1).count()
    }

    /// Returns all of them, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = Rank> {
        let of = |priority: Priority| {
            let ids = self.0[index(priority)].iter();
            ids.map(move |id| (priority, *id))
        };
        Priority::ALL.into_iter().flat_map(of)
    }
}

fn index(priority: Priority) -> usize {
    match priority {
        Priority::Critical => 0,
        Priority::Warning => 1,
        Priority::Normal => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(priority: Priority, id: i64) -> Rank {
        (priority, DeliveryId::from_raw(id))
    }

    #[test]
    fn the_most_urgent_has_its_turn_and_every_tenth_of_the_others_the_oldest() {
        use Priority::{Critical, Normal, Warning};
        let waiting = [rank(Warning, 3), rank(Normal, 1), rank(Warning, 2)];
        let with_critical = [rank(Normal, 1), rank(Critical, 9), rank(Critical, 8)];
        let mut turns = Turns::default();
        for turn in 1..=30 {
            let expected = match turn % 10 {
                0 => rank(Normal, 1),
                _ => rank(Warning, 2),
            };
            let urgent = turns.pick(with_critical, true);
            assert_eq!(urgent, Some(rank(Critical, 8)));
            assert_eq!(turns.pick(waiting, true), Some(rank(Warning, 2)));
            // A turn of a critical one does not count.
            turns.took(rank(Critical, 8));
            assert_eq!(turns.pick(waiting, false), Some(expected), "turn {turn}");
            turns.took(expected);
        }
        assert_eq!(turns.pick([], false), None);
    }

    #[test]
    fn what_waits_is_counted_by_how_urgent_and_old_it_is() {
        use Priority::{Critical, Normal, Warning};
        let mut ranks = Ranks::default();
        let all = [
            rank(Critical, 7),
            rank(Warning, 2),
            rank(Warning, 5),
            rank(Normal, 1),
        ];
        for rank in all.iter().rev() {
            ranks.insert(*rank);
        }
        assert!(ranks.all().eq(all));
        assert!(ranks.firsts().eq([all[0], all[1], all[3]]));
        for (place, rank) in all.into_iter().enumerate() {
            assert_eq!(ranks.ahead_of(rank), place);
        }
        assert!(ranks.has_critical() && ranks.remove(all[0]) && !ranks.remove(all[0]));
        assert!(!ranks.has_critical());
        assert!(ranks.all().eq(all[1..].iter().copied()));
    }
}
