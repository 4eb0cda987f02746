//! How fast each Slack channel may be posted to: turns at its rate, handed out in order, and what Slack itself said about waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::slack::settings::Rate as SlackRate;
use alert_manager_core::rate::{Limiter, Rate};

/// Turns are handed out this far ahead; whoever would come later is to ask again by then.
const AHEAD_MAX: Duration = Duration::from_secs(3_600);
/// A turn that nobody came back for is forgotten after this.
const TURN_KEPT: Duration = Duration::from_secs(600);
/// Turns of one channel that are remembered.
const TURNS_MAX: usize = 10_000;

/// The channels' paces, by Slack's own name of the channel: shared by all handlers.
#[derive(Debug, Default)]
pub(crate) struct Paces(Mutex<HashMap<String, Pace>>);

#[derive(Debug)]
struct Pace {
    /// What the turns were handed out for.
    rate: Option<SlackRate>,
    limiter: Limiter,
    /// Turns that were told, by who is to come back for them.
    turns: HashMap<String, Instant>,
    /// From Slack's Retry-After.
    closed_until: Option<Instant>,
}

impl Paces {
    /// Takes a turn on `channel` for `who`, who is told the same turn however often he asks.
    ///
    /// # Errors
    /// How long to wait where its turn is not yet.
    pub(crate) fn take(
        &self,
        channel: &str,
        who: &str,
        rate: SlackRate,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut paces = self.0.lock();
        let pace = paces
            .entry(channel.to_owned())
            .or_insert_with(|| Pace::new(now));
        let Some(permits) = Rate::new(rate.per_second, rate.burst) else {
            return pace.check_open(now);
        };
        if pace.rate != Some(rate) {
            // The turns of another rate mean nothing any more.
            pace.turns.clear();
            pace.limiter = Limiter::new(now);
            pace.rate = Some(rate);
        }
        if let Some(at) = pace.turns.get(who) {
            return match at.saturating_duration_since(now) {
                Duration::ZERO => {
                    pace.turns.remove(who);
                    Ok(())
                }
                wait => Err(wait),
            };
        }
        let open_at = pace.closed_until.map_or(now, |until| until.max(now));
        let closed_for = open_at - now;
        let mut limiter = pace.limiter;
        let wait = limiter
            .take(permits, AHEAD_MAX.saturating_sub(closed_for), open_at)
            .map_err(|_| AHEAD_MAX)?
            + closed_for;
        if !wait.is_zero() {
            if pace.turns.len() >= TURNS_MAX {
                pace.turns.retain(|_, at| *at + TURN_KEPT > now);
            }
            if pace.turns.len() >= TURNS_MAX {
                return Err(wait);
            }
            pace.turns.insert(who.to_owned(), now + wait);
        }
        pace.limiter = limiter;
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Returns Ok unless Slack said to wait; takes no turn.
    pub(crate) fn check(&self, channel: &str, now: Instant) -> Result<(), Duration> {
        match self.0.lock().get_mut(channel) {
            Some(pace) => pace.check_open(now),
            None => Ok(()),
        }
    }

    /// Remembers that Slack said to wait: turns are handed out anew, from then on.
    pub(crate) fn close(&self, channel: &str, wait: Duration, now: Instant) {
        let until = now + wait.min(AHEAD_MAX);
        let mut paces = self.0.lock();
        let pace = paces
            .entry(channel.to_owned())
            .or_insert_with(|| Pace::new(now));
        pace.closed_until = Some(until);
        pace.limiter = Limiter::new(until);
        pace.turns.clear();
    }
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            rate: None,
            limiter: Limiter::new(now),
            turns: HashMap::new(),
            closed_until: None,
        }
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
    fn a_burst_passes_and_then_one_a_second_each_told_a_later_turn() {
        let (paces, start) = (Paces::default(), Instant::now());
        let take = |who, at| paces.take("c", who, RATE, start + seconds(at));
        assert!(take("a", 0).is_ok());
        assert!(take("b", 0).is_ok());
        assert_eq!(take("c", 0), Err(seconds(1)));
        assert_eq!(take("d", 0), Err(seconds(2)));
        assert!(paces.take("other", "a", RATE, start).is_ok());
        assert_eq!(take("d", 1), Err(seconds(1)), "its turn stays its turn");
        assert!(take("c", 1).is_ok());
        assert_eq!(
            take("c", 1),
            Err(seconds(2)),
            "another message, another turn"
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
    fn a_storm_is_told_turns_that_differ_and_the_far_ones_to_ask_again() {
        let (paces, start) = (Paces::default(), Instant::now());
        let told: Vec<_> = (0..4_000)
            .map(|who| paces.take("c", &who.to_string(), RATE, start))
            .collect();
        assert_eq!(told[101], Err(seconds(100)));
        assert_eq!(told[3_601], Err(AHEAD_MAX));
        assert_eq!(told[3_999], Err(AHEAD_MAX));
        let raised = SlackRate {
            per_second: 10.0,
            burst: 2,
        };
        assert!(paces.take("c", "200", raised, start).is_ok(), "a reload");
    }

    #[test]
    fn a_rate_of_zero_is_off_but_slack_is_still_heeded() {
        let off = SlackRate {
            per_second: 0.0,
            burst: 1,
        };
        let (paces, start) = (Paces::default(), Instant::now());
        for _ in 0..100 {
            assert!(paces.take("c", "a", off, start).is_ok());
        }
        paces.close("c", seconds(30), start);
        let later = start + seconds(10);
        assert_eq!(paces.take("c", "a", off, later), Err(seconds(20)));
        assert_eq!(paces.check("c", later), Err(seconds(20)));
        assert!(paces.check("c", start + seconds(30)).is_ok());
    }

    #[test]
    fn after_slack_said_to_wait_not_all_come_at_once() {
        let (paces, start) = (Paces::default(), Instant::now());
        paces.close("c", Duration::MAX, start);
        paces.close("c", seconds(30), start);
        let take = |who, at| paces.take("c", who, RATE, start + seconds(at));
        assert_eq!(take("a", 0), Err(seconds(30)));
        assert_eq!(take("b", 0), Err(seconds(30)));
        assert_eq!(take("c", 0), Err(seconds(31)));
        assert!(take("a", 30).is_ok());
        assert_eq!(take("c", 30), Err(seconds(1)));
    }
}
