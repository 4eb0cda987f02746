//! The order of the deliveries of one fingerprint, and timers.
//!
//! A delivery waits for earlier ones of its fingerprint on its own route, and for those on routes that its alert did not take,
//! which come from an earlier configuration. If an alert takes several routes, its deliveries do not wait for each other. Those
//! of a handler's timers wait for each other, and for no others, nor others for them.

use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, HandlerName, Priority};

use crate::model::clock::Ticks;
use crate::model::{Contents, Grant, Lease};

use super::fingerprint_queue::Queued;
use super::handler_queue::HandlerQueue;
use super::{Entrant, Item, PATIENCE_MS, Phase, Scheduler};

impl Scheduler {
    /// Adds a delivery, staged; returns true if it waits for no other.
    pub(super) fn insert(&mut self, entrant: Entrant, now: Ticks) -> bool {
        let id = entrant.id;
        let route = self.route_key(&entrant.route);
        let handler = self.handler_key(&entrant.handler);
        self.handlers[handler].depth += 1;
        self.criticals += usize::from(entrant.priority == Priority::Critical);
        let fits = self.alert_bytes + entrant.alert_bytes <= self.alert_bytes_max;
        let alert = entrant.alert.filter(|_| fits);
        if alert.is_some() {
            self.alert_bytes += entrant.alert_bytes;
        }
        let new = Queued::new(
            id,
            Arc::clone(&self.routes[route]),
            entrant.other_routes,
            entrant.cause.clone(),
            entrant.priority,
        );
        let (items, storms) = (&self.items, &self.storms);
        let queue = self.fingerprints.entry(entrant.fingerprint).or_default();
        // What stands for others counts as running while it waits: those hold their places, and must not hold one another up.
        let inserted = queue.insert(new, |other| {
            storms.has_members(other) || items.get(&other).is_some_and(Item::is_leased)
        });
        let item = Item {
            route,
            fingerprint: entrant.fingerprint,
            pipeline: entrant.pipeline,
            handler,
            priority: entrant.priority,
            rank: entrant.priority,
            due: entrant.due,
            timer: None,
            phase: Phase::Staged { leased: false },
            accepted_at: entrant.accepted_at,
            since: entrant.since,
            leases: entrant.leases,
            after_crash: entrant.after_crash,
            suspected: entrant.suspected,
            waits_for: Vec::new(),
            at_gate: None,
            messages: Vec::new(),
            waits_since: now,
            woken: Vec::new(),
            seen: None,
            alert,
            alert_bytes: entrant.alert_bytes,
            storm: None,
            cause: entrant.cause,
        };
        self.items.insert(id, item);
        if let Some(candidate) = entrant.storm {
            self.enter_storms(id, candidate, entrant.since);
        }
        self.wait_for_all(id, entrant.waits_for);
        for overtaken in inserted.overtaken {
            self.dequeue(overtaken);
        }
        self.rank(inserted.ranks, now);
        inserted.is_next
    }

    /// Grants a lease and takes a permit for it; the delivery is in `phase` until the transaction ends.
    pub(super) fn lease(&mut self, id: DeliveryId, phase: Phase) -> Grant {
        self.stop_timer(id);
        self.leave_pool(id);
        self.stop_waiting(id);
        let wakes = self.recoveries.count();
        let item = self.item(id);
        item.phase = phase;
        item.leases += 1;
        item.seen.get_or_insert(wakes);
        let (handler, route) = (item.handler, item.route);
        let item = &self.items[&id];
        let grant = Grant {
            lease: Lease {
                id,
                number: item.leases,
                owner: self.owner,
            },
            route: Arc::clone(&self.routes[route]),
            pipeline: Arc::clone(&item.pipeline),
            handler: self.handlers[handler].handler.clone(),
            priority: item.priority,
            after_crash: item.after_crash,
            woken: item.woken.clone(),
            since: item.since,
            alert: item.alert.clone(),
            stored: Contents::default(),
            stands_for: None,
            cause: item.cause.clone(),
        };
        self.handlers[handler].permits_taken += 1;
        grant
    }

    /// Begins a lease that is durable. Its alert is freed: the worker has it.
    pub(super) fn begin(&mut self, id: DeliveryId) {
        let item = self.item(id);
        item.phase = Phase::Leased { started: false };
        item.at_gate = None;
        if let Some(own) = &mut item.storm {
            own.set_clean(false);
        }
        item.woken = Vec::new();
        let bytes = item.alert_bytes;
        if item.alert.take().is_some() {
            self.alert_bytes -= bytes;
        }
    }

    pub(super) fn remove(&mut self, id: DeliveryId, now: Ticks) {
        self.dequeue(id);
        self.stop_waiting(id);
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        if let Some(own) = &item.storm {
            self.leave_storms(own);
        }
        self.gates.forget(id, &item.messages, now);
        self.handlers[item.handler].depth -= 1;
        self.criticals -= usize::from(item.priority == Priority::Critical);
        if item.alert.is_some() {
            self.alert_bytes -= item.alert_bytes;
        }
        let Some(queue) = self.fingerprints.get_mut(&item.fingerprint) else {
            return;
        };
        let removed = queue.remove(id);
        if queue.len() == 0 {
            self.fingerprints.remove(&item.fingerprint);
        }
        self.rank(removed.ranks, now);
        for freed in removed.freed {
            if self.items[&freed].phase == Phase::Waiting {
                self.enqueue(freed, now);
            }
        }
        self.end_generation(id, now);
    }

