//! Who may run at one time: the permits of the pool, of which no handler gets more than half.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::DESCRIBE_SLOTS;
use crate::limits::quota::LimitName;
use alert_manager_core::alert::HandlerName;

/// The permits: one for each slot of the pool, which fails instead of waiting where it is full.
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    /// What one handler may hold: by name, so that a replaced module's last calls count too.
    shares: Mutex<HashMap<HandlerName, Arc<Semaphore>>>,
    share_max: usize,
    describes: Arc<Semaphore>,
}

/// A slot of the pool, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _slot: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSlot {
    /// The handler holds all that it may.
    #[error(
        "{limit}: half of the server's slots are taken by this handler alone, and none came free within {0:?}: look for what its calls wait for, or lower limits.concurrency of this handler",
        limit = LimitName::Invocations
    )]
    Share(Duration),
    /// The pool is full.
    #[error(
        "{limit}: no slot of the pool came free within {0:?}: too many handlers run at once (sandbox.invocations)",
        limit = LimitName::Invocations
    )]
    Pool(Duration),
}

impl Slots {
    /// Makes permits for `slots_max` invocations, and for `describe` besides.
    pub(crate) fn new(slots_max: u32) -> Self {
        let slots_max = slots_max as usize;
        Self {
            all: Arc::new(Semaphore::new(slots_max)),
            shares: Mutex::default(),
            share_max: slots_max.div_ceil(2),
            describes: Arc::new(Semaphore::new(DESCRIBE_SLOTS as usize)),
        }
    }

    /// Takes a slot for an invocation of `handler`.
    ///
    /// # Errors
    /// Where none came free within `wait_max`.
    pub(crate) async fn take(
        &self,
        handler: &HandlerName,
        wait_max: Duration,
    ) -> Result<Slot, NoSlot> {
        let share = {
            let mut shares = self.shares.lock();
            let share = shares.entry(handler.clone());
            Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(self.share_max))))
        };
        let until = tokio::time::Instant::now() + wait_max;
        let share = take(share, until).await.ok_or(NoSlot::Share(wait_max))?;
        let slot = take(Arc::clone(&self.all), until).await;
        Ok(Slot {
            _slot: slot.ok_or(NoSlot::Pool(wait_max))?,
            _share: Some(share),
        })
    }

    /// Takes a slot for `describe`.
    ///
    /// # Errors
    /// Where none came free within `wait_max`.
    pub(crate) async fn take_for_describe(&self, wait_max: Duration) -> Result<Slot, NoSlot> {
        let until = tokio::time::Instant::now() + wait_max;
        let slot = take(Arc::clone(&self.describes), until).await;
        Ok(Slot {
            _slot: slot.ok_or(NoSlot::Pool(wait_max))?,
            _share: None,
        })
    }
}

/// Takes a permit; absent where none came free until then. Nearly always one is free, and a timer is not made.
async fn take(
    permits: Arc<Semaphore>,
    until: tokio::time::Instant,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
        return Some(permit);
    }
    // The semaphores are never closed.
    let permit = tokio::time::timeout_at(until, permits.acquire_owned()).await;
    permit.ok()?.ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const WAIT: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_handler_that_hangs_leaves_half_of_the_pool_to_others() {
        let slots = Slots::new(4);
        let (hanging, other) = (HandlerName::new("hanging"), HandlerName::new("other"));
        let first = slots.take(&hanging, WAIT).await.unwrap();
        let _second = slots.take(&hanging, WAIT).await.unwrap();
        let third = slots.take(&hanging, WAIT).await;
        assert_eq!(third.unwrap_err(), NoSlot::Share(WAIT));
        let _others = [
            slots.take(&other, WAIT).await.unwrap(),
            slots.take(&other, WAIT).await.unwrap(),
        ];
        let third = HandlerName::new("third");
        assert_eq!(
            slots.take(&third, WAIT).await.unwrap_err(),
            NoSlot::Pool(WAIT)
        );
        assert!(slots.take_for_describe(WAIT).await.is_ok(), "reserved");
        drop(first);
        assert!(slots.take(&third, WAIT).await.is_ok());
    }
}
