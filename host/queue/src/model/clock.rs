//! The queue's two clocks: one that dates what is stored, one that only ever runs forwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alert_manager_core::alert::Timestamp;

/// Milliseconds on the clock that only runs forwards.
pub(crate) type Ticks = i64;

/// Where the queue reads the time.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System(Instant),
    #[cfg(test)]
    Manual(std::sync::atomic::AtomicI64),
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self(Arc::new(Source::System(Instant::now())))
    }

    /// Returns the time of day, for what outlives the process.
    pub(crate) fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System(_) => Timestamp::now(),
            #[cfg(test)]
            Source::Manual(ms) => from_millis(ms.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// Returns the time since the start. Retries wait on it: a time of day that is set back must not
    /// hold them up.
    pub(crate) fn ticks(&self) -> Ticks {
        match &*self.0 {
            Source::System(start) => i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX),
            #[cfg(test)]
            Source::Manual(ms) => ms.load(std::sync::atomic::Ordering::SeqCst),
        }
    }

    /// Returns the first tick that is not before the end of `wait` from now.
    pub(crate) fn ticks_after(&self, wait: Duration) -> Ticks {
        let end = match &*self.0 {
            Source::System(start) => start.elapsed().saturating_add(wait),
            #[cfg(test)]
            Source::Manual(ms) => {
                let now_ms = ms.load(std::sync::atomic::Ordering::SeqCst).unsigned_abs();
                Duration::from_millis(now_ms).saturating_add(wait)
            }
        };
        i64::try_from(end.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
    }
}

/// Returns the first millisecond since 1970 that is not before `at`.
pub(crate) fn millis_up(at: Timestamp) -> i64 {
    let ms = at.as_millisecond();
    ms + i64::from(from_millis(ms) < at)
}

/// Returns the moment `ms` after 1970, the nearest that there is.
pub(crate) fn from_millis(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Returns nanoseconds since 1970, stopping at the ends of i64 (the years 1677 and 2262).
pub(crate) fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH {
        i64::MIN
    } else {
        i64::MAX
    })
}

/// Returns the moment `ns` nanoseconds after 1970.
pub(crate) fn from_nanos(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
impl Clock {
    /// Returns a clock that stands still until it is set.
    pub(crate) fn manual(ms: i64) -> Self {
        Self(Arc::new(Source::Manual(ms.into())))
    }

    /// Moves a manual clock.
    pub(crate) fn advance(&self, by: Duration) {
        if let Source::Manual(ms) = &*self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            ms.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
        }
    }
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
