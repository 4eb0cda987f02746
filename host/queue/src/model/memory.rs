//! The runs of one event: when it last ran on each route, and as which delivery.

use std::time::Duration;

use alert_manager_core::alert::{DeliveryId, Timestamp};

/// The last run of an event on one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// A digest of the route's name.
    route: u64,
    /// The delivery.
    pub(crate) delivery: DeliveryId,
    /// When it was accepted, or revived, in milliseconds since 1970.
    at_ms: i64,
    /// True if it is dead and a re-send must not run it again, even after retention has removed the delivery.
    pub(crate) stays_dead: bool,
}

/// The bit of the stored time that is inverted if [`Run::stays_dead`] is set.
const STAYS_DEAD: i64 = 1 << 62;

impl Run {
    /// Returns true if it was on `route`.
    pub(crate) fn is_on(&self, route: &str) -> bool {
        self.route == digest(route)
    }

    /// Returns true if `repeat_after` lies between this run and now, counted from its end if that is known. A run in the future
    /// counts like one in the past: the system's clock may have been set back, which must not stop reminders.
    pub(crate) fn is_due(
        &self,
        repeat_after: Duration,
        ended: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let ran_ms = ended.map_or(self.at_ms, |at| at.as_millisecond().max(self.at_ms));
        let away_ms = now.as_millisecond().abs_diff(ran_ms);
        u128::from(away_ms) >= repeat_after.as_millis()
    }
}

/// The last run of one event on each route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// One for each route; empty if no route has matched.
    runs: Vec<Run>,
}

impl Memory {
    /// Returns the last run on `route`.
    pub(crate) fn run_on(&self, route: &str) -> Option<Run> {
        let route = digest(route);
        self.runs.iter().find(|run| run.route == route).copied()
    }

    /// Returns the latest run.
    pub(crate) fn latest(&self) -> Option<Run> {
        self.runs.iter().max_by_key(|run| run.at_ms).copied()
    }

    /// Returns the delivery of each run, the oldest first.
    pub(crate) fn deliveries(&self) -> Vec<DeliveryId> {
        let mut deliveries: Vec<_> = self.runs.iter().map(|run| run.delivery).collect();
        deliveries.sort_unstable();
        deliveries
    }

    /// Returns the runs on all routes but these, the youngest delivery first.
    pub(crate) fn runs_off<'a>(&self, routes: impl Iterator<Item = &'a str>) -> Vec<Run> {
        let routes: Vec<u64> = routes.map(digest).collect();
        let mut off = self.runs.clone();
        off.retain(|run| !routes.contains(&run.route));
        off.sort_by_key(|run| std::cmp::Reverse(run.delivery));
        off
    }

    /// Records a run on `route`, unless a later delivery ran there.
    pub(crate) fn ran(&mut self, route: &str, delivery: DeliveryId, at: Timestamp) {
        let run = Run {
            route: digest(route),
            delivery,
            at_ms: at.as_millisecond(),
            stays_dead: false,
        };
        match self.runs.iter_mut().find(|known| known.route == run.route) {
            Some(known) if known.delivery > run.delivery => {}
            Some(known) => *known = run,
            None => self.runs.push(run),
        }
    }

    /// Sets [`Run::stays_dead`] of a delivery.
    pub(crate) fn set_stays_dead(&mut self, delivery: DeliveryId, stays_dead: bool) {
        for run in &mut self.runs {
            if run.delivery == delivery {
                run.stays_dead = stays_dead;
            }
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 * self.runs.len());
        for run in &self.runs {
            bytes.extend(run.route.to_be_bytes());
            bytes.extend(run.delivery.as_raw().to_be_bytes());
            let stays_dead = if run.stays_dead { STAYS_DEAD } else { 0 };
            bytes.extend((run.at_ms ^ stays_dead).to_be_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let (runs, _) = words.as_chunks::<3>();
        let runs = runs
            .iter()
            .map(|[route, delivery, at]| {
                let at = i64::from_be_bytes(*at);
                // No time reaches that bit, which is set in those before 1970.
                let stays_dead = (at < 0) == (at & STAYS_DEAD == 0);
                Run {
                    route: u64::from_be_bytes(*route),
                    delivery: DeliveryId::from_raw(i64::from_be_bytes(*delivery)),
                    at_ms: if stays_dead { at ^ STAYS_DEAD } else { at },
                    stays_dead,
                }
            })
            .collect();
        Self { runs }
    }
}

/// FNV-1a-64. It is stable over versions, and needs no resistance to collisions: operators name routes, not attackers.
fn digest(route: &str) -> u64 {
    route.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::from_millis;

    #[test]
    fn what_is_stored_is_read_again() {
        let mut memory = Memory::default();
        for (n, at_ms) in [(1, 0), (2, 1_000_000_000_000), (3, -1_000_000_000_000)] {
            let delivery = DeliveryId::from_raw(n);
            memory.ran(&format!("route {n}"), delivery, from_millis(at_ms));
            for stays_dead in [false, true] {
                memory.set_stays_dead(delivery, stays_dead);
                assert_eq!(Memory::from_bytes(&memory.to_bytes()).runs, memory.runs);
            }
        }
    }

    #[test]
    fn a_reminder_is_due_after_its_time_also_if_the_clock_was_set_back() {
        let hours = |hours: i64| from_millis(1_000_000_000_000 + hours * 3_600_000);
        let mut memory = Memory::default();
        memory.ran("route", DeliveryId::from_raw(1), hours(0));
        let run = memory.runs[0];
        let after = Duration::from_secs(4 * 3_600);
        for (now, is_due) in [(3, false), (4, true), (-3, false), (-4, true)] {
            assert_eq!(run.is_due(after, None, hours(now)), is_due, "{now} h");
            let dated = run.is_due(after, Some(hours(2)), hours(now + 2));
            assert_eq!(dated, is_due, "{now} h after its end");
        }
    }
}
