//! Whether a later event of an ordering key has run: then an earlier one that is dead is not sent again.

use std::collections::HashMap;

use alert_manager_core::alert::{DeliveryId, Fingerprint};

use crate::model::{OnKey, OrderingKey, State, has_run};

/// What was later than a dead delivery on its ordering key when somebody looked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Later {
    /// One of them has run.
    pub(crate) passed: bool,
    /// Those that had not, and may yet: a dead one may be sent again.
    pub(crate) open: Vec<DeliveryId>,
    /// Everything up to this one was looked at.
    pub(crate) scanned_to: Option<DeliveryId>,
}

impl Later {
    /// Looks at a delivery that may be later than that of `key`.
    pub(crate) fn look_at(&mut self, key: &OrderingKey, other: &OnKey<'_>) {
        self.scanned_to = Some(other.id);
        let is_later = other.fingerprint == key.fingerprint && other.id > key.id;
        if !is_later || other.is_apart_from(&key.route) {
            return;
        }
        if other.has_run() {
            self.passed = true;
        } else {
            self.open.push(other.id);
        }
    }
}

/// What is later than dead deliveries and waits for them: of the same fingerprint, on the same route or on one that its alert
/// did not take together with it.
#[derive(Debug)]
pub(crate) struct Tails {
    /// By fingerprint, then by the route of the dead ones.
    keys: HashMap<Fingerprint, Vec<(String, Tail)>>,
    /// Everything up to this one was looked at.
    scanned_to: DeliveryId,
    /// How often that was read on.
    reads: u64,
}

#[derive(Debug, Default)]
struct Tail {
    /// The last one that has run.
    ran: Option<DeliveryId>,
    /// Those that had not when they were looked at, in order.
    open: Vec<Open>,
    /// Those that were dead then: each may be sent again at any time, and waits for none of the others.
    dead: Vec<DeliveryId>,
    /// At which read the dead ones were looked at last. Once for each transaction suffices, and for each delivery it would be
    /// too much: there may be thousands of one fingerprint.
    dead_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: DeliveryId,
    /// It is on the route itself: all that come after it wait for it.
    on_route: bool,
}

impl Tails {
    /// Is to look at everything after the first of `keys`.
    pub(crate) fn new(dead: &[OrderingKey]) -> Self {
        let mut keys: HashMap<Fingerprint, Vec<(String, Tail)>> = HashMap::new();
        for key in dead {
            let routes = keys.entry(key.fingerprint).or_default();
            if !routes.iter().any(|(known, _)| *known == key.route) {
                routes.push((key.route.clone(), Tail::default()));
            }
        }
        let first = dead
            .first()
            .map_or(DeliveryId::from_raw(i64::MAX), |key| key.id);
        Self {
            keys,
            scanned_to: first,
            reads: 0,
        }
    }

    /// Returns the last one that was looked at, and notes that what came after it is looked at now. To be called in each
    /// transaction that asks [`Self::have_passed`].
    pub(crate) fn read_on(&mut self) -> DeliveryId {
        self.reads += 1;
        self.scanned_to
    }

    /// Looks at a delivery that was stored after all that were looked at before.
    pub(crate) fn look_at(&mut self, other: &OnKey<'_>) {
        self.scanned_to = other.id;
        let Some(routes) = self.keys.get_mut(&other.fingerprint) else {
            return;
        };
        for (of, tail) in routes {
            if other.is_apart_from(of) {
                continue;
            }
            if other.has_run() {
                tail.ran = Some(other.id);
            } else if other.state == State::Dead {
                tail.dead.push(other.id);
            } else {
                let on_route = of == other.route;
                tail.open.push(Open {
                    id: other.id,
                    on_route,
                });
            }
        }
    }

    /// Returns true if a later one on its ordering key has run. `stands` tells how a delivery stands now, and how often it was
    /// leased; nothing if it is no longer stored.
    ///
    /// # Errors
    /// Those of `stands`.
    pub(crate) fn have_passed<E>(
        &mut self,
        key: &OrderingKey,
        mut stands: impl FnMut(DeliveryId) -> Result<Option<(State, u32)>, E>,
    ) -> Result<bool, E> {
        let tail = self
            .keys
            .get_mut(&key.fingerprint)
            .and_then(|routes| routes.iter_mut().find(|(known, _)| *known == key.route));
        let Some((_, tail)) = tail else {
            return Ok(false);
        };
        if tail.dead_at != self.reads {
            tail.dead_at = self.reads;
            let mut still_dead = Vec::new();
            for later in std::mem::take(&mut tail.dead) {
                match stands(later)? {
                    Some((state, leases)) if has_run(state, leases) => {
                        tail.ran = tail.ran.max(Some(later));
                    }
                    // The keys come in order: to those that follow, this one is no later one.
                    Some(_) if later > key.id => still_dead.push(later),
                    _ => {}
                }
            }
            tail.dead = still_dead;
        }
        let mut still_open = Vec::new();
        let mut open = std::mem::take(&mut tail.open).into_iter();
        for later in open.by_ref() {
            let (state, leases) = stands(later.id)?.unwrap_or((State::Dead, 0));
            if has_run(state, leases) {
                tail.ran = tail.ran.max(Some(later.id));
            } else if state == State::Dead {
                tail.dead.push(later.id);
            } else {
                still_open.push(later);
                if later.on_route {
                    break;
                }
            }
        }
        still_open.extend(open);
        tail.open = still_open;
        Ok(tail.ran > Some(key.id))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::convert::Infallible;

    use super::*;

    fn key(id: i64) -> OrderingKey {
        OrderingKey {
            id: DeliveryId::from_raw(id),
            fingerprint: Fingerprint(1),
            route: "route".into(),
        }
    }

    fn dead(id: i64) -> OnKey<'static> {
        OnKey {
            id: DeliveryId::from_raw(id),
            fingerprint: Fingerprint(1),
            route: "route",
            state: State::Dead,
            leases: 1,
            beside: None,
        }
    }

    #[test]
    fn a_later_one_that_was_dead_at_first_and_has_run_since_has_passed() {
        let keys: Vec<_> = (1..=4).map(key).collect();
        let mut tails = Tails::new(&keys);
        let mut seen = Later::default();
        tails.read_on();
        for other in (2..=4).map(dead) {
            tails.look_at(&other);
            seen.look_at(&keys[0], &other);
        }
        let still_dead = |_| Ok::<_, Infallible>(Some((State::Dead, 1)));
        assert!(!tails.have_passed(&keys[0], still_dead).unwrap());
        // The first of the later ones holds up nothing that was dead before it was revived.
        let now = |id: DeliveryId| {
            Ok::<_, Infallible>(Some(match id.as_raw() {
                2 => (State::Queued, 0),
                3 => (State::Done, 1),
                _ => (State::Dead, 1),
            }))
        };
        tails.read_on();
        for key in &keys[..2] {
            assert!(tails.have_passed(key, now).unwrap(), "{key:?}");
        }
        assert!(!tails.have_passed(&keys[3], now).unwrap());
        assert!(seen.open.contains(&keys[2].id), "nor for a single one");
    }
}
