//! The rate limits of one handler over all its invocations: for lines in the server's log, and for requests to an origin.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use alert_manager_core::rate::{Limiter, Rate};

/// The most origins with a limiter at one time, since a grant may cover any number of names.
pub(crate) const ORIGINS_MAX: usize = 1_000;
/// The burst is as many permits as the rate gives in this time.
const BURST: Duration = Duration::from_secs(10);

/// Why a request gets no permit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooLate {
    /// The next permit is valid after this long.
    Permit(Duration),
    /// [`ORIGINS_MAX`] origins are busy, and this is one more.
    Origins,
}

/// The rate limiters of one module, shared by its invocations.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    log: Mutex<Option<Limiter>>,
    origins: Mutex<HashMap<String, Limiter>>,
}

impl Rates {
    /// Takes a permit for a line in the server's log; returns false if there is none. A rate of 0 turns the limit off.
    pub(crate) fn may_log(&self, per_second: u32, now: Instant) -> bool {
        let Some(rate) = Rate::over(per_second, BURST) else {
            return true;
        };
        let mut log = self.log.lock();
        let limiter = log.get_or_insert_with(|| Limiter::new(now));
        limiter.take(rate, Duration::ZERO, now).is_ok()
    }

    /// Takes a permit for a request to `origin`; returns how long to wait until it is valid. A rate of 0 turns the limit
    /// off.
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
            // An idle limiter is in the same state as a new one.
            origins.retain(|_, limiter| !limiter.is_idle(now));
            if origins.len() >= ORIGINS_MAX {
                return Err(TooLate::Origins);
            }
        }
        // Looked up without `entry`, which would need a copy of the name although nearly every origin has a limiter.
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
    fn after_a_burst_of_ten_seconds_each_request_waits_for_its_permit() {
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
    fn the_number_of_origins_is_limited_and_a_rate_of_zero_is_off() {
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
    fn lines_over_the_rate_get_no_permit() {
        let (rates, now) = (Rates::default(), Instant::now());
        let passed = (0..5_000).filter(|_| rates.may_log(100, now)).count();
        assert_eq!(passed, 1_001);
        assert!(rates.may_log(100, now + Duration::from_secs(1)));
        assert!((0..5_000).all(|_| rates.may_log(0, now)));
    }
}
