//! Permits for concurrent invocations: one for each instance of the pool. A handler gets at most half of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::DESCRIBE_PERMITS;
use crate::limits::quota::LimitName;
use alert_manager_core::alert::HandlerName;

/// The permits of the pool. They are needed because a full pool fails instead of waiting.
pub(crate) struct PoolPermits {
    all: Arc<Semaphore>,
    /// The permits of each handler, by its name, so that the remaining calls of a replaced module count too.
    of_handlers: Mutex<HashMap<HandlerName, Arc<Semaphore>>>,
    of_handler_max: usize,
    of_describe: Arc<Semaphore>,
}

/// Permission for one instance, released when dropped.
#[derive(Debug)]
pub(crate) struct PoolPermit {
    _of_all: OwnedSemaphorePermit,
    _of_handler: Option<OwnedSemaphorePermit>,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPermit {
    /// The handler has its maximum of permits.
    #[error(
        "{limit}: half of the server's slots are taken by this handler alone, and none came free within {0:?}: look for what its calls wait for, or lower limits.concurrency of this handler",
        limit = LimitName::Invocations
    )]
    Handler(Duration),
    /// The pool is full.
    #[error(
        "{limit}: no slot of the pool came free within {0:?}: too many handlers run at once (sandbox.invocations)",
        limit = LimitName::Invocations
    )]
    Pool(Duration),
}

impl PoolPermits {
    /// Makes permits for `permits_max` invocations, and additional ones for `describe`.
    pub(crate) fn new(permits_max: u32) -> Self {
        let permits_max = permits_max as usize;
        Self {
            all: Arc::new(Semaphore::new(permits_max)),
            of_handlers: Mutex::default(),
            of_handler_max: permits_max.div_ceil(2),
            of_describe: Arc::new(Semaphore::new(DESCRIBE_PERMITS as usize)),
        }
    }

    /// Takes a permit for an invocation of `handler`.
    ///
    /// # Errors
    /// If none comes free within `wait_max`.
    pub(crate) async fn take(
        &self,
        handler: &HandlerName,
        wait_max: Duration,
    ) -> Result<PoolPermit, NoPermit> {
        let of_handler = {
            let mut of_handlers = self.of_handlers.lock();
            let of_handler = of_handlers.entry(handler.clone());
            let make = || Arc::new(Semaphore::new(self.of_handler_max));
            Arc::clone(of_handler.or_insert_with(make))
        };
        let until = tokio::time::Instant::now() + wait_max;
        let of_handler = acquire(of_handler, until).await;
        let of_handler = of_handler.ok_or(NoPermit::Handler(wait_max))?;
        let of_all = acquire(Arc::clone(&self.all), until).await;
        Ok(PoolPermit {
            _of_all: of_all.ok_or(NoPermit::Pool(wait_max))?,
            _of_handler: Some(of_handler),
        })
    }

    /// Takes a permit for `describe`.
    ///
    /// # Errors
    /// If none comes free within `wait_max`.
    pub(crate) async fn take_for_describe(
        &self,
        wait_max: Duration,
    ) -> Result<PoolPermit, NoPermit> {
        let until = tokio::time::Instant::now() + wait_max;
        let permit = acquire(Arc::clone(&self.of_describe), until).await;
        Ok(PoolPermit {
            _of_all: permit.ok_or(NoPermit::Pool(wait_max))?,
            _of_handler: None,
        })
    }
}

/// Takes a permit; `None` if none is free before `until`. A free permit is taken without making a timer.
async fn acquire(
    permits: Arc<Semaphore>,
    until: tokio::time::Instant,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
        return Some(permit);
    }
    // The semaphores are never closed, so only the time limit fails.
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
        let permits = PoolPermits::new(4);
        let (hanging, other) = (HandlerName::new("hanging"), HandlerName::new("other"));
        let first = permits.take(&hanging, WAIT).await.unwrap();
        let _second = permits.take(&hanging, WAIT).await.unwrap();
        let third = permits.take(&hanging, WAIT).await;
        assert_eq!(third.unwrap_err(), NoPermit::Handler(WAIT));
        let _others = [
            permits.take(&other, WAIT).await.unwrap(),
            permits.take(&other, WAIT).await.unwrap(),
        ];
        let third = HandlerName::new("third");
        assert_eq!(
            permits.take(&third, WAIT).await.unwrap_err(),
            NoPermit::Pool(WAIT)
        );
        assert!(permits.take_for_describe(WAIT).await.is_ok(), "reserved");
        drop(first);
        assert!(permits.take(&third, WAIT).await.is_ok());
    }
}
