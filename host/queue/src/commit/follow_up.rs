//! After a transaction is durable: sends answers, leases and reports.

use std::sync::atomic::Ordering;

use crate::model::{Delivery, Receipt, RestReason, Settled};
use crate::schedule::Ended;
use crate::store::Store;

use super::accept::Part;
use super::committer::{Committer, Decided};
use super::group::Group;
use super::inbox::{AcceptJob, Taken};
use super::notices;
use super::retry_job::Slice;

impl<S: Store> Committer<S> {
    /// Puts a durable transaction into effect in memory, and answers its messages.
    pub(super) fn follow_up(&mut self, group: Group, taken: Taken, decided: Decided) {
        if decided.is_stored && self.failing.take().is_some() {
            tracing::info!("the store can be written again");
            self.shared.set_writable();
        }
        for id in &group.withdrawn {
            self.state.watched.remove(*id);
        }
        for news in &group.timers {
            self.state.timers.follow(news, group.ticks);
        }
        if !group.timers.is_empty() {
            *self.shared.open_timers.lock() = self.state.timers.counts();
        }
        {
            let mut scheduler = self.shared.scheduler.lock();
            for (from, to) in group.handed_over {
                scheduler.hand_over(from, to, group.ticks);
            }
            for id in group.dissolved {
                scheduler.end_generation(id, group.ticks);
            }
            scheduler.close_storms(&group.closed);
            scheduler.commit(group.ticks);
            for (lease, ended) in group.ended {
                if matches!(ended, Ended::Settled) {
                    self.state.watched.remove(lease.id);
                }
                scheduler.end(lease, ended, group.ticks);
            }
            for id in group.made_due {
                scheduler.make_due(id, group.ticks);
            }
        }
        self.shared.dead.fetch_add(group.died, Ordering::Relaxed);
        self.shared.dead.fetch_sub(group.revived, Ordering::Relaxed);
        {
            let mut losses = self.shared.losses.lock();
            losses.reported_together += group.coalesced;
            losses.storm += group.members_done;
            losses.unreported += group.unreported.len() as u64;
        }
        for (alert, why) in &group.unreported {
            notices::log_unreported(alert, why);
        }
        self.shared.commits.send_modify(|commits| *commits += 1);
        self.report_settled(group.settled);
        self.answer_bodies(taken.accepts, decided.parts);
        for grant in group.grants {
            // After the answers, since a client that waits sends no load. If there is no worker any more, the leases end when
            // the queue closes.
            let _ = self.grants.send(grant);
        }
        for (message, answer) in taken.urgent.into_iter().zip(decided.answers) {
            answer.give(message);
        }
        if let Some(slice) = decided.slice {
            self.retried(slice);
        }
    }

    /// Answers bodies that are stored as a whole, and puts the others back into the inbox.
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
                // An error means that the client has gone.
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

    /// Reports settled deliveries. If too many reports wait to be received, counts them instead.
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

    /// Continues the first request to retry many deliveries, of which a slice is durable.
    fn retried(&mut self, slice: Slice) {
        let Some(job) = self.retries.front_mut() else {
            return;
        };
        if let Some(why) = job.advance(slice) {
            self.end_retry(why);
        }
    }

    /// Answers the first request to retry many deliveries.
    pub(super) fn end_retry(&mut self, why: RestReason) {
        if let Some(job) = self.retries.pop_front() {
            job.finish(why);
        }
    }
}
