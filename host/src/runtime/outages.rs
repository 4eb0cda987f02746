//! Origins that do not answer: after some failures in a row one is not asked for a while, so that it does not
//! cost every alert its time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row after which an origin is left alone.
const FAILURES_MAX: u32 = 5;

/// How long it is left alone; then one request finds out.
const PAUSE: Duration = Duration::from_secs(30);

/// Origins that are remembered; past it the others are forgotten, which costs them five more tries.
const ORIGINS_MAX: usize = 256;

/// What is known of the origins that one handler asks.
#[derive(Debug, Default)]
pub(super) struct Outages(Mutex<HashMap<String, Outage>>);

#[derive(Debug, Default)]
struct Outage {
    failures: u32,
    until: Option<Instant>,
    last: String,
}

impl Outages {
    /// Returns why `origin` is not to be asked now. After each pause one caller is let through.
    pub(super) fn refuses(&self, origin: &str, now: Instant) -> Option<String> {
        let mut outages = self.0.lock();
        let outage = outages.get_mut(origin)?;
        let until = outage.until?;
        if now >= until {
            // The others wait for what this one finds.
            outage.until = Some(now + PAUSE);
            return None;
        }
        Some(format!(
            "{origin} did not answer {} times in a row and is not asked for {} s more; the last time: {}",
            outage.failures,
            (until - now).as_secs() + 1,
            outage.last
        ))
    }

    /// Takes note of whether `origin` answered, whatever it said, or why it did not.
    pub(super) fn tell(&self, origin: &str, answered: Result<(), &str>, now: Instant) {
        let mut outages = self.0.lock();
        let Err(why) = answered else {
            outages.remove(origin);
            return;
        };
        if outages.len() >= ORIGINS_MAX && !outages.contains_key(origin) {
            outages.clear();
        }
        let outage = outages.entry(origin.to_owned()).or_default();
        outage.failures += 1;
        why.clone_into(&mut outage.last);
        if outage.failures >= FAILURES_MAX {
            outage.until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://api.example.com";

    #[test]
    fn five_failures_in_a_row_spare_the_next_ones_the_wait() {
        let (outages, now) = (Outages::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert_eq!(outages.refuses(ORIGIN, now), None);
            outages.tell(ORIGIN, Err("connection refused"), now);
        }
        let why = outages.refuses(ORIGIN, now).expect("it is left alone");
        assert!(
            why.contains("30 s more") || why.contains("31 s more"),
            "{why}"
        );
        assert!(why.contains("connection refused"), "{why}");
        assert_eq!(outages.refuses("https://other.example.com", now), None);
        let later = now + PAUSE;
        assert_eq!(outages.refuses(ORIGIN, later), None, "one finds out");
        assert!(outages.refuses(ORIGIN, later).is_some(), "and no other");
        outages.tell(ORIGIN, Ok(()), later);
        assert_eq!(outages.refuses(ORIGIN, later), None);
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_again() {
        let (outages, now) = (Outages::default(), Instant::now());
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                outages.tell(ORIGIN, Err("no answer in time"), now);
            }
            outages.tell(ORIGIN, Ok(()), now);
        }
        assert_eq!(outages.refuses(ORIGIN, now), None);
    }
}
