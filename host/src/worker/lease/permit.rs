//! A permit to run one invocation of a handler (`limits.concurrency`).

use crate::alert::HandlerName;
use crate::queue::Queue;

/// Given back when dropped: even a panic leaks none.
pub(super) struct Permit {
    queue: Queue,
    handler: HandlerName,
}

impl Permit {
    /// Returns the permit that was taken with a lease.
    pub(super) fn taken(queue: Queue, handler: HandlerName) -> Self {
        Self { queue, handler }
    }

    /// Takes a permit if the handler has one left.
    pub(super) fn try_take(queue: &Queue, handler: &HandlerName) -> Option<Self> {
        queue
            .try_take_slot(handler)
            .then(|| Self::taken(queue.clone(), handler.clone()))
    }

    pub(super) fn is_of(&self, handler: &HandlerName) -> bool {
        self.handler == *handler
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.queue.release_slot(&self.handler);
    }
}
