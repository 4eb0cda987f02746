//! Decides which delivery runs next: lanes, slots, urgency and waiting, all in memory and without a clock.
//!
//! It knows every delivery that is not settled. What it decides becomes true only with the store's
//! transaction: [`Scheduler::admit`], [`Scheduler::grant`] and [`Scheduler::withdraw`] are provisional
//! until [`Scheduler::commit`] or [`Scheduler::rollback`].

mod slots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::alert::{Alert, DeliveryId, Fingerprint, HandlerName, Priority, Timestamp};

use super::clock::Ticks;
use super::options::Caps;
use super::types::LeaseToken;
use slots::Slots;

/// A delivery that enters, new or sent again.
#[derive(Clone, Debug)]
pub(super) struct Entrant {
    pub(super) id: DeliveryId,
    pub(super) route: Arc<str>,
    pub(super) fingerprint: Fingerprint,
    pub(super) pipeline: Arc<[HandlerName]>,
    /// Whose slot it needs next.
    pub(super) handler: HandlerName,
    pub(super) priority: Priority,
    /// Not before this.
    pub(super) due: Ticks,
    pub(super) accepted_at: Timestamp,
    /// Leases taken so far.
    pub(super) leases: u32,
    pub(super) after_crash: bool,
    /// Kept in memory as long as there is room, to save reading it again.
    pub(super) alert: Option<Arc<Alert>>,
    /// The size of its JSON.
    pub(super) alert_bytes: usize,
}

/// A lease that was given, with the slot of `handler`.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) id: DeliveryId,
    pub(super) token: LeaseToken,
    pub(super) route: Arc<str>,
    pub(super) pipeline: Arc<[HandlerName]>,
    pub(super) handler: HandlerName,
    /// The place of this lease among the delivery's, from 1.
    pub(super) lease: u32,
    pub(super) after_crash: bool,
    pub(super) accepted_at: Timestamp,
    /// Absent where memory had no room for it.
    pub(super) alert: Option<Arc<Alert>>,
}

/// How a lease ended, once that is durable.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// Done or dead.
    Settled,
    /// Waits for `handler` until `due`.
    Waits { handler: HandlerName, due: Ticks },
}

/// What a delivery that is given up was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawn {
    /// Nothing yet.
    Waiting,
    /// A worker had it; its lane stays held until that worker has let go.
    Leased,
    /// It is not here.
    Absent,
}

/// How many deliveries a handler has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerCounts {
    /// Which handler.
    pub handler: HandlerName,
    /// Deliveries that wait for it: for a slot, for another try, behind another of their lane.
    pub waiting: usize,
    /// Slots taken.
    pub running: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its insert is not committed yet.
    Staged(Option<LeaseToken>),
    Waiting,
    /// Its lease is not committed yet.
    Granted(LeaseToken),
    Leased {
        token: LeaseToken,
        /// A worker has taken it out.
        started: bool,
    },
    /// Given up while a worker has it.
    Revoked(LeaseToken),
    /// Given up while it waited; not committed yet.
    Withdrawn,
}

#[derive(Debug)]
struct Item {
    lane: LaneKey,
    pipeline: Arc<[HandlerName]>,
    handler: usize,
    priority: Priority,
    due: Ticks,
    phase: Phase,
    accepted_at: Timestamp,
    leases: u32,
    after_crash: bool,
    alert: Option<Arc<Alert>>,
    alert_bytes: usize,
}

type LaneKey = (usize, Fingerprint);

/// What a provisional step was, for [`Scheduler::rollback`].
#[derive(Clone, Copy, Debug)]
enum Provisional {
    Admitted(DeliveryId),
    Granted(DeliveryId),
    Withdrawn(DeliveryId),
    Revoked(DeliveryId, LeaseToken, bool),
}

/// Everything that is not settled, and whose turn it is.
#[derive(Debug)]
pub(super) struct Scheduler {
    items: BTreeMap<DeliveryId, Item>,
    /// In the order in which they run; only the first may.
    lanes: HashMap<LaneKey, VecDeque<DeliveryId>>,
    routes: Vec<Arc<str>>,
    route_keys: HashMap<Arc<str>, usize>,
    handlers: Vec<Slots>,
    handler_keys: HashMap<HandlerName, usize>,
    timers: BTreeSet<(Ticks, DeliveryId)>,
    provisional: Vec<Provisional>,
    caps: Caps,
    depth_max: usize,
    /// JSON bytes of the alerts kept in memory.
    alert_bytes: usize,
    alert_bytes_max: usize,
    criticals: usize,
    last_token: u64,
    closed: bool,
}

