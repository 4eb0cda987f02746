//! The deliveries of one fingerprint: which of them wait for which, and how urgent each is because of those that wait for it.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Priority};

use crate::model::{Cause, OtherRoutes};

/// The deliveries of one fingerprint that are not settled, in the order of their identifiers; but a retried delivery comes behind a
/// later one that runs.
#[derive(Debug, Default)]
pub(super) struct FingerprintQueue {
    queued: VecDeque<Queued>,
    /// How many of them do not wait for all before them, nor all behind them for them. If there is none, only the first can run.
    selective: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Queued {
    id: DeliveryId,
    route: Arc<str>,
    other_routes: OtherRoutes,
    cause: Cause,
    own: Priority,
    /// The highest priority of its own and of those that wait for it, directly or not.
    rank: Priority,
}

/// The new rank of a delivery.
pub(super) type NewRank = (DeliveryId, Priority);

/// What follows if a delivery is added.
#[derive(Debug)]
pub(super) struct Inserted {
    /// True if it waits for no other.
    pub(super) is_next: bool,
    /// Those that have to wait for it now.
    pub(super) overtaken: Vec<DeliveryId>,
    /// The ranks that have changed, its own among them if it is more urgent than its own priority.
    pub(super) ranks: Vec<NewRank>,
}

/// What follows if a delivery is removed.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Those that waited for it, and wait for no other now.
    pub(super) freed: Vec<DeliveryId>,
    /// The ranks that have changed.
    pub(super) ranks: Vec<NewRank>,
}

impl Queued {
    pub(super) fn new(
        id: DeliveryId,
        route: Arc<str>,
        other_routes: OtherRoutes,
        cause: Cause,
        own: Priority,
    ) -> Self {
        Self {
            id,
            route,
            other_routes,
            cause,
            own,
            rank: own,
        }
    }

    /// Returns true if it runs only after `earlier`, which is ahead of it in the queue.
    fn waits_for(&self, earlier: &Self) -> bool {
        self.cause == earlier.cause
            && (self.route == earlier.route || !self.other_routes.has(&earlier.route))
    }

    /// Returns true if it waits for whatever another waits for that stands ahead of both.
    fn waits_like(&self, other: &Self) -> bool {
        self.route == other.route
            && self.other_routes == other.other_routes
            && self.cause == other.cause
    }

    fn is_selective(&self) -> bool {
        self.other_routes != OtherRoutes::None || self.cause != Cause::Alert
    }
}

impl FingerprintQueue {
    /// Adds a delivery behind all that are older, and behind those that `runs` says are running if one waits for the other.
    pub(super) fn insert(&mut self, new: Queued, runs: impl Fn(DeliveryId) -> bool) -> Inserted {
        let goes_behind = |other: &Queued| {
            other.id < new.id || ((new.waits_for(other) || other.waits_for(&new)) && runs(other.id))
        };
        let last_ahead = self.queued.iter().rposition(goes_behind);
        let index = last_ahead.map_or(0, |last_ahead| last_ahead + 1);
        let behind = self.queued.iter().skip(index);
        let overtaken = behind.filter(|other| other.waits_for(&new));
        let overtaken = overtaken.map(|other| other.id).collect();
        self.selective += usize::from(new.is_selective());
        self.queued.insert(index, new);
        Inserted {
            is_next: self.is_next_at(index),
            overtaken,
            ranks: self.raise(index),
        }
    }

    /// Removes a delivery.
    pub(super) fn remove(&mut self, id: DeliveryId) -> Removed {
        let index = self.index_of(id);
        let Some((index, gone)) = index.and_then(|i| Some((i, self.queued.remove(i)?))) else {
            return Removed::default();
        };
        self.selective -= usize::from(gone.is_selective());
        let mut freed = Vec::new();
        for (i, waiting) in self.queued.iter().enumerate().skip(index) {
            if i > 0 && self.selective == 0 {
                break;
            }
            let waits = |earlier| waiting.waits_for(earlier);
            if waits(&gone) && !self.queued.range(..i).any(waits) {
                freed.push(waiting.id);
            }
        }
        // Only a delivery whose rank is above its own priority can have its rank from the one that was removed.
        let owed_rank = |ahead: &Queued| {
            gone.waits_for(ahead) && ahead.rank == gone.rank && ahead.rank != ahead.own
        };
        let ranks = match self.queued.range(..index).any(owed_rank) {
            true => self.rank_anew(),
            false => Vec::new(),
        };
        Removed { freed, ranks }
    }

    /// Has a delivery go before another that stands before it; returns the ranks that change.
    pub(super) fn move_ahead(&mut self, id: DeliveryId, of: DeliveryId) -> Vec<NewRank> {
        if let (Some(from), Some(to)) = (self.index_of(id), self.index_of(of))
            && to < from
            && let Some(moved) = self.queued.remove(from)
        {
            self.queued.insert(to, moved);
            return self.rank_anew();
        }
        Vec::new()
    }

