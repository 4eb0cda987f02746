//! A model of the queue: a few maps in memory.

use std::collections::BTreeMap;

use alert_manager_core::alert::Priority;

use super::super::prelude::*;

/// Below the number of ordering keys, so that some wait for a permit. One of them is for critical ones.
pub(super) const CAP: u32 = 3;
pub(super) const ALERTS: u8 = 4;
pub(super) const REPEAT_AFTER_S: u64 = 100;
pub(super) const DEATHS_MAX: u32 = 3;
pub(super) const STALE_WITHIN_S: u64 = 300;
pub(super) const ALONE_FOR_S: u64 = 10;
/// Of the one gate.
pub(super) const TOKEN_EVERY_S: u32 = 8;
pub(super) const BURST: u32 = 2;
pub(super) const RESERVED_S: u64 = 2;

/// Returns the priority of an alert: all of one ordering key have the same.
pub(super) fn priority(alert: u8) -> Priority {
    match alert {
        0 => Priority::Critical,
        1 => Priority::Warning,
        _ => Priority::Normal,
    }
}

pub(super) type Event = (u8, i64, bool);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits until this many seconds after the start; listed as retrying if it failed.
    Waits {
        due: u64,
        put_off: bool,
    },
    /// It waits for its turn at the gate; listed as queued.
    Parked,
    /// A worker has it.
    Leased,
    Done,
    Dead,
    Cancelled,
}

impl Stage {
    pub(super) const WAITS: Self = Self::Waits {
        due: 0,
        put_off: false,
    };
}

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) event: Event,
    pub(super) stage: Stage,
    pub(super) occurrence: u32,
    pub(super) leases: u32,
    pub(super) deaths: u32,
    pub(super) suspected: u32,
    pub(super) after_crash: bool,
    /// Until then a token is reserved for it.
    pub(super) has_turn_until_s: u64,
    /// True if a re-send has revived it since a person last retried it.
    pub(super) resent: bool,
    pub(super) ended_s: u64,
}

impl Known {
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.stage,
            Stage::Waits { .. } | Stage::Parked | Stage::Leased
        )
    }

    pub(super) fn is_critical(&self) -> bool {
        priority(self.event.0) == Priority::Critical
    }
}

/// The current occurrence of one start: the latest delivery of each event, and when its resolved was first accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) occurrence: u32,
    pub(super) firing: Option<DeliveryId>,
    pub(super) resolved: Option<DeliveryId>,
    pub(super) resolved_s: u64,
}

impl Current {
    pub(super) const FIRST: Self = Self {
        occurrence: 1,
        firing: None,
        resolved: None,
        resolved_s: 0,
    };
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) now_s: u64,
    pub(super) deliveries: BTreeMap<DeliveryId, Known>,
    /// By alert and start.
    pub(super) starts: BTreeMap<(u8, i64), Current>,
    /// The start of the firing that a resolved with another start has ended.
    pub(super) moved: BTreeMap<(u8, i64), i64>,
    /// Until when only suspects run.
    pub(super) alone_until_s: u64,
    /// Slack has closed the gate until then.
    pub(super) closed_until_s: u64,
    /// When a message passed the gate, since the start.
    pub(super) passed_s: Vec<u64>,
    /// When the last one had its turn at the gate.
    pub(super) last_turn_s: u64,
    /// What waited at the gate when the last step ended, and was the first of its ordering key.
    pub(super) was_first: Vec<DeliveryId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    New,
    Revived(DeliveryId),
    Duplicate,
    Stale,
}

impl Model {
    pub(super) fn current(&self, alert: u8, start: i64) -> Current {
        let known = self.starts.get(&(alert, start));
        known.copied().unwrap_or(Current::FIRST)
    }

    /// Returns the event that an alert belongs to.
    pub(super) fn event_of(&self, (alert, start, resolved): Event) -> Event {
        let named = self.current(alert, start);
        if !resolved || named.firing.is_some() || named.resolved.is_some() {
            return (alert, start, resolved);
        }
        if let Some(firing) = self.moved.get(&(alert, start)) {
            return (alert, *firing, true);
        }
        let mut open = self.starts.iter().filter(|((other, _), current)| {
            *other == alert && current.firing.is_some() && current.resolved.is_none()
        });
        match (open.next(), open.next()) {
            (Some(((_, firing), _)), None) => (alert, *firing, true),
            _ => (alert, start, true),
        }
    }

