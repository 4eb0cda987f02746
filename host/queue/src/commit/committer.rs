//! The loop of the committer: takes what waits in the inbox, commits it as one transaction, and follows up.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::model::{Grant, Lease, OpenError};
use crate::store::{Change, Committed, Resolved, RetentionRun, Store, StoreError, Txn, Wanted};

use super::accept::Part;
use super::answer::Answer;
use super::group::{CommitterState, Group, Work};
use super::inbox::{Close, GROUP_ALERTS_MAX, Taken, Urgent};
use super::retry_job::{RetryJob, Slice};
use super::shared::Shared;

/// How long the committer waits after the store has failed: at first, and at most. It doubles with each failure.
pub(super) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(500));

/// How often a transaction is repeated that has met another one, in a deadlock or by a lock that it waited for too long.
pub(super) const REPEATS_MAX: u32 = 3;

/// The backoff after a failure of the store.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) next_try: Instant,
    pub(super) backoff: Duration,
}

/// The thread that writes to a store.
#[derive(Debug)]
pub(crate) struct Committer<S> {
    pub(super) store: S,
    pub(super) shared: Arc<Shared>,
    pub(super) grants: mpsc::UnboundedSender<Grant>,
    pub(super) state: CommitterState,
    /// Requests to retry many deliveries. The first is under way.
    pub(super) retries: VecDeque<RetryJob>,
    pub(super) failing: Option<Failing>,
    /// True once the store has said that another server has taken over.
    pub(super) is_fenced: bool,
    /// Settled deliveries that could not be reported.
    pub(super) unreported_settled: u64,
}

/// How a committer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The queue is closed.
    Closed,
    /// Another server has taken over.
    Fenced,
}

/// The answers that a transaction has decided.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) answers: Vec<Answer>,
    pub(super) parts: Vec<Part>,
    pub(super) slice: Option<Slice>,
    /// False if there was nothing to store.
    pub(super) is_stored: bool,
}

/// Closes the inbox when the thread ends, also if it panics, so that nobody waits for an answer for ever.
pub(super) struct EndGuard(pub(super) Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.set_unwritable("the store has been closed".into());
        *self.0.settled.lock() = None;
        self.0.watched.mail.close();
        self.0.inbox.end();
    }
}

