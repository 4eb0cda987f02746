//! A guest's wall clock: it shows the record's time while effects are replayed, and after that the attempt's own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime_wasi::HostWallClock;

use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::Replay;

/// The clock of one attempt.
///
/// It moves only when a recorded effect is replayed. If it ran, a guest that reads it twice before an effect would read other
/// times on the retry, build another request with them, and the effect would happen twice. It never goes backwards: if the
/// system's clock was set back since the record, it stays at the record's time.
#[derive(Clone, Debug)]
pub(crate) struct StepClock {
    shown: Arc<Mutex<Timestamp>>,
    /// When this attempt began.
    began: Timestamp,
}

impl StepClock {
    /// Makes the clock of an attempt that begins at `began`, over what is recorded.
    pub(crate) fn new(began: Timestamp, replay: &Replay) -> Self {
        let shown = replay.clock().unwrap_or(began);
        Self {
            shown: Arc::new(Mutex::new(shown)),
            began,
        }
    }

    /// Makes a clock that stands at `at`.
    pub(crate) fn at(at: Timestamp) -> Self {
        Self {
            shown: Arc::new(Mutex::new(at)),
            began: at,
        }
    }

    /// Returns the time that the guest reads.
    pub(crate) fn now(&self) -> Timestamp {
        *self.shown.lock()
    }

    /// Moves to the time of the next recorded effect; to the attempt's own if none is left.
    pub(crate) fn follow(&self, replay: &Replay) {
        let next = replay.clock().unwrap_or(self.began);
        let mut shown = self.shown.lock();
        *shown = next.max(*shown);
    }
}

impl HostWallClock for StepClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        // A guest's clock has no time before 1970.
        let since = self.shown.lock().duration_since(Timestamp::UNIX_EPOCH);
        Duration::try_from(since).unwrap_or_default()
    }
}