    pub(super) fn expect(&self, (alert, start, resolved): Event) -> Expected {
        let current = self.current(alert, start);
        let id = match (resolved, current) {
            (true, current) => current.resolved,
            (false, Current { resolved: None, .. }) => current.firing,
            (false, Current { firing: None, .. })
                if self.now_s - current.resolved_s < STALE_WITHIN_S =>
            {
                return Expected::Stale;
            }
            (false, _) => return Expected::New,
        };
        let Some(id) = id else {
            return Expected::New;
        };
        let known = &self.deliveries[&id];
        let is_due = self.now_s - known.ended_s >= REPEAT_AFTER_S;
        match known.stage {
            Stage::Dead if known.deaths >= DEATHS_MAX => Expected::Duplicate,
            Stage::Dead if !known.resent => Expected::Revived(id),
            Stage::Dead | Stage::Done if is_due => Expected::New,
            _ => Expected::Duplicate,
        }
    }

    /// Notes a new delivery of an event, and returns its occurrence.
    pub(super) fn took(&mut self, (alert, start, resolved): Event, id: DeliveryId) -> u32 {
        let now_s = self.now_s;
        let current = self.starts.entry((alert, start)).or_insert(Current::FIRST);
        if resolved {
            if current.resolved.replace(id).is_none() {
                current.resolved_s = now_s;
            }
        } else {
            if current.resolved.is_some() {
                *current = Current {
                    occurrence: current.occurrence + 1,
                    ..Current::FIRST
                };
            }
            current.firing = Some(id);
        }
        current.occurrence
    }

    pub(super) fn revive(&mut self, id: DeliveryId, resent: bool) {
        let due = self.now_s;
        let known = self.deliveries.get_mut(&id).unwrap();
        known.stage = Stage::Waits {
            due,
            put_off: false,
        };
        known.deaths = 0;
        known.suspected = 0;
        known.resent = resent;
    }

    pub(super) fn leased(&self) -> usize {
        let leased = |known: &&Known| known.stage == Stage::Leased;
        self.deliveries.values().filter(leased).count()
    }

    /// Returns true if a suspect could run: it is due, and the first of its ordering key.
    pub(super) fn has_ready_suspect(&self) -> bool {
        self.deliveries.iter().any(|(id, known)| {
            known.suspected > 0
                && matches!(known.stage, Stage::Waits { due, .. } if due <= self.now_s)
                && !self
                    .of_key(known.event)
                    .any(|(other, k)| other < id && k.is_open())
        })
    }

    /// Checks a lease while suspects run alone: it is that of a suspect and the only one, or no suspect could run.
    pub(super) fn check_alone(&mut self, id: DeliveryId) {
        if self.now_s >= self.alone_until_s {
            return;
        }
        if self.deliveries[&id].suspected == 0 || self.leased() > 0 {
            assert!(!self.has_ready_suspect(), "a suspect is to run alone");
            self.alone_until_s = 0;
        }
    }

    pub(super) fn of_key(&self, of: Event) -> impl Iterator<Item = (&DeliveryId, &Known)> {
        self.deliveries
            .iter()
            .filter(move |(_, k)| k.event.0 == of.0)
    }

    pub(super) fn is_overtaken(&self, id: DeliveryId) -> bool {
        self.of_key(self.deliveries[&id].event).any(|(other, k)| {
            *other > id && (k.stage == Stage::Done || (k.is_open() && k.leases > 0))
        })
    }

    /// A call has passed the gate: it was open, had a token, and nothing more urgent waited for that.
    pub(super) fn passes(&mut self, id: DeliveryId) {
        let now_s = self.now_s;
        assert!(self.closed_until_s <= now_s, "Slack has closed the gate");
        self.passed_s.push(now_s);
        for (place, since_s) in self.passed_s.iter().rev().enumerate() {
            // A token may have been reserved for a while before it was used.
            let tokens = (now_s - since_s + RESERVED_S) / u64::from(TOKEN_EVERY_S);
            assert!(
                place as u64 <= tokens + u64::from(BURST),
                "{:?}",
                self.passed_s
            );
        }
        let known = &self.deliveries[&id];
        let had_turn = known.has_turn_until_s > now_s;
        assert!(had_turn || known.is_critical() || !self.critical_waits());
    }

    /// Returns true if a critical delivery has waited at the gate since before this step.
    fn critical_waits(&self) -> bool {
        let waits = |known: &Known| known.is_critical() && known.stage == Stage::Parked;
        let mut waiting = self.was_first.iter().map(|id| &self.deliveries[id]);
        waiting.any(waits)
    }

    /// Ends a step: notes what waits at the gate that is the first of its ordering key.
    pub(super) fn end_step(&mut self) {
        let is_first = |(id, known): &(&DeliveryId, &Known)| {
            let mut earlier = self.of_key(known.event);
            known.stage == Stage::Parked && !earlier.any(|(other, k)| other < *id && k.is_open())
        };
        let first = self.deliveries.iter().filter(is_first);
        self.was_first = first.map(|(id, _)| *id).collect();
    }

