//! Circuit breakers: an origin that fails several times in a row is not asked for a while, so that it does not cost
//! every alert its time.
//!
//! Each handler has its own for each origin: one whose requests time out, for it allows them no time, is not to cut off the
//! others. But an answer to one is news for all, and closes the breakers of all.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use alert_manager_core::alert::HandlerName;
use alert_manager_core::breaker::Breaker;

/// Origins of a handler that are remembered; past it the others are forgotten, which costs them five more tries.
const ORIGINS_MAX: usize = 256;

/// Which origins do not answer whom.
#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<HashMap<HandlerName, HashMap<String, Breaker>>>);

impl Outages {
    /// Returns why `handler` is not to ask `origin` now. After each pause one caller is let through.
    pub(crate) fn refuses(
        &self,
        handler: &HandlerName,
        origin: &str,
        now: Instant,
    ) -> Option<String> {
        let mut all = self.0.lock();
        let open = all.get_mut(handler)?.get_mut(origin)?.admit(now).err()?;
        Some(format!(
            "{origin} did not answer {} times in a row and is not asked for {} s more; the last time: {}",
            open.failures,
            (open.until - now).as_secs() + 1,
            open.last
        ))
    }

    /// Takes note that `origin` answered, whatever it said.
    pub(crate) fn answered(&self, origin: &str) {
        for outages in self.0.lock().values_mut() {
            outages.remove(origin);
        }
    }

    /// Takes note that `origin` did not answer `handler`, and why.
    pub(crate) fn failed(&self, handler: &HandlerName, origin: &str, why: &str, now: Instant) {
        let mut all = self.0.lock();
        let outages = all.entry(handler.clone()).or_default();
        if outages.len() >= ORIGINS_MAX && !outages.contains_key(origin) {
            outages.clear();
        }
        let outage = outages.entry(origin.to_owned()).or_default();
        outage.failed(why, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alert_manager_core::breaker::{FAILURES_MAX, PAUSE};

    const ORIGIN: &str = "https://api.example.com";

    #[test]
    fn five_failures_in_a_row_spare_the_next_ones_the_wait() {
        let (outages, now) = (Outages::default(), Instant::now());
        let (h, other) = (HandlerName::new("h"), HandlerName::new("other"));
        for _ in 0..FAILURES_MAX {
            assert_eq!(outages.refuses(&h, ORIGIN, now), None);
            outages.failed(&h, ORIGIN, "connection refused", now);
        }
        let why = outages.refuses(&h, ORIGIN, now).expect("it is left alone");
        assert!(
            why.contains("30 s more") || why.contains("31 s more"),
            "{why}"
        );
        assert!(why.contains("connection refused"), "{why}");
        assert_eq!(outages.refuses(&h, "https://other.example.com", now), None);
        assert_eq!(outages.refuses(&other, ORIGIN, now), None, "its own count");
        let later = now + PAUSE;
        assert_eq!(outages.refuses(&h, ORIGIN, later), None, "one finds out");
        assert!(outages.refuses(&h, ORIGIN, later).is_some(), "and no other");
        outages.answered(ORIGIN);
        assert_eq!(outages.refuses(&h, ORIGIN, later), None);
    }

    #[test]
    fn an_answer_to_one_handler_closes_the_breakers_of_all() {
        let (outages, now) = (Outages::default(), Instant::now());
        let handlers = ["a", "b"].map(HandlerName::new);
        for _ in 0..FAILURES_MAX {
            for handler in &handlers {
                outages.failed(handler, ORIGIN, "no answer in time", now);
            }
        }
        assert!(outages.refuses(&handlers[1], ORIGIN, now).is_some());
        // The probe of `a` is answered.
        outages.answered(ORIGIN);
        assert_eq!(outages.refuses(&handlers[1], ORIGIN, now), None);
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_again() {
        let (outages, now) = (Outages::default(), Instant::now());
        let h = HandlerName::new("h");
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                outages.failed(&h, ORIGIN, "no answer in time", now);
            }
            outages.answered(ORIGIN);
        }
        assert_eq!(outages.refuses(&h, ORIGIN, now), None);
    }
}
