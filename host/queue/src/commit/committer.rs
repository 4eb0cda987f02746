//! The loop of the thread that writes: it takes what has gathered, commits it as one transaction, and follows up.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::model::{
    AcceptError, CancelError, Delivery, Lease, OpenError, Receipt, RestReason, RetryError, Settled,
};
use crate::schedule::{Ended, Grant};
use crate::store::{Change, Committed, Resolved, Store, StoreError, Tidied, Txn};

use super::accept::Part;
use super::answer::Answer;
use super::bulk::{RetryJob, Slice};
use super::group::{Group, Handed, State, Work, wanted};
use super::inbox::{AcceptJob, Close, GROUP_ALERTS_MAX, Taken, Urgent};
use super::notices;
use super::shared::Shared;

/// How long the store is left alone after it has failed: doubled each time, from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The thread that writes to a store.
#[derive(Debug)]
pub(crate) struct Committer<S> {
    pub(super) store: S,
    pub(super) shared: Arc<Shared>,
    pub(super) handed: mpsc::UnboundedSender<Handed>,
    pub(super) state: State,
    /// Requests to send many again, the first of them under way.
    pub(super) retries: VecDeque<RetryJob>,
    pub(super) failing: Option<Failing>,
    /// Settled deliveries that could not be reported.
    pub(super) unreported_settled: u64,
}

/// The store could not write.
#[derive(Debug)]
pub(super) struct Failing {
    next_try: Instant,
    backoff: Duration,
}

/// What a transaction has decided that its messages are answered with.
#[derive(Debug, Default)]
struct Decided {
    answers: Vec<Answer>,
    parts: Vec<Part>,
    slice: Option<Slice>,
    /// False if there was nothing to store.
    is_stored: bool,
}

/// Closes the inbox however the thread ends, so that nobody waits for an answer for ever.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.set_unwritable("the store has been closed".into());
        *self.0.settled.lock() = None;
        self.0.inbox.end();
    }
}