impl Scheduler {
    pub(super) fn new(caps: Caps, depth_max: usize, alert_bytes_max: usize) -> Self {
        Self {
            items: BTreeMap::new(),
            lanes: HashMap::new(),
            routes: Vec::new(),
            route_keys: HashMap::new(),
            handlers: Vec::new(),
            handler_keys: HashMap::new(),
            timers: BTreeSet::new(),
            provisional: Vec::new(),
            caps,
            depth_max,
            alert_bytes: 0,
            alert_bytes_max,
            criticals: 0,
            last_token: 0,
            closed: false,
        }
    }

    /// Returns how many deliveries are not settled.
    pub(super) fn depth(&self) -> usize {
        self.items.len()
    }

    /// Returns true where the delivery is not settled.
    pub(super) fn contains(&self, id: DeliveryId) -> bool {
        self.items.contains_key(&id)
    }

    /// Returns true where no handler of the pipeline has its half of the queue waiting already.
    pub(super) fn has_room(&self, pipeline: &[HandlerName]) -> bool {
        let each_max = (self.depth_max / 2).max(1);
        pipeline.iter().all(|handler| {
            self.handler_keys
                .get(handler)
                .is_none_or(|key| self.handlers[*key].depth < each_max)
        })
    }

    /// Takes a delivery in: leased at once where its lane is empty and a slot is free that nobody waits for.
    pub(super) fn admit(&mut self, entrant: Entrant, now: Ticks) -> Option<Grant> {
        let id = entrant.id;
        let alert = entrant.alert.clone();
        let first = self.insert(entrant);
        let item = &self.items[&id];
        let leasable = first
            && item.due <= now
            && self.handlers[item.handler].is_idle()
            && self.handlers[item.handler].has_slot(now);
        self.provisional.push(Provisional::Admitted(id));
        if !leasable {
            return None;
        }
        let mut grant = self.lease(id, |token| Phase::Staged(Some(token)));
        grant.alert = alert;
        Some(grant)
    }

    /// Takes a delivery in that the store had before this process started.
    pub(super) fn restore(&mut self, entrant: Entrant, now: Ticks) {
        let id = entrant.id;
        let first = self.insert(entrant);
        self.item(id).phase = Phase::Waiting;
        if first {
            self.set_off(id, now);
        }
    }

    /// Leases as many as there are free slots for.
    pub(super) fn grant(&mut self, now: Ticks) -> Vec<Grant> {
        self.fire_timers(now);
        let mut grants = Vec::new();
        for key in 0..self.handlers.len() {
            while self.handlers[key].has_slot(now) {
                let Some(id) = self.handlers[key].pick() else {
                    break;
                };
                self.provisional.push(Provisional::Granted(id));
                grants.push(self.lease(id, Phase::Granted));
            }
        }
        grants
    }

    /// Gives a delivery up, whatever it is doing.
    pub(super) fn withdraw(&mut self, id: DeliveryId) -> Withdrawn {
        let Some(item) = self.items.get_mut(&id) else {
            return Withdrawn::Absent;
        };
        match item.phase {
            Phase::Waiting => {
                item.phase = Phase::Withdrawn;
                self.call_off(id);
                self.provisional.push(Provisional::Withdrawn(id));
                Withdrawn::Waiting
            }
            Phase::Leased { token, started } => {
                item.phase = Phase::Revoked(token);
                self.provisional
                    .push(Provisional::Revoked(id, token, started));
                Withdrawn::Leased
            }
            Phase::Staged(_) | Phase::Granted(_) | Phase::Revoked(_) | Phase::Withdrawn => {
                Withdrawn::Absent
            }
        }
    }

    /// Makes every provisional step true.
    pub(super) fn commit(&mut self, now: Ticks) {
        for step in std::mem::take(&mut self.provisional) {
            match step {
                Provisional::Admitted(id) => match self.item(id).phase {
                    Phase::Staged(Some(token)) => self.begin(id, token),
                    _ => {
                        self.item(id).phase = Phase::Waiting;
                        if self.is_first(id) {
                            self.set_off(id, now);
                        }
                    }
                },
                Provisional::Granted(id) => {
                    if let Phase::Granted(token) = self.item(id).phase {
                        self.begin(id, token);
                    }
                }
                Provisional::Withdrawn(id) => self.remove(id, now),
                Provisional::Revoked(..) => {}
            }
        }
    }

