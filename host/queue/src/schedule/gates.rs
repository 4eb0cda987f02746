//! Gates: rates that several handlers share, and what waits for its turn at them.
//!
//! Deliveries that need a permit of the same handler and tokens of the same gates wait in one group, and groups with the same first
//! gate wait in one line. A line sleeps until its gate is open and has a token, and within it a group until its further gates are
//! and have. So what is looked at for a turn is the front of a few lines, however many deliveries and groups wait: the updates of
//! ten thousand messages are ten thousand groups, and one line.
//!
//! The delivery that is next has its tokens reserved, since it has to be leased first. What it does not use in time is given back.

mod gate;
mod line;
mod status;
mod updates;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Priority};
use alert_manager_core::gate::{GateAsk, GateName, GateRate, Parked, Pass};

use crate::model::clock::Ticks;

use super::turn::{Rank, Turns};
use gate::Gate;
use line::Line;
use waiting::Group;

pub(super) use status::GateState;
pub(super) use updates::number_of;

/// How long a token is reserved for the delivery that is next, in milliseconds; also how long a token is kept for a critical
/// delivery that is about to wait for it.
pub(super) const RESERVED_MS: Ticks = 2_000;

/// How many gates there may be before those of messages that nobody waits for are forgotten.
const GATES_MIN: usize = 256;

/// The gates that a call has to pass. The first is the one that decides which is next.
pub(super) type Names = Arc<[GateName]>;

/// What waits alike: for a permit of a handler, and for these gates.
pub(super) type Alike = (usize, Names);

/// Tokens that are kept for a delivery.
#[derive(Debug)]
struct Kept {
    names: Names,
    until: Ticks,
}

/// All gates, and what waits at them.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: HashMap<GateName, Gate>,
    /// At how many gates those of messages are looked through.
    sweep_at: usize,
    groups: BTreeMap<Alike, Group>,
    /// By the first gate of their groups.
    lines: BTreeMap<GateName, Line>,
    /// Lines whose gate may have a token.
    awake: BTreeSet<GateName>,
    asleep: BTreeSet<(Ticks, GateName)>,
    /// Groups that wait for one of their further gates.
    asleep_groups: BTreeSet<(Ticks, Alike)>,
    /// Tokens of leased deliveries that were next.
    reserved: BTreeMap<DeliveryId, Kept>,
    /// Critical deliveries that have to wait, but whose lease has not ended yet: nothing less urgent has a token before them.
    about_to_wait: BTreeMap<DeliveryId, Kept>,
    /// The turns between what waits at different gates.
    turns: Turns,
    /// The number of the last update that was asked for.
    updates: u64,
    /// How many lines and groups were looked at.
    #[cfg(test)]
    looks: std::cell::Cell<u64>,
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
                self.wake_groups_at(&ask.name);
            }
        }
    }

    /// Gives the known gates other rates.
    pub(super) fn set_rates(
        &mut self,
        rate_of: impl Fn(&GateName) -> Option<GateRate>,
        now: Ticks,
    ) {
        let mut changed = Vec::new();
        for (name, gate) in &mut self.gates {
            let rate = rate_of(name);
            if gate.rate != rate {
                gate.set_rate(rate, now);
                changed.push(name.clone());
            }
        }
        for name in changed {
            self.wake_groups_at(&name);
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
        self.about_to_wait.remove(&rank.1);
        // Another call of it may come first: that one has no part in what is reserved, and asks like any other.
        let is_kept = |kept: &Kept| asks.iter().all(|ask| kept.names.contains(&ask.name));
        if self.reserved.get(&rank.1).is_some_and(is_kept)
            && let Some(kept) = self.reserved.remove(&rank.1)
        {
            let is_open = |ask: &GateAsk| self.gates[&ask.name].closed_until <= now;
            if asks.iter().all(is_open) {
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
            self.about_to_wait.insert(rank.1, kept);
        }
        Pass::Parked(parked)
    }

    /// Returns the gate that a call cannot pass now: it is closed, it has no token, or another has its next one.
    fn closed<'a>(&mut self, rank: Rank, asks: &'a [GateAsk], now: Ticks) -> Option<&'a GateAsk> {
        let opens_at = |ask: &&GateAsk| self.gates[&ask.name].opens_at(now);
        let last = asks.iter().max_by_key(opens_at)?;
        if opens_at(&last) > now {
            return Some(last);
        }
        if self.groups.is_empty() && self.about_to_wait.is_empty() {
            return None;
        }
        let asked = names(asks);
        if self.is_held_back(rank, &asked, now) {
            return asks.first();
        }
        let first = asks.first()?;
        let mut of_first = Vec::new();
        for ask in asks {
            let heads = self.heads(&ask.name, now);
            if heads.iter().any(|head| *head < rank) {
                return Some(ask);
            }
            if ask.name == first.name {
                of_first = heads;
            }
        }
        let turns = self.gates[&first.name].turns;
        let heads = of_first.into_iter().chain([rank]);
        let is_next = turns.pick(heads, self.has_critical(&first.name)) == Some(rank);
        (!is_next).then_some(first)
    }

    fn has_critical(&self, name: &GateName) -> bool {
        let gate = self.gates.get(name);
        gate.is_some_and(|gate| gate.waiting.critical > 0)
    }

    /// Returns true if a critical delivery is about to wait for the same token.
    fn is_held_back(&self, rank: Rank, names: &[GateName], now: Ticks) -> bool {
        rank.0 != Priority::Critical
            && self.about_to_wait.values().any(|kept| {
                kept.until > now
                    && kept.names.iter().any(|name| names.contains(name))
                    && self.opens_at(&kept.names, now) <= now
            })
    }

    pub(super) fn opens_at(&self, names: &[GateName], now: Ticks) -> Ticks {
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
            self.wake_groups_at(name);
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
        self.about_to_wait.remove(&id);
        if let Some(kept) = self.reserved.remove(&id) {
            self.give_back(kept.names.iter());
        }
    }

    /// Counts a line or a group that is looked at.
    fn look(&self) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> u64 {
        self.looks.get()
    }

    #[cfg(test)]
    pub(super) fn has_reserved(&self, id: DeliveryId) -> bool {
        self.reserved.contains_key(&id)
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
