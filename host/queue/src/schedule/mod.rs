//! Decides which delivery runs next, by ordering key, concurrency permits, gates, priority and age, in memory and without a clock.
//!
//! It has every delivery that is not settled. [`Scheduler::admit`], [`Scheduler::grant`] and [`Scheduler::withdraw`] are
//! provisional until the store's transaction ends, with [`Scheduler::commit`] or [`Scheduler::rollback`].

mod alone;
mod bucket;
mod entry;
mod fingerprint_queue;
mod gated;
mod gates;
mod handler_queue;
mod ordering;
mod provisional;
mod rank;
mod status;
mod storms;
#[cfg(test)]
mod tests;
mod turn;
mod wake;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, Fingerprint, HandlerName, Priority, Timestamp};
use alert_manager_core::gate::GateName;
use alert_manager_core::journal::Dependency;

use crate::model::clock::Ticks;
use crate::model::{Caps, Cause, Grant, Lease, Owner, Wake, Woken};
use alone::Alone;
use fingerprint_queue::FingerprintQueue;
use gated::AtGate;
use gates::Gates;
use handler_queue::HandlerQueue;
use provisional::Provisional;
use storms::{InStorm, Storms};
use turn::Class;
use wake::{Recoveries, Waiters};

pub(crate) use entry::{Ended, Entrant, Origin, Withdrawn};
pub(crate) use gated::LeaseEnds;
pub(crate) use status::From;
pub(crate) use storms::Standing;
pub(crate) use walk::Walk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its admission is not committed yet.
    Staged {
        /// True if a lease was granted with it.
        leased: bool,
    },
    Waiting,
    /// Its lease is not committed yet.
    Granted,
    Leased {
        /// True if a worker has started it.
        started: bool,
    },
    /// Cancelled while a worker has it.
    Revoked,
    /// Cancelled while it waited; not committed yet.
    Withdrawn,
    /// Another one runs in its place.
    Member {
        of: DeliveryId,
    },
}

#[derive(Debug)]
struct Item {
    route: usize,
    fingerprint: Fingerprint,
    pipeline: Arc<[HandlerName]>,
    handler: usize,
    priority: Priority,
    /// The highest priority of what waits for it to end, and of its own.
    rank: Priority,
    due: Ticks,
    /// When its timer fires, if one is set.
    timer: Option<Ticks>,
    phase: Phase,
    accepted_at: Timestamp,
    since: Ticks,
    leases: u32,
    after_crash: bool,
    suspected: u32,
    /// Dependencies whose recovery makes it due before `due`.
    waits_for: Vec<Dependency>,
    /// Where it waits for its turn.
    at_gate: Option<AtGate>,
    /// Messages that it has an update of.
    messages: Vec<GateName>,
    /// Since when it has waited.
    waits_since: Ticks,
    /// The dependencies that have recovered since its last lease.
    woken: Vec<Woken>,
    /// How many recoveries there had been when its lease began; of consecutive leases, the first.
    seen: Option<u64>,
    alert: Option<Arc<Alert>>,
    alert_bytes: usize,
    /// Present if it may run as one with others.
    storm: Option<Box<InStorm>>,
    cause: Cause,
}

impl Item {
    /// Returns true if it is leased, whether or not the lease is committed.
    fn is_leased(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Staged { leased: false } | Phase::Waiting | Phase::Withdrawn
        )
    }
}

/// Returns true if so many more fit beside what there is. More than may be there at all fit once there is nothing.
fn fits(there: usize, count: usize, most: usize) -> bool {
    let most = most.max(1);
    there + count.min(most) <= most
}

/// How long a delivery waits for a permit of one handler before it waits for one of the next handler in its pipeline instead, in
/// milliseconds. A busy handler must not delay the steps of the others.
const PATIENCE_MS: Ticks = 10_000;