impl<S: Store> Committer<S> {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(crate) fn spawn(self) -> Result<JoinHandle<()>, OpenError> {
        // Made first: the error names the store, which the thread takes.
        let failed = self.store.refused(StoreError::Away(
            "the system does not start a thread for it".into(),
        ));
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                let _guard = EndGuard(Arc::clone(&self.shared));
                self.run();
            })
            .map_err(|_| failed)
    }

    /// Runs until it is asked to close, or another server has taken over.
    pub(super) fn run(mut self) -> Ended {
        while !self.is_fenced {
            let resting = self
                .failing
                .as_ref()
                .is_some_and(|f| Instant::now() < f.next_try);
            let urgent_max = if resting { 0 } else { usize::MAX };
            let mut taken = self.shared.inbox.take(self.deadline(), urgent_max);
            let close = taken.close.take();
            self.retries.append(&mut taken.retries);
            match close {
                Some(Close::Abandon) => return Ended::Closed,
                Some(Close::Orderly(done)) => {
                    self.close(taken, done);
                    return Ended::Closed;
                }
                None if resting => self.turn_away(taken.accepts),
                None => self.work(taken),
            }
        }
        Ended::Fenced
    }

    /// Returns when there is something to do even without a message.
    fn deadline(&self) -> Option<Instant> {
        let now = Instant::now();
        if let Some(failing) = &self.failing {
            return Some(failing.next_try);
        }
        let ticks = self.shared.clock.ticks();
        let due = {
            let scheduler = self.shared.scheduler.lock();
            if scheduler.can_grant(ticks) {
                return Some(now);
            }
            scheduler.next_due(ticks)
        };
        let reports = self.state.reports.due().filter(|_| self.has_notices());
        let timers = self.state.timers.next_due();
        let due = due.into_iter().chain(reports).chain(timers).min();
        let due = due.map(|due| now + Duration::from_millis((due - ticks).max(0).unsigned_abs()));
        due.into_iter()
            .chain(self.store.next_step())
            .chain(self.retries.front().map(RetryJob::deadline))
            .min()
    }

    fn has_notices(&self) -> bool {
        self.shared.dead_letters.lock().is_some()
    }

    /// Commits what was taken from the inbox, and runs a step of retention.
    pub(crate) fn work(&mut self, taken: Taken) {
        let idle = taken.urgent.is_empty() && taken.accepts.is_empty();
        if idle && self.failing.is_some() && !self.probe() {
            return;
        }
        self.commit(taken);
        self.run_retention();
    }

    /// Runs one step of retention, if it is due.
    fn run_retention(&mut self) {
        match self.store.run_retention(self.shared.clock.now()) {
            Ok(run) => self.count_removed(run),
            Err(error) => tracing::warn!(%error, "retention failed"),
        }
    }

    fn count_removed(&self, run: RetentionRun) {
        self.shared
            .dead
            .fetch_sub(run.dead_letters, Ordering::Relaxed);
        let mut losses = self.shared.losses.lock();
        losses.done_by_time += run.by_time.done;
        losses.dead_by_time += run.by_time.dead;
        losses.done_by_size += run.by_size.done;
        losses.dead_by_size += run.by_size.dead;
    }

    /// Commits one transaction: what was taken from the inbox, and the leases that can be granted.
    fn commit(&mut self, taken: Taken) {
        let mut repeats = 0;
        loop {
            let mut group = Group {
                ticks: self.shared.clock.ticks(),
                ..Group::default()
            };
            let mut decided = Decided::default();
            match self.write(&mut group, &taken, &mut decided) {
                Ok(()) => return self.follow_up(group, taken, decided),
                Err(StoreError::Repeat(why)) if repeats < REPEATS_MAX => {
                    tracing::debug!(why, "a transaction is repeated");
                    repeats += 1;
                    self.roll_back(&group);
                }
                Err(error) => return self.undo(&group, taken, &error),
            }
        }
    }

    /// Decides the changes of a transaction, and commits it.
    fn write(
        &mut self,
        group: &mut Group,
        taken: &Taken,
        decided: &mut Decided,
    ) -> Result<(), StoreError> {
        let ticks = group.ticks;
        let reports_due = self.state.reports.due().filter(|_| self.has_notices());
        group.over = self.shared.scheduler.lock().storms_over(ticks);
        let due_timers = self.state.timers.due(ticks);
        let is_asked = !taken.urgent.is_empty()
            || !taken.accepts.is_empty()
            || !self.retries.is_empty()
            || reports_due.is_some_and(|due| due <= ticks)
            || !group.over.is_empty()
            || !due_timers.is_empty()
            || self.store.is_transaction_due();
        let mut grants = Vec::new();
        if !is_asked {
            grants = self.shared.scheduler.lock().grant(ticks);
            if grants.is_empty() {
                return Ok(());
            }
        }
        let looks_for_arrivals = !taken.accepts.is_empty() || self.store.is_transaction_due();
        let mut txn = self.store.begin()?;
        let arrived = match looks_for_arrivals {
            true => txn.take_arrivals(GROUP_ALERTS_MAX)?,
            false => Vec::new(),
        };
        let mut work = Work::new(txn, &self.shared, &mut self.state, group);
        let settled_too = settled_too(&taken.urgent);
        decided.answers.reserve(taken.urgent.len());
        for message in &taken.urgent {
            let answer = work.decide(message, &settled_too)?;
            decided.answers.push(answer);
        }
        work.run_timers(due_timers)?;
        if is_asked {
            grants = work.shared.scheduler.lock().grant(ticks);
        }
        work.grant(grants)?;
        work.accept_arrived(&arrived)?;
        if !taken.accepts.is_empty() {
            // What arrived elsewhere may have been answered before this was sent, so all of it comes first.
            let room = GROUP_ALERTS_MAX - arrived.len();
            decided.parts = work.accept_all(&taken.accepts, room)?;
        }
        if work.is_report_due() {
            work.report_gathered()?;
        }
        if let Some(job) = self.retries.front_mut() {
            decided.slice = Some(work.retry_slice(job)?);
        }
        work.close_storms();
        decided.is_stored = true;
        let txn = work.into_txn()?;
        if !group.fenced.is_empty() {
            set_leases_lost(&group.fenced, &taken.urgent, &mut decided.answers);
        }
        let committed = txn.commit();
        match committed {
            Committed::Yes => Ok(()),
            Committed::RolledBack(error) => Err(error),
            Committed::Unknown => self.resolve(),
        }
    }

    /// Asks the store whether a transaction was committed whose commit was not answered. Waits until it answers.
    fn resolve(&mut self) -> Result<(), StoreError> {
        loop {
            match self.store.resolve() {
                Ok(Resolved::Committed) => return Ok(()),
                Ok(Resolved::RolledBack) => {
                    return Err(StoreError::Away("the commit was not answered".into()));
                }
                Err(error) => {
                    self.fail(&error.to_string());
                    std::thread::sleep(BACKOFF.1);
                }
            }
        }
    }

    /// Commits what is left in the inbox, ends the leases and closes the store.
    fn close(mut self, taken: Taken, done: oneshot::Sender<()>) {
        self.commit(taken);
        loop {
            let rest = self.shared.inbox.take(Some(Instant::now()), usize::MAX);
            if rest.urgent.is_empty() && rest.accepts.is_empty() {
                break;
            }
            self.commit(rest);
            if self.failing.is_some() {
                break;
            }
        }
        let abandoned = self.shared.scheduler.lock().close();
        if let Err(error) = self.store.close(&abandoned) {
            tracing::error!(%error, "cannot close the store in order; running deliveries count as interrupted");
        }
        // These are answered before the queue counts as closed.
        drop(self.retries);
        drop(self.grants);
        let _ = done.send(());
    }
}

