//! Accepting alerts.

use tokio::sync::oneshot;

use super::Queue;
use super::commit::Reserved;
use super::commit::inbox::AcceptJob;
use super::model::{AcceptError, Parcel, Receipt};

impl Queue {
    /// Stores alerts and the refused parts of their body; returns once all of it is durable. If the future is dropped, they are
    /// stored and run nevertheless.
    ///
    /// # Errors
    /// If the queue is full or the store cannot be written. The sender should try again; of a large body some alerts may be stored
    /// already, which are duplicates then.
    pub async fn accept(&self, parcel: Parcel) -> Result<Receipt, AcceptError> {
        let _reserved = self.reserve(parcel.deliveries())?;
        self.store(parcel).await
    }

    /// Stores a further parcel of a body whose first one was accepted, even if the queue is full by now: a body is accepted as a
    /// whole.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn accept_rest(&self, parcel: Parcel) -> Result<Receipt, AcceptError> {
        self.store(parcel).await
    }

    async fn store(&self, parcel: Parcel) -> Result<Receipt, AcceptError> {
        let shared = &*self.inner.shared;
        if let Some(why) = shared.unwritable() {
            return Err(AcceptError::Unavailable(why));
        }
        let bytes = parcel.bytes();
        let (reply, answer) = oneshot::channel();
        shared.inbox.accept(AcceptJob {
            alerts: parcel.alerts,
            taken: 0,
            refused: parcel.refused,
            verdicts: Vec::new(),
            bytes,
            reply,
        })?;
        let wait_max = shared.options.commit_wait_max;
        match tokio::time::timeout(wait_max, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AcceptError::Unavailable("the store has been closed".into())),
            Err(_) => Err(AcceptError::Unavailable(format!(
                "the disk has not answered for {} s",
                wait_max.as_secs()
            ))),
        }
    }

    fn reserve(&self, deliveries: usize) -> Result<Reserved<'_>, AcceptError> {
        let shared = &*self.inner.shared;
        let (depth, reserved) = shared.reserve(deliveries);
        // A body is accepted as a whole if the queue is not full yet. Otherwise one that is larger than the queue never would be.
        if deliveries > 0 && depth >= shared.options.queue_depth_max {
            return Err(AcceptError::QueueFull(depth));
        }
        Ok(reserved)
    }
}
