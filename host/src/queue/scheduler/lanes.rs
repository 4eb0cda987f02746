//! Lanes and timers: what may run next of what has the same fingerprint and route.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::alert::{DeliveryId, HandlerName, Priority};
use crate::queue::clock::Ticks;
use crate::queue::types::LeaseToken;

use super::slots::Slots;
use super::{Entrant, Grant, Item, PATIENCE_MS, Phase, Scheduler};

impl Scheduler {
    /// Puts a delivery on its lane, by its id but behind one that runs; returns true where it is the first.
    pub(super) fn insert(&mut self, entrant: Entrant) -> bool {
        let id = entrant.id;
        let lane = (self.route_key(&entrant.route), entrant.fingerprint);
        let handler = self.handler_key(&entrant.handler);
        self.handlers[handler].depth += 1;
        self.criticals += usize::from(entrant.priority == Priority::Critical);
        let fits = self.alert_bytes + entrant.alert_bytes <= self.alert_bytes_max;
        let alert = entrant.alert.filter(|_| fits);
        if alert.is_some() {
            self.alert_bytes += entrant.alert_bytes;
        }
        let items = &self.items;
        let waiting = self.lanes.entry(lane).or_default();
        let place = waiting
            .iter()
            .rposition(|other| {
                *other < id || items.get(other).is_some_and(|i| i.phase != Phase::Waiting)
            })
            .map_or(0, |last_ahead| last_ahead + 1);
        let overtaken = (place == 0).then(|| waiting.front().copied()).flatten();
        waiting.insert(place, id);
        let item = Item {
            lane,
            pipeline: entrant.pipeline,
            handler,
            priority: entrant.priority,
            due: entrant.due,
            timer: None,
            phase: Phase::Staged(None),
            accepted_at: entrant.accepted_at,
            since: entrant.since,
            leases: entrant.leases,
            ahead: false,
            after_crash: entrant.after_crash,
            alert,
            alert_bytes: entrant.alert_bytes,
        };
        self.items.insert(id, item);
        if let Some(overtaken) = overtaken {
            self.call_off(overtaken);
        }
        place == 0
    }

    pub(super) fn lease(
        &mut self,
        id: DeliveryId,
        phase: impl FnOnce(LeaseToken) -> Phase,
    ) -> Grant {
        self.stop_timer(id);
        self.last_token += 1;
        let token = LeaseToken(self.last_token);
        let ahead = self.handlers[self.items[&id].handler].is_full();
        let item = self.item(id);
        item.phase = phase(token);
        item.ahead = ahead;
        item.leases += 1;
        let (handler, lane) = (item.handler, item.lane);
        let item = &self.items[&id];
        let grant = Grant {
            id,
            token,
            route: Arc::clone(&self.routes[lane.0]),
            pipeline: Arc::clone(&item.pipeline),
            handler: self.handlers[handler].name.clone(),
            slots: handler,
            priority: item.priority,
            lease: item.leases,
            ahead,
            after_crash: item.after_crash,
            since: item.since,
            alert: item.alert.clone(),
        };
        self.handlers[handler].leased += 1;
        grant
    }

    /// The lease is durable: the worker keeps the alert from here on.
    pub(super) fn begin(&mut self, id: DeliveryId, token: LeaseToken) {
        let item = self.item(id);
        item.phase = Phase::Leased {
            token,
            started: false,
        };
        let bytes = item.alert_bytes;
        if item.alert.take().is_some() {
            self.alert_bytes -= bytes;
        }
    }

    pub(super) fn remove(&mut self, id: DeliveryId, now: Ticks) {
        self.call_off(id);
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        self.handlers[item.handler].depth -= 1;
        self.criticals -= usize::from(item.priority == Priority::Critical);
        if item.alert.is_some() {
            self.alert_bytes -= item.alert_bytes;
        }
        let Some(lane) = self.lanes.get_mut(&item.lane) else {
            return;
        };
        let was_first = lane.front() == Some(&id);
        lane.retain(|other| *other != id);
        match lane.front().copied() {
            None => {
                self.lanes.remove(&item.lane);
            }
            Some(next) if was_first && self.items[&next].phase == Phase::Waiting => {
                self.set_off(next, now);
            }
            Some(_) => {}
        }
    }

    /// Makes the first of a lane wait for its time, or for a slot.
    pub(super) fn set_off(&mut self, id: DeliveryId, now: Ticks) {
        let item = &self.items[&id];
        if item.due > now {
            let due = item.due;
            self.start_timer(id, due);
            return;
        }
        let has_others = item.pipeline.iter().any(|h| *h != item.pipeline[0]);
        self.handlers[item.handler].ready(item.priority, id);
        if has_others {
            self.start_timer(id, now + PATIENCE_MS);
        }
    }

    /// The opposite of `set_off`.
    pub(super) fn call_off(&mut self, id: DeliveryId) {
        self.stop_timer(id);
        if let Some(item) = self.items.get(&id) {
            self.handlers[item.handler].unready(item.priority, id);
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
            self.set_off(id, now);
        }
    }

    /// It has waited long enough for a slot of one handler: from now on it waits for the next one's.
    fn ask_next_handler(&mut self, id: DeliveryId) {
        self.call_off(id);
        let item = &self.items[&id];
        let here = &self.handlers[item.handler].name;
        let place = item.pipeline.iter().position(|h| h == here);
        let next = item.pipeline[place.map_or(0, |p| (p + 1) % item.pipeline.len())].clone();
        let to = self.handler_key(&next);
        self.move_to(id, to);
    }

    /// Counts a delivery to another handler.
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

    pub(super) fn is_first(&self, id: DeliveryId) -> bool {
        let lane = self.lanes.get(&self.items[&id].lane);
        lane.and_then(VecDeque::front) == Some(&id)
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
        let slots = Slots::new(handler.clone(), self.caps.of(handler));
        self.handlers.push(slots);
        self.handler_keys
            .insert(handler.clone(), self.handlers.len() - 1);
        self.handlers.len() - 1
    }
}
