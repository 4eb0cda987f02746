//! Circuit breakers: calls that failed several times in a row are not made for a while.

use std::time::{Duration, Instant};

/// How many consecutive failures open a breaker.
pub const FAILURES_MAX: u32 = 5;

/// How long it stays open until one caller may try again.
pub const PAUSE: Duration = Duration::from_secs(30);

/// A circuit breaker. After a success its owner drops it, since a new one is closed.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    last: String,
    /// On the monotonic clock.
    open_until: Option<Instant>,
}

/// The state of an open breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// When one caller may try again.
    pub until: Instant,
    /// The number of consecutive failures.
    pub failures: u32,
    /// The last failure.
    pub last: &'a str,
}

impl Breaker {
    /// Asks for permission to try. While the breaker is open, it admits one caller after each pause.
    pub fn admit(&mut self, now: Instant) -> Result<(), Open<'_>> {
        match self.open_until {
            Some(until) if until > now => Err(self.open(until)),
            Some(_) => {
                self.open_until = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Records a failure. Returns true if it opened the breaker.
    pub fn failed(&mut self, why: &str, now: Instant) -> bool {
        self.failures += 1;
        why.clone_into(&mut self.last);
        if self.failures < FAILURES_MAX {
            return false;
        }
        self.open_until.replace(now + PAUSE).is_none()
    }

    /// Returns the state if the breaker is open, even if its pause is over and nobody has tried yet.
    #[must_use]
    pub fn is_open(&self) -> Option<Open<'_>> {
        self.open_until.map(|until| self.open(until))
    }

    fn open(&self, until: Instant) -> Open<'_> {
        Open {
            until,
            failures: self.failures,
            last: &self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn five_failures_in_a_row_open_it_and_one_caller_after_each_pause_finds_out() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES_MAX {
            assert!(!breaker.failed("no answer", now));
            assert_eq!(breaker.admit(now), Ok(()));
        }
        assert!(breaker.failed("refused", now));
        let open = breaker.admit(now).unwrap_err();
        assert_eq!((open.failures, open.last), (FAILURES_MAX, "refused"));
        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
        assert!(breaker.admit(now + PAUSE).is_err(), "and no other");
        assert!(!breaker.failed("refused", now + PAUSE), "it was open");
        assert!(breaker.is_open().is_some());
    }
}
