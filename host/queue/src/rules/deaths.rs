//! Decides which deaths are reported, and which of them together.
//!
//! The first few deaths of a class have a notice each. The others, and those that cannot be reported now, are gathered and reported
//! together later. So every death is reported, and a storm of deaths makes only a few messages.

use std::collections::HashMap;

use alert_manager_core::alert::{DeliveryId, HandlerName, Status, is_dead_letter_route};
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::model::{Delivery, NOTICES_A_WINDOW_MAX, Reason, join_handlers, split_handlers};

/// How long deaths are gathered before they are reported together, in milliseconds.
pub(crate) const WINDOW_MS: Ticks = 60_000;

/// The prefix of a notice's class. It sorts after all classes of deaths, so that notices do not delay deaths.
const NOTICE: &str = "way,";

/// Returns true if a death is to be reported. A cancellation is not: the person who cancelled knows. A notice takes its next way
/// instead. A delivery that dies again after a re-send has revived it was reported already.
pub(crate) fn should_report(reason: Reason, dead: &Delivery) -> bool {
    let is_first = dead.first_died_at.is_none() || dead.first_died_at == dead.settled_at;
    reason.is_dead_letter() && !is_dead_letter_route(&dead.route) && is_first
}

/// Returns true if a notice has died and is to take its next way. One that was cancelled is not: a person has read it.
pub(crate) fn should_follow(reason: Reason, dead: &Delivery) -> bool {
    reason.is_dead_letter()
        && is_dead_letter_route(&dead.route)
        && dead.status == Status::Firing.as_str()
}

/// Returns true if a death is reported in a notice about many, however few there are: what passes its age does so by the
/// thousand, and none of it is worth a message of its own.
pub(crate) fn is_never_alone(reason: Reason) -> bool {
    reason == Reason::Expired
}

/// By what deaths are reported together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) reason: Reason,
    /// What they waited for, if they were not done in time.
    pub(crate) waited_for: Option<String>,
    pub(crate) handlers: Vec<HandlerName>,
}

/// Returns the class of a death, by which deaths are reported together: why it died, what it waited for, and its pipeline. Each
/// message has a gate of its own, so they are not told apart.
pub(crate) fn class_of(
    reason: Reason,
    waited_for: Option<&str>,
    handlers: &[HandlerName],
) -> String {
    let waited_for = waited_for.map(|gate| match gate.parse() {
        Ok(GateName::SlackMessage(_)) => format!(" {}", GateName::SlackUpdates),
        _ => format!(" {}", gate.replace(',', " ")),
    });
    format!(
        "{reason}{}{}",
        waited_for.unwrap_or_default(),
        join_handlers(handlers)
    )
}

/// The opposite of [`class_of`].
pub(crate) fn parse_class(class: &str) -> Class {
    let (reason, handlers) = class.split_once(',').unwrap_or((class, ""));
    let (reason, waited_for) = match reason.split_once(' ') {
        Some((reason, waited_for)) => (reason, Some(waited_for.to_owned())),
        None => (reason, None),
    };
    Class {
        reason: reason.parse().unwrap_or(Reason::Failed),
        waited_for,
        handlers: split_handlers(handlers),
    }
}

/// Returns the class of a notice that is to be looked at again. No other has the same.
pub(crate) fn class_of_notice(id: DeliveryId) -> String {
    format!("{NOTICE}{}", id.as_raw())
}

/// How many notices of each class there were lately, and when unreported deaths are reported. The deaths are in the store.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    windows: HashMap<String, Window>,
    /// When the unreported deaths are to be reported; absent if there are none.
    due: Option<Ticks>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Ticks,
    notices: u32,
}

impl Window {
    fn is_over(self, now: Ticks) -> bool {
        now - self.since >= WINDOW_MS
    }
}

impl Reports {
    /// Returns no notices. Unreported deaths in the store are due at once.
    pub(crate) fn new(is_unreported: bool) -> Self {
        Self {
            windows: HashMap::new(),
            due: is_unreported.then_some(0),
        }
    }

