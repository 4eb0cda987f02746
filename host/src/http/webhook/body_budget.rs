//! The byte budget for request bodies, from the first byte until the body is stored. Authenticated senders have a budget of
//! their own. In the budget of unauthenticated senders, the oldest body is cut off to make space for a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::http::server::{self, Standing};

/// The budget, and the bytes of it that are in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyBudget(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    authenticated: u64,
    /// The bytes of `reading`, and of complete bodies that are being stored.
    unauthenticated: u64,
    /// The bodies of unauthenticated senders, in the order in which they began.
    reading: BTreeMap<u64, Reading>,
    next: u64,
}

#[derive(Debug)]
struct Reading {
    bytes: u64,
    standing: Standing,
}

/// The size of the budget.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Determines how much of `bodies_bytes_max` is available for a body of its size.
    pub(super) web: server::Settings,
    /// For all bodies of unauthenticated senders.
    pub(super) unauthenticated_bytes_max: u64,
}

/// Why a body is not read any further: the budget is used up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Full {
    /// By other bodies: an eighth is reserved for small ones.
    #[error("too many bodies are being read")]
    UsedUp,
    /// It was the oldest body of an unauthenticated sender, and was cut off for another.
    #[error("the body was cut off in favour of another")]
    Evicted,
}

/// The part of the budget that a body holds, returned when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: BodyBudget,
    bytes: u64,
    bounds: Bounds,
    account: Account,
}

/// The budget that a body counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    Authenticated,
    /// That of unauthenticated senders, with its number in [`Held::reading`].
    Reading(u64),
    /// That of unauthenticated senders, for a complete body that needs no authentication.
    Unauthenticated,
}

impl BodyBudget {
    /// Returns a share for the body of an authenticated sender.
    pub(super) fn authenticated(&self, bounds: Bounds) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
            bounds,
            account: Account::Authenticated,
        }
    }

    /// Returns a share for the body of an unauthenticated sender; `standing` is notified if the body is cut off.
    pub(super) fn unauthenticated(&self, bounds: Bounds, standing: Standing) -> Share {
        let mut held = self.0.lock();
        let number = held.next;
        held.next += 1;
        held.reading.insert(number, Reading { bytes: 0, standing });
        drop(held);
        Share {
            budget: self.clone(),
            bytes: 0,
            bounds,
            account: Account::Reading(number),
        }
    }
}

impl Held {
    /// Cuts off the oldest bodies until there is enough for what the body `number` holds.
    fn evict_for(&mut self, number: u64, bytes_max: u64) -> Result<(), Full> {
        while self.unauthenticated > bytes_max {
            let (oldest, reading) = self.reading.pop_first().ok_or(Full::UsedUp)?;
            self.unauthenticated -= reading.bytes;
            if oldest == number {
                let is_alone = self.reading.is_empty();
                return Err(if is_alone {
                    Full::UsedUp
                } else {
                    Full::Evicted
                });
            }
            reading.standing.cut_body();
        }
        Ok(())
    }
}