    /// Restarts [`PATIENCE_MS`] for every delivery that waits for a permit.
    pub(super) fn restart_patience(&mut self, now: Ticks) {
        let waits_for_permit = |(at, id): &&(Ticks, DeliveryId)| self.items[id].due < *at;
        let waiting = self.timers.iter().filter(waits_for_permit);
        let ids: Vec<_> = waiting.map(|(_, id)| *id).collect();
        for id in ids {
            self.stop_timer(id);
            self.start_timer(id, now + PATIENCE_MS);
        }
    }

    /// Has a delivery that is next on its ordering key wait until it is due, or for a permit if it is.
    pub(super) fn enqueue(&mut self, id: DeliveryId, now: Ticks) {
        let item = &self.items[&id];
        if item.due > now {
            let due = item.due;
            if item.at_gate.is_some() {
                if self.join_pool(id) {
                    return;
                }
                self.wait_at_gate(id, now);
            }
            if due < Ticks::MAX {
                self.start_timer(id, due);
            }
            return;
        }
        // It is due: dependencies make no difference any more, and each recovery would search it.
        self.stop_waiting(id);
        self.leave_gate(id);
        if self.join_pool(id) {
            return;
        }
        let item = &self.items[&id];
        let has_others = item.pipeline.iter().any(|h| *h != item.pipeline[0]);
        let (handler, rank) = (item.handler, (item.rank, id));
        self.handlers[handler].push(rank);
        if has_others {
            self.start_timer(id, now + PATIENCE_MS);
        }
    }

    /// Has a delivery that could run wait again, as it did before.
    pub(super) fn wait_again(&mut self, id: DeliveryId, now: Ticks) {
        if self.items[&id].phase == Phase::Waiting && self.is_next(id) {
            self.enqueue(id, now);
        }
    }

    /// Undoes [`Self::enqueue`].
    pub(super) fn dequeue(&mut self, id: DeliveryId) {
        self.unqueue(id);
        if self.items.contains_key(&id) {
            self.leave_pool(id);
        }
    }

    /// Has a delivery wait neither for its time nor for a permit.
    pub(super) fn unqueue(&mut self, id: DeliveryId) {
        self.stop_timer(id);
        if let Some(item) = self.items.get(&id) {
            let rank = (item.rank, id);
            match &item.at_gate {
                Some(at) => _ = self.gates.leave(&at.alike(item.handler), rank),
                None => _ = self.handlers[item.handler].remove(rank),
            }
        }
    }

    pub(super) fn fire_timers(&mut self, now: Ticks) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.stop_timer(id);
            let item = &self.items[&id];
            if item.due < at {
                self.ask_next_handler(id);
            }
            self.enqueue(id, now);
        }
    }

    /// Has a delivery wait for a permit of the next handler of its pipeline.
    fn ask_next_handler(&mut self, id: DeliveryId) {
        self.dequeue(id);
        let item = &self.items[&id];
        let here = &self.handlers[item.handler].handler;
        let index = item.pipeline.iter().position(|h| h == here);
        let next = item.pipeline[index.map_or(0, |i| (i + 1) % item.pipeline.len())].clone();
        let to = self.handler_key(&next);
        self.move_to(id, to);
    }

    /// Moves a delivery to the queue of another handler.
    pub(super) fn move_to(&mut self, id: DeliveryId, to: usize) {
        let from = std::mem::replace(&mut self.item(id).handler, to);
        self.handlers[from].depth -= 1;
        self.handlers[to].depth += 1;
    }

    fn start_timer(&mut self, id: DeliveryId, at: Ticks) {
        self.item(id).timer = Some(at);
        self.timers.insert((at, id));
    }

    fn stop_timer(&mut self, id: DeliveryId) {
        if let Some(item) = self.items.get_mut(&id)
            && let Some(at) = item.timer.take()
        {
            self.timers.remove(&(at, id));
        }
    }

    pub(super) fn is_next(&self, id: DeliveryId) -> bool {
        let queue = self.fingerprints.get(&self.items[&id].fingerprint);
        queue.is_some_and(|queue| queue.is_next(id))
    }

    #[allow(
        clippy::expect_used,
        reason = "every id that the scheduler keeps elsewhere is in `items`"
    )]
    pub(super) fn item(&mut self, id: DeliveryId) -> &mut Item {
        self.items.get_mut(&id).expect("a known delivery")
    }

    pub(super) fn route_key(&mut self, route: &Arc<str>) -> usize {
        if let Some(key) = self.route_keys.get(route) {
            return *key;
        }
        self.routes.push(Arc::clone(route));
        self.route_keys
            .insert(Arc::clone(route), self.routes.len() - 1);
        self.routes.len() - 1
    }

    pub(super) fn handler_key(&mut self, handler: &HandlerName) -> usize {
        if let Some(key) = self.handler_keys.get(handler) {
            return *key;
        }
        let queue = HandlerQueue::new(handler.clone(), self.caps.of(handler));
        self.handlers.push(queue);
        self.handler_keys
            .insert(handler.clone(), self.handlers.len() - 1);
        self.handlers.len() - 1
    }
}