    /// Changes the priority of a delivery itself; returns the ranks that change.
    pub(super) fn set_own(&mut self, id: DeliveryId, own: Priority) -> Vec<NewRank> {
        let Some(index) = self.index_of(id) else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut self.queued[index].own, own);
        match own.cmp(&before) {
            Ordering::Less => self.raise(index),
            Ordering::Equal => Vec::new(),
            Ordering::Greater => self.rank_anew(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queued.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = DeliveryId> {
        self.queued.iter().map(|queued| queued.id)
    }

    /// Returns the last before a delivery on its route, of the same cause.
    pub(super) fn before(&self, id: DeliveryId) -> Option<DeliveryId> {
        let index = self.index_of(id)?;
        let own = &self.queued[index];
        let mut before = self.queued.range(..index).rev();
        let last = before.find(|queued| queued.route == own.route && queued.cause == own.cause);
        last.map(|queued| queued.id)
    }

    /// Returns true if a delivery waits for no other.
    pub(super) fn is_next(&self, id: DeliveryId) -> bool {
        if self.selective == 0 {
            return self.queued.front().is_some_and(|first| first.id == id);
        }
        self.index_of(id)
            .is_some_and(|index| self.is_next_at(index))
    }

    fn is_next_at(&self, index: usize) -> bool {
        let waits = |earlier| self.queued[index].waits_for(earlier);
        !self.queued.range(..index).any(waits)
    }

    /// Returns the first of the earlier deliveries that one waits for.
    pub(super) fn waits_for(&self, id: DeliveryId) -> Option<DeliveryId> {
        let index = self.index_of(id)?;
        let own = &self.queued[index];
        let mut earlier = self.queued.range(..index);
        earlier
            .find(|earlier| own.waits_for(earlier))
            .map(|earlier| earlier.id)
    }

    /// Returns the later deliveries that wait for one.
    pub(super) fn waiting_for(&self, id: DeliveryId) -> impl Iterator<Item = DeliveryId> {
        let index = self.index_of(id);
        let own = index.map(|index| &self.queued[index]);
        let later = self.queued.iter().skip(index.map_or(usize::MAX, |i| i + 1));
        let waiting = later.filter(move |later| own.is_some_and(|own| later.waits_for(own)));
        waiting.map(|later| later.id)
    }

    fn index_of(&self, id: DeliveryId) -> Option<usize> {
        self.queued.iter().position(|queued| queued.id == id)
    }

    /// Gives one that is new, or more urgent than before, its rank, and to what it waits for, directly or not, one that is as high.
    /// Returns the ranks that change.
    ///
    /// It looks no further ahead than to one that waits for the same and has that rank: what stands before that has it too. So in
    /// a queue of any length it looks at a few.
    fn raise(&mut self, index: usize) -> Vec<NewRank> {
        let new = self.queued[index].clone();
        let behind = self.queued.range(index + 1..);
        let waiting = behind.filter(|other| other.waits_for(&new));
        let rank = waiting.fold(new.own, |rank, other| rank.min(other.rank));
        let mut ranks = Vec::new();
        if rank != new.rank {
            self.queued[index].rank = rank;
            ranks.push((new.id, rank));
        }
        // Those that have that rank, and what they wait for may not have it yet.
        let mut raised = vec![new];
        for other in self.queued.range_mut(..index).rev() {
            if other.rank <= rank {
                raised.retain(|from| !from.waits_like(other));
                if raised.is_empty() {
                    break;
                }
            } else if raised.iter().any(|from| from.waits_for(other)) {
                other.rank = rank;
                ranks.push((other.id, rank));
                if !raised.iter().any(|from| from.waits_like(other)) {
                    raised.push(other.clone());
                }
            }
        }
        ranks
    }

    /// Gives each its rank; returns those that change.
    fn rank_anew(&mut self) -> Vec<NewRank> {
        let mut ranks = Vec::new();
        // The highest rank of each way to wait, among those that are behind.
        let mut behind: Vec<Queued> = Vec::new();
        for queued in self.queued.iter_mut().rev() {
            let waiting = behind.iter().filter(|other| other.waits_for(queued));
            let rank = waiting.fold(queued.own, |rank, other| rank.min(other.rank));
            if rank != queued.rank {
                queued.rank = rank;
                ranks.push((queued.id, rank));
            }
            let alike = behind.iter_mut().find(|other| other.waits_like(queued));
            match alike {
                Some(alike) => alike.rank = alike.rank.min(rank),
                None => behind.push(queued.clone()),
            }
        }
        ranks
    }
}

#[cfg(test)]
mod tests;
