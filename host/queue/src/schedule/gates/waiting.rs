//! What waits at gates, in groups, and what of it is next.

use alert_manager_core::alert::{DeliveryId, Priority};
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::schedule::turn::{Class, Rank, Ranks};

use super::line::{Line, Place};
use super::{Alike, Gates, Kept, RESERVED_MS};

/// Deliveries that wait alike.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) waiting: Ranks,
    /// When each of its further gates has a token; absent if it is awake.
    pub(super) wakes_at: Option<Ticks>,
}

impl Gates {
    /// Has a delivery wait for its turn. Its gates are known.
    pub(in crate::schedule) fn wait(&mut self, alike: &Alike, rank: Rank, now: Ticks) {
        if !self.groups.contains_key(alike) {
            self.begin_group(alike, now);
        }
        self.change(alike, |waiting| waiting.insert(rank));
        for name in alike.1.iter() {
            if let Some(gate) = self.gates.get_mut(name) {
                *gate.waiting.of_mut(rank.0) += 1;
            }
        }
    }

    /// Takes a delivery out that waits for its turn.
    pub(in crate::schedule) fn leave(&mut self, alike: &Alike, rank: Rank) -> bool {
        let group = self.groups.get(alike);
        if !group.is_some_and(|group| group.waiting.contains(rank)) {
            return false;
        }
        self.change(alike, |waiting| _ = waiting.remove(rank));
        for name in alike.1.iter() {
            if let Some(gate) = self.gates.get_mut(name) {
                *gate.waiting.of_mut(rank.0) -= 1;
            }
        }
        if self.groups[alike].waiting.is_empty() {
            self.end_group(alike);
        }
        true
    }

    /// Changes what waits in a group, and with that the front of its line.
    fn change(&mut self, alike: &Alike, change: impl FnOnce(&mut Ranks)) {
        let Some(group) = self.groups.get_mut(alike) else {
            return;
        };
        let line = self.lines.get_mut(&alike.1[0]);
        match line.filter(|_| group.wakes_at.is_none()) {
            Some(line) => {
                line.remove(alike, group.waiting.firsts());
                change(&mut group.waiting);
                line.add(alike, group.waiting.firsts());
            }
            None => change(&mut group.waiting),
        }
    }

    fn begin_group(&mut self, alike: &Alike, now: Ticks) {
        let (first, further) = (&alike.1[0], &alike.1[1..]);
        self.groups.insert(alike.clone(), Group::default());
        for name in further {
            if let Some(gate) = self.gates.get_mut(name) {
                gate.groups.insert(alike.clone());
            }
        }
        let is_new = !self.lines.contains_key(first);
        let line = self.lines.entry(first.clone()).or_default();
        line.groups.insert(alike.clone());
        if is_new {
            self.awake.insert(first.clone());
            self.sleep_line(first, now);
        }
        self.sleep(alike, now);
    }

    fn end_group(&mut self, alike: &Alike) {
        let (first, further) = (&alike.1[0], &alike.1[1..]);
        let group = self.groups.remove(alike);
        if let Some(at) = group.and_then(|group| group.wakes_at) {
            self.asleep_groups.remove(&(at, alike.clone()));
        }
        for name in further {
            if let Some(gate) = self.gates.get_mut(name) {
                gate.groups.remove(alike);
            }
        }
        let Some(line) = self.lines.get_mut(first) else {
            return;
        };
        line.groups.remove(alike);
        if line.groups.is_empty() {
            if let Some(at) = line.wakes_at {
                self.asleep.remove(&(at, first.clone()));
            }
            self.awake.remove(first);
            self.lines.remove(first);
        }
    }

    /// Puts a line to sleep if its gate is closed, or has no token.
    fn sleep_line(&mut self, name: &GateName, now: Ticks) {
        self.look();
        let opens_at = self.opens_at(std::slice::from_ref(name), now);
        if let Some(line) = self.lines.get_mut(name).filter(|_| opens_at > now) {
            line.wakes_at = Some(opens_at);
            self.awake.remove(name);
            self.asleep.insert((opens_at, name.clone()));
        }
    }

    /// Puts a group to sleep if one of its further gates is closed, or has no token. Returns whether it sleeps.
    pub(super) fn sleep(&mut self, alike: &Alike, now: Ticks) -> bool {
        let opens_at = self.opens_at(&alike.1[1..], now);
        if opens_at <= now {
            return false;
        }
        if let Some(group) = self.groups.get_mut(alike) {
            if let Some(line) = self.lines.get_mut(&alike.1[0]) {
                line.remove(alike, group.waiting.firsts());
            }
            group.wakes_at = Some(opens_at);
            self.asleep_groups.insert((opens_at, alike.clone()));
        }
        true
    }

