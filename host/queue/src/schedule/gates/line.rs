//! A line: what waits at gates of which the first is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use alert_manager_core::alert::{DeliveryId, Priority};
use alert_manager_core::gate::GateName;

use crate::model::clock::Ticks;
use crate::schedule::turn::Rank;

use super::{Alike, Gates, Names};

/// For which permit, and how urgent.
pub(super) type Place = (usize, Priority);

/// The groups with the same first gate.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) groups: BTreeSet<Alike>,
    /// The first of each priority in each group that is awake, with the gates of that group.
    heads: BTreeMap<Place, BTreeMap<DeliveryId, Names>>,
    /// When its gate has a token; absent if it is awake.
    pub(super) wakes_at: Option<Ticks>,
}

impl Line {
    /// Adds the first ones of a group that is awake.
    pub(super) fn add(&mut self, (handler, names): &Alike, heads: impl Iterator<Item = Rank>) {
        for (priority, id) in heads {
            let of_place = self.heads.entry((*handler, priority)).or_default();
            of_place.insert(id, names.clone());
        }
    }

    /// Removes the first ones of a group.
    pub(super) fn remove(&mut self, (handler, _): &Alike, heads: impl Iterator<Item = Rank>) {
        for (priority, id) in heads {
            let place = (*handler, priority);
            if let Some(of_place) = self.heads.get_mut(&place) {
                of_place.remove(&id);
                if of_place.is_empty() {
                    self.heads.remove(&place);
                }
            }
        }
    }

    /// Returns the places at which something waits for nothing but a permit and a token of the first gate, as far as is known.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.heads.keys().copied()
    }

    /// Returns what waits at a place, in order, from behind a delivery on.
    fn behind(
        &self,
        place: Place,
        last: Option<DeliveryId>,
    ) -> impl Iterator<Item = (DeliveryId, &Names)> {
        let from = last.map_or(Unbounded, Excluded);
        let of_place = self.heads.get(&place).into_iter();
        let behind = of_place.flat_map(move |ids| ids.range((from, Unbounded)));
        behind.map(|(id, names)| (*id, names))
    }
}

impl Gates {
    /// Returns the groups at a gate, in no order.
    pub(super) fn groups_at(&self, name: &GateName) -> impl Iterator<Item = &Alike> {
        let line = self.lines.get(name).into_iter();
        let further = self.gates.get(name).into_iter();
        let of_line = line.flat_map(|line| &line.groups);
        of_line.chain(further.flat_map(|gate| &gate.groups))
    }

    /// Returns the first of each group at a gate that waits for no other gate. Of groups in its line, only those that are first
    /// for their permit and priority.
    pub(super) fn heads(&mut self, name: &GateName, now: Ticks) -> Vec<Rank> {
        let mut heads = Vec::new();
        let open = self
            .gates
            .get(name)
            .filter(|gate| gate.opens_at(now) <= now);
        for alike in open.into_iter().flat_map(|gate| &gate.groups) {
            self.look();
            if self.opens_at(&alike.1, now) <= now {
                heads.extend(self.groups[alike].waiting.firsts());
            }
        }
        for place in self.places(name, now) {
            let head = self.head(name, place, now, |_, _, _| true);
            heads.extend(head.map(|(rank, _)| rank));
        }
        heads
    }

    /// Returns the places of a line whose gate is open and has a token.
    pub(super) fn places(&self, line: &GateName, now: Ticks) -> Vec<Place> {
        self.look();
        let is_open = self.opens_at(std::slice::from_ref(line), now) <= now;
        let line = self.lines.get(line).filter(|_| is_open);
        line.into_iter().flat_map(Line::places).collect()
    }

    /// Returns the first at a place of a line whose further gates are open and have tokens, and which may go. Groups that wait for
    /// a further gate are put to sleep.
    pub(super) fn head(
        &mut self,
        line: &GateName,
        place: Place,
        now: Ticks,
        may_go: impl Fn(&Self, Rank, &[GateName]) -> bool,
    ) -> Option<(Rank, Alike)> {
        let mut last = None;
        loop {
            let (id, names) = self.lines.get(line)?.behind(place, last).next()?;
            let (rank, alike) = ((place.1, id), (place.0, names.clone()));
            self.look();
            if self.sleep(&alike, now) {
                continue;
            }
            if may_go(self, rank, &alike.1) {
                return Some((rank, alike));
            }
            last = Some(id);
        }
    }

    /// Returns true if [`Self::head`] would find a delivery that is not held back, or put a group to sleep.
    pub(super) fn has_head(&self, line: &GateName, place: Place, now: Ticks) -> bool {
        let line = self.lines.get(line).into_iter();
        let mut waiting = line.flat_map(|line| line.behind(place, None));
        waiting.any(|(id, names)| {
            self.look();
            self.opens_at(&names[1..], now) > now || !self.is_held_back((place.1, id), names, now)
        })
    }
}