    /// Returns when the unreported deaths are to be reported; nothing if there are none.
    pub(crate) fn due(&self) -> Option<Ticks> {
        self.due
    }

    /// Sets when the unreported deaths are to be reported.
    pub(crate) fn set_due(&mut self, due: Option<Ticks>) {
        self.due = due;
    }

    /// Counts a notice of a class; returns false if the class has had as many as its window allows.
    pub(crate) fn try_count(&mut self, class: &str, now: Ticks) -> bool {
        match self.windows.get_mut(class) {
            Some(window) if !window.is_over(now) => {
                let free = window.notices < NOTICES_A_WINDOW_MAX;
                window.notices += u32::from(free);
                free
            }
            _ => {
                self.count(class, now, 1);
                true
            }
        }
    }

    /// Uncounts a notice that was not stored.
    pub(crate) fn uncount(&mut self, class: &str) {
        if let Some(window) = self.windows.get_mut(class) {
            window.notices = window.notices.saturating_sub(1);
        }
    }

    /// Undoes a transaction that was rolled back: `noticed` are the classes of its notices, and what it reported together is
    /// unreported again.
    pub(crate) fn rollback(&mut self, noticed: &[String], now: Ticks) {
        for class in noticed {
            self.uncount(class);
        }
        self.gathered(now);
    }

    /// Begins a window of a class, with a number of notices.
    pub(crate) fn count(&mut self, class: &str, now: Ticks, notices: u32) {
        let window = Window {
            since: now,
            notices,
        };
        self.windows.insert(class.to_owned(), window);
    }

    /// Records that there are unreported deaths, to be reported after [`WINDOW_MS`] at the latest.
    pub(crate) fn gathered(&mut self, now: Ticks) {
        let due = now + WINDOW_MS;
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    /// Forgets windows that are over.
    pub(crate) fn forget(&mut self, now: Ticks) {
        self.windows.retain(|_, window| !window.is_over(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_waited_for_different_messages_are_reported_together() {
        let class = |gate| class_of(Reason::Expired, Some(gate), &[HandlerName::new("a")]);
        assert_eq!(class("slack message C1 1.5"), class("slack message C2 2.5"));
        let waited_for = parse_class(&class("slack message C1 1.5")).waited_for;
        assert_eq!(waited_for.as_deref(), Some("slack updates"));
        assert_ne!(class("slack channel a"), class("slack channel b"));
    }

    #[test]
    fn a_class_is_read_as_it_was_written() {
        let handlers = [HandlerName::new("a"), HandlerName::new("b")];
        for reason in Reason::ALL {
            for handlers in [&handlers[..], &[]] {
                for waited_for in [None, Some("slack channel #on call")] {
                    let class = class_of(reason, waited_for, handlers);
                    let expected = Class {
                        reason,
                        waited_for: waited_for.map(str::to_owned),
                        handlers: handlers.to_vec(),
                    };
                    assert_eq!(parse_class(&class), expected);
                    assert!(class < class_of_notice(DeliveryId::from_raw(1)), "{class}");
                }
            }
        }
    }

    #[test]
    fn a_window_has_room_for_a_few_notices_of_each_class() {
        let mut reports = Reports::new(false);
        let taken =
            |reports: &mut Reports, now| (0..9).filter(|_| reports.try_count("a", now)).count();
        assert_eq!(taken(&mut reports, 0), NOTICES_A_WINDOW_MAX as usize);
        assert!(reports.try_count("b", 0));
        reports.uncount("a");
        assert_eq!(taken(&mut reports, 0), 1);
        assert_eq!(
            taken(&mut reports, WINDOW_MS),
            NOTICES_A_WINDOW_MAX as usize
        );
        assert_eq!(reports.due(), None);
        reports.gathered(5);
        reports.gathered(9);
        assert_eq!(reports.due(), Some(5 + WINDOW_MS));
    }
}