/// All deliveries that are not settled, and which of them run next.
#[derive(Debug)]
pub(crate) struct Scheduler {
    items: BTreeMap<DeliveryId, Item>,
    /// By fingerprint, in the order in which they run.
    fingerprints: HashMap<Fingerprint, FingerprintQueue>,
    routes: Vec<Arc<str>>,
    route_keys: HashMap<Arc<str>, usize>,
    handlers: Vec<HandlerQueue>,
    handler_keys: HashMap<HandlerName, usize>,
    gates: Gates,
    /// Deliveries of which it is to be stored that a later update was sent than theirs.
    outdated: Vec<DeliveryId>,
    timers: BTreeSet<(Ticks, DeliveryId)>,
    waiters: Waiters,
    recoveries: Recoveries,
    provisional: Vec<Provisional>,
    caps: Caps,
    depth_max: usize,
    /// JSON bytes of the alerts kept in memory.
    alert_bytes: usize,
    alert_bytes_max: usize,
    criticals: usize,
    owner: Owner,
    alone: Alone,
    storms: Storms,
    /// True once a worker takes deliveries. Nothing is leased before.
    attached: bool,
    closed: bool,
}

impl Scheduler {
    pub(crate) fn new(caps: Caps, depth_max: usize, alert_bytes_max: usize) -> Self {
        Self {
            items: BTreeMap::new(),
            fingerprints: HashMap::new(),
            routes: Vec::new(),
            route_keys: HashMap::new(),
            handlers: Vec::new(),
            handler_keys: HashMap::new(),
            gates: Gates::default(),
            outdated: Vec::new(),
            timers: BTreeSet::new(),
            waiters: Waiters::new(),
            recoveries: Recoveries::default(),
            provisional: Vec::new(),
            caps,
            depth_max,
            alert_bytes: 0,
            alert_bytes_max,
            criticals: 0,
            owner: Owner::default(),
            alone: Alone::default(),
            storms: Storms::default(),
            attached: false,
            closed: false,
        }
    }

    /// Returns how many deliveries are not settled.
    pub(crate) fn depth(&self) -> usize {
        self.items.len()
    }

    /// Returns true if the delivery is not settled.
    pub(crate) fn contains(&self, id: DeliveryId) -> bool {
        self.items.contains_key(&id)
    }

    /// Returns true if a new delivery fits: no handler of the pipeline has half of the queue already.
    pub(crate) fn has_room(&self, pipeline: &[HandlerName]) -> bool {
        self.has_room_of_each(pipeline, 1, self.depth_max / 2)
    }

    /// The same for so many that are sent again as one.
    pub(crate) fn has_room_for_all(&self, pipeline: &[HandlerName], count: usize) -> bool {
        fits(self.depth(), count, self.depth_max)
            && self.has_room_of_each(pipeline, count, self.depth_max / 2)
    }

    /// Returns true if so many fit, as one, that a request retries with many others: half of the queue, and of each handler's
    /// share, is kept for new alerts.
    pub(crate) fn has_room_for_many(&self, pipeline: &[HandlerName], count: usize) -> bool {
        fits(self.depth(), count, self.depth_max / 2)
            && self.has_room_of_each(pipeline, count, self.depth_max / 4)
    }

    fn has_room_of_each(&self, pipeline: &[HandlerName], count: usize, most: usize) -> bool {
        pipeline.iter().all(|handler| {
            let key = self.handler_keys.get(handler);
            key.is_none_or(|key| fits(self.handlers[*key].depth, count, most))
        })
    }

    /// Adds a delivery. Leases it at once if it is next on its ordering key, and no other delivery waits for the permit.
    pub(crate) fn admit(&mut self, entrant: Entrant, now: Ticks) -> Option<Grant> {
        let id = entrant.id;
        let alert = entrant.alert.clone();
        let first = self.insert(entrant, now);
        let item = &self.items[&id];
        let leasable = first
            && self.attached
            && !self.alone.is_on(now)
            && item.due <= now
            && self.handlers[item.handler].may_take(item.rank)
            && !self.waits_for_storm(id, now);
        self.provisional.push(Provisional::Admitted(id));
        if !leasable {
            return None;
        }
        let mut grant = self.lease(id, Phase::Staged { leased: true });
        grant.alert = alert;
        Some(grant)
    }

    /// Adds a delivery that the store had before this process started.
    pub(crate) fn restore(&mut self, entrant: Entrant, now: Ticks) {
        let id = entrant.id;
        let suspected = entrant.suspected;
        let first = self.insert(entrant, now);
        self.item(id).phase = Phase::Waiting;
        if first {
            self.enqueue(id, now);
        }
        if suspected > 0 {
            self.alone.suspect(id, suspected);
        }
    }

