//! The one thread that writes: it takes what has gathered, commits it as one transaction, and only then
//! answers, hands out and releases.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::Shared;
use crate::commit::inbox::{AcceptJob, Close, GROUP_ALERTS_MAX, Taken, Urgent};
use crate::model::Left;
use crate::model::clock::Ticks;
use crate::model::{AcceptError, CancelError, RetryError};
use crate::model::{Delivery, LeaseToken, Receipt, RestReason, Settled};
use crate::schedule::{Ended, Grant};
use alert_manager_core::alert::{Alert, DeliveryId, Timestamp};

use super::accept::Part;
use super::checkpoint::Checkpointer;
use super::deaths::Reports;
use super::events::Events;
use super::notices::Watched;
use super::retention::{Limits, Removed, Retention};
use super::retry::{RetryJob, Slice};
use super::schema::{QUEUED, reason};
use super::settle::Answer;
use super::{ID_COUNTER_BITS, kv, notices, rows};

/// How long the store is left alone after it has failed: doubled each time, from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// A lease on its way to a worker, with what had to be read for it.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) grant: Grant,
    /// The alert's JSON, where the grant does not hold the alert.
    pub(crate) json: Option<String>,
    /// How far it is, as JSON; absent where it has not begun.
    pub(crate) progress: Option<String>,
}

impl Handed {
    pub(super) fn new(grant: Grant) -> Self {
        Self {
            grant,
            json: None,
            progress: None,
        }
    }
}

/// One transaction, and what follows from it once it is durable.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) now: Timestamp,
    pub(super) ticks: Ticks,
    pub(super) handed: Vec<Handed>,
    pub(super) ended: Vec<(DeliveryId, LeaseToken, Ended)>,
    /// Deliveries whose lease ended within this transaction.
    pub(super) gone: HashSet<DeliveryId>,
    /// Deliveries that are due before their time, since a person asked for it.
    pub(super) hurried: Vec<DeliveryId>,
    /// Deliveries that were given up while they waited: no lease of theirs ends.
    pub(super) withdrawn: Vec<DeliveryId>,
    /// Deliveries that are watched from now on.
    watched: Vec<DeliveryId>,
    pub(super) died: u64,
    pub(super) revived: u64,
    /// The class of each death that was reported in a notice of its own.
    pub(super) noticed: Vec<String>,
    /// Deaths that were reported together.
    pub(super) coalesced: u64,
    /// What is settled, if anybody is to hear of it.
    pub(super) settled: Vec<Delivery>,
    /// Notices that died on the last way, and why.
    pub(super) unreported: Vec<(Alert, String)>,
    begun: bool,
}

/// The store's own thread.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) handed: mpsc::UnboundedSender<Handed>,
    pub(super) last_id: i64,
    pub(super) events: Events,
    pub(super) kv_usage: kv::Usage,
    pub(super) texts: rows::Shared,
    pub(super) retention: Retention,
    pub(super) reports: Reports,
    pub(super) watched: Watched,
    /// Requests to send many again, the first of them under way.
    pub(super) retries: VecDeque<RetryJob>,
    pub(super) checkpointer: Checkpointer,
    pub(super) failing: Option<Failing>,
    /// Settled deliveries that could not be reported.
    pub(super) unreported_settled: u64,
    /// Keeps other processes out for as long as this one writes.
    pub(super) _lock: File,
}

/// The store could not write.
#[derive(Debug)]
pub(super) struct Failing {
    next_try: Instant,
    backoff: Duration,
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

impl Committer {
    /// Works until it is told to close.
    pub(crate) fn run(mut self) {
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
        let due = due.into_iter().chain(self.next_report()).min();
        let due = due.map(|due| now + Duration::from_millis((due - ticks).max(0).unsigned_abs()));
        due.into_iter()
            .chain(self.retention.next_step())
            .chain(self.retries.front().map(RetryJob::deadline))
            .chain(self.events.next_step())
            .min()
    }

    pub(super) fn work(&mut self, taken: Taken) {
        let idle = taken.urgent.is_empty() && taken.accepts.is_empty();
        if idle && self.failing.is_some() && !self.probe() {
            return;
        }
        self.commit(taken);
        self.retain();
    }