impl Share {
    /// Returns the length of the body, as far as it was read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes bytes of the budget for what has arrived of the body.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Full> {
        let mut held = self.budget.0.lock();
        match self.account {
            Account::Authenticated => {
                self.bytes += bytes;
                held.authenticated += bytes;
                if held.authenticated > self.bounds.web.budget_for(self.bytes) {
                    return Err(Full::UsedUp);
                }
            }
            Account::Reading(number) => {
                let reading = held.reading.get_mut(&number).ok_or(Full::Evicted)?;
                reading.bytes += bytes;
                self.bytes += bytes;
                held.unauthenticated += bytes;
                held.evict_for(number, self.bounds.unauthenticated_bytes_max)?;
            }
            Account::Unauthenticated => {}
        }
        Ok(())
    }

    /// Marks the body as complete, without authentication being required: it will be stored and can no longer be cut off.
    pub(super) fn complete(&mut self) -> Result<(), Full> {
        let Account::Reading(number) = self.account else {
            return Ok(());
        };
        let mut held = self.budget.0.lock();
        held.reading.remove(&number).ok_or(Full::Evicted)?;
        self.account = Account::Unauthenticated;
        Ok(())
    }

    /// Marks the body as complete and its sender as authenticated by it: it moves to their budget.
    pub(super) fn authenticate(&mut self) -> Result<(), Full> {
        let Account::Reading(number) = self.account else {
            return Ok(());
        };
        let mut held = self.budget.0.lock();
        held.reading.remove(&number).ok_or(Full::Evicted)?;
        held.unauthenticated -= self.bytes;
        held.authenticated += self.bytes;
        self.account = Account::Authenticated;
        if held.authenticated > self.bounds.web.budget_for(self.bytes) {
            return Err(Full::UsedUp);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.budget.0.lock();
        match self.account {
            Account::Authenticated => held.authenticated -= self.bytes,
            Account::Unauthenticated => held.unauthenticated -= self.bytes,
            // If it is not there, it was cut off and holds nothing.
            Account::Reading(number) => {
                if let Some(reading) = held.reading.remove(&number) {
                    held.unauthenticated -= reading.bytes;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn bounds_of(bodies_bytes_max: u64, unauthenticated_bytes_max: u64) -> Bounds {
        Bounds {
            web: server::Settings {
                bodies_bytes_max,
                ..server::Settings::default()
            },
            unauthenticated_bytes_max,
        }
    }

    fn held(budget: &BodyBudget) -> (u64, u64) {
        let held = budget.0.lock();
        (held.authenticated, held.unauthenticated)
    }

    #[test]
    fn a_body_returns_its_bytes_whether_it_was_complete_or_refused() {
        let (budget, bounds) = (BodyBudget::default(), bounds_of(10, 0));
        let mut first = budget.authenticated(bounds.clone());
        first.take(6).unwrap();
        let mut second = budget.authenticated(bounds.clone());
        second.take(4).unwrap();
        second.take(1).unwrap_err();
        drop(second);
        first.take(4).unwrap();
        drop(first);
        budget.authenticated(bounds).take(10).unwrap();
        assert_eq!(held(&budget), (0, 0));
    }

    #[test]
    fn large_bodies_leave_space_for_small_ones() {
        let (budget, bounds) = (BodyBudget::default(), bounds_of(32 << 20, 0));
        let mut large = budget.authenticated(bounds.clone());
        large.take(28 << 20).unwrap();
        let mut another = budget.authenticated(bounds.clone());
        another.take(1 << 20).unwrap();
        another.take(1).unwrap_err();
        drop(another);
        let mut small: Vec<_> = (0..4)
            .map(|_| budget.authenticated(bounds.clone()))
            .collect();
        for share in &mut small {
            share.take(1 << 20).unwrap();
        }
        budget.authenticated(bounds).take(1).unwrap_err();
    }

    #[test]
    fn the_oldest_body_of_an_unauthenticated_sender_is_cut_off_for_a_new_one() {
        let (budget, bounds) = (BodyBudget::default(), bounds_of(100, 10));
        let standings = [(); 3].map(|()| Standing::detached());
        let [mut first, mut second, mut third] = standings.clone().map(|standing| {
            standing.awaits_body();
            budget.unauthenticated(bounds.clone(), standing)
        });
        first.take(5).unwrap();
        second.take(5).unwrap();
        third.take(5).unwrap();
        let is_cut = |n: usize| standings[n].is_cut();
        assert_eq!([0, 1, 2].map(is_cut), [true, false, false]);
        assert_eq!(first.take(1), Err(Full::Evicted));
        assert_eq!(first.complete(), Err(Full::Evicted));
        // An authenticated body leaves this budget; a complete one can no longer be cut off.
        second.authenticate().unwrap();
        assert_eq!(held(&budget), (5, 5));
        third.complete().unwrap();
        let mut fourth = budget.unauthenticated(bounds.clone(), Standing::detached());
        fourth.take(5).unwrap();
        assert_eq!(fourth.take(1), Err(Full::UsedUp));
        assert!(!is_cut(2));
        drop((first, second, third, fourth));
        assert_eq!(held(&budget), (0, 0));
        // A single body can use the whole budget, but no more.
        let mut alone = budget.unauthenticated(bounds, Standing::detached());
        alone.take(10).unwrap();
        assert_eq!(alone.take(1), Err(Full::UsedUp));
        drop(alone);
        assert_eq!(held(&budget), (0, 0));
    }
}
