//! Order and timers: what may run next of what has the same fingerprint.
//!
//! A delivery waits for the earlier ones of its fingerprint on its own route, and for those on routes that its alert did not
//! take: the configuration has changed since. If an alert takes several routes, its deliveries do not wait for each other.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::Lease;
use crate::model::clock::Ticks;
use alert_manager_core::alert::{DeliveryId, Fingerprint, HandlerName, Priority};

use super::concurrency::Permits;
use super::{Entrant, Grant, Item, PATIENCE_MS, Phase, Scheduler};
use crate::model::Beside;

/// The deliveries of one fingerprint that are not settled, by their ids but for those that came behind one that ran.
#[derive(Debug, Default)]
pub(super) struct Line {
    places: VecDeque<Place>,
    /// How many of them have other routes beside their own: without any, only the first can run.
    with_others: usize,
}

#[derive(Debug)]
struct Place {
    id: DeliveryId,
    route: Arc<str>,
    beside: Beside,
}

impl Place {
    /// Returns true if this one runs only after `earlier`, which stands before it.
    fn waits_for(&self, earlier: &Self) -> bool {
        self.route == earlier.route || !self.beside.has(&earlier.route)
    }

    fn has_others(&self) -> bool {
        self.beside != Beside::Nothing
    }
}

impl Line {
    /// Puts a delivery behind all that are older, and behind what `runs` and has to do with it. Returns which it overtakes.
    fn insert(&mut self, new: Place, runs: impl Fn(DeliveryId) -> bool) -> Vec<DeliveryId> {
        let goes_behind = |other: &Place| {
            other.id < new.id || ((new.waits_for(other) || other.waits_for(&new)) && runs(other.id))
        };
        let place = self.places.iter().rposition(goes_behind);
        let place = place.map_or(0, |last_ahead| last_ahead + 1);
        let behind = self.places.iter().skip(place);
        let overtaken = behind.filter(|other| other.waits_for(&new));
        let overtaken = overtaken.map(|other| other.id).collect();
        self.with_others += usize::from(new.has_others());
        self.places.insert(place, new);
        overtaken
    }

    /// Returns true if a delivery need not wait for another.
    fn is_next(&self, id: DeliveryId) -> bool {
        if self.with_others == 0 {
            return self.places.front().is_some_and(|first| first.id == id);
        }
        let Some(place) = self.places.iter().position(|place| place.id == id) else {
            return false;
        };
        let waits = |earlier| self.places[place].waits_for(earlier);
        !self.places.range(..place).any(waits)
    }

    /// Returns the first of the earlier deliveries that one waits for.
    pub(super) fn waits_for(&self, id: DeliveryId) -> Option<DeliveryId> {
        let place = self.places.iter().position(|place| place.id == id)?;
        let own = &self.places[place];
        let mut earlier = self.places.range(..place);
        earlier
            .find(|earlier| own.waits_for(earlier))
            .map(|earlier| earlier.id)
    }

    /// Returns the highest priority of each delivery and of those that wait for it.
    fn ranks(&self, own: impl Fn(DeliveryId) -> Priority) -> Vec<(DeliveryId, Priority)> {
        let mut ranks: Vec<(DeliveryId, Priority)> = Vec::with_capacity(self.places.len());
        let places = self.places.iter().enumerate().rev();
        for (place, earlier) in places {
            let later = self.places.range(place + 1..).rev().zip(&ranks);
            let highest = match self.with_others {
                // Each waits for all before it.
                0 => ranks.last().map(|(_, rank)| *rank),
                _ => later
                    .filter(|(later, _)| later.waits_for(earlier))
                    .map(|(_, (_, rank))| *rank)
                    .min(),
            };
            let own = own(earlier.id);
            ranks.push((earlier.id, highest.map_or(own, |highest| highest.min(own))));
        }
        ranks
    }

    /// Takes a delivery out; returns which need not wait for another any more.
    fn remove(&mut self, id: DeliveryId) -> Vec<DeliveryId> {
        let place = self.places.iter().position(|place| place.id == id);
        let Some((place, gone)) = place.and_then(|i| Some((i, self.places.remove(i)?))) else {
            return Vec::new();
        };
        self.with_others -= usize::from(gone.has_others());
        let mut freed = Vec::new();
        for (i, waiting) in self.places.iter().enumerate().skip(place) {
            if i > 0 && self.with_others == 0 {
                break;
            }
            let waits = |earlier| waiting.waits_for(earlier);
            if waits(&gone) && !self.places.range(..i).any(waits) {
                freed.push(waiting.id);
            }
        }
        freed
    }
}

