//! Queries of the scheduler.

use crate::model::clock::Ticks;
use alert_manager_core::alert::{DeliveryId, Priority, Timestamp};

use crate::model::{Abandoned, HandlerCounts};

use super::{Phase, Scheduler};

impl Scheduler {
    /// Returns when the next delivery becomes due by its timer, or when all deliveries may run again.
    pub(crate) fn next_due(&self, now: Ticks) -> Option<Ticks> {
        if !self.attached {
            return None;
        }
        let timer = self.timers.first().map(|(due, _)| *due);
        timer.into_iter().chain(self.alone.ends_at(now)).min()
    }

    /// Returns when the oldest delivery that is not settled was accepted, or retried by a person. That need not be the one with the
    /// lowest identifier: a retried delivery keeps its identifier, and the system's clock may have been wrong.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.items.values().map(|i| i.accepted_at).min()
    }

    /// As [`Self::oldest`], of critical deliveries alone.
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

    /// Returns how many deliveries of each handler wait and run.
    pub(crate) fn counts(&self) -> Vec<HandlerCounts> {
        let mut counts: Vec<HandlerCounts> = self
            .handlers
            .iter()
            .map(|queue| HandlerCounts {
                handler: queue.handler.clone(),
                waiting: 0,
                running: queue.permits_taken,
            })
            .collect();
        for item in self.items.values() {
            if !item.is_leased() {
                counts[item.handler].waiting += 1;
            }
        }
        counts
    }

    /// Stops starting deliveries; returns every lease, and whether a worker had started it.
    pub(crate) fn close(&mut self) -> Vec<(DeliveryId, Abandoned)> {
        self.closed = true;
        self.items
            .iter()
            .filter_map(|(id, item)| match item.phase {
                Phase::Leased { started: false } => Some((*id, Abandoned::NotStarted)),
                Phase::Leased { .. } => Some((*id, Abandoned::Started)),
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
            .any(|queue| !queue.is_empty() && queue.has_permit())
    }
}
