//! The queue's two clocks: the time of day, and the monotonic clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use alert_manager_core::alert::Timestamp;

/// Milliseconds on the monotonic clock.
pub(crate) type Ticks = i64;

/// Both clocks. The time of day dates what is stored, the monotonic clock measures waits.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System(Instant),
    /// Both in milliseconds.
    Manual {
        time_of_day: AtomicI64,
        monotonic: AtomicI64,
    },
}

impl Clock {
    /// Returns the clocks of the system.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Source::System(Instant::now())))
    }

    /// Returns clocks that only [`Self::advance`] moves, for tests. The time of day is `now`, to the millisecond.
    #[must_use]
    pub fn manual(now: Timestamp) -> Self {
        Self(Arc::new(Source::Manual {
            time_of_day: now.as_millisecond().into(),
            monotonic: 0.into(),
        }))
    }

    /// Moves both manual clocks forward. Does nothing to the system's clocks.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual {
            time_of_day,
            monotonic,
        } = &*self.0
        {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            time_of_day.fetch_add(by, Ordering::SeqCst);
            monotonic.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// Sets the manual time of day alone, as if somebody had set the machine's clock. Does nothing to the system's clocks.
    pub fn set_time_of_day(&self, now: Timestamp) {
        if let Source::Manual { time_of_day, .. } = &*self.0 {
            time_of_day.store(now.as_millisecond(), Ordering::SeqCst);
        }
    }

    /// Returns true for clocks that only a test moves.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(&*self.0, Source::Manual { .. })
    }

    /// Returns the time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System(_) => Timestamp::now(),
            Source::Manual { time_of_day, .. } => from_millis(time_of_day.load(Ordering::SeqCst)),
        }
    }

    /// Returns the time since the start, in milliseconds. Retries are timed by it, so that they are not delayed if the time of day
    /// is set back.
    pub(crate) fn ticks(&self) -> Ticks {
        match &*self.0 {
            Source::System(start) => i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX),
            Source::Manual { monotonic, .. } => monotonic.load(Ordering::SeqCst),
        }
    }

    /// Returns what gives a moment of the monotonic clock as the time of day, as that is now.
    pub(crate) fn time_of_day(&self) -> impl Fn(Ticks) -> Timestamp {
        let ahead_ms = self.now().as_millisecond() - self.ticks();
        move |ticks| from_millis(ticks.saturating_add(ahead_ms))
    }

    /// Returns the time `wait` from now, rounded up.
    pub(crate) fn ticks_after(&self, wait: Duration) -> Ticks {
        let end = match &*self.0 {
            Source::System(start) => start.elapsed().saturating_add(wait),
            Source::Manual { monotonic, .. } => {
                let now_ms = monotonic.load(Ordering::SeqCst).unsigned_abs();
                Duration::from_millis(now_ms).saturating_add(wait)
            }
        };
        i64::try_from(end.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
    }
}

/// Returns `at` in milliseconds since 1970, rounded up.
pub(crate) fn millis_up(at: Timestamp) -> i64 {
    let ms = at.as_millisecond();
    ms + i64::from(from_millis(ms) < at)
}

/// Returns the time `ms` milliseconds after 1970, clamped to what a [`Timestamp`] can hold.
pub(crate) fn from_millis(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Returns nanoseconds since 1970, clamped to an `i64` (the years 1677 to 2262).
pub(crate) fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH {
        i64::MIN
    } else {
        i64::MAX
    })
}

/// Returns the time `ns` nanoseconds after 1970.
pub(crate) fn from_nanos(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_never_ends_early() {
        let clock = Clock::system();
        let before = Instant::now();
        let wait = Duration::from_micros(2_500);
        let due = clock.ticks_after(wait);
        while clock.ticks() < due {
            std::hint::spin_loop();
        }
        assert!(before.elapsed() >= wait);
        assert_eq!(millis_up(from_nanos(1_000_000)), 1);
        assert_eq!(millis_up(from_nanos(1_000_001)), 2);
    }
}