    /// Wakes what waits for a gate, which may have a token before its time.
    pub(super) fn wake_groups_at(&mut self, name: &GateName) {
        if let Some(line) = self.lines.get_mut(name)
            && let Some(at) = line.wakes_at.take()
        {
            self.asleep.remove(&(at, name.clone()));
            self.awake.insert(name.clone());
        }
        let further = self.gates.get(name).into_iter();
        let groups: Vec<_> = further.flat_map(|gate| &gate.groups).cloned().collect();
        for alike in groups {
            self.look();
            if let Some(at) = self.groups.get(&alike).and_then(|group| group.wakes_at) {
                self.asleep_groups.remove(&(at, alike.clone()));
                self.wake_group(&alike);
            }
        }
    }

    fn wake_group(&mut self, alike: &Alike) {
        self.look();
        if let Some(group) = self.groups.get_mut(alike) {
            group.wakes_at = None;
            if let Some(line) = self.lines.get_mut(&alike.1[0]) {
                line.add(alike, group.waiting.firsts());
            }
        }
    }

    fn wake(&mut self, now: Ticks) {
        while let Some((at, _)) = self.asleep.first()
            && *at <= now
            && let Some((_, name)) = self.asleep.pop_first()
        {
            if let Some(line) = self.lines.get_mut(&name) {
                line.wakes_at = None;
            }
            self.awake.insert(name);
        }
        while let Some((at, _)) = self.asleep_groups.first()
            && *at <= now
            && let Some((_, alike)) = self.asleep_groups.pop_first()
        {
            self.wake_group(&alike);
        }
        let awake: Vec<_> = self.awake.iter().cloned().collect();
        for name in awake {
            self.sleep_line(&name, now);
        }
    }

    /// Takes out the delivery of a class that is next and whose handler has a permit for it, and reserves its tokens.
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

    /// Returns what is next: first among what waits at the same gate, then among those.
    fn next(
        &mut self,
        class: Class,
        now: Ticks,
        has_permit: impl Fn(usize, Priority) -> bool,
    ) -> Option<(Rank, Alike)> {
        let awake: Vec<_> = self.awake.iter().cloned().collect();
        let critical_waits = awake.iter().any(|name| self.has_critical(name));
        let mut firsts = Vec::with_capacity(awake.len());
        for name in awake {
            let mut heads = Vec::new();
            for place in self.free_places(&name, now, &has_permit) {
                if class.has(place.1) {
                    let head = self.head(&name, place, now, |gates, rank, names| {
                        !gates.is_held_back(rank, names, now)
                    });
                    heads.extend(head);
                }
            }
            let ranks = heads.iter().map(|(rank, _)| *rank);
            let first = self.gates[&name].turns.pick(ranks, critical_waits);
            firsts.extend(heads.into_iter().find(|(rank, _)| Some(*rank) == first));
        }
        let ranks = firsts.iter().map(|(rank, _)| *rank);
        let next = self.turns.pick(ranks, critical_waits)?;
        firsts.into_iter().find(|(rank, _)| *rank == next)
    }

    /// Returns the places of a line for which there is a permit, and no critical delivery is about to take the next token.
    fn free_places(
        &self,
        line: &GateName,
        now: Ticks,
        has_permit: impl Fn(usize, Priority) -> bool,
    ) -> Vec<Place> {
        let mut places = self.places(line, now);
        let is_kept = |priority| {
            let of_any = (priority, DeliveryId::from_raw(0));
            self.is_held_back(of_any, std::slice::from_ref(line), now)
        };
        places.retain(|(handler, priority)| has_permit(*handler, *priority) && !is_kept(*priority));
        places
    }

    /// Returns true if [`Self::pick`] would find a delivery, or change something.
    pub(in crate::schedule) fn can_pick(
        &self,
        now: Ticks,
        has_permit: impl Fn(usize, Priority) -> bool,
    ) -> bool {
        let line_wakes = self.asleep.first().is_some_and(|(at, _)| *at <= now);
        let group_wakes = self.asleep_groups.first();
        line_wakes
            || group_wakes.is_some_and(|(at, _)| *at <= now)
            || self.expired(now).is_some()
            || self.awake.iter().any(|name| {
                let places = self.free_places(name, now, &has_permit);
                places
                    .into_iter()
                    .any(|place| self.has_head(name, place, now))
            })
    }

    /// Returns true if a delivery waits for nothing but a permit.
    pub(in crate::schedule) fn waits_for_permit(&self, handler: usize) -> bool {
        let awake = self.awake.iter().filter_map(|name| self.lines.get(name));
        let mut places = awake.flat_map(Line::places);
        places.any(|(of, _)| of == handler)
    }

    /// Returns when a turn may come by itself.
    pub(in crate::schedule) fn next_due(&self, now: Ticks) -> Option<Ticks> {
        let line = self.asleep.first().map(|(at, _)| *at);
        let group = self.asleep_groups.first().map(|(at, _)| *at);
        let reserved = self.reserved.values().map(|kept| kept.until);
        let mut due = line.into_iter().chain(group).chain(reserved).min();
        for name in &self.awake {
            let opens_at = self.opens_at(std::slice::from_ref(name), now);
            let about_to_wait = self.about_to_wait.values().map(|kept| kept.until);
            let later = about_to_wait.chain([opens_at]).filter(|at| *at > now);
            due = due.into_iter().chain(later).min();
        }
        due
    }
}
