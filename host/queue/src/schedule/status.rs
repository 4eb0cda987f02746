//! Queries of the scheduler.

use std::collections::HashMap;
use std::ops::Bound;

use crate::model::clock::Ticks;
use alert_manager_core::alert::{DeliveryId, Priority, Timestamp};
use alert_manager_core::gate::GateName;

use crate::model::{
    Abandoned, ByPriority, GateStatus, HandlerCounts, Open, Waiting, Waits, WaitsFor,
};

use super::gated::AtGate;
use super::gates::GateState;
use super::handler_queue::HandlerQueue;
use super::{Item, Phase, Scheduler};

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
                by_priority: ByPriority::default(),
                members: 0,
                oldest: None,
                running: queue.permits_taken,
            })
            .collect();
        for item in self.items.values() {
            if let Phase::Member { .. } = item.phase {
                counts[item.handler].members += 1;
            } else if !item.is_leased() {
                let of = &mut counts[item.handler];
                of.waiting += 1;
                *of.by_priority.of_mut(item.rank) += 1;
                let oldest = of.oldest.get_or_insert(item.accepted_at);
                *oldest = item.accepted_at.min(*oldest);
            }
        }
        counts
    }

    /// Returns how many deliveries wait for what, and the first `longest_max` that wait, in the order of acceptance. `at` gives a
    /// moment of the schedule as the time of day.
    pub(crate) fn open(
        &self,
        now: Ticks,
        longest_max: usize,
        at: impl Fn(Ticks) -> Timestamp,
    ) -> Open {
        let mut open = Open::default();
        for (id, item) in &self.items {
            let count = match self.waits(*id, item, now) {
                None => &mut open.running,
                Some(Waits::Gate) => &mut open.at_gates,
                Some(Waits::Permit) => &mut open.for_permits,
                Some(Waits::Others) => &mut open.behind_others,
                Some(Waits::Time) => &mut open.for_time,
                Some(Waits::Representative) => &mut open.members,
            };
            *count += 1;
            if open.longest.len() < longest_max
                && let Some(waiting) = self.waiting(*id, now, &at)
            {
                open.longest.push((*id, waiting));
            }
        }
        open
    }

    /// Returns what kind of thing a delivery waits for; nothing if it is leased.
    fn waits(&self, id: DeliveryId, item: &Item, now: Ticks) -> Option<Waits> {
        match item.phase {
            Phase::Member { .. } => Some(Waits::Representative),
            _ if item.is_leased() => None,
            _ if item.at_gate.is_some() => Some(Waits::Gate),
            _ if item.due > now => Some(Waits::Time),
            _ if self.handlers[item.handler].contains((item.rank, id)) => Some(Waits::Permit),
            _ => Some(Waits::Others),
        }
    }

    /// Returns the deliveries that wait for this, the newest first: at most `count_max`, with a smaller identifier than `before`.
    pub(crate) fn waiting_for_kind(
        &self,
        waits: Waits,
        before: Option<DeliveryId>,
        count_max: usize,
        now: Ticks,
    ) -> Vec<DeliveryId> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let newest_first = self.items.range((Bound::Unbounded, end)).rev();
        newest_first
            .filter(|(id, item)| self.waits(**id, item, now) == Some(waits))
            .map(|(id, _)| *id)
            .take(count_max)
            .collect()
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

    /// Returns how each gate stands, in the order of their names. `at` gives a moment of the schedule as the time of day.
    pub(crate) fn gates(&self, now: Ticks, at: impl Fn(Ticks) -> Timestamp) -> Vec<GateStatus> {
        let mut since: HashMap<&GateName, Ticks> = HashMap::new();
        let mut alerts: HashMap<&GateName, usize> = HashMap::new();
        let waiting = self
            .items
            .iter()
            .filter(|(_, i)| i.phase == Phase::Waiting && i.at_gate.is_some());
        for (id, item) in waiting {
            let names = item.at_gate.iter().flat_map(AtGate::names);
            for name in names {
                let first = since.entry(name).or_insert(item.waits_since);
                *first = item.waits_since.min(*first);
                *alerts.entry(name).or_default() += 1 + self.members_of(*id);
            }
        }
        let status = |gate: GateState<'_>| GateStatus {
            name: gate.name.clone(),
            label: gate.label.to_owned(),
            rate: gate.rate,
            waiting: gate.waiting,
            alerts: alerts.get(gate.name).copied().unwrap_or_default(),
            waiting_since: since.get(gate.name).map(|since| at(*since)),
            next_token_at: gate.opens_at.map(&at),
            closed_until: gate.closed_until.map(&at),
        };
        let mut gates: Vec<_> = self.gates.states(now).map(status).collect();
        gates.sort_by(|a, b| a.name.cmp(&b.name));
        gates
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
        })
    }
}
