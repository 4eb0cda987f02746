//! Rate limiters.

use std::time::{Duration, Instant};

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    interval: Duration,
    tolerance: Duration,
}

impl Rate {
    /// Returns a rate of so many per second on average, and `burst` at once after a pause. `None`, which means no limit, if
    /// `per_second` is 0 or less.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        let interval = Self::interval(per_second)?;
        let tolerance = interval.saturating_mul(burst.saturating_sub(1));
        Some(Self {
            interval,
            tolerance,
        })
    }

    /// Returns a rate of so many per second on average, and at once after a pause as many as arrive in `window`.
    #[must_use]
    pub fn over(per_second: u32, window: Duration) -> Option<Self> {
        Some(Self {
            interval: Self::interval(per_second.into())?,
            tolerance: window,
        })
    }

    fn interval(per_second: f64) -> Option<Duration> {
        // A rate whose interval is too long for a duration counts as one per century.
        const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        (per_second > 0.0).then(|| {
            let interval = Duration::try_from_secs_f64(1.0 / per_second);
            interval.unwrap_or(MAX).min(MAX)
        })
    }
}

/// A rate limiter by the generic cell rate algorithm, which needs one moment instead of a token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    /// When everything admitted so far would have passed at the average rate.
    through_at: Instant,
}

impl Limiter {
    /// Returns a limiter that has admitted nothing.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { through_at: now }
    }

    /// Takes a permit; returns the time until it may be used.
    ///
    /// # Errors
    /// Returns that time if it is longer than `wait_max`; then no permit is taken.
    pub fn take(
        &mut self,
        rate: Rate,
        wait_max: Duration,
        now: Instant,
    ) -> Result<Duration, Duration> {
        let through_at = self.through_at.max(now);
        let ahead = through_at - now;
        let wait = ahead.saturating_sub(rate.tolerance);
        if wait > wait_max {
            return Err(wait);
        }
        self.through_at = through_at + rate.interval;
        Ok(wait)
    }

    /// Returns whether it is in the same state as a new one.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        self.through_at <= now
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn a_burst_is_admitted_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut limiter = Limiter::new(start);
        let rate = Rate::new(2.0, 3).unwrap();
        let mut admitted = |at_ms| {
            let now = start + Duration::from_millis(at_ms);
            (0..10)
                .filter(|_| limiter.take(rate, NONE, now).is_ok())
                .count()
        };
        assert_eq!(admitted(0), 3);
        assert_eq!(admitted(499), 0);
        assert_eq!(admitted(1_000), 2);
        assert_eq!(admitted(60_000), 3);
    }

    #[test]
    fn permits_are_handed_out_ahead_as_far_as_is_asked_for() {
        let now = Instant::now();
        let mut limiter = Limiter::new(now);
        let rate = Rate::new(1.0, 1).unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(limiter.take(rate, 2 * second, now), Ok(NONE));
        assert_eq!(limiter.take(rate, 2 * second, now), Ok(second));
        assert_eq!(limiter.take(rate, 2 * second, now), Ok(2 * second));
        assert_eq!(limiter.take(rate, 2 * second, now), Err(3 * second));
        assert!(!limiter.is_idle(now + 2 * second));
        assert!(limiter.is_idle(now + 3 * second));
    }

    #[test]
    fn the_extremes_are_no_panic() {
        let now = Instant::now();
        assert_eq!(Rate::new(0.0, 1), None);
        assert_eq!(Rate::over(0, NONE), None);
        let rare = Rate::new(f64::MIN_POSITIVE, u32::MAX).unwrap();
        assert_eq!(Limiter::new(now).take(rare, NONE, now), Ok(NONE));
        let often = Rate::new(f64::MAX, 1).unwrap();
        let mut limiter = Limiter::new(now);
        assert!((0..10).all(|_| limiter.take(often, NONE, now).is_ok()));
    }
}