impl Scheduler {
    /// Puts a delivery in line; returns true if it need not wait for another.
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
        let new = Place {
            id,
            route: Arc::clone(&self.routes[route]),
            beside: entrant.beside,
        };
        let items = &self.items;
        let line = self.lines.entry(entrant.fingerprint).or_default();
        let overtaken = line.insert(new, |other| items.get(&other).is_some_and(Item::is_leased));
        let is_next = line.is_next(id);
        let has_others = line.places.len() > 1;
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
        };
        self.items.insert(id, item);
        self.await_all(id, entrant.waits_for);
        for overtaken in overtaken {
            self.dequeue(overtaken);
        }
        if has_others {
            self.rank_line(entrant.fingerprint, now);
        }
        is_next
    }

    pub(super) fn lease(&mut self, id: DeliveryId, phase: Phase) -> Grant {
        self.stop_timer(id);
        self.await_none(id);
        let wakes = self.backs.count();
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
            handler: self.handlers[handler].name.clone(),
            priority: item.priority,
            after_crash: item.after_crash,
            woken: item.woken.clone(),
            since: item.since,
            alert: item.alert.clone(),
        };
        self.handlers[handler].taken += 1;
        grant
    }

    /// The lease is durable: the worker keeps the alert from here on.
    pub(super) fn begin(&mut self, id: DeliveryId) {
        let item = self.item(id);
        item.phase = Phase::Leased { started: false };
        item.at_gate = None;
        item.woken = Vec::new();
        let bytes = item.alert_bytes;
        if item.alert.take().is_some() {
            self.alert_bytes -= bytes;
        }
    }

    pub(super) fn remove(&mut self, id: DeliveryId, now: Ticks) {
        self.dequeue(id);
        self.await_none(id);
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        self.gates.forget(id, &item.messages, now);
        self.handlers[item.handler].depth -= 1;
        self.criticals -= usize::from(item.priority == Priority::Critical);
        if item.alert.is_some() {
            self.alert_bytes -= item.alert_bytes;
        }
        let Some(line) = self.lines.get_mut(&item.fingerprint) else {
            return;
        };
        let freed = line.remove(id);
        if line.places.is_empty() {
            self.lines.remove(&item.fingerprint);
            return;
        }
        self.rank_line(item.fingerprint, now);
        for freed in freed {
            if self.items[&freed].phase == Phase::Waiting {
                self.enqueue(freed, now);
            }
        }
    }

    /// Counts the patience of what waits for a permit from now on.
    pub(super) fn restart_patience(&mut self, now: Ticks) {
        let waits_for_permit = |(at, id): &&(Ticks, DeliveryId)| self.items[id].due < *at;
        let waiting = self.timers.iter().filter(waits_for_permit);
        let ids: Vec<_> = waiting.map(|(_, id)| *id).collect();
        for id in ids {
            self.stop_timer(id);
            self.start_timer(id, now + PATIENCE_MS);
        }
    }

    /// Has a delivery that need not wait for another wait for its time, or for a permit.
    pub(super) fn enqueue(&mut self, id: DeliveryId, now: Ticks) {
        let item = &self.items[&id];
        if item.due > now {
            let due = item.due;
            if item.at_gate.is_some() {
                self.wait_at_gate(id, now);
            }
            if due < Ticks::MAX {
                self.start_timer(id, due);
            }
            return;
        }
        // It is due by itself: what is back makes no difference any more, and each wake would look at it.
        self.await_none(id);
        self.leave_gate(id);
        let item = &self.items[&id];
        let has_others = item.pipeline.iter().any(|h| *h != item.pipeline[0]);
        let (handler, rank) = (item.handler, (item.rank, id));
        self.handlers[handler].ready.insert(rank);
        if has_others {
            self.start_timer(id, now + PATIENCE_MS);
        }
    }

    /// The opposite of `enqueue`.
    pub(super) fn dequeue(&mut self, id: DeliveryId) {
        self.stop_timer(id);
        if let Some(item) = self.items.get(&id) {
            let rank = (item.rank, id);
            match &item.at_gate {
                Some(at) => _ = self.gates.leave(&at.alike(item.handler), rank),
                None => _ = self.handlers[item.handler].ready.remove(rank),
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

    /// It has waited long enough for a permit of one handler: from now on it waits for the next one's.
    fn ask_next_handler(&mut self, id: DeliveryId) {
        self.dequeue(id);
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

    pub(super) fn is_next(&self, id: DeliveryId) -> bool {
        let line = self.lines.get(&self.items[&id].fingerprint);
        line.is_some_and(|line| line.is_next(id))
    }

    /// Gives every delivery of a line the highest priority of what waits for it.
    fn rank_line(&mut self, fingerprint: Fingerprint, now: Ticks) {
        let Some(line) = self.lines.get(&fingerprint) else {
            return;
        };
        for (id, rank) in line.ranks(|id| self.items[&id].priority) {
            self.set_rank(id, rank, now);
        }
    }

    fn set_rank(&mut self, id: DeliveryId, rank: Priority, now: Ticks) {
        let item = self.item(id);
        let before = (std::mem::replace(&mut item.rank, rank), id);
        let after = (rank, id);
        if before == after {
            return;
        }
        let item = &self.items[&id];
        for dependency in &item.waits_for {
            if let Some(waiters) = self.waiters.get_mut(dependency)
                && waiters.remove(&before)
            {
                waiters.insert(after);
            }
        }
        if let Some(at) = &item.at_gate {
            let alike = at.alike(item.handler);
            if self.gates.leave(&alike, before) {
                self.gates.wait(&alike, after, now);
            }
        } else if self.handlers[item.handler].ready.remove(before) {
            self.handlers[item.handler].ready.insert(after);
        }
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
        let permits = Permits::new(handler.clone(), self.caps.of(handler));
        self.handlers.push(permits);
        self.handler_keys
            .insert(handler.clone(), self.handlers.len() - 1);
        self.handlers.len() - 1
    }
}