    /// Removes a little of what is too old or too much, where that is due.
    fn retain(&mut self) {
        let limits = Limits {
            now: self.shared.clock.now(),
            options: &self.shared.options,
            last_id: self.last_id,
            needed_from: self.events.needed_from(),
        };
        let step = self.retention.step(&self.conn, limits, &mut self.kv_usage);
        match step {
            Ok(removed) => self.note_removed(removed),
            Err(error) => {
                tracing::warn!(%error, "retention failed");
                self.kv_usage.clear();
                if !self.conn.is_autocommit() {
                    // A failed roll-back shows in the next transaction.
                    let _ = self.conn.execute_batch("ROLLBACK");
                }
            }
        }
    }

    fn note_removed(&self, removed: Removed) {
        self.shared
            .dead
            .fetch_sub(removed.dead_letters, Ordering::Relaxed);
        let mut losses = self.shared.losses.lock();
        losses.done_by_time += removed.by_time.done;
        losses.dead_by_time += removed.by_time.dead;
        losses.done_by_size += removed.by_size.done;
        losses.dead_by_size += removed.by_size.dead;
    }

    /// Commits one transaction of what was taken and of what can be leased.
    fn commit(&mut self, taken: Taken) {
        let mut group = Group {
            now: self.shared.clock.now(),
            ticks: self.shared.clock.ticks(),
            handed: Vec::new(),
            ended: Vec::new(),
            gone: HashSet::new(),
            hurried: Vec::new(),
            withdrawn: Vec::new(),
            watched: Vec::new(),
            died: 0,
            revived: 0,
            noticed: Vec::new(),
            coalesced: 0,
            settled: Vec::new(),
            unreported: Vec::new(),
            begun: false,
        };
        let mut answers = Vec::with_capacity(taken.urgent.len());
        let mut parts = Vec::with_capacity(taken.accepts.len());
        let written = self.write(&mut group, &taken, &mut answers, &mut parts);
        match written {
            Ok(slice) => {
                self.follow_up(group, taken, answers, parts);
                if let Some(slice) = slice {
                    self.retried(slice);
                }
            }
            Err(error) => self.undo(&group, taken, &error),
        }
    }

