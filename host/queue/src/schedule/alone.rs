//! Runs alone what may have made the server die, so that the next death shows which delivery it was.
//!
//! Several deliveries run when a server dies, and one of them may be the reason. A death counts only against a delivery that
//! ran alone. After a death among several, each of them is a suspect: after the start, suspects run one at a time, with
//! nothing beside them, the most suspected first. A suspect whose lease ends is none any more. That takes [`ALONE_FOR`] at
//! most from when a worker first asks for a delivery, twice as long for each further death: then everything runs again,
//! whether or not all suspects have run. So suspects that are only slow do not hold up a start for long, and the one that is the
//! reason is found after a few deaths, because it comes ever earlier in a time that grows.

use std::cmp::Reverse;

use crate::model::clock::Ticks;
use alert_manager_core::alert::DeliveryId;

use super::{Grant, Scheduler};

/// How long only suspects run after a start, after the first death among several, in milliseconds.
pub(crate) const ALONE_FOR: Ticks = 10_000;

/// It is doubled this often at most: to just under three hours.
const DOUBLED_MAX: u32 = 10;

/// What is to run alone, and until when.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// The most suspected first.
    suspects: Vec<(Reverse<u32>, DeliveryId)>,
    /// How long only suspects are to run, in milliseconds.
    lasts: Ticks,
    /// The end of that time, once it has begun.
    until: Option<Ticks>,
    /// The suspect that runs, or was the last to run.
    running: Option<DeliveryId>,
}

impl Alone {
    /// Adds a suspect, at the start.
    pub(super) fn suspect(&mut self, id: DeliveryId, suspected: u32) {
        let suspect = (Reverse(suspected), id);
        let place = self.suspects.partition_point(|other| *other < suspect);
        self.suspects.insert(place, suspect);
        let lasts = ALONE_FOR << (suspected - 1).min(DOUBLED_MAX);
        self.lasts = self.lasts.max(lasts);
    }

    /// Begins the time in which only suspects run, if there are any.
    pub(super) fn begin(&mut self, now: Ticks) {
        self.until = (self.lasts > 0).then_some(now + self.lasts);
    }

    /// Returns true while only suspects run.
    pub(super) fn is_on(&self, now: Ticks) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Returns when everything runs again, if that is not so yet.
    pub(super) fn ends_at(&self, now: Ticks) -> Option<Ticks> {
        self.until.filter(|until| now < *until)
    }
}

impl Scheduler {
    /// Leases the next suspect, if none runs. If none can run now, everything runs again.
    pub(super) fn grant_alone(&mut self) -> Option<Grant> {
        if self.has_one_alone() {
            return None;
        }
        let next = self.alone.suspects.iter().find_map(|(_, id)| {
            let item = self.items.get(id).filter(|item| item.suspected > 0)?;
            let permits = &self.handlers[item.handler];
            let may_run = permits.ready.contains((item.rank, *id)) && permits.has_free(item.rank);
            may_run.then_some(*id)
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
