//! Gates: rates that several handlers share, and what waits for its turn at them.
//!
//! Deliveries that need a permit of the same handler and tokens of the same gates wait in one group. A group sleeps until each of
//! its gates is open and has a token, so what is looked at for a turn is a few groups, however many deliveries wait.
//!
//! A delivery whose turn it is has its tokens reserved, since it has to be leased first. What it does not use in time is given back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Priority};
use alert_manager_core::gate::{GateAsk, GateName, GateRate, Parked, Pass};

use crate::model::clock::Ticks;

use super::bucket::Bucket;
use super::turn::{Class, PRIORITIES, Rank, Ranks, Turns};

/// How long a token is reserved for the delivery whose turn it is, in milliseconds; also how long a token is kept for a critical
/// delivery that is about to wait for it.
pub(super) const RESERVED_MS: Ticks = 2_000;

/// How many gates there may be before those of messages that nobody waits for are forgotten.
const GATES_MIN: usize = 256;

/// The gates that a call has to pass. The first is the one that decides whose turn it is.
pub(super) type Names = Arc<[GateName]>;

/// What waits alike: for a permit of a handler, and for these gates.
pub(super) type Alike = (usize, Names);

#[derive(Debug)]
struct Gate {
    label: String,
    rate: Option<GateRate>,
    bucket: Option<Bucket>,
    closed_until: Ticks,
    turns: Turns,
    groups: BTreeSet<Alike>,
    /// Who has asked for an update of this message: the number of the first of their asks, among all for updates.
    updates: BTreeMap<DeliveryId, u64>,
    /// The highest of these so far.
    latest_update: u64,
}

impl Gate {
    fn new(label: String) -> Self {
        Self {
            label,
            rate: None,
            bucket: None,
            closed_until: Ticks::MIN,
            turns: Turns::default(),
            groups: BTreeSet::new(),
            updates: BTreeMap::new(),
            latest_update: 0,
        }
    }

    /// Returns when it is open and has a token: `now` if that is so.
    fn opens_at(&self, now: Ticks) -> Ticks {
        let open_at = self.closed_until.max(now);
        match &self.bucket {
            Some(bucket) => bucket.next_at(open_at),
            None => open_at,
        }
    }

    fn set_rate(&mut self, rate: Option<GateRate>, now: Ticks) {
        self.rate = rate;
        self.bucket = rate.map(Bucket::new);
        if self.closed_until > now {
            self.close(self.closed_until);
        }
    }

    fn close(&mut self, until: Ticks) {
        self.closed_until = self.closed_until.max(until);
        if let Some(bucket) = &mut self.bucket {
            bucket.empty_until(until);
        }
    }

    fn is_idle(&self, now: Ticks) -> bool {
        self.closed_until <= now && self.groups.is_empty() && self.updates.is_empty()
    }
}

#[derive(Debug, Default)]
struct Group {
    waiting: Ranks,
    /// When each of its gates has a token; absent if it is awake.
    wakes_at: Option<Ticks>,
}

/// Tokens that are kept for a delivery.
#[derive(Debug)]
struct Kept {
    names: Names,
    until: Ticks,
}

/// How a gate stands.
#[derive(Debug)]
pub(super) struct GateState<'g> {
    pub(super) name: &'g GateName,
    pub(super) label: &'g str,
    pub(super) rate: Option<GateRate>,
    /// Present if it is later than now.
    pub(super) opens_at: Option<Ticks>,
    pub(super) closed_until: Option<Ticks>,
    /// By priority.
    pub(super) waiting: [usize; 3],
}

/// All gates, and what waits at them.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: HashMap<GateName, Gate>,
    /// At how many gates those of messages are looked through.
    sweep_at: usize,
    groups: BTreeMap<Alike, Group>,
    /// Groups of which each gate may have a token.
    awake: BTreeSet<Alike>,
    asleep: BTreeSet<(Ticks, Alike)>,
    /// Tokens of leased deliveries whose turn it is.
    reserved: BTreeMap<DeliveryId, Kept>,
    /// Critical deliveries that have to wait, but whose lease has not ended yet: nothing less urgent has a token before them.
    arriving: BTreeMap<DeliveryId, Kept>,
    /// The turns between what waits at different gates.
    turns: Turns,
    updates: u64,
}

