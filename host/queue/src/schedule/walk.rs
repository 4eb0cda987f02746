//! How everything stands, counted by a walk over all deliveries. There may be very many, so the scheduler is locked for a part of
//! them at a time: what changes meanwhile may be counted as it was or as it is.

use std::collections::HashMap;
use std::ops::Bound;

use alert_manager_core::alert::{DeliveryId, Priority, Timestamp};
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::model::{ByPriority, GateStatus, HandlerCounts, Open, Waits};

use super::gated::AtGate;
use super::gates::GateState;
use super::{Item, Phase, Scheduler};

/// What a walk has counted so far.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Where it goes on.
    from: Bound<DeliveryId>,
    /// How many of those that have waited longest are named.
    longest_max: usize,
    pub(crate) depth: usize,
    pub(crate) open: Open,
    /// When the oldest delivery was accepted, or retried by a person. That need not be the one with the lowest identifier: a retried
    /// delivery keeps its identifier, and the system's clock may have been wrong.
    pub(crate) oldest: Option<Timestamp>,
    /// The same of critical deliveries alone.
    pub(crate) oldest_critical: Option<Timestamp>,
    pub(crate) handlers: Vec<HandlerCounts>,
    /// Of each gate since when the first waits for it, and for how many alerts those stand that wait.
    at_gates: HashMap<GateName, (Ticks, usize)>,
}

impl Walk {
    /// Returns one that has counted nothing, and will name so many of the deliveries that have waited longest.
    pub(crate) fn new(longest_max: usize) -> Self {
        Self {
            from: Bound::Unbounded,
            longest_max,
            depth: 0,
            open: Open::default(),
            oldest: None,
            oldest_critical: None,
            handlers: Vec::new(),
            at_gates: HashMap::new(),
        }
    }
}

impl Scheduler {
    /// Goes on with a walk, over at most `count_max` deliveries, in the order of acceptance. Returns true if there are more. `at`
    /// gives a moment of the schedule as the time of day.
    pub(crate) fn walk(
        &self,
        walk: &mut Walk,
        count_max: usize,
        now: Ticks,
        at: impl Fn(Ticks) -> Timestamp,
    ) -> bool {
        walk.depth = self.depth();
        // Handlers are only ever added.
        for queue in &self.handlers[walk.handlers.len()..] {
            walk.handlers.push(HandlerCounts {
                handler: queue.handler.clone(),
                waiting: 0,
                by_priority: ByPriority::default(),
                members: 0,
                oldest: None,
                running: 0,
            });
        }
        let mut rest = self.items.range((walk.from, Bound::Unbounded));
        for (id, item) in rest.by_ref().take(count_max) {
            walk.from = Bound::Excluded(*id);
            self.count_in(walk, *id, item, now);
            if walk.open.longest.len() < walk.longest_max
                && let Some(waiting) = self.waiting(*id, now, &at)
            {
                walk.open.longest.push((*id, waiting));
            }
        }
        let has_more = rest.next().is_some();
        if !has_more {
            for (counts, queue) in walk.handlers.iter_mut().zip(&self.handlers) {
                counts.running = queue.permits_taken;
            }
        }
        has_more
    }

    fn count_in(&self, walk: &mut Walk, id: DeliveryId, item: &Item, now: Ticks) {
        let older = |known: Option<Timestamp>| {
            known.map_or(item.accepted_at, |known| known.min(item.accepted_at))
        };
        walk.oldest = Some(older(walk.oldest));
        if item.priority == Priority::Critical {
            walk.oldest_critical = Some(older(walk.oldest_critical));
        }
        let open = &mut walk.open;
        *match self.waits(id, item, now) {
            None => &mut open.running,
            Some(Waits::Gate) => &mut open.at_gates,
            Some(Waits::Permit) => &mut open.for_permits,
            Some(Waits::Others) => &mut open.behind_others,
            Some(Waits::Time) => &mut open.for_time,
            Some(Waits::Representative) => &mut open.members,
        } += 1;
        let of_handler = &mut walk.handlers[item.handler];
        if let Phase::Member { .. } = item.phase {
            of_handler.members += 1;
        } else if !item.is_leased() {
            of_handler.waiting += 1;
            *of_handler.by_priority.of_mut(item.rank) += 1;
            of_handler.oldest = Some(older(of_handler.oldest));
        }
        if item.phase == Phase::Waiting {
            for name in item.at_gate.iter().flat_map(AtGate::names) {
                let alerts = 1 + self.members_of(id);
                match walk.at_gates.get_mut(name) {
                    Some((since, all)) => {
                        *since = item.waits_since.min(*since);
                        *all += alerts;
                    }
                    None => {
                        let counted = (item.waits_since, alerts);
                        walk.at_gates.insert(name.clone(), counted);
                    }
                }
            }
        }
    }

    /// Returns how each gate stands, in the order of their names, with what a walk has counted at it. `at` gives a moment of the
    /// schedule as the time of day.
    pub(crate) fn gates(
        &self,
        walk: &Walk,
        now: Ticks,
        at: impl Fn(Ticks) -> Timestamp,
    ) -> Vec<GateStatus> {
        let status = |gate: GateState<'_>| {
            let counted = walk.at_gates.get(gate.name);
            GateStatus {
                name: gate.name.clone(),
                label: gate.label.to_owned(),
                rate: gate.rate,
                waiting: gate.waiting,
                alerts: counted.map_or(0, |(_, alerts)| *alerts),
                waiting_since: counted.map(|(since, _)| at(*since)),
                next_token_at: gate.opens_at.map(&at),
                closed_until: gate.closed_until.map(&at),
            }
        };
        let mut gates: Vec<_> = self.gates.states(now).map(status).collect();
        gates.sort_by(|a, b| a.name.cmp(&b.name));
        gates
    }
}
