//! Concurrency permits: each allows one invocation of a handler (`limits.concurrency`).

use crate::alert::HandlerName;
use crate::queue::{Lease, Queue};

/// A concurrency permit, returned when dropped, even by a panic.
pub(super) struct Permit {
    queue: Queue,
    handler: HandlerName,
}

impl Permit {
    /// Returns the permit that the lease has taken.
    pub(super) fn taken(queue: Queue, handler: HandlerName) -> Self {
        Self { queue, handler }
    }

    /// Takes a permit for a lease, if the handler has one left for it.
    pub(super) fn try_take(queue: &Queue, lease: Lease, handler: &HandlerName) -> Option<Self> {
        queue
            .try_take_permit(lease, handler)
            .then(|| Self::taken(queue.clone(), handler.clone()))
    }

    pub(super) fn is_of(&self, handler: &HandlerName) -> bool {
        self.handler == *handler
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.queue.release_permit(&self.handler);
    }
}