    /// Undoes every provisional step.
    pub(super) fn rollback(&mut self, now: Ticks) {
        for step in std::mem::take(&mut self.provisional).into_iter().rev() {
            match step {
                Provisional::Admitted(id) => {
                    let item = self.item(id);
                    let (handler, slot) =
                        (item.handler, matches!(item.phase, Phase::Staged(Some(_))));
                    if slot {
                        self.handlers[handler].running -= 1;
                    }
                    self.remove(id, now);
                }
                Provisional::Granted(id) => {
                    let item = self.item(id);
                    item.phase = Phase::Waiting;
                    item.leases -= 1;
                    let handler = item.handler;
                    self.handlers[handler].running -= 1;
                    self.set_off(id, now);
                }
                Provisional::Withdrawn(id) => {
                    self.item(id).phase = Phase::Waiting;
                    if self.is_first(id) {
                        self.set_off(id, now);
                    }
                }
                Provisional::Revoked(id, token, started) => {
                    self.item(id).phase = Phase::Leased { token, started };
                }
            }
        }
    }

    /// Returns the number of the lease that `token` proves, where it still holds.
    pub(super) fn lease_of(&self, id: DeliveryId, token: LeaseToken) -> Option<u32> {
        let item = self.items.get(&id)?;
        matches!(item.phase, Phase::Leased { token: held, .. } if held == token)
            .then_some(item.leases)
    }

    /// Returns the number of a lease that was taken away from its worker by giving the delivery up.
    pub(super) fn revoked_lease_of(&self, id: DeliveryId, token: LeaseToken) -> Option<u32> {
        let item = self.items.get(&id)?;
        (item.phase == Phase::Revoked(token)).then_some(item.leases)
    }

    /// Notes that a worker has taken the delivery out; returns false where it may not have it any more.
    pub(super) fn start(&mut self, id: DeliveryId, token: LeaseToken) -> bool {
        if !self.closed
            && let Some(item) = self.items.get_mut(&id)
            && let Phase::Leased {
                token: held,
                started,
            } = &mut item.phase
            && *held == token
        {
            *started = true;
            return true;
        }
        false
    }

    /// Ends a lease, once that is durable. Its slot is released apart.
    pub(super) fn end(&mut self, id: DeliveryId, token: LeaseToken, ended: Ended, now: Ticks) {
        let Some(item) = self.items.get(&id) else {
            return;
        };
        match (item.phase, ended) {
            (Phase::Leased { token: held, .. }, Ended::Settled) | (Phase::Revoked(held), _)
                if held == token =>
            {
                self.remove(id, now);
            }
            (Phase::Leased { token: held, .. }, Ended::Waits { handler, due }) if held == token => {
                let to = self.handler_key(&handler);
                let item = self.item(id);
                let from = std::mem::replace(&mut item.handler, to);
                item.due = due;
                item.phase = Phase::Waiting;
                item.after_crash = false;
                self.handlers[from].depth -= 1;
                self.handlers[to].depth += 1;
                if self.is_first(id) {
                    self.set_off(id, now);
                }
            }
            _ => {}
        }
    }

    /// Gives a slot back; returns true where a delivery waits for it.
    pub(super) fn release_slot(&mut self, handler: &HandlerName) -> bool {
        let key = self.handler_key(handler);
        let slots = &mut self.handlers[key];
        slots.running = slots.running.saturating_sub(1);
        !slots.is_idle()
    }

    /// Takes a slot outside of the leases' order, where nobody waits for one.
    pub(super) fn try_take_slot(&mut self, handler: &HandlerName, now: Ticks) -> bool {
        let key = self.handler_key(handler);
        let slots = &mut self.handlers[key];
        let free = slots.is_idle() && slots.has_slot(now);
        if free {
            slots.running += 1;
        }
        free
    }

    /// Changes how many of each handler may run at one time. Those that run go on.
    pub(super) fn set_caps(&mut self, caps: Caps) {
        for slots in &mut self.handlers {
            slots.cap = caps.of(&slots.name);
        }
        self.caps = caps;
    }

    /// Leases nothing to the handler until `until`, then one delivery at a time until it is resumed.
    pub(super) fn pause(&mut self, handler: &HandlerName, until: Ticks) {
        let key = self.handler_key(handler);
        self.handlers[key].paused_until = Some(until);
    }

    /// Ends a pause.
    pub(super) fn resume(&mut self, handler: &HandlerName) {
        let key = self.handler_key(handler);
        self.handlers[key].paused_until = None;
    }

    /// Returns when something becomes due by itself.
    pub(super) fn next_due(&self, now: Ticks) -> Option<Ticks> {
        let timer = self.timers.first().map(|(due, _)| *due);
        let resumed = self
            .handlers
            .iter()
            .filter_map(|slots| slots.resumes_at(now))
            .min();
        timer.into_iter().chain(resumed).min()
    }

