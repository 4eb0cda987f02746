//! Which events the table of events cannot have, known without a look at it.
//!
//! A new event is looked up to see that it is new, anywhere in a table that is larger than the cache. What this process
//! has written is known here, but for a few mistakes, each of which costs a look; what an earlier one has written began no
//! later than the last of its events.

use fastbloom::BloomFilter;

use super::gathered::Key;

/// Events that the first filter is made for, and the largest: each is twice as large as the one before, and all of them
/// take 10 MB.
#[cfg(not(test))]
const ROOM: (usize, usize) = (1 << 17, 1 << 22);
#[cfg(test)]
const ROOM: (usize, usize) = (2, 8);

/// How often one filter says that the table may have what it has not; of six full ones, one in seventeen times one does.
const FALSE_POSITIVES: f64 = 0.01;

/// Knows what the table cannot have.
#[derive(Debug)]
pub(super) struct Filter {
    /// Everything that began later, in nanoseconds since 1970, is in the filters where the table has it.
    since: i64,
    /// The latest start of all that the table has.
    latest: i64,
    filters: Vec<BloomFilter>,
    /// How many more the last of them is made for.
    room: usize,
}

impl Filter {
    /// Returns the filter of a table of which nothing began after `since` but what is then inserted.
    pub(super) fn new(since: i64) -> Self {
        Self {
            since,
            latest: since,
            filters: Vec::new(),
            room: 0,
        }
    }

    /// Returns false where the table has no event of the same start.
    pub(super) fn may_have(&self, key: Key) -> bool {
        let (starts_at, fingerprint) = key.start();
        starts_at <= self.since
            || self
                .filters
                .iter()
                .any(|filter| filter.contains(&(starts_at, fingerprint)))
    }

    /// Notes that the table gets an event; one that did not get there, and is tried again, takes no more room.
    pub(super) fn insert(&mut self, key: Key) {
        if self.room == 0 {
            self.grow();
        }
        let (starts_at, fingerprint) = key.start();
        self.latest = self.latest.max(starts_at);
        if let Some(filter) = self.filters.last_mut()
            && !filter.insert(&(starts_at, fingerprint))
        {
            self.room -= 1;
        }
    }

    fn grow(&mut self) {
        self.room = ROOM.0 << self.filters.len();
        if self.room > ROOM.1 {
            // Enough memory: what came so far is looked up, like that of an earlier process.
            self.since = self.latest;
            self.filters.clear();
            self.room = ROOM.0;
        }
        let filter = BloomFilter::with_false_pos(FALSE_POSITIVES);
        self.filters.push(filter.expected_items(self.room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Event, Fingerprint, Occurrence, Status};
    use crate::queue::clock::from_nanos;

    fn key(starts_at: i64, fingerprint: u64, status: Status) -> Key {
        Key::from(Event {
            fingerprint: Fingerprint(fingerprint),
            starts_at: from_nanos(starts_at),
            status,
            occurrence: Occurrence::FIRST,
        })
    }

    #[test]
    fn what_the_table_has_is_never_denied() {
        let mut filter = Filter::new(50);
        assert!(
            filter.may_have(key(50, 1, Status::Firing)),
            "an earlier process may have written it"
        );
        // Past what all filters are made for, in no order.
        let event = |n: i64, status| key(51 + n * 37 % 100, n.unsigned_abs(), status);
        for n in 0..100 {
            filter.insert(event(n, Status::Firing));
            for known in 0..=n {
                let known = event(known, Status::Resolved);
                assert!(filter.may_have(known), "after {n}");
            }
        }
    }

    #[test]
    fn what_is_tried_again_takes_no_room() {
        let mut filter = Filter::new(0);
        for _ in 0..1_000 {
            filter.insert(key(7, 1, Status::Firing));
        }
        assert!(
            !filter.may_have(key(6, 2, Status::Firing)),
            "nothing was given up"
        );
    }

    #[test]
    fn most_of_what_is_new_needs_no_look() {
        let mut filter = Filter::new(i64::MIN);
        for n in 0..14 {
            filter.insert(key(7, n, Status::Firing));
        }
        let looked_at = (1_000..2_000).filter(|n| filter.may_have(key(7, *n, Status::Firing)));
        assert!(looked_at.count() < 200);
    }
}
