//! What can be asked of the scheduler.

use crate::model::clock::Ticks;
use alert_manager_core::alert::{DeliveryId, Priority, Timestamp};

use super::{Phase, Scheduler};
use crate::model::{HandlerCounts, Left};

impl Scheduler {
    /// Returns when something becomes due by itself.
    pub(crate) fn next_due(&self, now: Ticks) -> Option<Ticks> {
        if !self.attached {
            return None;
        }
        let timer = self.timers.first().map(|(due, _)| *due);
        timer.into_iter().chain(self.alone.ends_at(now)).min()
    }

    /// Returns when the oldest that is not settled was accepted, or sent again. Not that of the first identifier: one that was
    /// sent again has its old one, and one that came while the clock was wrong has any time.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.items.values().map(|i| i.accepted_at).min()
    }

    /// Returns when the oldest critical one that is not settled was accepted.
    pub(crate) fn oldest_critical(&self) -> Option<Timestamp> {
        if self.criticals == 0 {
            return None;
        }
        self.items
            .values()
            .filter(|i| i.priority == Priority::Critical)
            .map(|i| i.accepted_at)
            .min()
    }

    /// Returns what each handler has.
    pub(crate) fn counts(&self) -> Vec<HandlerCounts> {
        let mut counts: Vec<HandlerCounts> = self
            .handlers
            .iter()
            .map(|permits| HandlerCounts {
                handler: permits.name.clone(),
                waiting: 0,
                by_priority: Default::default(),
                oldest: None,
                running: permits.taken,
            })
            .collect();
        for item in self.items.values() {
            if !item.is_leased() {
                counts[item.handler].waiting += 1;
            }
        }
        counts
    }

    /// Hands nothing out any more; returns every lease, and how far it had come.
    pub(crate) fn close(&mut self) -> Vec<(DeliveryId, Left)> {
        self.closed = true;
        self.items
            .iter()
            .filter_map(|(id, item)| match item.phase {
                Phase::Leased { started: false } => Some((*id, Left::Unbegun)),
                Phase::Leased { .. } => Some((*id, Left::UnderWay)),
                _ => None,
            })
            .collect()
    }

    /// Returns true if `grant` would lease something.
    pub(crate) fn can_grant(&self, now: Ticks) -> bool {
        if !self.attached {
            return false;
        }
        if self.timers.first().is_some_and(|(due, _)| *due <= now) {
            return true;
        }
        if self.alone.is_on(now) {
            return !self.has_one_alone();
        }
        self.handlers
            .iter()
            .any(|permits| !permits.is_idle() && permits.has_free())
    }
}
