//! Measures the CPU time of a guest at little cost.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::sandbox::fair_share::CpuPermit;

/// The largest error of the measurement of one poll. Reading a thread's CPU clock is a system call, which takes as long as a
/// small hook. For polls shorter than this the monotonic clock is read instead, which needs no system call.
const PRECISION: Duration = Duration::from_millis(1);

/// The CPU time of all polls of one invocation.
///
/// A guest's wait for a host call does not count. A poll longer than [`PRECISION`] is measured by the thread's CPU clock, so
/// that time on the processor of other threads does not count either.
#[derive(Clone, Debug)]
pub(crate) struct CpuMeter(Arc<Times>);

#[derive(Debug)]
struct Times {
    made: Instant,
    finished_polls_ns: AtomicU64,
    /// When the current poll began, in nanoseconds since `made`; [`NOT_POLLING`] between polls.
    poll_began_ns: AtomicU64,
    /// The thread's CPU clock at that time, within [`PRECISION`].
    thread_began_ns: AtomicU64,
    /// The CPU permit of a guest that computes for long; released at the end of each poll.
    permit: Mutex<Option<CpuPermit>>,
}

const NOT_POLLING: u64 = u64::MAX;

thread_local! {
    /// When this thread last read its CPU clock, and its value in nanoseconds.
    static LAST_READ: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

impl CpuMeter {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Times {
            made: Instant::now(),
            finished_polls_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(NOT_POLLING),
            thread_began_ns: AtomicU64::new(0),
            permit: Mutex::default(),
        }))
    }

    /// Returns the CPU time used so far. To be called on the thread that runs the guest.
    pub(crate) fn used(&self) -> Duration {
        let finished = self.0.finished_polls_ns.load(Ordering::Relaxed);
        Duration::from_nanos(finished + self.polling_ns())
    }

    /// Keeps a permit until the end of the current poll, because a guest computes nothing between polls.
    pub(crate) fn hold(&self, permit: Option<CpuPermit>) {
        *self.0.permit.lock() = permit;
    }

    /// Returns the future with its polls measured.
    pub(crate) fn measure<F: Future>(&self, future: F) -> Measured<F> {
        Measured {
            future: Box::pin(future),
            meter: self.clone(),
        }
    }

    fn begin_poll(&self) {
        let now = Instant::now();
        let began = nanos(now.saturating_duration_since(self.0.made));
        let thread = match LAST_READ.get() {
            Some((at, read)) if now.saturating_duration_since(at) < PRECISION => read,
            _ => read_thread_clock(now),
        };
        self.0.thread_began_ns.store(thread, Ordering::Relaxed);
        self.0.poll_began_ns.store(began, Ordering::Relaxed);
    }

    fn end_poll(&self) {
        let used = self.polling_ns();
        self.0.finished_polls_ns.fetch_add(used, Ordering::Relaxed);
        self.0.poll_began_ns.store(NOT_POLLING, Ordering::Relaxed);
        self.0.permit.lock().take();
    }

    fn polling_ns(&self) -> u64 {
        let began = self.0.poll_began_ns.load(Ordering::Relaxed);
        if began == NOT_POLLING {
            return 0;
        }
        let now = Instant::now();
        let wall = nanos(now.saturating_duration_since(self.0.made)).saturating_sub(began);
        if wall < nanos(PRECISION) {
            return wall;
        }
        let thread_began = self.0.thread_began_ns.load(Ordering::Relaxed);
        wall.min(read_thread_clock(now).saturating_sub(thread_began))
    }
}

fn read_thread_clock(now: Instant) -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let read = seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
    LAST_READ.set(Some((now, read)));
    read
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NOT_POLLING - 1)
}

/// The future that [`CpuMeter::measure`] returns.
pub(crate) struct Measured<F> {
    future: Pin<Box<F>>,
    meter: CpuMeter,
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.begin_poll();
        let poll = self.future.as_mut().poll(cx);
        self.meter.end_poll();
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_is_no_cpu_time() {
        let meter = CpuMeter::new();
        meter
            .measure(tokio::time::sleep(Duration::from_millis(30)))
            .await;
        assert!(meter.used() < Duration::from_millis(20));
    }

    #[tokio::test]
    async fn a_poll_that_blocks_its_thread_is_no_cpu_time() {
        let meter = CpuMeter::new();
        meter
            .measure(async { std::thread::sleep(Duration::from_millis(50)) })
            .await;
        assert!(
            meter.used() < Duration::from_millis(20),
            "{:?}",
            meter.used()
        );
    }

    #[tokio::test]
    async fn a_poll_that_spins_is_measured_while_it_spins() {
        let meter = CpuMeter::new();
        let inner = meter.clone();
        meter
            .measure(async move {
                // The loop ends by the clock under test, so that the test also passes on a busy machine.
                while inner.used() < Duration::from_millis(20) {
                    std::hint::spin_loop();
                }
            })
            .await;
        let used = meter.used();
        assert!(used >= Duration::from_millis(20), "{used:?}");
    }
}
