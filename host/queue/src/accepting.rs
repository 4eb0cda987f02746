//! The end at which alerts go in.

use tokio::sync::oneshot;

use super::Queue;
use super::commit::Arriving;
use super::commit::inbox::AcceptJob;
use super::model::{AcceptError, Parcel, Receipt};

impl Queue {
    /// Stores alerts and what was refused of their body; returns once all of it is on disk.
    ///
    /// A caller that goes away changes nothing: what was handed in is stored and run all the same.
    ///
    /// # Errors
    /// If the queue is full or the store cannot write: the sender is to try again. A part of a large
    /// body may be stored even so; sent again, that part is a duplicate.
    pub async fn accept(&self, parcel: Parcel) -> Result<Receipt, AcceptError> {
        let _arriving = self.make_room(parcel.deliveries())?;
        self.store(parcel).await
    }

    /// Stores the next parcel of a body whose first one was accepted. A body is taken as a whole or not at all: the queue may
    /// be full by now.
    ///
    /// # Errors
    /// If the store cannot write.
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

    fn make_room(&self, deliveries: usize) -> Result<Arriving<'_>, AcceptError> {
        let shared = &*self.inner.shared;
        let (depth, room) = shared.arrive(deliveries);
        // A body is taken as a whole if the queue is not full yet: one larger than the queue would
        // otherwise never come in.
        if deliveries > 0 && depth >= shared.options.queue_depth_max {
            return Err(AcceptError::QueueFull(depth));
        }
        Ok(room)
    }
}