impl<S: Store> Committer<S> {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn spawn(self) -> Result<JoinHandle<()>, OpenError> {
        // The store names itself in the error, and is gone then.
        let failed = self.store.refused(StoreError::Away(
            "the system does not start a thread for it".into(),
        ));
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || self.run())
            .map_err(|_| failed)
    }

    /// Works until it is asked to close.
    fn run(mut self) {
        let _guard = EndGuard(Arc::clone(&self.shared));
        loop {
            let resting = self
                .failing
                .as_ref()
                .is_some_and(|f| Instant::now() < f.next_try);
            let urgent_max = if resting { 0 } else { usize::MAX };
            let mut taken = self.shared.inbox.take(self.deadline(), urgent_max);
            let close = taken.close.take();
            self.retries.append(&mut taken.retries);
            match close {
                Some(Close::Abandon) => return,
                Some(Close::Orderly(done)) => return self.close(taken, done),
                None if resting => self.turn_away(taken.accepts),
                None => self.work(taken),
            }
        }
    }

    /// Returns when there is something to do though nobody sends anything.
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
        let due = due.into_iter().chain(reports).min();
        let due = due.map(|due| now + Duration::from_millis((due - ticks).max(0).unsigned_abs()));
        due.into_iter()
            .chain(self.store.next_step())
            .chain(self.retries.front().map(RetryJob::deadline))
            .min()
    }

    fn has_notices(&self) -> bool {
        self.shared.dead_letters.lock().is_some()
    }

    /// Commits what was taken, and what follows from it.
    pub(crate) fn work(&mut self, taken: Taken) {
        let idle = taken.urgent.is_empty() && taken.accepts.is_empty();
        if idle && self.failing.is_some() && !self.probe() {
            return;
        }
        self.commit(taken);
        self.tidy();
    }

    /// Removes a little of what is too old or too much, if that is due.
    fn tidy(&mut self) {
        match self.store.tidy(self.shared.clock.now()) {
            Ok(tidied) => self.note_removed(tidied),
            Err(error) => tracing::warn!(%error, "retention failed"),
        }
    }

    fn note_removed(&self, tidied: Tidied) {
        self.shared
            .dead
            .fetch_sub(tidied.dead_letters, Ordering::Relaxed);
        let mut losses = self.shared.losses.lock();
        losses.done_by_time += tidied.by_time.done;
        losses.dead_by_time += tidied.by_time.dead;
        losses.done_by_size += tidied.by_size.done;
        losses.dead_by_size += tidied.by_size.dead;
    }

    /// Commits one transaction of what was taken and of what can be leased.
    fn commit(&mut self, taken: Taken) {
        let mut group = Group {
            ticks: self.shared.clock.ticks(),
            ..Group::default()
        };
        let mut decided = Decided::default();
        match self.write(&mut group, &taken, &mut decided) {
            Ok(()) => self.follow_up(group, taken, decided),
            Err(error) => self.undo(&group, taken, &error),
        }
    }

    /// Decides on what was taken, and commits it.
    fn write(
        &mut self,
        group: &mut Group,
        taken: &Taken,
        decided: &mut Decided,
    ) -> Result<(), StoreError> {
        let ticks = group.ticks;
        let reports_due = self.state.reports.due().filter(|_| self.has_notices());
        let is_asked = !taken.urgent.is_empty()
            || !taken.accepts.is_empty()
            || !self.retries.is_empty()
            || reports_due.is_some_and(|due| due <= ticks)
            || self.store.is_transaction_due();
        let mut grants = Vec::new();
        if !is_asked {
            grants = self.shared.scheduler.lock().grant(ticks);
            if grants.is_empty() {
                return Ok(());
            }
        }
        let txn = self.store.begin()?;
        let mut work = Work::new(txn, &self.shared, &mut self.state, group);
        let settled_too = settled_too(&taken.urgent);
        decided.answers.reserve(taken.urgent.len());
        for message in &taken.urgent {
            let answer = work.decide(message, &settled_too)?;
            decided.answers.push(answer);
        }
        if is_asked {
            grants = work.shared.scheduler.lock().grant(ticks);
        }
        work.grant(grants)?;
        if !taken.accepts.is_empty() {
            decided.parts = work.accept_all(&taken.accepts, GROUP_ALERTS_MAX)?;
        }
        if work.is_report_due() {
            work.report_gathered()?;
        }
        if let Some(job) = self.retries.front_mut() {
            decided.slice = Some(work.retry_slice(job)?);
        }
        decided.is_stored = true;
        let txn = work.into_txn()?;
        if !group.fenced.is_empty() {
            lose(&group.fenced, &taken.urgent, &mut decided.answers);
        }
        let committed = txn.commit();
        match committed {
            Committed::Yes => Ok(()),
            Committed::RolledBack(error) => Err(error),
            Committed::Unknown => self.resolve(),
        }
    }

    /// Finds out what became of a transaction whose commit was not answered. Nothing else is written before that is known.
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

    /// Everything is durable: answer whoever waits for it.
    fn follow_up(&mut self, group: Group, taken: Taken, decided: Decided) {
        if decided.is_stored && self.failing.take().is_some() {
            tracing::info!("the store can be written again");
            self.shared.set_writable();
        }
        for id in &group.withdrawn {
            self.state.watched.remove(*id);
        }
        {
            let mut scheduler = self.shared.scheduler.lock();
            scheduler.commit(group.ticks);
            for (lease, ended) in group.ended {
                if matches!(ended, Ended::Settled) {
                    self.state.watched.remove(lease.id);
                }
                scheduler.end(lease, ended, group.ticks);
            }
            for id in group.hurried {
                scheduler.hurry(id, group.ticks);
            }
        }
        self.shared.dead.fetch_add(group.died, Ordering::Relaxed);
        self.shared.dead.fetch_sub(group.revived, Ordering::Relaxed);
        {
            let mut losses = self.shared.losses.lock();
            losses.reported_together += group.coalesced;
            losses.unreported += group.unreported.len() as u64;
        }
        for (alert, why) in &group.unreported {
            notices::log_unreported(alert, why);
        }
        self.shared.commits.send_modify(|commits| *commits += 1);
        self.report_settled(group.settled);
        self.answer_bodies(taken.accepts, decided.parts);
        for handed in group.handed {
            // After the answers: a sender that waits sends nothing. If nobody takes deliveries out any more, the leases
            // are given back when the queue closes.
            let _ = self.handed.send(handed);
        }
        for (message, answer) in taken.urgent.into_iter().zip(decided.answers) {
            answer.give(message);
        }
        if let Some(slice) = decided.slice {
            self.retried(slice);
        }
    }

    /// Answers bodies that are stored as a whole, and puts the others back.
    fn answer_bodies(&self, jobs: Vec<AcceptJob>, parts: Vec<Part>) {
        for (mut job, part) in jobs.into_iter().zip(parts) {
            let taken = job.taken..job.taken + part.verdicts.len();
            job.taken = taken.end;
            job.verdicts.extend(part.verdicts);
            if part.whole {
                let receipt = Receipt {
                    verdicts: job.verdicts,
                    refused: part.refused,
                };
                // The sender may have hung up; what it sent is stored all the same.
                let _ = job.reply.send(Ok(receipt));
            } else {
                job.bytes -= job.alerts[taken]
                    .iter()
                    .map(|new| new.json.len())
                    .sum::<usize>();
                self.shared.inbox.put_back_accept(job);
            }
        }
    }

    /// Reports what is settled, without waiting for whoever takes the reports.
    fn report_settled(&mut self, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        let count = deliveries.len() as u64;
        let report = Settled {
            deliveries,
            missed: self.unreported_settled,
        };
        let reports = self.shared.settled.lock();
        let Some(reports) = &*reports else {
            return;
        };
        match reports.try_send(report) {
            Ok(()) => self.unreported_settled = 0,
            Err(_) => self.unreported_settled += count,
        }
    }

    /// A slice of a request to send many again is durable.
    fn retried(&mut self, slice: Slice) {
        let Some(job) = self.retries.front_mut() else {
            return;
        };
        if let Some(why) = job.advance(slice) {
            self.end_retry(why);
        }
    }

    /// Answers the first request to send many again.
    fn end_retry(&mut self, why: RestReason) {
        if let Some(job) = self.retries.pop_front() {
            job.finish(why);
        }
    }

    /// Nothing of the transaction is stored: senders are asked to try again, the rest is tried again here.
    fn undo(&mut self, group: &Group, taken: Taken, error: &StoreError) {
        self.shared.scheduler.lock().rollback(group.ticks);
        for id in &group.watched {
            self.state.watched.remove(*id);
        }
        self.state.reports.rollback(&group.noticed, group.ticks);
        let why = error.to_string();
        self.fail(&why);
        self.end_retry(RestReason::Store(why.clone()));
        let mut again = Vec::with_capacity(taken.urgent.len());
        for message in taken.urgent {
            match message {
                Urgent::Retry { reply, .. } => {
                    let _ = reply.send(Err(RetryError::Unavailable(why.clone())));
                }
                Urgent::Cancel { reply, .. } => {
                    let _ = reply.send(Err(CancelError::Unavailable(why.clone())));
                }
                other => again.push(other),
            }
        }
        self.shared.inbox.put_back(again);
        self.turn_away(taken.accepts);
    }

    fn fail(&mut self, why: &str) {
        let backoff = match &self.failing {
            None => {
                tracing::error!(
                    error = why,
                    "the store cannot be written; alerts are answered 503 until it can"
                );
                BACKOFF.0
            }
            Some(failing) => (failing.backoff * 2).min(BACKOFF.1),
        };
        self.failing = Some(Failing {
            next_try: Instant::now() + backoff,
            backoff,
        });
        self.shared.set_unwritable(why.into());
    }

    fn turn_away(&self, jobs: Vec<AcceptJob>) {
        let why = self.shared.unwritable().unwrap_or_default();
        for job in jobs {
            let _ = job.reply.send(Err(AcceptError::Unavailable(why.clone())));
        }
    }

    /// Finds out whether the store can be written again though there is nothing to write.
    fn probe(&mut self) -> bool {
        match self.store.probe() {
            Ok(()) => {
                self.failing = None;
                tracing::info!("the store can be written again");
                self.shared.set_writable();
                true
            }
            Err(error) => {
                self.fail(&error.to_string());
                false
            }
        }
    }

    /// Commits what is left and gives the leases back.
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
        let left = self.shared.scheduler.lock().close();
        if let Err(error) = self.store.close(&left) {
            tracing::error!(%error, "cannot close the store in order; running deliveries count as interrupted");
        }
        drop(self.handed);
        let _ = done.send(());
    }
}

