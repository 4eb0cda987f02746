//! What people ask of the queue: what is in it, to send something again, or to cancel it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use alert_manager_core::alert::DeliveryId;

use super::commit::RetryJob;
use super::commit::inbox::Urgent;
use super::model::{
    CancelError, Chosen, Counts, Filter, GateStatus, OnKey, Page, ReadError, Retried, RetryError,
    Selected, Selection, Story, Waiting,
};
use super::rules::passed::{Later, Tails};
use super::{Inner, Queue};

impl Queue {
    /// Returns deliveries, newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn list(&self, filter: Filter) -> Result<Page, ReadError> {
        self.inner
            .read(move |inner| inner.reader.list(&filter))
            .await
    }

    /// Returns a delivery with everything that is known of it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn story(&self, id: DeliveryId) -> Result<Option<Story>, ReadError> {
        self.inner.read(move |inner| inner.reader.story(id)).await
    }

    /// Sends a dead delivery again: its failed steps start anew, its record is kept. One that waits for another try is due at
    /// once. If a later event of its fingerprint has run on its route, it is left, unless `force`.
    ///
    /// # Errors
    /// If it is not there, neither dead nor waiting, was passed, or cannot be stored.
    pub async fn retry(&self, id: DeliveryId, force: Force) -> Result<Selected, RetryError> {
        let seen = self
            .inner
            .read(move |inner| {
                let mut later = Later::default();
                if let Some(key) = inner.reader.ordering_key(id)? {
                    let look_at = &mut |other: OnKey<'_>| later.look_at(&key, &other);
                    inner.reader.follow(id, look_at)?;
                }
                Ok(later)
            })
            .await
            .map_err(|e| RetryError::Unavailable(e.0))?;
        self.retry_seen(id, force, seen).await
    }

    /// Sends all deliveries of a selection again that come after `after`, in the order of acceptance; what waits for another
    /// try is due at once. As many as the queue has room for, and as a bounded time suffices for: the answer says where the
    /// next request goes on.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn retry_all(
        &self,
        selection: Selection,
        after: Option<DeliveryId>,
    ) -> Result<Retried, ReadError> {
        let (chosen, tails) = self
            .inner
            .read(move |inner| inner.choose(&selection, after))
            .await?;
        let (reply, answer) = oneshot::channel();
        let job = RetryJob::new(chosen, tails, after, reply);
        self.inner.shared.inbox.retry_many(job);
        answer
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    async fn retry_seen(
        &self,
        id: DeliveryId,
        force: Force,
        later: Later,
    ) -> Result<Selected, RetryError> {
        let (reply, answer) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Retry {
            id,
            force: force == Force::Yes,
            later,
            reply,
        });
        answer
            .await
            .unwrap_or_else(|_| Err(RetryError::Unavailable("the store has been closed".into())))
    }

    /// Cancels a delivery: it is dead, and its event sent again does not bring it back. If it runs,
    /// its lease is lost: it makes no further effect.
    ///
    /// # Errors
    /// If it is not there, has ended, or cannot be stored.
    pub async fn cancel(&self, id: DeliveryId) -> Result<(), CancelError> {
        let (reply, answer) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Cancel { id, reply });
        answer
            .await
            .unwrap_or_else(|_| Err(CancelError::Unavailable("the store has been closed".into())))
    }

    /// Returns how full the queue is, without asking the store.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let shared = &self.inner.shared;
        let scheduler = shared.scheduler.lock();
        Counts {
            depth: scheduler.depth(),
            dead: shared.dead.load(Ordering::Relaxed),
            oldest: scheduler.oldest(),
            oldest_critical: scheduler.oldest_critical(),
            handlers: scheduler.counts(),
            losses: *shared.losses.lock(),
        }
    }

    /// Returns how each gate stands that was asked for, or closed, since the start, in the order of their names.
    #[must_use]
    pub fn gates(&self) -> Vec<GateStatus> {
        let shared = &self.inner.shared;
        let at = shared.clock.time_of_day();
        let now = shared.clock.ticks();
        shared.scheduler.lock().gates(now, at)
    }

    /// Returns what a delivery waits for, without asking the store; nothing if it does not wait.
    #[must_use]
    pub fn waiting(&self, id: DeliveryId) -> Option<Waiting> {
        let shared = &self.inner.shared;
        let at = shared.clock.time_of_day();
        let now = shared.clock.ticks();
        shared.scheduler.lock().waiting(id, now, at)
    }
}

/// Whether a delivery is sent again though a later event has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl Inner {
    /// Returns what is to be sent again, and what is later on the ordering keys of that. A bounded number of deliveries is looked
    /// at, whatever their labels.
    fn choose(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
    ) -> Result<(Chosen, Tails), ReadError> {
        let count_max = self.shared.options.bounds.retried_max;
        let chosen = self.reader.selected(selection, after, count_max)?;
        // What waits is not passed: it has its place.
        let keys = match chosen.state {
            Selected::Dead => &chosen.keys[..],
            Selected::Retrying => &[],
        };
        let mut tails = Tails::new(keys);
        let from = tails.read_on();
        self.reader
            .follow(from, &mut |other| tails.look_at(&other))?;
        Ok((chosen, tails))
    }

    /// Asks the store on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let inner = Arc::clone(self);
        tokio::task::spawn_blocking(move || ask(&inner))
            .await
            .unwrap_or_else(|e| Err(ReadError(e.to_string())))
    }
}
