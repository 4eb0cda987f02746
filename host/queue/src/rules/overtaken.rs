//! Whether a later event of the same ordering key has already run. If so, a dead delivery is overtaken, and is not retried.

use std::collections::HashMap;

use alert_manager_core::alert::{DeliveryId, Fingerprint};

use crate::model::{Cause, Follower, Position, State, has_run};

/// The deliveries behind one dead delivery on its ordering key, read before the transaction that retries it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Later {
    /// True if one of them has run.
    pub(crate) has_run: bool,
    /// Those that had not run when they were read. They may have run since: a dead one may have been retried.
    pub(crate) not_run: Vec<DeliveryId>,
    /// The last delivery that was read.
    pub(crate) scanned_to: Option<DeliveryId>,
}

impl Later {
    /// Adds a delivery, if it is behind `position`.
    pub(crate) fn add(&mut self, position: &Position, other: &Follower<'_>) {
        self.scanned_to = Some(other.id);
        let is_later = other.fingerprint == position.fingerprint && other.id > position.id;
        if !is_later || other.ignores(&position.route, &position.cause) {
            return;
        }
        if other.has_run() {
            self.has_run = true;
        } else {
            self.not_run.push(other.id);
        }
    }
}

/// The deliveries behind many dead deliveries, by ordering key. It is read once, and completed in each transaction that
/// retries some of them.
#[derive(Debug)]
pub(crate) struct LaterByKey {
    /// By fingerprint, then by the route and the cause of the dead deliveries.
    keys: HashMap<Fingerprint, Vec<(Key, LaterOnKey)>>,
    /// The last delivery that was read.
    scanned_to: DeliveryId,
    /// How many transactions have completed this.
    reads: u64,
}

/// What an ordering key has besides its fingerprint.
#[derive(Debug)]
struct Key {
    route: String,
    cause: Cause,
}

impl Key {
    fn is_of(&self, position: &Position) -> bool {
        self.route == position.route && self.cause == position.cause
    }
}

#[derive(Debug, Default)]
struct LaterOnKey {
    /// The last one that has run.
    ran: Option<DeliveryId>,
    /// Those that were open when they were read, in order.
    open: Vec<Open>,
    /// Those that were dead when they were read. Each may be retried at any time, and waits for none of the others.
    dead: Vec<DeliveryId>,
    /// The value of `reads` when the state of the dead ones was last read. Once a transaction is enough; once a delivery would
    /// be too much, since one fingerprint may have thousands.
    dead_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: DeliveryId,
    /// True if it is on the route itself: everything behind it waits for it.
    on_route: bool,
}

impl LaterByKey {
    /// Returns an empty record for dead deliveries, which come in the order of acceptance.
    pub(crate) fn new(dead: &[Position]) -> Self {
        let mut keys: HashMap<Fingerprint, Vec<(Key, LaterOnKey)>> = HashMap::new();
        for position in dead {
            let of_it = keys.entry(position.fingerprint).or_default();
            if !of_it.iter().any(|(known, _)| known.is_of(position)) {
                let key = Key {
                    route: position.route.clone(),
                    cause: position.cause.clone(),
                };
                of_it.push((key, LaterOnKey::default()));
            }
        }
        let first = dead
            .first()
            .map_or(DeliveryId::from_raw(i64::MAX), |position| position.id);
        Self {
            keys,
            scanned_to: first,
            reads: 0,
        }
    }

    /// Begins to complete the record; returns the delivery after which to read. Each transaction that calls
    /// [`Self::is_overtaken`] does this first.
    pub(crate) fn begin_read(&mut self) -> DeliveryId {
        self.reads += 1;
        self.scanned_to
    }

    /// Adds a delivery, in the order of acceptance.
    pub(crate) fn add(&mut self, other: &Follower<'_>) {
        self.scanned_to = other.id;
        let Some(of_it) = self.keys.get_mut(&other.fingerprint) else {
            return;
        };
        for (Key { route, cause }, later) in of_it {
            if other.ignores(route, cause) {
                continue;
            }
            if other.has_run() {
                later.ran = Some(other.id);
            } else if other.state == State::Dead {
                later.dead.push(other.id);
            } else {
                let on_route = route == other.route;
                later.open.push(Open {
                    id: other.id,
                    on_route,
                });
            }
        }
    }

