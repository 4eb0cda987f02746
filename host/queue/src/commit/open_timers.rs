//! When the open timers are due, in memory.

use std::collections::{BTreeSet, HashMap};

use crate::model::clock::{Clock, Ticks};
use crate::model::{TIMER_DELAY_MS_MAX, TimerId};

/// How many timers become deliveries in one transaction, so that many at one time hold up nothing else.
const AT_ONCE: usize = 200;

/// What has become of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) enum TimerNews {
    /// It is set, or set anew.
    Set(TimerId, Ticks),
    /// It is not open any more.
    Gone(TimerId),
}

impl TimerNews {
    /// Returns which one it is.
    pub(super) fn id(self) -> TimerId {
        match self {
            Self::Set(id, _) | Self::Gone(id) => id,
        }
    }
}

/// When the open timers are due, on the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: HashMap<TimerId, Ticks>,
    in_order: BTreeSet<(Ticks, TimerId)>,
}

impl Timers {
    /// Takes in the timers of the store, each with when it is due, in milliseconds since 1970. The time that they have waited until
    /// the start is measured by the time of day.
    pub(super) fn restored(stored: &[(TimerId, i64)], clock: &Clock) -> Self {
        let mut timers = Self::default();
        let (now_ms, ticks) = (clock.now().as_millisecond(), clock.ticks());
        for (id, due_ms) in stored {
            let left_ms = due_ms.saturating_sub(now_ms).clamp(0, TIMER_DELAY_MS_MAX);
            timers.follow(TimerNews::Set(*id, ticks + left_ms));
        }
        timers
    }

    /// Puts a durable change into effect.
    pub(super) fn follow(&mut self, news: TimerNews) {
        let id = news.id();
        if let Some(due) = self.due.remove(&id) {
            self.in_order.remove(&(due, id));
        }
        if let TimerNews::Set(id, due) = news {
            self.due.insert(id, due);
            self.in_order.insert((due, id));
        }
    }

    /// Returns when the next timer is due.
    pub(super) fn next_due(&self) -> Option<Ticks> {
        self.in_order.first().map(|(due, _)| *due)
    }

    /// Returns timers that are due, the earliest first: as many as one transaction takes.
    pub(super) fn due(&self, now: Ticks) -> Vec<TimerId> {
        let due = self.in_order.iter().take_while(|(due, _)| *due <= now);
        due.take(AT_ONCE).map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_due_in_order_and_one_that_is_set_anew_or_gone_is_not() {
        let mut timers = Timers::default();
        let set = |id, due| TimerNews::Set(TimerId(id), due);
        for news in [set(1, 30), set(2, 10), set(3, 20), set(1, 5)] {
            timers.follow(news);
        }
        assert_eq!(timers.next_due(), Some(5));
        assert_eq!(timers.due(4), []);
        assert_eq!(timers.due(20), [1, 2, 3].map(TimerId));
        timers.follow(TimerNews::Gone(TimerId(2)));
        // One that was never known.
        timers.follow(TimerNews::Gone(TimerId(7)));
        assert_eq!(timers.due(Ticks::MAX), [1, 3].map(TimerId));
        for id in 10..1_000 {
            timers.follow(set(id, 40));
        }
        assert_eq!(timers.due(50).len(), AT_ONCE);
    }
}