#[cfg(test)]
impl<S: Store> Committer<S> {
    /// Returns the store.
    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    /// Returns how many deliveries are watched: revived ones, and notices.
    pub(crate) fn watched(&self) -> (usize, usize) {
        self.state.watched.counts()
    }
}

impl<T: Txn> Work<'_, '_, T> {
    /// Stores leases, and reads what the worker needs for them.
    fn grant(&mut self, grants: Vec<Grant>) -> Result<(), StoreError> {
        if grants.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = grants.iter().map(Wanted::by).collect();
        // Their progress may have been changed in this transaction, to make them due.
        self.flush()?;
        let stored = self.txn.contents(&wanted)?;
        for (mut grant, stored) in grants.into_iter().zip(stored) {
            grant.stored = stored;
            self.push_of(grant.lease.id, Change::Grant(grant.lease));
            self.stand_for(&mut grant)?;
            self.group.grants.push(grant);
        }
        Ok(())
    }

    fn is_report_due(&self) -> bool {
        let due = self.state.reports.due();
        due.is_some_and(|due| due <= self.group.ticks) && self.notices().is_some()
    }
}

/// Corrects the answers to messages whose lease the store has fenced.
fn set_leases_lost(fenced: &HashSet<Lease>, urgent: &[Urgent], answers: &mut [Answer]) {
    for (message, answer) in urgent.iter().zip(answers) {
        if message.lease().is_some_and(|lease| fenced.contains(&lease)) {
            answer.set_lease_lost();
        }
    }
}

/// Returns the leases that end in this transaction: earlier progress under them need not be stored.
fn settled_too(urgent: &[Urgent]) -> HashSet<Lease> {
    let any_progress = urgent
        .iter()
        .any(|message| matches!(message, Urgent::Progress { .. }));
    if !any_progress {
        return HashSet::new();
    }
    urgent
        .iter()
        .filter_map(|message| match message {
            Urgent::Settle(settle) => Some(settle.lease),
            _ => None,
        })
        .collect()
}
