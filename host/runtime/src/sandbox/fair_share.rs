//! CPU permits: guests that compute for long share half of the processors, one epoch at a time. The other half is left to
//! short invocations and to the server. A handler delays another one by at most one permit, however many of its guests wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The CPU permits of the sandbox, over all handlers.
#[derive(Clone, Debug)]
pub(crate) struct CpuPermits {
    all: Arc<Semaphore>,
    permits_max: usize,
}

/// The queue of one handler. Only its first guests wait in the queue of all handlers.
#[derive(Clone, Debug)]
pub(crate) struct HandlerShare(Arc<Semaphore>);

/// Permission to compute for one epoch, released when dropped.
#[derive(Debug)]
pub(crate) struct CpuPermit {
    _of_all: OwnedSemaphorePermit,
    _of_handler: OwnedSemaphorePermit,
}

impl CpuPermits {
    /// Makes permits for half of the processors.
    pub(crate) fn of_this_machine() -> Self {
        let processors = limits::processors();
        Self::new((processors / 2).max(1))
    }

    fn new(permits_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(permits_max)),
            permits_max,
        }
    }

    /// Makes the share of a handler. It can have every permit if no other handler waits.
    pub(crate) fn share(&self) -> HandlerShare {
        HandlerShare(Arc::new(Semaphore::new(self.permits_max)))
    }

    /// Waits for a permit: first in, first out within a handler, and in turn among handlers.
    pub(crate) async fn take(&self, share: &HandlerShare) -> Option<CpuPermit> {
        // Neither semaphore is ever closed.
        let of_handler = Arc::clone(&share.0).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(CpuPermit {
            _of_all: of_all,
            _of_handler: of_handler,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_handler_with_many_guests_delays_another_by_one_permit() {
        let permits = CpuPermits::new(1);
        let (busy, other) = (permits.share(), permits.share());
        let held = permits.take(&busy).now_or_never().unwrap();
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(permits.take(&busy))).collect();
        for permit in &mut waiting {
            assert!(permit.as_mut().now_or_never().is_none());
        }
        let mut others = Box::pin(permits.take(&other));
        assert!(others.as_mut().now_or_never().is_none());
        drop(held);
        assert!(waiting[0].as_mut().now_or_never().is_none());
        let held = others.as_mut().now_or_never().unwrap().unwrap();
        drop(held);
        assert!(waiting[0].as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_handler_alone_has_every_permit() {
        let permits = CpuPermits::new(3);
        let share = permits.share();
        let held: Vec<_> = (0..3)
            .map(|_| permits.take(&share).now_or_never().unwrap())
            .collect();
        assert!(permits.take(&share).now_or_never().is_none());
        drop(held);
    }
}