    /// Begins to lease deliveries: a worker takes them from now on.
    pub(crate) fn attach(&mut self, now: Ticks) {
        self.attached = true;
        self.alone.begin(now);
        self.restart_patience(now);
    }

    /// Gives its caps and options, and that there is a worker, to another one.
    pub(crate) fn hand_settings_to(&self, other: &mut Self) {
        other.set_caps(self.caps.clone());
        other.set_storm(self.storm_options());
        other.attached = self.attached;
    }

    /// Begins to lease deliveries, if there is a worker already.
    pub(crate) fn resume(&mut self, now: Ticks) {
        if self.attached {
            self.attach(now);
        }
    }

    /// Leases as many deliveries as there are free permits.
    pub(crate) fn grant(&mut self, now: Ticks) -> Vec<Grant> {
        if !self.attached {
            return Vec::new();
        }
        self.fire_timers(now);
        if self.alone.is_on(now) {
            return self.grant_alone().into_iter().collect();
        }
        let mut grants = Vec::new();
        for class in Class::ALL {
            while let Some(id) = self.pick_parked(class, now) {
                grants.push(self.grant_generation(id, now));
            }
            for key in 0..self.handlers.len() {
                while let Some((_, id)) = self.handlers[key].pop(class) {
                    grants.push(self.grant_generation(id, now));
                }
            }
        }
        grants
    }

    /// Leases what is next, or the delivery that stands for it.
    fn grant_generation(&mut self, next: DeliveryId, now: Ticks) -> Grant {
        let (id, stands_for) = self.form(next, now);
        Grant {
            stands_for,
            ..self.grant_one(id)
        }
    }

    fn grant_one(&mut self, id: DeliveryId) -> Grant {
        self.provisional.push(Provisional::Granted(id));
        self.lease(id, Phase::Granted)
    }

    /// Cancels a delivery, whether it waits or runs.
    pub(crate) fn withdraw(&mut self, id: DeliveryId) -> Withdrawn {
        let Some(item) = self.items.get_mut(&id) else {
            return Withdrawn::Absent;
        };
        match item.phase {
            Phase::Waiting => {
                item.phase = Phase::Withdrawn;
                self.dequeue(id);
                self.provisional.push(Provisional::Withdrawn(id));
                Withdrawn::Waiting
            }
            Phase::Member { of } => {
                item.phase = Phase::Withdrawn;
                self.provisional.push(Provisional::Left(id, of));
                Withdrawn::Waiting
            }
            Phase::Leased { started } => {
                item.phase = Phase::Revoked;
                self.provisional.push(Provisional::Revoked {
                    id,
                    was_started: started,
                });
                Withdrawn::Leased
            }
            Phase::Staged { .. } | Phase::Granted => Withdrawn::Uncommitted,
            Phase::Revoked | Phase::Withdrawn => Withdrawn::Absent,
        }
    }

    /// Returns true if a lease is valid: committed, not ended and not revoked.
    pub(crate) fn holds(&self, lease: Lease) -> bool {
        self.leased(lease)
            .is_some_and(|item| matches!(item.phase, Phase::Leased { .. }))
    }

    /// Returns the delivery whose last lease this is.
    fn leased(&self, lease: Lease) -> Option<&Item> {
        let item = self.items.get(&lease.id)?;
        (item.leases == lease.number && self.owner == lease.owner).then_some(item)
    }

    /// Sets the owner of all further leases.
    pub(crate) fn set_owner(&mut self, owner: Owner) {
        self.owner = owner;
    }

    /// Returns the route, the pipeline and the time of acceptance of a delivery that is not settled.
    pub(crate) fn origin_of(&self, id: DeliveryId) -> Option<Origin> {
        let item = self.items.get(&id)?;
        Some(Origin {
            route: Arc::clone(&self.routes[item.route]),
            pipeline: Arc::clone(&item.pipeline),
            priority: item.priority,
            accepted_at: item.accepted_at,
        })
    }

    /// Returns true if a lease was revoked, because its delivery was cancelled.
    pub(crate) fn has_revoked(&self, lease: Lease) -> bool {
        self.leased(lease)
            .is_some_and(|item| item.phase == Phase::Revoked)
    }

