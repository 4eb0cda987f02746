//! Rate limits of one handler, over all of its invocations: lines in the server's log, requests to an origin.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use alert_manager_core::rate::{Limiter, Rate};

/// Origins that have a limiter at one time; a grant may cover any number of names.
pub(crate) const ORIGINS_MAX: usize = 1_000;
/// The burst: as many as the rate allows in this time.
const BURST: Duration = Duration::from_secs(10);

/// Why a request gets no permit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooLate {
    /// The next permit comes after this long.
    Permit(Duration),
    /// [`ORIGINS_MAX`] origins are busy, and this is one more.
    Origins,
}

/// The rates of one module, shared by its invocations.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    log: Mutex<Option<Limiter>>,
    origins: Mutex<HashMap<String, Limiter>>,
}

impl Rates {
    /// Returns true if another line may go to the server's log. A rate of 0 is off.
    pub(crate) fn may_log(&self, per_second: u32, now: Instant) -> bool {
        let Some(rate) = Rate::over(per_second, BURST) else {
            return true;
        };
        let mut log = self.log.lock();
        let limiter = log.get_or_insert_with(|| Limiter::new(now));
        limiter.take(rate, Duration::ZERO, now).is_ok()
    }

    /// Takes a permit for a request to `origin`; returns how long to wait before it holds. A rate of 0 is off.
    ///
    /// # Errors
    /// Why there is no permit within `wait_max`.
    pub(crate) fn take_request(
        &self,
        origin: &str,
        per_second: u32,
        wait_max: Duration,
        now: Instant,
    ) -> Result<Duration, TooLate> {
        let Some(rate) = Rate::over(per_second, BURST) else {
            return Ok(Duration::ZERO);
        };
        let mut origins = self.origins.lock();
        if origins.len() >= ORIGINS_MAX && !origins.contains_key(origin) {
            // An idle limiter is as good as a new one.
            origins.retain(|_, limiter| !limiter.is_idle(now));
            if origins.len() >= ORIGINS_MAX {
                return Err(TooLate::Origins);
            }
        }
        // Looked up first: nearly every origin has a limiter, and its name need not be copied.
        if let Some(limiter) = origins.get_mut(origin) {
            return limiter.take(rate, wait_max, now).map_err(TooLate::Permit);
        }
        let mut limiter = Limiter::new(now);
        let wait = limiter.take(rate, wait_max, now).map_err(TooLate::Permit)?;
        origins.insert(origin.to_owned(), limiter);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn ten_seconds_worth_passes_and_then_each_waits_for_its_permit() {
        let (rates, start) = (Rates::default(), Instant::now());
        let take = |wait_max, at| rates.take_request("http://a", 2, wait_max, start + at);
        for _ in 0..=20 {
            assert_eq!(take(NONE, NONE), Ok(NONE));
        }
        assert_eq!(
            take(NONE, NONE),
            Err(TooLate::Permit(Duration::from_millis(500)))
        );
        let second = Duration::from_secs(1);
        assert_eq!(take(second, NONE), Ok(Duration::from_millis(500)));
        assert_eq!(take(second, NONE), Ok(second));
        assert_eq!(
            take(second, NONE),
            Err(TooLate::Permit(Duration::from_millis(1_500)))
        );
        assert_eq!(rates.take_request("http://b", 2, NONE, start), Ok(NONE));
        assert_eq!(take(NONE, 2 * second), Ok(NONE));
    }

    #[test]
    fn a_flood_of_names_takes_no_more_memory_and_a_rate_of_zero_is_off() {
        let (rates, now) = (Rates::default(), Instant::now());
        for n in 0..ORIGINS_MAX {
            let origin = n.to_string();
            assert!(rates.take_request(&origin, 1, NONE, now).is_ok());
        }
        let one_more = rates.take_request("one more", 1, NONE, now);
        assert_eq!(one_more, Err(TooLate::Origins));
        assert!(rates.take_request("one more", 0, NONE, now).is_ok());
        let later = now + Duration::from_secs(2);
        assert!(rates.take_request("one more", 1, NONE, later).is_ok());
        assert_eq!(rates.origins.lock().len(), 1);
    }

    #[test]
    fn lines_over_the_rate_are_not_let_through() {
        let (rates, now) = (Rates::default(), Instant::now());
        let passed = (0..5_000).filter(|_| rates.may_log(100, now)).count();
        assert_eq!(passed, 1_001);
        assert!(rates.may_log(100, now + Duration::from_secs(1)));
        assert!((0..5_000).all(|_| rates.may_log(0, now)));
    }
}
