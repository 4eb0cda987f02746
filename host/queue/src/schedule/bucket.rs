//! A token bucket on the queue's monotonic clock.
//!
//! It is the generic cell rate algorithm of [`alert_manager_core::rate`] in whole microseconds, which can give a token back.

use alert_manager_core::gate::GateRate;

use crate::model::clock::Ticks;

/// Tokens that come at a rate, and gather up to a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Between two tokens, in microseconds.
    interval: i64,
    /// How far ahead of its time the last token of a burst is, in microseconds.
    tolerance: i64,
    /// When everything taken so far would have come at the average rate, in microseconds.
    through_at: i64,
    /// `through_at` never falls below this when a token is given back: it was emptied since that was taken.
    emptied_to: i64,
}

/// The longest time between two tokens, in microseconds: a century.
const INTERVAL_MAX: f64 = 100.0 * 365.0 * 86_400.0 * 1e6;

impl Bucket {
    /// Returns a bucket that is full.
    pub(super) fn new(rate: GateRate) -> Self {
        let interval = (1e6 / rate.per_second).min(INTERVAL_MAX);
        // A rate that is no number above 0 is as slow as can be.
        let interval = if interval >= 0.0 {
            interval
        } else {
            INTERVAL_MAX
        };
        #[allow(clippy::cast_possible_truncation, reason = "it is bounded")]
        let interval = interval as i64;
        Self {
            interval,
            tolerance: interval.saturating_mul(i64::from(rate.burst.saturating_sub(1))),
            through_at: i64::MIN / 2,
            emptied_to: i64::MIN / 2,
        }
    }

    /// Returns when there is a token: `now` if there is one.
    pub(super) fn next_at(&self, now: Ticks) -> Ticks {
        let at = self.through_at.saturating_sub(self.tolerance);
        let at = at.div_euclid(1_000) + i64::from(at.rem_euclid(1_000) > 0);
        at.max(now)
    }

    /// Takes a token, which there is.
    pub(super) fn take(&mut self, now: Ticks) {
        let from = self.through_at.max(micros(now));
        self.through_at = from.saturating_add(self.interval);
    }

    /// Gives a token back.
    pub(super) fn give_back(&mut self) {
        let through_at = self.through_at.saturating_sub(self.interval);
        self.through_at = through_at.max(self.emptied_to);
    }

    /// Empties it: there is one token at `at`, and the next ones follow at the rate.
    pub(super) fn empty_until(&mut self, at: Ticks) {
        let through_at = micros(at).saturating_add(self.tolerance);
        self.through_at = self.through_at.max(through_at);
        self.emptied_to = self.emptied_to.max(through_at);
    }
}

fn micros(at: Ticks) -> i64 {
    at.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(per_second: f64, burst: u32) -> Bucket {
        Bucket::new(GateRate { per_second, burst })
    }

    /// Takes all that there are.
    fn taken(bucket: &mut Bucket, now: Ticks) -> usize {
        let mut taken = 0;
        while bucket.next_at(now) <= now && taken < 100 {
            bucket.take(now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_is_there_after_a_pause_and_then_so_many_a_second() {
        let mut bucket = bucket(2.0, 3);
        for (at, tokens, next) in [
            (0, 3, 500),
            (499, 0, 500),
            (500, 1, 1_000),
            (1_000, 1, 1_500),
            (1_750, 1, 2_000),
            (60_000, 3, 60_500),
        ] {
            assert_eq!(taken(&mut bucket, at), tokens, "at {at}");
            assert_eq!(bucket.next_at(at), next, "at {at}");
        }
    }

    #[test]
    fn a_token_that_is_given_back_is_there_again_and_saves_nothing_up() {
        let mut bucket = bucket(1.0, 2);
        assert_eq!(taken(&mut bucket, 0), 2);
        bucket.give_back();
        assert_eq!(bucket.next_at(0), 0);
        assert_eq!(taken(&mut bucket, 0), 1);
        bucket.give_back();
        bucket.give_back();
        bucket.give_back();
        assert_eq!(taken(&mut bucket, 10_000), 2);
    }

    #[test]
    fn what_was_emptied_begins_with_one_token() {
        let mut bucket = bucket(1.0, 5);
        bucket.empty_until(30_000);
        assert_eq!(bucket.next_at(0), 30_000);
        assert_eq!(taken(&mut bucket, 30_000), 1);
        assert_eq!(bucket.next_at(30_000), 31_000);
        // It was emptied for longer already.
        bucket.empty_until(20_000);
        assert_eq!(bucket.next_at(30_000), 31_000);
    }

    #[test]
    fn a_rate_that_does_not_come_out_even_is_kept_on_average() {
        let mut bucket = bucket(40.0 / 60.0, 1);
        let passed: usize = (0..600_000).map(|at| taken(&mut bucket, at)).sum();
        assert_eq!(passed, 400);
    }

    #[test]
    fn the_extremes_are_no_panic() {
        let mut rare = bucket(f64::MIN_POSITIVE, u32::MAX);
        assert_eq!(taken(&mut rare, 0), 100);
        let mut emptied = bucket(f64::MIN_POSITIVE, 1);
        emptied.empty_until(Ticks::MAX);
        assert_eq!(taken(&mut emptied, 0), 0);
        let mut often = bucket(f64::MAX, 1);
        assert_eq!(taken(&mut often, 0), 100);
        for wrong in [0.0, -1.0, f64::NAN] {
            let mut wrong = bucket(wrong, 1);
            assert_eq!(taken(&mut wrong, 0), 1);
        }
    }

    #[test]
    fn a_token_that_was_taken_before_it_was_emptied_adds_none_when_it_is_given_back() {
        let mut bucket = bucket(1.0, 5);
        for _ in 0..3 {
            bucket.take(0);
        }
        bucket.empty_until(30_000);
        for _ in 0..3 {
            bucket.give_back();
        }
        assert_eq!(bucket.next_at(0), 30_000);
        assert_eq!(taken(&mut bucket, 30_000), 1, "no burst");
        // Later ones are given back as ever.
        bucket.give_back();
        assert_eq!(taken(&mut bucket, 30_000), 1);
    }
}