    /// Marks a lease as started by a worker; returns false if it is no longer valid.
    pub(crate) fn start(&mut self, lease: Lease) -> bool {
        let may_start = !self.closed && self.holds(lease);
        if may_start {
            self.item(lease.id).phase = Phase::Leased { started: true };
        }
        may_start
    }

    /// Ends a lease, once that is durable. Its permit is released by [`Self::release_permit`].
    pub(crate) fn end(&mut self, lease: Lease, ended: Ended, now: Ticks) {
        let id = lease.id;
        let Some(item) = self.leased(lease) else {
            return;
        };
        let phase = item.phase;
        self.gates.end_lease(id);
        match (phase, ended) {
            (Phase::Leased { .. }, Ended::Settled) | (Phase::Revoked, _) => self.remove(id, now),
            (
                Phase::Leased { .. },
                Ended::Waits {
                    handler,
                    due,
                    waits_for,
                },
            ) => {
                let to = self.handler_key(&handler);
                self.put_back(id, to, due, now);
                // One that yielded has more to run at once.
                if due > Ticks::MIN {
                    self.item(id).suspected = 0;
                    self.await_unless_missed(id, waits_for, now);
                }
                if self.is_next(id) {
                    self.enqueue(id, now);
                }
            }
            (
                Phase::Leased { .. },
                Ended::Parked {
                    handler,
                    parked,
                    is_clean,
                    due,
                    waits_for,
                },
            ) => {
                let to = self.handler_key(&handler);
                self.put_back(id, to, Ticks::MAX, now);
                self.park(id, &parked, due, now);
                self.set_clean(id, is_clean);
                self.await_unless_missed(id, waits_for, now);
                if self.is_next(id) {
                    self.enqueue(id, now);
                }
            }
            _ => {}
        }
    }

    /// Has a delivery wait whose lease has ended.
    fn put_back(&mut self, id: DeliveryId, handler: usize, due: Ticks, now: Ticks) {
        self.move_to(id, handler);
        let item = self.item(id);
        item.due = due;
        item.phase = Phase::Waiting;
        item.waits_since = now;
        item.after_crash = false;
    }

    /// Has a delivery wait for dependencies. If one of them recovered while the delivery ran, it is due: nothing waited for it then.
    fn await_unless_missed(&mut self, id: DeliveryId, waits_for: Vec<Dependency>, now: Ticks) {
        let seen = self.item(id).seen.take();
        let missed = self.recoveries.since(seen.unwrap_or(u64::MAX), &waits_for);
        if missed.is_empty() {
            self.wait_for_all(id, waits_for);
            return;
        }
        let item = self.item(id);
        item.due = item.due.min(now);
        let woken = missed.into_iter().map(|back| (back, Wake::All));
        item.woken.extend(woken);
    }

    /// Releases a permit; returns true if a delivery waits for one, and may have it.
    pub(crate) fn release_permit(&mut self, handler: &HandlerName) -> bool {
        let key = self.handler_key(handler);
        let queue = &mut self.handlers[key];
        queue.permits_taken = queue.permits_taken.saturating_sub(1);
        queue.can_pop() || self.gates.waits_for_permit(key)
    }

    /// Takes another permit for a lease under way, if one is free for it that no delivery has before it. While suspects run alone,
    /// the deliveries that wait do not count, since they cannot run now.
    pub(crate) fn try_take_permit(
        &mut self,
        lease: Lease,
        handler: &HandlerName,
        now: Ticks,
    ) -> bool {
        let alone = self.alone.is_on(now);
        let rank = self
            .leased(lease)
            .map_or(Priority::Normal, |item| item.rank);
        let key = self.handler_key(handler);
        let queue = &mut self.handlers[key];
        let takes = queue.may_take(rank) || (alone && queue.has_permit(rank));
        queue.permits_taken += u32::from(takes);
        takes
    }

    /// Changes the concurrency limits. Invocations under way continue.
    pub(crate) fn set_caps(&mut self, caps: Caps) {
        for queue in &mut self.handlers {
            queue.permits_max = caps.of(&queue.handler);
        }
        self.caps = caps;
    }
}
