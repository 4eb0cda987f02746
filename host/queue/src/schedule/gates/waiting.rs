//! What waits at gates, in groups, and whose turn it is.

use std::collections::BTreeMap;

use alert_manager_core::alert::{DeliveryId, Priority};
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::schedule::turn::{Class, Rank, Ranks};

use super::{Alike, Gates, Kept, RESERVED_MS};

/// Deliveries that wait alike.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) waiting: Ranks,
    /// When each of its gates has a token; absent if it is awake.
    pub(super) wakes_at: Option<Ticks>,
}

impl Gates {
    /// Has a delivery wait for its turn. Its gates are known.
    pub(in crate::schedule) fn wait(&mut self, alike: &Alike, rank: Rank, now: Ticks) {
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
    pub(in crate::schedule) fn leave(&mut self, alike: &Alike, rank: Rank) -> bool {
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
    pub(in crate::schedule) fn pick(
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
    pub(in crate::schedule) fn can_pick(
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
    pub(in crate::schedule) fn waits_for_permit(&self, handler: usize) -> bool {
        self.awake.iter().any(|(of, _)| *of == handler)
    }

    /// Returns when a turn may come by itself.
    pub(in crate::schedule) fn next_due(&self, now: Ticks) -> Option<Ticks> {
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
}