    fn write(
        &mut self,
        group: &mut Group,
        taken: &Taken,
        answers: &mut Vec<Answer>,
        parts: &mut Vec<Part>,
    ) -> rusqlite::Result<Option<Slice>> {
        if !taken.urgent.is_empty() || !taken.accepts.is_empty() {
            self.begin(group)?;
        }
        let progressed = settled_too(&taken.urgent);
        for message in &taken.urgent {
            answers.push(self.apply(group, message, &progressed)?);
        }
        let grants = self.shared.scheduler.lock().grant(group.ticks);
        if !grants.is_empty() {
            self.begin(group)?;
        }
        for grant in grants {
            let handed = self.lease(grant)?;
            group.handed.push(handed);
        }
        let mut alerts_max = GROUP_ALERTS_MAX;
        for job in &taken.accepts {
            let part = self.accept(group, job, alerts_max)?;
            alerts_max = alerts_max.saturating_sub(part.verdicts.len());
            parts.push(part);
        }
        if self.next_report().is_some_and(|due| due <= group.ticks) {
            self.begin(group)?;
            self.report_gathered(group)?;
        }
        let mut slice = None;
        if !self.retries.is_empty() {
            self.begin(group)?;
            slice = Some(self.retry_slice(group)?);
        }
        if self.events.is_due() {
            self.begin(group)?;
        }
        if group.begun {
            let new = GROUP_ALERTS_MAX - alerts_max;
            self.events.write(&self.conn, new, self.last_id)?;
            self.conn.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(slice)
    }

    fn begin(&self, group: &mut Group) -> rusqlite::Result<()> {
        if !group.begun {
            self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            group.begun = true;
        }
        Ok(())
    }

    /// Records a lease, and reads what its worker needs.
    fn lease(&self, grant: Grant) -> rusqlite::Result<Handed> {
        let id = grant.id;
        rows::mark_leased(&self.conn, id)?;
        let mut handed = Handed::new(grant);
        if handed.grant.alert.is_none() {
            handed.json = Some(rows::alert_json(&self.conn, id)?);
        }
        if handed.grant.lease > 1 {
            handed.progress = rows::progress_json(&self.conn, id)?;
        }
        Ok(handed)
    }

    /// Everything is durable: tell whoever waits for it.
    fn follow_up(&mut self, group: Group, taken: Taken, answers: Vec<Answer>, parts: Vec<Part>) {
        if group.begun && self.failing.take().is_some() {
            tracing::info!("the store can be written again");
            self.shared.set_writable();
        }
        self.events.commit();
        for id in &group.withdrawn {
            self.watched.remove(*id);
        }
        let alerts = parts.iter().map(|part| part.verdicts.len()).sum::<usize>();
        self.checkpointer.written(alerts + answers.len());
        {
            let mut scheduler = self.shared.scheduler.lock();
            scheduler.commit(group.ticks);
            for (id, token, ended) in group.ended {
                if matches!(ended, Ended::Settled) {
                    self.watched.remove(id);
                }
                scheduler.end(id, token, ended, group.ticks);
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
        for (mut job, part) in taken.accepts.into_iter().zip(parts) {
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
        for handed in group.handed {
            // After the answers: a sender that waits sends nothing. If nobody takes deliveries out any more, the leases
            // are given back when the queue closes.
            let _ = self.handed.send(handed);
        }
        for (message, answer) in taken.urgent.into_iter().zip(answers) {
            answer.give(message);
        }
    }

    /// Notes that the end of a delivery may end a notice.
    pub(super) fn watch(&mut self, group: &mut Group, id: DeliveryId, route: &str) {
        if self.watched.insert(id, route) {
            group.watched.push(id);
        }
    }

    /// Returns true if somebody is to hear what is settled.
    pub(super) fn reports_settled(&self) -> bool {
        self.shared.settled.lock().is_some()
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

    /// Nothing of the transaction is stored: senders are told to try again, the rest is tried again here.
    fn undo(&mut self, group: &Group, taken: Taken, error: &rusqlite::Error) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "rollback failed");
        }
        self.shared.scheduler.lock().rollback(group.ticks);
        self.events.rollback();
        for id in &group.watched {
            self.watched.remove(*id);
        }
        self.kv_usage.clear();
        self.reports.rollback(&group.noticed, group.ticks);
        let why = reason(error);
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
        let tried = self.conn.execute_batch(
            "BEGIN IMMEDIATE;
             INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(65536));
             DELETE FROM meta WHERE key = 'probe';
             COMMIT;",
        );
        let Err(error) = tried else {
            self.failing = None;
            tracing::info!("the store can be written again");
            self.shared.set_writable();
            return true;
        };
        if !self.conn.is_autocommit() {
            // A failed roll-back shows in the next try.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        self.fail(&reason(&error));
        false
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
        if let Err(error) = self.give_back() {
            tracing::error!(%error, "cannot close the store in order; running deliveries count as interrupted");
        }
        drop(self);
        let _ = done.send(());
    }

    /// A lease that no worker has begun is taken back as if it had never been; one that was begun and did
    /// not end counts as cut off, without counting as a death of the server.
    fn give_back(&mut self) -> rusqlite::Result<()> {
        let leases = self.shared.scheduler.lock().close();
        let tx = self.conn.unchecked_transaction()?;
        for (id, left) in leases {
            let sql = match left {
                Left::Unbegun => {
                    "UPDATE deliveries SET state = ?2, leases = leases - 1 WHERE id = ?1"
                }
                Left::UnderWay => "UPDATE deliveries SET state = ?2, after_crash = 1 WHERE id = ?1",
            };
            tx.prepare_cached(sql)?
                .execute(rusqlite::params![id.as_raw(), QUEUED])?;
        }
        self.events.write_all(&tx, self.last_id)?;
        tx.commit()?;
        self.checkpointer.stop();
        // One file is easier to copy than two, and is opened faster.
        self.conn
            .query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Returns an identifier that is larger than every one before it, whatever the clock does.
    pub(super) fn next_id(&mut self, now: Timestamp) -> DeliveryId {
        self.last_id = (self.last_id + 1).max(now.as_millisecond() << ID_COUNTER_BITS);
        DeliveryId::from_raw(self.last_id)
    }
}

/// Returns the deliveries that are settled here: progress sent before it need not be stored apart.
fn settled_too(urgent: &[Urgent]) -> HashSet<(DeliveryId, LeaseToken)> {
    let any_progress = urgent
        .iter()
        .any(|message| matches!(message, Urgent::Progress { .. }));
    if !any_progress {
        return HashSet::new();
    }
    urgent
        .iter()
        .filter_map(|message| match message {
            Urgent::Settle(settle) => Some((settle.id, settle.token)),
            _ => None,
        })
        .collect()
}
