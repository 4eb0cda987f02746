//! How fast each Slack channel may be posted to: a token bucket, and what Slack itself said about waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::SlackRate;

/// Nobody is sent away for longer at once: a reload may have raised the rate by then.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The channels' paces, by Slack's own name of the channel: shared by all handlers.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<String, Pace>>);

#[derive(Debug)]
struct Pace {
    tokens: f64,
    filled_at: Instant,
    /// Sent away since the bucket was last full: each later one is told to come later.
    waiting: f64,
    /// From Slack's Retry-After.
    closed_until: Option<Instant>,
}

impl Paces {
    /// Takes a turn on `channel`.
    ///
    /// # Errors
    /// How long to wait where its turn is not yet.
    pub(super) fn take(
        &self,
        channel: &str,
        rate: SlackRate,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut paces = self.0.lock();
        let burst = f64::from(rate.burst.max(1));
        let pace = paces.entry(channel.to_owned()).or_insert_with(|| Pace {
            tokens: burst,
            filled_at: now,
            waiting: 0.0,
            closed_until: None,
        });
        pace.check_open(now)?;
        if rate.per_second <= 0.0 {
            return Ok(());
        }
        let since = now.saturating_duration_since(pace.filled_at).as_secs_f64();
        pace.filled_at = now;
        pace.tokens = (pace.tokens + since * rate.per_second).min(burst);
        if pace.tokens >= burst {
            pace.waiting = 0.0;
        }
        if pace.tokens >= 1.0 {
            pace.tokens -= 1.0;
            pace.waiting = (pace.waiting - 1.0).max(0.0);
            return Ok(());
        }
        let seconds = (1.0 - pace.tokens + pace.waiting) / rate.per_second;
        pace.waiting += 1.0;
        Err(Duration::try_from_secs_f64(seconds)
            .unwrap_or(WAIT_MAX)
            .min(WAIT_MAX))
    }

    /// Returns Ok unless Slack said to wait; takes no turn.
    pub(super) fn check(&self, channel: &str, now: Instant) -> Result<(), Duration> {
        match self.0.lock().get_mut(channel) {
            Some(pace) => pace.check_open(now),
            None => Ok(()),
        }
    }

    /// Remembers that Slack said to wait.
    pub(super) fn close(&self, channel: &str, wait: Duration, now: Instant) {
        let mut paces = self.0.lock();
        let pace = paces.entry(channel.to_owned()).or_insert_with(|| Pace {
            tokens: 0.0,
            filled_at: now,
            waiting: 0.0,
            closed_until: None,
        });
        pace.closed_until = Some(now + wait);
    }
}

impl Pace {
    fn check_open(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(until) = self.closed_until {
            if now < until {
                return Err(until - now);
            }
            self.closed_until = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const RATE: SlackRate = SlackRate {
        per_second: 1.0,
        burst: 2,
    };

    #[test]
    fn a_burst_passes_and_then_one_a_second_each_told_a_later_turn() {
        let (paces, start) = (Paces::default(), Instant::now());
        assert!(paces.take("c", RATE, start).is_ok());
        assert!(paces.take("c", RATE, start).is_ok());
        let first = paces.take("c", RATE, start).unwrap_err();
        let second = paces.take("c", RATE, start).unwrap_err();
        assert_eq!(first, Duration::from_secs(1));
        assert_eq!(second, Duration::from_secs(2));
        assert!(paces.take("other", RATE, start).is_ok());
        assert!(paces.take("c", RATE, start + first).is_ok());
        assert!(paces.take("c", RATE, start + first).is_err());
    }

    #[test]
    fn a_rate_of_zero_is_off_but_slack_is_still_heeded() {
        let off = SlackRate {
            per_second: 0.0,
            burst: 1,
        };
        let (paces, start) = (Paces::default(), Instant::now());
        for _ in 0..100 {
            assert!(paces.take("c", off, start).is_ok());
        }
        paces.close("c", Duration::from_secs(30), start);
        let later = start + Duration::from_secs(10);
        assert_eq!(paces.take("c", off, later), Err(Duration::from_secs(20)));
        assert_eq!(paces.check("c", later), Err(Duration::from_secs(20)));
        assert!(paces.check("c", start + Duration::from_secs(30)).is_ok());
    }
}