    /// Returns true if a later delivery of the ordering key has run. `state_of` returns the state of a delivery and its number
    /// of leases, or nothing if it is no longer stored.
    ///
    /// # Errors
    /// Those of `state_of`.
    pub(crate) fn is_overtaken<E>(
        &mut self,
        position: &Position,
        mut state_of: impl FnMut(DeliveryId) -> Result<Option<(State, u32)>, E>,
    ) -> Result<bool, E> {
        let of_it = self.keys.get_mut(&position.fingerprint);
        let later = of_it.and_then(|keys| keys.iter_mut().find(|(key, _)| key.is_of(position)));
        let Some((_, later)) = later else {
            return Ok(false);
        };
        if later.dead_at != self.reads {
            later.dead_at = self.reads;
            let mut still_dead = Vec::new();
            for id in std::mem::take(&mut later.dead) {
                match state_of(id)? {
                    Some((state, leases)) if has_run(state, leases) => {
                        later.ran = later.ran.max(Some(id));
                    }
                    // Positions are asked about in order: this one is not behind any that follows.
                    Some(_) if id > position.id => still_dead.push(id),
                    _ => {}
                }
            }
            later.dead = still_dead;
        }
        let mut still_open = Vec::new();
        let mut open = std::mem::take(&mut later.open).into_iter();
        for other in open.by_ref() {
            let (state, leases) = state_of(other.id)?.unwrap_or((State::Dead, 0));
            if has_run(state, leases) {
                later.ran = later.ran.max(Some(other.id));
            } else if state == State::Dead {
                later.dead.push(other.id);
            } else {
                still_open.push(other);
                if other.on_route {
                    break;
                }
            }
        }
        still_open.extend(open);
        later.open = still_open;
        Ok(later.ran > Some(position.id))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::convert::Infallible;

    use alert_manager_core::alert::HandlerName;

    use super::*;

    fn position(id: i64) -> Position {
        Position {
            id: DeliveryId::from_raw(id),
            fingerprint: Fingerprint(1),
            route: "route".into(),
            cause: Cause::Alert,
        }
    }

    fn dead(id: i64) -> Follower<'static> {
        Follower {
            id: DeliveryId::from_raw(id),
            fingerprint: Fingerprint(1),
            route: "route",
            state: State::Dead,
            leases: 1,
            other_routes: None,
            cause: Cause::Alert,
        }
    }

    #[test]
    fn a_delivery_is_overtaken_by_a_later_one_that_was_dead_when_it_was_read_and_has_run_since() {
        let positions: Vec<_> = (1..=4).map(position).collect();
        let mut by_key = LaterByKey::new(&positions);
        let mut of_first = Later::default();
        by_key.begin_read();
        for other in (2..=4).map(dead) {
            by_key.add(&other);
            of_first.add(&positions[0], &other);
        }
        let still_dead = |_| Ok::<_, Infallible>(Some((State::Dead, 1)));
        assert!(!by_key.is_overtaken(&positions[0], still_dead).unwrap());
        // Delivery 2 is queued again, and delivery 3 did not wait for it.
        let now = |id: DeliveryId| {
            Ok::<_, Infallible>(Some(match id.as_raw() {
                2 => (State::Queued, 0),
                3 => (State::Done, 1),
                _ => (State::Dead, 1),
            }))
        };
        by_key.begin_read();
        for position in &positions[..2] {
            assert!(by_key.is_overtaken(position, now).unwrap(), "{position:?}");
        }
        assert!(!by_key.is_overtaken(&positions[3], now).unwrap());
        assert!(of_first.not_run.contains(&positions[2].id));
    }

    #[test]
    fn a_timer_that_has_run_overtakes_only_other_timers_of_its_handler() {
        let position_of = |cause| Position {
            cause,
            ..position(1)
        };
        let timer_of = |handler| Cause::Timer(HandlerName::new(handler));
        let timer = Follower {
            state: State::Done,
            cause: timer_of("notify"),
            ..dead(2)
        };
        for (cause, expected) in [
            (Cause::Alert, false),
            (timer_of("notify"), true),
            (timer_of("other"), false),
        ] {
            let position = position_of(cause.clone());
            let mut later = Later::default();
            later.add(&position, &timer);
            assert_eq!(later.has_run, expected, "{cause:?}");
            let mut by_key = LaterByKey::new(std::slice::from_ref(&position));
            by_key.begin_read();
            by_key.add(&timer);
            let state_of = |_| Ok::<_, Infallible>(None);
            let is_overtaken = by_key.is_overtaken(&position, state_of).unwrap();
            assert_eq!(is_overtaken, expected, "{cause:?}");
        }
    }
}
