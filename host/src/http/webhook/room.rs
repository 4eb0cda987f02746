//! The byte budget for the bodies that are being read, however many senders there are. Authenticated senders have a budget of their
//! own; among the others the oldest body is cut off to make space for a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::http::server::{self, Standing};

/// The bytes that are currently held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    proved: u64,
    /// The bytes of `reading`, and of complete bodies that are being stored.
    unproved: u64,
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
    pub(super) unproved_bytes_max: u64,
}

/// Why a body is not read any further: the budget is used up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Full {
    /// For all bodies of its size.
    #[error("too many bodies are being read")]
    Everywhere,
    /// It was the oldest of an unauthenticated sender.
    #[error("the body was cut off in favour of another")]
    Displaced,
}

/// The part of the budget that a body holds, returned when dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    bytes: u64,
    bounds: Bounds,
    account: Account,
}

/// The budget that a body counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    Proved,
    /// That of unauthenticated senders, with its number in [`Held::reading`].
    Reading(u64),
    /// That of unauthenticated senders, for a complete body that needs no authentication.
    Unproved,
}

impl Room {
    /// Returns a share for the body of an authenticated sender.
    pub(super) fn proved(&self, bounds: Bounds) -> Share {
        Share {
            room: self.clone(),
            bytes: 0,
            bounds,
            account: Account::Proved,
        }
    }

    /// Returns a share for the body of an unauthenticated sender; `standing` is notified if the body is cut off.
    pub(super) fn unproved(&self, bounds: Bounds, standing: Standing) -> Share {
        let mut held = self.0.lock();
        let number = held.next;
        held.next += 1;
        held.reading.insert(number, Reading { bytes: 0, standing });
        drop(held);
        Share {
            room: self.clone(),
            bytes: 0,
            bounds,
            account: Account::Reading(number),
        }
    }
}

impl Held {
    /// Cuts off the oldest bodies until there is enough for what the body `number` holds.
    fn displace(&mut self, number: u64, bytes_max: u64) -> Result<(), Full> {
        while self.unproved > bytes_max {
            let (oldest, reading) = self.reading.pop_first().ok_or(Full::Everywhere)?;
            self.unproved -= reading.bytes;
            if oldest == number {
                let is_alone = self.reading.is_empty();
                return Err(if is_alone {
                    Full::Everywhere
                } else {
                    Full::Displaced
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
        let mut held = self.room.0.lock();
        match self.account {
            Account::Proved => {
                self.bytes += bytes;
                held.proved += bytes;
                if held.proved > self.bounds.web.budget_for(self.bytes) {
                    return Err(Full::Everywhere);
                }
            }
            Account::Reading(number) => {
                let reading = held.reading.get_mut(&number).ok_or(Full::Displaced)?;
                reading.bytes += bytes;
                self.bytes += bytes;
                held.unproved += bytes;
                held.displace(number, self.bounds.unproved_bytes_max)?;
            }
            Account::Unproved => {}
        }
        Ok(())
    }

    /// Marks the body as complete, without authentication being required: it will be stored and can no longer be cut off.
    pub(super) fn complete(&mut self) -> Result<(), Full> {
        let Account::Reading(number) = self.account else {
            return Ok(());
        };
        let mut held = self.room.0.lock();
        held.reading.remove(&number).ok_or(Full::Displaced)?;
        self.account = Account::Unproved;
        Ok(())
    }

    /// Marks the body as complete and its sender as authenticated by it: it moves to their budget.
    pub(super) fn prove(&mut self) -> Result<(), Full> {
        let Account::Reading(number) = self.account else {
            return Ok(());
        };
        let mut held = self.room.0.lock();
        held.reading.remove(&number).ok_or(Full::Displaced)?;
        held.unproved -= self.bytes;
        held.proved += self.bytes;
        self.account = Account::Proved;
        if held.proved > self.bounds.web.budget_for(self.bytes) {
            return Err(Full::Everywhere);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.room.0.lock();
        match self.account {
            Account::Proved => held.proved -= self.bytes,
            Account::Unproved => held.unproved -= self.bytes,
            // If it is not there, it was cut off and holds nothing.
            Account::Reading(number) => {
                if let Some(reading) = held.reading.remove(&number) {
                    held.unproved -= reading.bytes;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn room_of(bodies_bytes_max: u64, unproved_bytes_max: u64) -> Bounds {
        Bounds {
            web: server::Settings {
                bodies_bytes_max,
                ..server::Settings::default()
            },
            unproved_bytes_max,
        }
    }

    fn held(room: &Room) -> (u64, u64) {
        let held = room.0.lock();
        (held.proved, held.unproved)
    }

    #[test]
    fn what_a_body_held_is_given_back_however_it_ended() {
        let (room, bounds) = (Room::default(), room_of(10, 0));
        let mut first = room.proved(bounds.clone());
        first.take(6).unwrap();
        let mut second = room.proved(bounds.clone());
        second.take(4).unwrap();
        second.take(1).unwrap_err();
        drop(second);
        first.take(4).unwrap();
        drop(first);
        room.proved(bounds).take(10).unwrap();
        assert_eq!(held(&room), (0, 0));
    }

    #[test]
    fn large_bodies_leave_room_for_small_ones() {
        let (room, bounds) = (Room::default(), room_of(32 << 20, 0));
        let mut large = room.proved(bounds.clone());
        large.take(28 << 20).unwrap();
        let mut another = room.proved(bounds.clone());
        another.take(1 << 20).unwrap();
        another.take(1).unwrap_err();
        drop(another);
        let mut small: Vec<_> = (0..4).map(|_| room.proved(bounds.clone())).collect();
        for share in &mut small {
            share.take(1 << 20).unwrap();
        }
        room.proved(bounds).take(1).unwrap_err();
    }

    #[test]
    fn the_oldest_body_without_proof_makes_room_for_a_new_one() {
        let (room, bounds) = (Room::default(), room_of(100, 10));
        let standings = [(); 3].map(|()| Standing::unwatched());
        let [mut first, mut second, mut third] = standings.clone().map(|standing| {
            standing.awaits_body();
            room.unproved(bounds.clone(), standing)
        });
        first.take(5).unwrap();
        second.take(5).unwrap();
        third.take(5).unwrap();
        let is_cut = |n: usize| standings[n].is_cut();
        assert_eq!([0, 1, 2].map(is_cut), [true, false, false]);
        assert_eq!(first.take(1), Err(Full::Displaced));
        assert_eq!(first.complete(), Err(Full::Displaced));
        // An authenticated body leaves this budget; a complete one can no longer be cut off.
        second.prove().unwrap();
        assert_eq!(held(&room), (5, 5));
        third.complete().unwrap();
        let mut fourth = room.unproved(bounds.clone(), Standing::unwatched());
        fourth.take(5).unwrap();
        assert_eq!(fourth.take(1), Err(Full::Everywhere));
        assert!(!is_cut(2));
        drop((first, second, third, fourth));
        assert_eq!(held(&room), (0, 0));
        // A single body can use the whole budget, but no more.
        let mut alone = room.unproved(bounds, Standing::unwatched());
        alone.take(10).unwrap();
        assert_eq!(alone.take(1), Err(Full::Everywhere));
        drop(alone);
        assert_eq!(held(&room), (0, 0));
    }
}
