//! Aggregates of what the queue has done, kept as it is done: nothing is counted when it is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{HandlerName, Timestamp};

use super::reason::Reason;

/// How an alert was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReceivedAs {
    /// It was new, or ran again.
    Accepted,
    /// Its event was known, and it did not run again.
    Duplicate,
    /// It is a firing that its resolved has overtaken.
    Stale,
    /// It is a part of a body that is no valid alert.
    Rejected,
}

impl ReceivedAs {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Duplicate, Self::Stale, Self::Rejected];

    /// Returns its name, as it is stored and in the metric `webhook_alerts_total`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
        }
    }
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActivityOf {
    /// Alerts that were received.
    Received(ReceivedAs),
    /// Deliveries that were accepted on this route; without a name, alerts that no route matched.
    Route(Arc<str>),
    /// Deliveries that have ended, with the time from acceptance to that. A retried one has ended each time, and counts from its
    /// retry. Those that another ran in place of have no time.
    Settled(Reason),
    /// The same, of the deliveries whose pipeline has this handler and that ran, or that died before.
    Handler(HandlerName, Reason),
}

/// A kind of [`ActivityOf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivityKind {
    /// [`ActivityOf::Received`].
    Received,
    /// [`ActivityOf::Route`].
    Route,
    /// [`ActivityOf::Settled`].
    Settled,
    /// [`ActivityOf::Handler`].
    Handler,
}

impl ActivityOf {
    /// Returns its kind.
    #[must_use]
    pub fn kind(&self) -> ActivityKind {
        match self {
            Self::Received(_) => ActivityKind::Received,
            Self::Route(_) => ActivityKind::Route,
            Self::Settled(_) => ActivityKind::Settled,
            Self::Handler(..) => ActivityKind::Handler,
        }
    }
}

/// How many have been counted together, and how long they took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// The times of those that have one.
    pub times: Times,
}

impl Amount {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.times.add(&other.times);
    }
}

/// How many times fall between two powers of two milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The first is of times below 1 ms; the nth after it of those from 2^(n-1) ms to less than 2^n ms. Without zeroes at the end.
    pub buckets: Vec<u64>,
    /// The sum of all times, in milliseconds.
    pub sum_ms: u64,
}

impl Times {
    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns a time, in milliseconds, that about this share of all (0 to 1) do not exceed: in its bucket they are taken to be
    /// spread evenly. Nothing if there are none.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "an estimate between two powers of two"
    )]
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let mut left = share * self.count() as f64;
        let mut from = 0.0;
        let mut last = None;
        for (n, count) in self.buckets.iter().enumerate() {
            let to = 2.0_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
            if *count > 0 {
                let count = *count as f64;
                last = Some(to);
                if left <= count {
                    return Some(from + (to - from) * (left / count));
                }
                left -= count;
            }
            from = to;
        }
        last
    }

    /// Counts a time.
    pub(crate) fn note(&mut self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - ms.leading_zeros()) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    fn add(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += other;
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }
}

/// What was counted within one minute or one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The beginning of that time.
    pub from: Timestamp,
    /// How long it is: a minute, or an hour if it is more than two days ago.
    pub length: Duration,
    /// What was counted.
    pub of: ActivityOf,
    /// How many.
    pub amount: Amount,
}

/// Adds up what was counted at different times.
#[must_use]
pub fn total(activity: &[Activity]) -> HashMap<ActivityOf, Amount> {
    let mut sums: HashMap<ActivityOf, Amount> = HashMap::new();
    for one in activity {
        sums.entry(one.of.clone()).or_default().add(&one.amount);
    }
    sums
}

/// What one transaction has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(pub(crate) HashMap<ActivityOf, Amount>);

impl Tally {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one.
    pub(crate) fn note(&mut self, of: ActivityOf, took: Option<Duration>) {
        let amount = self.0.entry(of).or_default();
        amount.count += 1;
        if let Some(took) = took {
            amount.times.note(took);
        }
    }

    /// Counts some without a time.
    pub(crate) fn add(&mut self, of: ActivityOf, count: u64) {
        if count > 0 {
            self.0.entry(of).or_default().count += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(all: &[u64]) -> Times {
        let mut times = Times::default();
        for ms in all {
            times.note(Duration::from_millis(*ms));
        }
        times
    }

    #[test]
    fn times_are_counted_between_powers_of_two() {
        assert_eq!(times(&[0]).buckets, [1]);
        assert_eq!(times(&[1]).buckets, [0, 1]);
        assert_eq!(times(&[2, 3, 4]).buckets, [0, 0, 2, 1]);
        let longest = times(&[u64::MAX]);
        assert_eq!((longest.buckets.len(), longest.count()), (65, 1));
        let mut sum = times(&[1]);
        sum.add(&times(&[0, 9]));
        assert_eq!((sum.buckets, sum.sum_ms), (vec![1, 1, 0, 0, 1], 10));
    }

    #[test]
    fn a_share_of_times_is_within_the_bucket_that_it_falls_into() {
        assert_eq!(Times::default().quantile_ms(0.5), None);
        let hundred: Vec<u64> = (0..100).collect();
        let times = times(&hundred);
        for (share, from, to) in [(0.0, 0.0, 1.0), (0.5, 32.0, 64.0), (0.99, 64.0, 128.0)] {
            let found = times.quantile_ms(share).unwrap_or(f64::NAN);
            assert!((from..=to).contains(&found), "{share}: {found}");
        }
        assert_eq!(times.quantile_ms(1.0), Some(128.0));
    }
}
