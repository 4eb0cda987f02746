//! The memory of one event: when it last ran on each route, and as what.

use std::time::Duration;

use crate::alert::{DeliveryId, Timestamp};

/// The last time that an event ran on one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// A digest of the route's name.
    route: u64,
    /// What it ran as.
    pub(super) delivery: DeliveryId,
    /// When it was accepted, or revived, in milliseconds since 1970.
    at_ms: i64,
}

impl Run {
    /// Returns true if this is no younger than `repeat_after`, counted from its end where that is known.
    pub(super) fn is_due(
        &self,
        repeat_after: Duration,
        ended: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let ran_ms = ended.map_or(self.at_ms, |at| at.as_millisecond().max(self.at_ms));
        let age_ms = now.as_millisecond() - ran_ms;
        u128::try_from(age_ms).is_ok_and(|age| age >= repeat_after.as_millis())
    }
}

/// The memory of one event.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// By route; empty where no route matched so far.
    runs: Vec<Run>,
}

impl Memory {
    /// Returns the last run on `route`.
    pub(super) fn run_on(&self, route: &str) -> Option<Run> {
        let route = digest(route);
        self.runs.iter().find(|run| run.route == route).copied()
    }

    /// Returns the latest run.
    pub(super) fn latest(&self) -> Option<Run> {
        self.runs.iter().max_by_key(|run| run.at_ms).copied()
    }

    /// Returns the runs on other routes than these, the youngest delivery first.
    pub(super) fn runs_off<'a>(&self, routes: impl Iterator<Item = &'a str>) -> Vec<Run> {
        let routes: Vec<u64> = routes.map(digest).collect();
        let mut off = self.runs.clone();
        off.retain(|run| !routes.contains(&run.route));
        off.sort_by_key(|run| std::cmp::Reverse(run.delivery));
        off
    }

    /// Notes a run on `route`, unless a later delivery's is known.
    pub(super) fn ran(&mut self, route: &str, delivery: DeliveryId, at: Timestamp) {
        let run = Run {
            route: digest(route),
            delivery,
            at_ms: at.as_millisecond(),
        };
        match self.runs.iter_mut().find(|known| known.route == run.route) {
            Some(known) if known.delivery > run.delivery => {}
            Some(known) => *known = run,
            None => self.runs.push(run),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 * self.runs.len());
        for run in &self.runs {
            bytes.extend(run.route.to_be_bytes());
            bytes.extend(run.delivery.as_raw().to_be_bytes());
            bytes.extend(run.at_ms.to_be_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let (runs, _) = words.as_chunks::<3>();
        let runs = runs
            .iter()
            .map(|[route, delivery, at]| Run {
                route: u64::from_be_bytes(*route),
                delivery: DeliveryId::from_raw(i64::from_be_bytes(*delivery)),
                at_ms: i64::from_be_bytes(*at),
            })
            .collect();
        Self { runs }
    }
}

/// FNV-1a-64: stable over versions, and a route's name is the operator's own, not an attacker's.
fn digest(route: &str) -> u64 {
    route.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