impl Gates {
    /// Takes note of gates that are asked for, and of their rates.
    pub(super) fn know(&mut self, asks: &[GateAsk], now: Ticks) {
        for ask in asks {
            let gate = match self.gates.get_mut(&ask.name) {
                Some(gate) => gate,
                None => {
                    self.sweep(now);
                    let gate = Gate::new(ask.label.clone());
                    self.gates.entry(ask.name.clone()).or_insert(gate)
                }
            };
            if gate.label != ask.label {
                gate.label.clone_from(&ask.label);
            }
            if gate.rate != ask.rate {
                gate.set_rate(ask.rate, now);
                self.rouse(&ask.name);
            }
        }
    }

    /// Closes a gate for all, until then.
    pub(super) fn close(&mut self, ask: &GateAsk, until: Ticks, now: Ticks) {
        self.know(std::slice::from_ref(ask), now);
        self.close_known(&ask.name, until);
    }

    /// Closes a gate of which nothing but its name is known yet.
    pub(super) fn close_known(&mut self, name: &GateName, until: Ticks) {
        let gate = self.gates.entry(name.clone());
        let gate = gate.or_insert_with(|| Gate::new(name.to_string()));
        gate.close(until);
    }

    /// Lets a call of a leased delivery pass, or has the delivery wait.
    pub(super) fn pass(&mut self, rank: Rank, asks: &[GateAsk], now: Ticks) -> Pass {
        self.expire(now);
        self.arriving.remove(&rank.1);
        if let Some(kept) = self.reserved.remove(&rank.1) {
            let is_kept = |ask: &GateAsk| kept.names.contains(&ask.name);
            let is_open = |ask: &GateAsk| self.gates[&ask.name].closed_until <= now;
            if asks.iter().all(|ask| is_kept(ask) && is_open(ask)) {
                let is_asked = |name: &&GateName| asks.iter().any(|ask| ask.name == **name);
                self.give_back(kept.names.iter().filter(|name| !is_asked(name)));
                return Pass::Granted;
            }
            self.give_back(kept.names.iter());
        }
        let Some(gate) = self.closed(rank, asks, now) else {
            self.take(rank, asks.iter().map(|ask| &ask.name), now);
            return Pass::Granted;
        };
        let parked = Parked {
            gate: gate.clone(),
            asks: asks.to_vec(),
        };
        if rank.0 == Priority::Critical {
            let kept = Kept {
                names: names(asks),
                until: now + RESERVED_MS,
            };
            self.arriving.insert(rank.1, kept);
        }
        Pass::Parked(parked)
    }