#[cfg(test)]
impl<S: Store> Committer<S> {
    /// Returns the store.
    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    /// Returns how many deliveries are watched: those that were revived, and notices.
    pub(crate) fn watched(&self) -> (usize, usize) {
        self.state.watched.counts()
    }
}

impl<T: Txn> Work<'_, '_, T> {
    /// Records leases, and reads what their workers need.
    fn grant(&mut self, grants: Vec<Grant>) -> Result<(), StoreError> {
        if grants.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = grants.iter().map(wanted).collect();
        let contents = self.txn.contents(&wanted)?;
        for (grant, contents) in grants.into_iter().zip(contents) {
            self.push_of(grant.lease.id, Change::Grant(grant.lease));
            self.group.handed.push(Handed { grant, contents });
        }
        Ok(())
    }

    fn is_report_due(&self) -> bool {
        let due = self.state.reports.due();
        due.is_some_and(|due| due <= self.group.ticks) && self.notices().is_some()
    }
}

/// Nothing was stored under these leases: what was asked for under them is answered so.
fn lose(fenced: &HashSet<Lease>, urgent: &[Urgent], answers: &mut [Answer]) {
    for (message, answer) in urgent.iter().zip(answers) {
        if message.lease().is_some_and(|lease| fenced.contains(&lease)) {
            answer.lose();
        }
    }
}

/// Returns the leases that end here: progress sent before that need not be stored apart.
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
