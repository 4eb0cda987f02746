//! Queries of the scheduler.

use std::ops::Bound;

use crate::model::clock::Ticks;
use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::{Abandoned, Waiting, Waits, WaitsFor};

use super::handler_queue::HandlerQueue;
use super::{Item, Phase, Scheduler};

/// Where deliveries are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// From the newest one on to older ones.
    Newest,
    /// Among those with a smaller identifier, to smaller ones.
    Before(DeliveryId),
    /// Among those with a larger identifier, to larger ones.
    After(DeliveryId),
}

impl Scheduler {
    /// Returns when the next delivery becomes due by its timer, or when all deliveries may run again.
    pub(crate) fn next_due(&self, now: Ticks) -> Option<Ticks> {
        if !self.attached {
            return None;
        }
        let timer = self.timers.first().map(|(due, _)| *due);
        // While suspects run alone, nobody has a turn.
        let next = match self.alone.ends_at(now) {
            Some(ends_at) => Some(ends_at),
            None => self.gates.next_due(now),
        };
        timer
            .into_iter()
            .chain(next)
            .chain(self.storms_looked_at())
            .min()
    }

    /// Returns what kind of thing a delivery waits for; nothing if it is leased.
    pub(super) fn waits(&self, id: DeliveryId, item: &Item, now: Ticks) -> Option<Waits> {
        match item.phase {
            Phase::Member { .. } => Some(Waits::Representative),
            _ if item.is_leased() => None,
            _ if item.at_gate.is_some() => Some(Waits::Gate),
            _ if item.due > now => Some(Waits::Time),
            _ if self.handlers[item.handler].contains((item.rank, id)) => Some(Waits::Permit),
            _ => Some(Waits::Others),
        }
    }

    /// Looks at `count_max` deliveries at most, from `from` on to larger identifiers or to smaller ones. Returns those that wait for
    /// this, in that order, and the last one that was looked at if there are more.
    pub(crate) fn waiting_for_kind(
        &self,
        waits: Waits,
        from: From,
        count_max: usize,
        now: Ticks,
    ) -> (Vec<DeliveryId>, Option<DeliveryId>) {
        let after = |id| (Bound::Excluded(id), Bound::Unbounded);
        match from {
            From::Newest => self.look(waits, self.items.iter().rev(), count_max, now),
            From::Before(id) => self.look(waits, self.items.range(..id).rev(), count_max, now),
            From::After(id) => self.look(waits, self.items.range(after(id)), count_max, now),
        }
    }

    fn look<'s>(
        &self,
        waits: Waits,
        mut items: impl Iterator<Item = (&'s DeliveryId, &'s Item)>,
        count_max: usize,
        now: Ticks,
    ) -> (Vec<DeliveryId>, Option<DeliveryId>) {
        let (mut found, mut last) = (Vec::new(), None);
        for (id, item) in items.by_ref().take(count_max) {
            last = Some(*id);
            if self.waits(*id, item, now) == Some(waits) {
                found.push(*id);
            }
        }
        (found, last.filter(|_| items.next().is_some()))
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
        let has_permit = |handler: usize, priority| self.handlers[handler].has_permit(priority);
        self.handlers.iter().any(HandlerQueue::can_pop) || self.gates.can_pick(now, has_permit)
    }

    /// Returns what a delivery waits for; nothing if it does not wait. `at` gives a moment of the schedule as the time of day.
    pub(crate) fn waiting(
        &self,
        id: DeliveryId,
        now: Ticks,
        at: impl Fn(Ticks) -> Timestamp,
    ) -> Option<Waiting> {
        let item = self.items.get(&id)?;
        if item.phase != Phase::Waiting {
            return None;
        }
        let rank = (item.rank, id);
        let earlier = self.fingerprints.get(&item.fingerprint)?.waits_for(id);
        let running = self.waits_for_generation(id).or_else(|| self.is_behind(id));
        if let (None, Some(running)) = (earlier, running) {
            return Some(Waiting {
                what: WaitsFor::Generation(running),
                priority: item.rank,
                since: at(item.waits_since),
                ahead: 0,
                until_recovered: None,
            });
        }
        let (what, ahead) = match (earlier, &item.at_gate) {
            (Some(earlier), _) => (WaitsFor::Earlier(earlier), 0),
            (None, Some(at)) => {
                let name = at.gate.clone();
                let label = self.gates.label(&name).unwrap_or_default().to_owned();
                let ahead = self.gates.ahead_of(rank, &name);
                (WaitsFor::Gate { name, label }, ahead)
            }
            (None, None) if item.due > now => (WaitsFor::Time(at(item.due)), 0),
            (None, None) => {
                let queue = &self.handlers[item.handler];
                let ahead = queue.ahead_of(rank);
                (WaitsFor::Permit(queue.handler.clone()), ahead)
            }
        };
        Some(Waiting {
            what,
            priority: item.rank,
            since: at(item.waits_since),
            ahead,
            until_recovered: item.waits_for.first().cloned(),
        })
    }
}
