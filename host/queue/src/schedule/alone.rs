//! Runs deliveries alone that may have crashed the server, so that the next crash shows which one it was.
//!
//! If the server dies while several deliveries run, any of them may be the cause. A death counts only against a delivery that ran
//! alone; if there were several, each of them becomes a suspect. After the restart, suspects run one at a time, the most suspected
//! first, and nothing else runs. A suspect whose lease ends is no longer one. This phase takes at most [`ALONE_FOR`] from when a
//! worker first asks for a delivery, doubled for each further death; then everything runs again, whether or not all suspects have
//! run. So slow suspects do not delay a start for long, and the cause is found after a few deaths, since it comes first among the
//! suspects while the phase gets longer.

use std::cmp::Reverse;

use alert_manager_core::alert::DeliveryId;

use crate::model::Grant;
use crate::model::clock::Ticks;

use super::Scheduler;

/// How long only suspects run, in milliseconds, after the first death.
pub(crate) const ALONE_FOR: Ticks = 10_000;

/// How often [`ALONE_FOR`] is doubled at most: to just under three hours.
const DOUBLED_MAX: u32 = 10;

/// The suspects, and the phase in which only they run.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// The most suspected first.
    suspects: Vec<(Reverse<u32>, DeliveryId)>,
    /// How long the phase is to last, in milliseconds; 0 if there are no suspects.
    lasts: Ticks,
    /// The end of the phase, once it has begun.
    until: Option<Ticks>,
    /// The suspect that was leased last.
    running: Option<DeliveryId>,
}

impl Alone {
    /// Adds a suspect, before the phase begins.
    pub(super) fn suspect(&mut self, id: DeliveryId, suspected: u32) {
        let suspect = (Reverse(suspected), id);
        let index = self.suspects.partition_point(|other| *other < suspect);
        self.suspects.insert(index, suspect);
        let lasts = ALONE_FOR << (suspected - 1).min(DOUBLED_MAX);
        self.lasts = self.lasts.max(lasts);
    }

    /// Begins the phase, if there are suspects.
    pub(super) fn begin(&mut self, now: Ticks) {
        self.until = (self.lasts > 0).then_some(now + self.lasts);
    }

    /// Returns true while only suspects run.
    pub(super) fn is_on(&self, now: Ticks) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Returns the end of the phase; nothing if it is over, or has not begun.
    pub(super) fn ends_at(&self, now: Ticks) -> Option<Ticks> {
        self.until.filter(|until| now < *until)
    }
}

impl Scheduler {
    /// Leases the next suspect, if none runs. If no suspect can run now, the phase ends.
    pub(super) fn grant_alone(&mut self) -> Option<Grant> {
        if self.has_one_alone() {
            return None;
        }
        let next = self.alone.suspects.iter().find_map(|(_, id)| {
            let item = self.items.get(id).filter(|item| item.suspected > 0)?;
            let queue = &self.handlers[item.handler];
            (queue.contains((item.rank, *id)) && queue.has_permit(item.rank)).then_some(*id)
        });
        let Some(id) = next else {
            self.alone.until = None;
            return None;
        };
        self.dequeue(id);
        self.alone.running = Some(id);
        Some(self.grant_one(id))
    }

    /// Returns true if a suspect runs.
    pub(super) fn has_one_alone(&self) -> bool {
        let running = self.alone.running.and_then(|id| self.items.get(&id));
        running.is_some_and(super::Item::is_leased)
    }
}
