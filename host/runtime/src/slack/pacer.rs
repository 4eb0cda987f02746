//! The rate limiter of each Slack channel: permits are given in order at the channel's rate, and not before Slack's own
//! Retry-After has passed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::slack::settings::Rate as SlackRate;
use alert_manager_core::rate::{Limiter, Rate};

/// Permits are reserved at most this far ahead. A caller whose permit would be later has to ask again after this time.
const AHEAD_MAX: Duration = Duration::from_secs(3_600);
/// How long a reserved permit is kept after it became valid, if its caller does not come back.
const RESERVED_KEPT: Duration = Duration::from_secs(600);
/// The most reserved permits of one channel.
const RESERVED_MAX: usize = 10_000;

/// The rate limiters of all channels, by the channel's name or ID at Slack; shared by all handlers.
#[derive(Debug, Default)]
pub(crate) struct Pacer(Mutex<HashMap<String, ChannelRate>>);

#[derive(Debug)]
struct ChannelRate {
    /// The rate of the reserved permits.
    rate: Option<SlackRate>,
    limiter: Limiter,
    /// When each permit becomes valid, by its caller.
    reserved: HashMap<String, Instant>,
    /// The end of Slack's Retry-After.
    closed_until: Option<Instant>,
}

impl Pacer {
    /// Takes a permit for `who` to post to `channel`. A caller that has to wait keeps its reserved permit, however often it
    /// asks.
    ///
    /// # Errors
    /// How long to wait for the permit.
    pub(crate) fn take(
        &self,
        channel: &str,
        who: &str,
        rate: SlackRate,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut channels = self.0.lock();
        let channel = channels
            .entry(channel.to_owned())
            .or_insert_with(|| ChannelRate::new(now));
        let Some(permits) = Rate::new(rate.per_second, rate.burst) else {
            return channel.check_open(now);
        };
        if channel.rate != Some(rate) {
            // Permits that were reserved at another rate are void.
            channel.reserved.clear();
            channel.limiter = Limiter::new(now);
            channel.rate = Some(rate);
        }
        if let Some(at) = channel.reserved.get(who) {
            return match at.saturating_duration_since(now) {
                Duration::ZERO => {
                    channel.reserved.remove(who);
                    Ok(())
                }
                wait => Err(wait),
            };
        }
        channel.reserve(who, permits, now)
    }

    /// Checks that no Retry-After of Slack is running; takes no permit.
    ///
    /// # Errors
    /// How long it still runs.
    pub(crate) fn check(&self, channel: &str, now: Instant) -> Result<(), Duration> {
        match self.0.lock().get_mut(channel) {
            Some(channel) => channel.check_open(now),
            None => Ok(()),
        }
    }

    /// Records a Retry-After of Slack. Reserved permits are void; new ones are valid after `wait`.
    pub(crate) fn close(&self, channel: &str, wait: Duration, now: Instant) {
        let until = now + wait.min(AHEAD_MAX);
        let mut channels = self.0.lock();
        let channel = channels
            .entry(channel.to_owned())
            .or_insert_with(|| ChannelRate::new(now));
        channel.closed_until = Some(until);
        channel.limiter = Limiter::new(until);
        channel.reserved.clear();
    }
}

impl ChannelRate {
    fn new(now: Instant) -> Self {
        Self {
            rate: None,
            limiter: Limiter::new(now),
            reserved: HashMap::new(),
            closed_until: None,
        }
    }

    /// Takes the next permit if it is valid now, else reserves it for `who`.
    fn reserve(&mut self, who: &str, permits: Rate, now: Instant) -> Result<(), Duration> {
        let open_at = self.closed_until.map_or(now, |until| until.max(now));
        let closed_for = open_at - now;
        let mut limiter = self.limiter;
        let wait = limiter
            .take(permits, AHEAD_MAX.saturating_sub(closed_for), open_at)
            .map_err(|_| AHEAD_MAX)?
            + closed_for;
        if !wait.is_zero() {
            if self.reserved.len() >= RESERVED_MAX {
                self.reserved.retain(|_, at| *at + RESERVED_KEPT > now);
            }
            if self.reserved.len() >= RESERVED_MAX {
                return Err(wait);
            }
            self.reserved.insert(who.to_owned(), now + wait);
        }
        self.limiter = limiter;
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

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

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn after_a_burst_permits_are_one_second_apart() {
        let (pacer, start) = (Pacer::default(), Instant::now());
        let take = |who, at| pacer.take("c", who, RATE, start + seconds(at));
        assert!(take("a", 0).is_ok());
        assert!(take("b", 0).is_ok());
        assert_eq!(take("c", 0), Err(seconds(1)));
        assert_eq!(take("d", 0), Err(seconds(2)));
        assert!(pacer.take("other", "a", RATE, start).is_ok());
        assert_eq!(take("d", 1), Err(seconds(1)), "a reserved permit is kept");
        assert!(take("c", 1).is_ok());
        assert_eq!(
            take("c", 1),
            Err(seconds(2)),
            "another message, another permit"
        );
        assert!(take("d", 2).is_ok());
        assert!(take("e", 60).is_ok() && take("f", 60).is_ok());
        assert_eq!(
            take("g", 60),
            Err(seconds(1)),
            "a pause saves up no more than a burst"
        );
    }

    #[test]
    fn in_a_storm_each_permit_has_its_own_time_and_callers_beyond_an_hour_ask_again() {
        let (pacer, start) = (Pacer::default(), Instant::now());
        let waits: Vec<_> = (0..4_000)
            .map(|who| pacer.take("c", &who.to_string(), RATE, start))
            .collect();
        assert_eq!(waits[101], Err(seconds(100)));
        assert_eq!(waits[3_601], Err(AHEAD_MAX));
        assert_eq!(waits[3_999], Err(AHEAD_MAX));
        let raised = SlackRate {
            per_second: 10.0,
            burst: 2,
        };
        assert!(pacer.take("c", "200", raised, start).is_ok(), "a reload");
    }

    #[test]
    fn a_rate_of_zero_is_off_but_retry_after_is_kept() {
        let off = SlackRate {
            per_second: 0.0,
            burst: 1,
        };
        let (pacer, start) = (Pacer::default(), Instant::now());
        for _ in 0..100 {
            assert!(pacer.take("c", "a", off, start).is_ok());
        }
        pacer.close("c", seconds(30), start);
        let later = start + seconds(10);
        assert_eq!(pacer.take("c", "a", off, later), Err(seconds(20)));
        assert_eq!(pacer.check("c", later), Err(seconds(20)));
        assert!(pacer.check("c", start + seconds(30)).is_ok());
    }

    #[test]
    fn after_a_retry_after_the_rate_limit_applies_again() {
        let (pacer, start) = (Pacer::default(), Instant::now());
        pacer.close("c", Duration::MAX, start);
        pacer.close("c", seconds(30), start);
        let take = |who, at| pacer.take("c", who, RATE, start + seconds(at));
        assert_eq!(take("a", 0), Err(seconds(30)));
        assert_eq!(take("b", 0), Err(seconds(30)));
        assert_eq!(take("c", 0), Err(seconds(31)));
        assert!(take("a", 30).is_ok());
        assert_eq!(take("c", 30), Err(seconds(1)));
    }
}