    /// A delivery waits for its turn from now on.
    pub(super) fn parks(&mut self, id: DeliveryId) {
        let now_s = self.now_s;
        let known = self.deliveries.get_mut(&id).unwrap();
        known.stage = Stage::Parked;
        known.after_crash = false;
        known.has_turn_until_s = 0;
        known.ended_s = now_s;
    }

    /// It was this one's turn: the gate is open, and nothing more urgent waits for it.
    fn has_turn(&mut self, id: DeliveryId) {
        assert!(
            self.closed_until_s <= self.now_s,
            "Slack has closed the gate"
        );
        assert!(self.deliveries[&id].is_critical() || !self.critical_waits());
        self.last_turn_s = self.now_s;
        let until_s = self.now_s + RESERVED_S;
        self.deliveries.get_mut(&id).unwrap().has_turn_until_s = until_s;
    }

    /// Returns true if the gate has had time enough to have a token for what waits at it.
    fn has_token(&self) -> bool {
        let passed_s = self
            .passed_s
            .last()
            .map_or(0, |at| at + u64::from(TOKEN_EVERY_S));
        let turn_s = self.last_turn_s + u64::from(TOKEN_EVERY_S) + RESERVED_S;
        self.now_s >= passed_s.max(turn_s).max(self.closed_until_s)
    }

    /// Checks that a lease was granted to a delivery that may run, and records it.
    pub(super) fn lease(&mut self, leased: &Leased) {
        let id = leased.id;
        self.check_alone(id);
        let known = &self.deliveries[&id];
        let is_due = matches!(known.stage, Stage::Waits { due, .. } if due <= self.now_s);
        assert!(is_due || known.stage == Stage::Parked, "{known:?}");
        for (other_id, other) in self.of_key(known.event) {
            assert!(other.stage != Stage::Leased, "two of one ordering key run");
            // One that runs continues even if an older one was retried since.
            assert!(
                !other.is_open() || *other_id >= id || known.leases > 0,
                "an older one of its ordering key waits"
            );
        }
        if self.deliveries[&id].stage == Stage::Parked {
            self.has_turn(id);
        }
        let known = self.deliveries.get_mut(&id).unwrap();
        known.stage = Stage::Leased;
        known.leases += 1;
        assert_eq!(
            (leased.lease.number, leased.after_crash),
            (known.leases, known.after_crash)
        );
    }

    /// Checks that no delivery waits that could run.
    pub(super) fn check_idle(&mut self, held: usize) {
        assert!(held <= CAP as usize);
        if held == CAP as usize {
            return;
        }
        if self.now_s < self.alone_until_s {
            if held > 0 {
                return;
            }
            self.alone_until_s = 0;
        }
        let has_token = self.has_token();
        for known in self.deliveries.values().filter(|k| k.is_open()) {
            if held + 1 == CAP as usize && !known.is_critical() {
                continue;
            }
            let open: Vec<_> = self
                .of_key(known.event)
                .filter(|(_, k)| k.is_open())
                .collect();
            let mut heads = open
                .iter()
                .enumerate()
                .filter(|(place, (_, k))| *place == 0 || k.leases > 0);
            let blocked = heads.any(|(_, (_, head))| match head.stage {
                Stage::Waits { due, .. } => due > self.now_s,
                Stage::Parked => !has_token,
                _ => true,
            });
            assert!(
                blocked,
                "an ordering key is free and does not move: {open:?}"
            );
        }
    }

    /// Ends the process: what was under lease waits again, and a kill counts as a death if only one delivery was under lease.
    pub(super) fn end(&mut self, killed: bool) {
        let alone = self.leased() == 1;
        self.passed_s.clear();
        self.last_turn_s = 0;
        for known in self.deliveries.values_mut() {
            known.has_turn_until_s = 0;
            if known.stage == Stage::Parked {
                known.stage = Stage::WAITS;
            }
            if known.stage != Stage::Leased {
                continue;
            }
            known.suspected += u32::from(killed);
            known.after_crash = true;
            known.deaths += u32::from(killed && alone);
            known.ended_s = self.now_s;
            known.stage = if known.deaths >= DEATHS_MAX {
                Stage::Dead
            } else {
                Stage::WAITS
            };
        }
        let suspected = self.deliveries.values().filter(|known| known.is_open());
        let most = suspected.map(|known| known.suspected).max().unwrap_or(0);
        self.alone_until_s = match most {
            0 => 0,
            most => self.now_s + (ALONE_FOR_S << (most - 1)),
        };
    }

    pub(super) fn depth(&self) -> usize {
        self.deliveries.values().filter(|k| k.is_open()).count()
    }

    pub(super) fn dead(&self) -> u64 {
        let dead = |k: &&Known| k.stage == Stage::Dead;
        self.deliveries.values().filter(dead).count() as u64
    }
}