    /// Returns the gate that a call cannot pass now: it is closed, it has no token, or another has its next one.
    fn closed<'a>(&self, rank: Rank, asks: &'a [GateAsk], now: Ticks) -> Option<&'a GateAsk> {
        let opens_at = |ask: &&GateAsk| self.gates[&ask.name].opens_at(now);
        let last = asks.iter().max_by_key(opens_at)?;
        if opens_at(&last) > now {
            return Some(last);
        }
        if self.groups.is_empty() && self.arriving.is_empty() {
            return None;
        }
        let asked = names(asks);
        if self.is_held_back(rank, &asked, now) {
            return asks.first();
        }
        let is_behind = |ask: &&GateAsk| self.heads(&ask.name, now).any(|head| head < rank);
        asks.iter().find(is_behind).or_else(|| {
            let first = asks.first()?;
            let heads = self.heads(&first.name, now).chain([rank]);
            let turns = self.gates[&first.name].turns;
            let is_next = turns.pick(heads, self.has_critical(&first.name)) == Some(rank);
            (!is_next).then_some(first)
        })
    }

    /// Returns the first of each group at a gate that waits for no other gate.
    fn heads(&self, name: &GateName, now: Ticks) -> impl Iterator<Item = Rank> {
        let groups = self.gates[name].groups.iter();
        let open = groups.filter(move |(_, names)| self.opens_at(names, now) <= now);
        open.flat_map(|alike| self.groups[alike].waiting.firsts())
    }

    fn has_critical(&self, name: &GateName) -> bool {
        let mut groups = self.gates[name].groups.iter();
        groups.any(|alike| self.groups[alike].waiting.has_critical())
    }

    /// Returns true if a critical delivery is about to wait for the same token.
    fn is_held_back(&self, rank: Rank, names: &[GateName], now: Ticks) -> bool {
        rank.0 != Priority::Critical
            && self.arriving.values().any(|kept| {
                kept.until > now
                    && kept.names.iter().any(|name| names.contains(name))
                    && self.opens_at(&kept.names, now) <= now
            })
    }

    fn opens_at(&self, names: &[GateName], now: Ticks) -> Ticks {
        let known = names.iter().filter_map(|name| self.gates.get(name));
        known.map(|gate| gate.opens_at(now)).max().unwrap_or(now)
    }

    /// Takes a token of each gate.
    fn take<'a>(
        &mut self,
        rank: Rank,
        names: impl Iterator<Item = &'a GateName> + Clone,
        now: Ticks,
    ) {
        if let Some(first) = names.clone().next().and_then(|n| self.gates.get_mut(n)) {
            first.turns.took(rank);
        }
        for name in names {
            let gate = self.gates.get_mut(name);
            if let Some(bucket) = gate.and_then(|gate| gate.bucket.as_mut()) {
                bucket.take(now);
            }
        }
    }

    /// Gives tokens back: what waits for them may have its turn.
    fn give_back<'a>(&mut self, names: impl Iterator<Item = &'a GateName>) {
        for name in names {
            let gate = self.gates.get_mut(name);
            if let Some(bucket) = gate.and_then(|gate| gate.bucket.as_mut()) {
                bucket.give_back();
            }
            self.rouse(name);
        }
    }

    /// Wakes the groups at a gate, which may have a token before its time.
    fn rouse(&mut self, name: &GateName) {
        let Some(gate) = self.gates.get(name) else {
            return;
        };
        for alike in &gate.groups {
            let group = self.groups.get_mut(alike);
            if let Some(at) = group.and_then(|group| group.wakes_at.take()) {
                self.asleep.remove(&(at, alike.clone()));
                self.awake.insert(alike.clone());
            }
        }
    }

    /// Gives tokens back that were not used in time.
    fn expire(&mut self, now: Ticks) {
        while let Some(id) = self.expired(now) {
            self.end_lease(id);
        }
    }

    fn expired(&self, now: Ticks) -> Option<DeliveryId> {
        let mut reserved = self.reserved.iter();
        reserved
            .find(|(_, kept)| kept.until <= now)
            .map(|(id, _)| *id)
    }

    /// Gives back what is kept for a delivery: its lease has ended.
    pub(super) fn end_lease(&mut self, id: DeliveryId) {
        self.arriving.remove(&id);
        if let Some(kept) = self.reserved.remove(&id) {
            self.give_back(kept.names.iter());
        }
    }

    /// Has a delivery wait for its turn. Its gates are known.
    pub(super) fn wait(&mut self, alike: &Alike, rank: Rank, now: Ticks) {
        if let Some(group) = self.groups.get_mut(alike) {
            group.waiting.insert(rank);
            return;
        }
        let mut group = Group::default();
        group.waiting.insert(rank);
        self.groups.insert(alike.clone(), group);
        for name in alike.1.iter() {
            if let Some(gate) = self.gates.get_mut(name) {
                gate.groups.insert(alike.clone());
            }
        }
        self.awake.insert(alike.clone());
        self.sleep(alike, now);
    }

    /// Takes a delivery out that waits for its turn.
    pub(super) fn leave(&mut self, alike: &Alike, rank: Rank) -> bool {
        let Some(group) = self.groups.get_mut(alike) else {
            return false;
        };
        let was_there = group.waiting.remove(rank);
        if group.waiting.is_empty() {
            if let Some(at) = group.wakes_at {
                self.asleep.remove(&(at, alike.clone()));
            }
            self.awake.remove(alike);
            self.groups.remove(alike);
            for name in alike.1.iter() {
                if let Some(gate) = self.gates.get_mut(name) {
                    gate.groups.remove(alike);
                }
            }
        }
        was_there
    }

    /// Puts a group to sleep if one of its gates is closed, or has no token.
    fn sleep(&mut self, alike: &Alike, now: Ticks) -> bool {
        let opens_at = self.opens_at(&alike.1, now);
        if opens_at <= now {
            return false;
        }
        if let Some(group) = self.groups.get_mut(alike) {
            group.wakes_at = Some(opens_at);
            self.awake.remove(alike);
            self.asleep.insert((opens_at, alike.clone()));
        }
        true
    }

    /// Takes out the delivery of a class whose turn it is and whose handler has a permit for it, and reserves its tokens.
    pub(super) fn pick(
        &mut self,
        class: Class,
        now: Ticks,
        has_permit: impl Fn(usize, Priority) -> bool,
    ) -> Option<DeliveryId> {
        if self.groups.is_empty() && self.reserved.is_empty() {
            return None;
        }
        self.expire(now);
        self.wake(now);
        let (rank, alike) = self.next(class, now, has_permit)?;
        self.leave(&alike, rank);
        self.take(rank, alike.1.iter(), now);
        self.turns.took(rank);
        let kept = Kept {
            names: alike.1,
            until: now + RESERVED_MS,
        };
        self.reserved.insert(rank.1, kept);
        Some(rank.1)
    }

    fn wake(&mut self, now: Ticks) {
        while let Some((at, _)) = self.asleep.first()
            && *at <= now
            && let Some((_, alike)) = self.asleep.pop_first()
        {
            if let Some(group) = self.groups.get_mut(&alike) {
                group.wakes_at = None;
            }
            self.awake.insert(alike);
        }
        let awake: Vec<_> = self.awake.iter().cloned().collect();
        for alike in awake {
            self.sleep(&alike, now);
        }
    }

    /// Returns whose turn it is: first among what waits at the same gate, then among those.
    fn next(
        &self,
        class: Class,
        now: Ticks,
        has_permit: impl Fn(usize, Priority) -> bool,
    ) -> Option<(Rank, Alike)> {
        let mut by_gate: BTreeMap<&GateName, Vec<(Rank, &Alike)>> = BTreeMap::new();
        for alike in &self.awake {
            let Some(first) = alike.1.first() else {
                continue;
            };
            let can_go =
                |rank: &Rank| class.has(*rank) && self.can_go(*rank, alike, now, &has_permit);
            let firsts = self.groups[alike].waiting.firsts().filter(can_go);
            let heads = firsts.map(|rank| (rank, alike));
            by_gate.entry(first).or_default().extend(heads);
        }
        let critical_waits = by_gate.keys().any(|name| self.has_critical(name));
        let of_gate = |(name, heads): (&&GateName, &Vec<(Rank, &Alike)>)| {
            let ranks = heads.iter().map(|(rank, _)| *rank);
            self.gates[*name].turns.pick(ranks, critical_waits)
        };
        let firsts: Vec<_> = by_gate.iter().filter_map(of_gate).collect();
        let next = self.turns.pick(firsts, critical_waits)?;
        let mut heads = by_gate.values().flatten();
        let (rank, alike) = heads.find(|(rank, _)| *rank == next)?;
        Some((*rank, (*alike).clone()))
    }

    fn can_go(
        &self,
        rank: Rank,
        (handler, names): &Alike,
        now: Ticks,
        has_permit: impl Fn(usize, Priority) -> bool,
    ) -> bool {
        has_permit(*handler, rank.0)
            && self.opens_at(names, now) <= now
            && !self.is_held_back(rank, names, now)
    }

    /// Returns true if [`Self::pick`] would find a delivery, or change something.
    pub(super) fn can_pick(
        &self,
        now: Ticks,
        has_permit: impl Fn(usize, Priority) -> bool,
    ) -> bool {
        let wakes = self.asleep.first().is_some_and(|(at, _)| *at <= now);
        wakes
            || self.expired(now).is_some()
            || self.awake.iter().any(|alike| {
                let mut firsts = self.groups[alike].waiting.firsts();
                firsts.any(|rank| self.can_go(rank, alike, now, &has_permit))
            })
    }

    /// Returns true if a delivery waits for nothing but a permit.
    pub(super) fn waits_for_permit(&self, handler: usize) -> bool {
        self.awake.iter().any(|(of, _)| *of == handler)
    }

    /// Returns when a turn may come by itself.
    pub(super) fn next_due(&self, now: Ticks) -> Option<Ticks> {
        let asleep = self.asleep.first().map(|(at, _)| *at);
        let reserved = self.reserved.values().map(|kept| kept.until);
        let mut due = asleep.into_iter().chain(reserved).min();
        for (_, names) in &self.awake {
            let opens_at = self.opens_at(names, now);
            let arriving = self.arriving.values().map(|kept| kept.until);
            let later = arriving.chain([opens_at]).filter(|at| *at > now);
            due = due.into_iter().chain(later).min();
        }
        due
    }

    /// Notes that a delivery has an update of a message; returns false if another has asked for a later one.
    pub(super) fn is_latest_update(&mut self, id: DeliveryId, message: &GateName) -> bool {
        let Some(gate) = self.gates.get_mut(message) else {
            return true;
        };
        let asked = gate.updates.entry(id).or_insert_with(|| {
            self.updates += 1;
            gate.latest_update = self.updates;
            self.updates
        });
        *asked == gate.latest_update
    }

    /// Returns what waits at a gate, and in which group.
    pub(super) fn waiting_at(&self, name: &GateName) -> Vec<Rank> {
        let Some(gate) = self.gates.get(name) else {
            return Vec::new();
        };
        let groups = gate.groups.iter();
        groups
            .flat_map(|alike| self.groups[alike].waiting.all())
            .collect()
    }

    /// Forgets a delivery that has ended.
    pub(super) fn forget(&mut self, id: DeliveryId, messages: &[GateName], now: Ticks) {
        self.end_lease(id);
        for message in messages {
            let Some(gate) = self.gates.get_mut(message) else {
                continue;
            };
            gate.updates.remove(&id);
            if gate.is_idle(now) {
                self.gates.remove(message);
            }
        }
    }

    /// Forgets the gates of messages that are open and that nobody waits for, whenever there are twice as many as were left.
    fn sweep(&mut self, now: Ticks) {
        if self.gates.len() < self.sweep_at.max(GATES_MIN) {
            return;
        }
        let is_message = |name: &GateName| matches!(name, GateName::SlackMessage(_));
        self.gates
            .retain(|name, gate| !is_message(name) || !gate.is_idle(now));
        self.sweep_at = self.gates.len() * 2;
    }

    /// Returns how each gate stands, in no order.
    pub(super) fn states(&self, now: Ticks) -> impl Iterator<Item = GateState<'_>> {
        self.gates.iter().map(move |(name, gate)| {
            let count = |priority| {
                let groups = gate.groups.iter();
                groups
                    .map(|alike| self.groups[alike].waiting.count(priority))
                    .sum()
            };
            GateState {
                name,
                label: &gate.label,
                rate: gate.rate,
                opens_at: Some(gate.opens_at(now)).filter(|at| *at > now),
                closed_until: Some(gate.closed_until).filter(|at| *at > now),
                waiting: PRIORITIES.map(count),
            }
        })
    }

    #[cfg(test)]
    pub(super) fn has_reserved(&self, id: DeliveryId) -> bool {
        self.reserved.contains_key(&id)
    }

    /// Returns what a gate is called for people.
    pub(super) fn label(&self, name: &GateName) -> Option<&str> {
        self.gates.get(name).map(|gate| &*gate.label)
    }

    /// Returns how many wait at a gate and have their turn before this one.
    pub(super) fn ahead_of(&self, rank: Rank, name: &GateName) -> usize {
        let Some(gate) = self.gates.get(name) else {
            return 0;
        };
        let groups = gate.groups.iter();
        groups
            .map(|alike| self.groups[alike].waiting.ahead_of(rank))
            .sum()
    }
}

/// Returns the names of gates, without those that are asked for twice.
pub(super) fn names(asks: &[GateAsk]) -> Names {
    let mut names: Vec<GateName> = Vec::with_capacity(asks.len());
    for ask in asks {
        if !names.contains(&ask.name) {
            names.push(ask.name.clone());
        }
    }
    names.into()
}
