//! When the open timers are due, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alert_manager_core::alert::HandlerName;

use crate::model::clock::{Clock, Ticks};
use crate::model::{TIMER_DELAY_MS_MAX, TimerId};

/// How many timers become deliveries in one transaction, so that many at one time hold up nothing else.
const AT_ONCE: usize = 200;

/// How long the timers of a handler wait that has half of the queue already, in milliseconds.
const FULL_WAIT_MS: Ticks = 1_000;

/// What has become of timers.
#[derive(Clone, Debug)]
pub(super) enum TimerNews {
    /// One is set, or set anew.
    Set(TimerId, HandlerName, Ticks),
    /// One is not open any more.
    Gone(TimerId),
    /// Half of the queue waits for this handler already: its timers that are due stay open, and are looked at again later.
    Full(HandlerName),
}

impl TimerNews {
    /// Returns which one it is about; nothing if it is about all of a handler.
    pub(super) fn id(&self) -> Option<TimerId> {
        match self {
            Self::Set(id, ..) | Self::Gone(id) => Some(*id),
            Self::Full(_) => None,
        }
    }
}

/// When the open timers are due, on the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: HashMap<TimerId, (HandlerName, Ticks)>,
    by_handler: BTreeMap<HandlerName, OfHandler>,
}

/// The open timers of one handler.
#[derive(Debug, Default)]
struct OfHandler {
    in_order: BTreeSet<(Ticks, TimerId)>,
    /// Before this, none of them becomes a delivery.
    not_before: Ticks,
}

impl OfHandler {
    /// Returns when the next one becomes a delivery.
    fn next_due(&self) -> Option<Ticks> {
        let (due, _) = self.in_order.first()?;
        Some(self.not_before.max(*due))
    }
}

impl Timers {
    /// Takes in the timers of the store, each with its handler and when it is due, in milliseconds since 1970. The time that they
    /// have waited until the start is measured by the time of day.
    pub(super) fn restored(stored: &[(TimerId, HandlerName, i64)], clock: &Clock) -> Self {
        let mut timers = Self::default();
        let (now_ms, ticks) = (clock.now().as_millisecond(), clock.ticks());
        for (id, handler, due_ms) in stored {
            let left_ms = due_ms.saturating_sub(now_ms).clamp(0, TIMER_DELAY_MS_MAX);
            // The timers of a handler share its name.
            let known = timers.by_handler.get_key_value(handler);
            let handler = known.map_or(handler, |(handler, _)| handler).clone();
            timers.follow(&TimerNews::Set(*id, handler, ticks + left_ms), ticks);
        }
        timers
    }

    /// Puts a durable change into effect.
    pub(super) fn follow(&mut self, news: &TimerNews, now: Ticks) {
        match news {
            TimerNews::Set(id, handler, due) => {
                self.remove(*id);
                self.due.insert(*id, (handler.clone(), *due));
                let own = self.by_handler.entry(handler.clone()).or_default();
                own.in_order.insert((*due, *id));
            }
            TimerNews::Gone(id) => self.remove(*id),
            TimerNews::Full(handler) => {
                if let Some(own) = self.by_handler.get_mut(handler) {
                    own.not_before = now + FULL_WAIT_MS;
                }
            }
        }
    }

    fn remove(&mut self, id: TimerId) {
        let Some((handler, due)) = self.due.remove(&id) else {
            return;
        };
        if let Some(own) = self.by_handler.get_mut(&handler) {
            own.in_order.remove(&(due, id));
            if own.in_order.is_empty() {
                self.by_handler.remove(&handler);
            }
        }
    }

    /// Returns when the next timer becomes a delivery.
    pub(super) fn next_due(&self) -> Option<Ticks> {
        self.by_handler
            .values()
            .filter_map(OfHandler::next_due)
            .min()
    }

    /// Returns timers that are due, the earliest of each handler first: as many as one transaction takes.
    pub(super) fn due(&self, now: Ticks) -> Vec<TimerId> {
        let ready = self.by_handler.values().filter(|own| own.not_before <= now);
        let due = ready.flat_map(|own| {
            own.in_order
                .iter()
                .take_while(|(due, _)| *due <= now)
                .take(AT_ONCE)
        });
        let mut due: Vec<_> = due.copied().collect();
        due.sort_unstable();
        due.truncate(AT_ONCE);
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Returns how many are open, by handler.
    pub(super) fn counts(&self) -> BTreeMap<HandlerName, usize> {
        let each = self.by_handler.iter();
        each.map(|(handler, own)| (handler.clone(), own.in_order.len()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(id: i64, handler: &str, due: Ticks) -> TimerNews {
        TimerNews::Set(TimerId(id), HandlerName::new(handler), due)
    }

    #[test]
    fn timers_are_due_in_order_and_one_that_is_set_anew_or_gone_is_not() {
        let mut timers = Timers::default();
        for news in [
            set(1, "a", 30),
            set(2, "a", 10),
            set(3, "b", 20),
            set(1, "a", 5),
        ] {
            timers.follow(&news, 0);
        }
        assert_eq!(timers.next_due(), Some(5));
        assert_eq!(timers.due(4), []);
        assert_eq!(timers.due(20), [1, 2, 3].map(TimerId));
        timers.follow(&TimerNews::Gone(TimerId(2)), 0);
        // One that was never known.
        timers.follow(&TimerNews::Gone(TimerId(7)), 0);
        assert_eq!(timers.due(Ticks::MAX), [1, 3].map(TimerId));
        for id in 10..1_000 {
            timers.follow(&set(id, "a", 40), 0);
        }
        assert_eq!(timers.due(50).len(), AT_ONCE);
        let counts = timers.counts();
        assert_eq!(counts[&HandlerName::new("a")], 991);
        assert_eq!(counts[&HandlerName::new("b")], 1);
    }

    #[test]
    fn the_timers_of_a_handler_without_room_wait_and_hold_up_no_other() {
        let mut timers = Timers::default();
        for id in 0..1_000 {
            timers.follow(&set(id, "full", 1), 0);
        }
        timers.follow(&set(1_000, "other", 2), 0);
        timers.follow(&TimerNews::Full(HandlerName::new("full")), 10);
        assert_eq!(timers.due(10), [TimerId(1_000)]);
        assert_eq!(timers.next_due(), Some(2));
        timers.follow(&TimerNews::Gone(TimerId(1_000)), 10);
        assert_eq!(timers.due(10), []);
        assert_eq!(timers.next_due(), Some(10 + FULL_WAIT_MS));
        assert_eq!(timers.due(10 + FULL_WAIT_MS).len(), AT_ONCE);
    }
}
