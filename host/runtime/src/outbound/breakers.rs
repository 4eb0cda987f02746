//! Circuit breakers of origins. An origin that did not answer several times in a row gets no requests for a while, so that
//! alerts do not wait for it in vain.
//!
//! Each handler has its own breaker for each origin, so that a handler with timeouts that are too short does not block the
//! others. An answer to one handler closes the breakers of all.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use alert_manager_core::alert::HandlerName;
use alert_manager_core::breaker::Breaker;

/// The most origins of a handler with a breaker. Beyond it all its breakers are dropped, and their counts begin again.
const ORIGINS_MAX: usize = 256;

/// The breakers, by handler and origin.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<HandlerName, HashMap<String, Breaker>>>);

impl Breakers {
    /// Returns why `handler` may not send to `origin` now; `None` if it may. One caller is admitted after each pause.
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

    /// Records that `origin` answered, with any status.
    pub(crate) fn answered(&self, origin: &str) {
        for breakers in self.0.lock().values_mut() {
            breakers.remove(origin);
        }
    }

    /// Records that `origin` did not answer `handler`, and why.
    pub(crate) fn failed(&self, handler: &HandlerName, origin: &str, why: &str, now: Instant) {
        let mut all = self.0.lock();
        let breakers = all.entry(handler.clone()).or_default();
        if breakers.len() >= ORIGINS_MAX && !breakers.contains_key(origin) {
            breakers.clear();
        }
        let breaker = breakers.entry(origin.to_owned()).or_default();
        breaker.failed(why, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alert_manager_core::breaker::{FAILURES_MAX, PAUSE};

    const ORIGIN: &str = "https://api.example.com";

    #[test]
    fn after_five_failures_in_a_row_the_breaker_is_open() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        let (h, other) = (HandlerName::new("h"), HandlerName::new("other"));
        for _ in 0..FAILURES_MAX {
            assert_eq!(breakers.refuses(&h, ORIGIN, now), None);
            breakers.failed(&h, ORIGIN, "connection refused", now);
        }
        let why = breakers.refuses(&h, ORIGIN, now).expect("it is open");
        assert!(
            why.contains("30 s more") || why.contains("31 s more"),
            "{why}"
        );
        assert!(why.contains("connection refused"), "{why}");
        assert_eq!(breakers.refuses(&h, "https://other.example.com", now), None);
        assert_eq!(breakers.refuses(&other, ORIGIN, now), None, "its own count");
        let later = now + PAUSE;
        assert_eq!(breakers.refuses(&h, ORIGIN, later), None, "a probe");
        assert!(breakers.refuses(&h, ORIGIN, later).is_some(), "only one");
        breakers.answered(ORIGIN);
        assert_eq!(breakers.refuses(&h, ORIGIN, later), None);
    }

    #[test]
    fn an_answer_to_one_handler_closes_the_breakers_of_all() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        let handlers = ["a", "b"].map(HandlerName::new);
        for _ in 0..FAILURES_MAX {
            for handler in &handlers {
                breakers.failed(handler, ORIGIN, "no answer in time", now);
            }
        }
        assert!(breakers.refuses(&handlers[1], ORIGIN, now).is_some());
        // The probe of `a` is answered.
        breakers.answered(ORIGIN);
        assert_eq!(breakers.refuses(&handlers[1], ORIGIN, now), None);
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_again() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        let h = HandlerName::new("h");
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                breakers.failed(&h, ORIGIN, "no answer in time", now);
            }
            breakers.answered(ORIGIN);
        }
        assert_eq!(breakers.refuses(&h, ORIGIN, now), None);
    }
}
