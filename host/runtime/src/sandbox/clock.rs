//! A guest's wall clock. It shows the recorded time while effects are replayed, and then the time when the attempt began.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime_wasi::HostWallClock;

use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::Replay;

/// The clock of one attempt.
///
/// It moves only when a recorded effect is replayed. A running clock would show other times on a retry: a guest could then
/// build another request from them, and the effect would happen twice. The clock never goes backwards: if the system's clock
/// was set back since the record was written, it stays at the recorded time.
#[derive(Clone, Debug)]
pub(crate) struct StepClock {
    shown: Arc<Mutex<Timestamp>>,
    /// The time when this attempt began.
    began: Timestamp,
}

impl StepClock {
    /// Makes the clock of an attempt that began at `began`, with this record to replay.
    pub(crate) fn new(began: Timestamp, replay: &Replay) -> Self {
        let shown = replay.clock().unwrap_or(began);
        Self {
            shown: Arc::new(Mutex::new(shown)),
            began,
        }
    }

    /// Makes a clock that shows `at`, without a record to replay.
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

    /// Moves the clock to the time of the next recorded effect, or to the beginning of the attempt if there is none.
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
        // WASI's clock cannot show times before 1970.
        let since = self.shown.lock().duration_since(Timestamp::UNIX_EPOCH);
        Duration::try_from(since).unwrap_or_default()
    }
}
