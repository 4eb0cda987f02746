//! What people request of the queue: lists, retries and cancellations.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use tokio::sync::oneshot;

use alert_manager_core::alert::{DeliveryId, HandlerName, Timestamp};
use alert_manager_core::gate::{GateName, GateRate, Parked};
use alert_manager_core::journal::Dependency;

use super::commit::RetryJob;
use super::commit::inbox::Urgent;
use super::model::{
    Activity, ActivityKind, ActivityOf, AuditFilter, Audited, ByPriority, CancelError, Counts,
    Filter, Follower, GateStatus, GrantUsed, Outline, Overview, Page, ReadError, Retried,
    RetryBatch, RetryError, Selected, Selection, Story, Waiting, Waits,
};
use super::rules::overtaken::{Later, LaterByKey};
use super::schedule::{From, Walk};
use super::{Inner, Queue};

/// How many of the deliveries that wait are looked for at once.
const WAITING_MAX: usize = 5_000;

/// How many open deliveries are looked at while the scheduler is locked: some tenths of a millisecond.
const LOOKED_AT_MAX: usize = 1_000;

impl Queue {
    /// Returns deliveries, newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn list(&self, mut filter: Filter) -> Result<Page, ReadError> {
        // Those that wait are known in part; the next page goes on after them.
        let mut rest = None;
        if let Some(waits) = filter.waits {
            let (ids, more) = self.waiting_for_kind(waits, &filter);
            (filter.ids, rest) = (Some(ids), more);
        }
        let goes_to_newer = filter.after.is_some();
        let mut page = self
            .inner
            .read(move |inner| inner.reader.list(&filter))
            .await?;
        let goes_on = match goes_to_newer {
            true => &mut page.previous,
            false => &mut page.next,
        };
        *goes_on = goes_on.or(rest);
        Ok(page)
    }

    /// Returns what was counted between two times, the oldest first: of minutes that have begun since `from` and before `to`, or
    /// of hours if that is more than two days ago. What is older than 90 days is not kept.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn activity(
        &self,
        of: ActivityKind,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Activity>, ReadError> {
        self.inner
            .read(move |inner| inner.reader.activity(of, None, from, to))
            .await
    }

    /// Returns what was counted of one handler between two times, as [`Self::activity`] does.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn activity_of(
        &self,
        handler: HandlerName,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Activity>, ReadError> {
        let of = ActivityKind::Handler;
        self.inner
            .read(move |inner| inner.reader.activity(of, Some(&handler), from, to))
            .await
    }

    /// Returns how many were counted together between two times, as [`Self::activity`] does.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn counted(
        &self,
        of: ActivityKind,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<HashMap<ActivityOf, u64>, ReadError> {
        self.inner
            .read(move |inner| inner.reader.counted(of, from, to))
            .await
    }

    /// Returns the beginning of the last minute, or hour if it is more than two days ago, in which something was counted. What is
    /// older than 90 days is not kept.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn last_counted(
        &self,
        of: ActivityKind,
    ) -> Result<HashMap<ActivityOf, Timestamp>, ReadError> {
        self.inner
            .read(move |inner| inner.reader.last_counted(of))
            .await
    }

    /// Returns entries of the audit log, newest first. It has at most 100,000, of the last 90 days.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn audited(&self, filter: AuditFilter) -> Result<Vec<Audited>, ReadError> {
        self.inner
            .read(move |inner| inner.reader.audited(&filter))
            .await
    }

    /// Returns how many keys a handler has in its key-value state, and the bytes of keys and values together.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn kv_used(&self, handler: HandlerName) -> Result<(u64, u64), ReadError> {
        self.inner
            .read(move |inner| inner.reader.kv_used(&handler))
            .await
    }

    /// Returns those of some deliveries that are stored, in the order of their identifiers here, each with how many effects it has on
    /// record, by interface.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn outlines(&self, ids: Vec<DeliveryId>) -> Result<Vec<Outline>, ReadError> {
        self.inner
            .read(move |inner| inner.reader.outlines(&ids))
            .await
    }

    /// Returns a delivery with everything that is stored of it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn story(&self, id: DeliveryId) -> Result<Option<Story>, ReadError> {
        self.inner.read(move |inner| inner.reader.story(id)).await
    }

    /// Retries a dead delivery: its failed steps start again, its record is kept. One that waits for another try becomes due at
    /// once. A dead one is not retried if a later event of its ordering key has run, unless `force`.
    ///
    /// # Errors
    /// If it is not stored, neither dead nor waiting, overtaken, or if the store or the queue cannot take it.
    pub async fn retry(&self, id: DeliveryId, force: Force) -> Result<Selected, RetryError> {
        let later = self
            .inner
            .read(move |inner| {
                let mut later = Later::default();
                if let Some(position) = inner.reader.position(id)? {
                    let add = &mut |other: Follower<'_>| later.add(&position, &other);
                    inner.reader.followers(id, add)?;
                }
                Ok(later)
            })
            .await
            .map_err(|e| RetryError::Unavailable(e.0))?;
        self.retry_with(id, force, later).await
    }

    /// Retries the deliveries of a selection that come after `after`, in the order of acceptance; those that wait for another try
    /// become due at once. Stops if the queue has no room for more, or after 15 s: the answer says where the next request
    /// continues.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn retry_all(
        &self,
        selection: Selection,
        after: Option<DeliveryId>,
    ) -> Result<Retried, ReadError> {
        let (batch, later) = self
            .inner
            .read(move |inner| inner.batch(&selection, after))
            .await?;
        let (reply, answer) = oneshot::channel();
        let job = RetryJob::new(batch, later, after, reply);
        self.inner.shared.inbox.retry_many(job);
        answer
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    async fn retry_with(
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

    /// Cancels a delivery: it is dead, and a re-send of its event does not revive it. If it runs, its lease is revoked, so that it
    /// has no further effect.
    ///
    /// # Errors
    /// If it is not stored, has ended, or if the store cannot write.
    pub async fn cancel(&self, id: DeliveryId) -> Result<(), CancelError> {
        let (reply, answer) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Cancel { id, reply });
        answer
            .await
            .unwrap_or_else(|_| Err(CancelError::Unavailable("the store has been closed".into())))
    }

    /// Returns the newest deliveries that wait for this and that a filter may select, or those next to its `after`; and the last one
    /// that was looked at if there may be more.
    fn waiting_for_kind(
        &self,
        waits: Waits,
        filter: &Filter,
    ) -> (Vec<DeliveryId>, Option<DeliveryId>) {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        let mut from = match (filter.after, filter.before) {
            (Some(after), _) => From::After(after),
            (None, Some(before)) => From::Before(before),
            (None, None) => From::Newest,
        };
        let mut all = Vec::new();
        loop {
            let scheduler = shared.scheduler.lock();
            let (found, last) = scheduler.waiting_for_kind(waits, from, LOOKED_AT_MAX, now);
            MutexGuard::unlock_fair(scheduler);
            all.extend(found);
            let Some(last) = last else {
                return (all, None);
            };
            if all.len() >= WAITING_MAX {
                return (all, Some(last));
            }
            from = match from {
                From::After(_) => From::After(last),
                From::Newest | From::Before(_) => From::Before(last),
            };
        }
    }

    /// Returns how everything stands, with the `longest_max` deliveries that have waited longest, without asking the store. With many
    /// open deliveries this takes some milliseconds, in which the queue goes on.
    #[must_use]
    pub fn overview(&self, longest_max: usize) -> Overview {
        let shared = &self.inner.shared;
        let at = shared.clock.time_of_day();
        let now = shared.clock.ticks();
        let mut walk = Walk::new(longest_max);
        loop {
            let scheduler = shared.scheduler.lock();
            if !scheduler.walk(&mut walk, LOOKED_AT_MAX, now, &at) {
                let gates = scheduler.gates(&walk, now, &at);
                drop(scheduler);
                return Overview {
                    counts: self.counts_of(&mut walk),
                    open: walk.open,
                    gates,
                };
            }
            MutexGuard::unlock_fair(scheduler);
        }
    }

    fn counts_of(&self, walk: &mut Walk) -> Counts {
        let shared = &self.inner.shared;
        Counts {
            depth: walk.depth,
            dead: shared.dead.load(Ordering::Relaxed),
            oldest: walk.oldest,
            oldest_critical: walk.oldest_critical,
            handlers: std::mem::take(&mut walk.handlers),
            timers: shared.open_timers.lock().clone(),
            losses: *shared.losses.lock(),
        }
    }

    /// Returns how many deliveries are in which state, as [`Self::overview`] does.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.overview(0).counts
    }

    /// Returns how each gate stands that was asked for, or closed, since the start, in the order of their names.
    #[must_use]
    pub fn gates(&self) -> Vec<GateStatus> {
        self.overview(0).gates
    }

    /// Returns how many deliveries wait for a dependency.
    #[must_use]
    pub fn waiting_for(&self, dependency: &Dependency) -> ByPriority {
        self.inner.shared.scheduler.lock().waiting_for(dependency)
    }

    /// Gives the gates that were asked for since the start other rates: `None` is that of a gate for which only counts what the
    /// service has said.
    pub fn set_gate_rates(&self, rate_of: impl Fn(&GateName) -> Option<GateRate>) {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        shared.scheduler.lock().set_gate_rates(rate_of, now);
        shared.inbox.nudge();
    }

    /// Returns the first of these to get through its gates, as far as it is known now.
    #[must_use]
    pub fn first_to_open(
        &self,
        parked: impl IntoIterator<Item = (usize, Parked)>,
    ) -> Option<(usize, Parked)> {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        let scheduler = shared.scheduler.lock();
        let parked = parked.into_iter();
        parked.min_by_key(|(_, parked)| scheduler.opens_at(&parked.asks, now))
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

impl Queue {
    /// Keeps uses of grants in the place of what is kept of them, with the next transaction that can be stored.
    pub fn keep_grants_used(&self, uses: Vec<GrantUsed>) {
        if !uses.is_empty() {
            self.inner.shared.inbox.push(Urgent::GrantsUsed(uses));
        }
    }

    /// Adds an entry to the audit log, with the next transaction that can be stored.
    pub fn audit(&self, audited: Audited) {
        self.inner
            .shared
            .inbox
            .push(Urgent::Audit(Box::new(audited)));
    }
}

/// Whether a dead delivery is retried although a later event of its ordering key has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is retried.
    Yes,
    /// It is not.
    No,
}

impl Inner {
    /// Returns the deliveries to retry, and those behind them on their ordering keys. Reads at most `Bounds::retried_max`
    /// deliveries, including those whose labels are not selected.
    fn batch(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
    ) -> Result<(RetryBatch, LaterByKey), ReadError> {
        let count_max = self.shared.options.bounds.retried_max;
        let batch = self.reader.selected(selection, after, count_max)?;
        // A delivery that waits cannot be overtaken: later ones wait for it.
        let dead = match batch.state {
            Selected::Dead => &batch.positions[..],
            Selected::Retrying => &[],
        };
        let mut later = LaterByKey::new(dead);
        let from = later.begin_read();
        self.reader
            .followers(from, &mut |other| later.add(&other))?;
        Ok((batch, later))
    }

    /// Reads from the store on a blocking thread.
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