    /// Returns when the oldest that is not settled was accepted.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.items.first_key_value().map(|(_, i)| i.accepted_at)
    }

    /// Returns when the oldest critical one that is not settled was accepted.
    pub(super) fn oldest_critical(&self) -> Option<Timestamp> {
        if self.criticals == 0 {
            return None;
        }
        self.items
            .values()
            .find(|i| i.priority == Priority::Critical)
            .map(|i| i.accepted_at)
    }

    /// Returns what each handler has.
    pub(super) fn counts(&self) -> Vec<HandlerCounts> {
        let mut counts: Vec<HandlerCounts> = self
            .handlers
            .iter()
            .map(|slots| HandlerCounts {
                handler: slots.name.clone(),
                waiting: 0,
                running: slots.running,
            })
            .collect();
        for item in self.items.values() {
            if matches!(item.phase, Phase::Waiting | Phase::Staged(None)) {
                counts[item.handler].waiting += 1;
            }
        }
        counts
    }

    /// Hands nothing out any more; returns every lease, and whether a worker has taken it out.
    pub(super) fn close(&mut self) -> Vec<(DeliveryId, bool)> {
        self.closed = true;
        self.items
            .iter()
            .filter_map(|(id, item)| match item.phase {
                Phase::Leased { started, .. } => Some((*id, started)),
                _ => None,
            })
            .collect()
    }

    /// Returns true where `grant` would lease something.
    pub(super) fn can_grant(&self, now: Ticks) -> bool {
        self.timers.first().is_some_and(|(due, _)| *due <= now)
            || self
                .handlers
                .iter()
                .any(|slots| !slots.is_idle() && slots.has_slot(now))
    }
}

/// The parts that are not for callers.
impl Scheduler {
    /// Puts a delivery on its lane, by its id but behind one that runs; returns true where it is the first.
    fn insert(&mut self, entrant: Entrant) -> bool {
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
            phase: Phase::Staged(None),
            accepted_at: entrant.accepted_at,
            leases: entrant.leases,
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

    fn lease(&mut self, id: DeliveryId, phase: impl FnOnce(LeaseToken) -> Phase) -> Grant {
        self.last_token += 1;
        let token = LeaseToken(self.last_token);
        let item = self.item(id);
        item.phase = phase(token);
        item.leases += 1;
        let (handler, lane) = (item.handler, item.lane);
        let item = &self.items[&id];
        let grant = Grant {
            id,
            token,
            route: Arc::clone(&self.routes[lane.0]),
            pipeline: Arc::clone(&item.pipeline),
            handler: self.handlers[handler].name.clone(),
            lease: item.leases,
            after_crash: item.after_crash,
            accepted_at: item.accepted_at,
            alert: item.alert.clone(),
        };
        self.handlers[handler].running += 1;
        grant
    }

    /// The lease is durable: the worker keeps the alert from here on.
    fn begin(&mut self, id: DeliveryId, token: LeaseToken) {
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

    fn remove(&mut self, id: DeliveryId, now: Ticks) {
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
    fn set_off(&mut self, id: DeliveryId, now: Ticks) {
        let item = &self.items[&id];
        if item.due > now {
            self.timers.insert((item.due, id));
        } else {
            self.handlers[item.handler].ready(item.priority, id);
        }
    }

    /// The opposite of `set_off`.
    fn call_off(&mut self, id: DeliveryId) {
        if let Some(item) = self.items.get(&id) {
            self.timers.remove(&(item.due, id));
            self.handlers[item.handler].unready(item.priority, id);
        }
    }

    fn fire_timers(&mut self, now: Ticks) {
        while let Some((due, id)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.pop_first();
            self.set_off(id, now);
        }
    }

    fn is_first(&self, id: DeliveryId) -> bool {
        let lane = self.lanes.get(&self.items[&id].lane);
        lane.and_then(VecDeque::front) == Some(&id)
    }

    #[allow(
        clippy::expect_used,
        reason = "every id that the scheduler keeps elsewhere is in `items`"
    )]
    fn item(&mut self, id: DeliveryId) -> &mut Item {
        self.items.get_mut(&id).expect("a known delivery")
    }

    fn route_key(&mut self, route: &Arc<str>) -> usize {
        if let Some(key) = self.route_keys.get(route) {
            return *key;
        }
        self.routes.push(Arc::clone(route));
        self.route_keys
            .insert(Arc::clone(route), self.routes.len() - 1);
        self.routes.len() - 1
    }

    fn handler_key(&mut self, handler: &HandlerName) -> usize {
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
