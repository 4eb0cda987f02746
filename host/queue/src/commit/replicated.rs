//! A server of several on one store. It either has the term, and then runs a [`Committer`], or it follows: it stores what it accepts
//! for the one that has the term, and looks whether the term is free.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc;

use alert_manager_core::journal::LedgerError;

use crate::failpoint::Failpoint;
use crate::model::clock::Clock;
use crate::model::{
    AcceptError, Arrived, CancelError, Caps, Grant, GrantsUsed, LastEnd, OpenError, Options,
    Raised, Receipt, Recovered, RestReason, RetryError, Verdict,
};
use crate::store::{Committed, Hold, Replica, Resolved, StoreError};

use super::committer::{BACKOFF, Committer, EndGuard, Ended};
use super::inbox::{AcceptJob, Close, Taken, Urgent};
use super::shared::{self, Shared};
use super::start::{self, Started};

/// What a server without the term answers to those who want a decision.
const FOLLOWS: &str = "another replica has the term, and decides; ask that one";

/// A server of several.
#[derive(Debug)]
pub(crate) struct Replicated<R: Replica> {
    replica: R,
    shared: Arc<Shared>,
    grants: mpsc::UnboundedSender<Grant>,
    /// Present while this server has the term.
    committer: Option<Committer<R::Held>>,
    /// Requests that wait until this server has the term.
    until_term: VecDeque<Urgent>,
    next_campaign: Instant,
}

/// Joins the servers on a store. `held` is the store, if the term was taken already.
///
/// # Errors
/// If the store cannot be read or written.
pub(crate) fn join<R: Replica>(
    mut replica: R,
    held: Option<R::Held>,
    options: Options,
    caps: Caps,
    clock: Clock,
) -> Result<Started<Replicated<R>>, OpenError> {
    let common = replica.common();
    let (secret, grants_used) = common.map_err(|error| replica.refused(error))?;
    let storm = options.storm;
    let shared = Arc::new(Shared::new(Hold::always(), clock, options, secret));
    {
        let mut scheduler = shared.scheduler.lock();
        scheduler.set_caps(caps);
        scheduler.set_storm(storm);
    }
    let (sender, grants) = mpsc::unbounded_channel();
    shared.set_leads(held.is_some());
    let (committer, recovered) = match held {
        Some(held) => {
            let (committer, recovered) = start::take_over(held, &shared, sender.clone())?;
            (Some(committer), recovered)
        }
        None => (None, nothing(grants_used)),
    };
    let waking = Arc::downgrade(&shared);
    let looks = replica.on_arrival(Box::new(move || {
        if let Some(shared) = waking.upgrade() {
            shared.inbox.nudge();
        }
    }));
    looks.map_err(|error| replica.refused(error))?;
    Ok(Started {
        reader: replica.reader(),
        recovered,
        grants,
        committer: Replicated {
            replica,
            shared: Arc::clone(&shared),
            grants: sender,
            committer,
            until_term: VecDeque::new(),
            next_campaign: Instant::now(),
        },
        shared,
    })
}

/// What a server has recovered that follows.
fn nothing(grants_used: GrantsUsed) -> Recovered {
    Recovered {
        last_end: LastEnd::Clean,
        under_lease: 0,
        died: Vec::new(),
        queued: 0,
        retrying: 0,
        dead: 0,
        oldest: None,
        grants_used,
    }
}

impl<R: Replica> Replicated<R> {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(crate) fn spawn(self) -> Result<JoinHandle<()>, OpenError> {
        // Made first: the error names the store, which the thread takes.
        let failed = self.replica.refused(StoreError::Away(
            "the system does not start a thread for it".into(),
        ));
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || self.run())
            .map_err(|_| failed)
    }

    /// Runs until it is asked to close.
    fn run(mut self) {
        let _guard = EndGuard(Arc::clone(&self.shared));
        loop {
            if let Some(committer) = self.committer.take() {
                match committer.run() {
                    Ended::Closed => break,
                    Ended::Fenced => self.step_down(),
                }
            }
            match self.follow() {
                Some(held) => self.take_over(held),
                None => break,
            }
        }
        self.replica.leave();
    }

    /// Ends what this server has scheduled: none of its leases is valid any more.
    fn step_down(&mut self) {
        tracing::warn!(
            "another replica has taken over; what ran here goes on there, and this one accepts alerts for it"
        );
        let shared = &self.shared;
        let mut idle = shared::idle(&shared.options, Caps::all(1));
        if !Failpoint::Unfenced.is_set() {
            let mut scheduler = shared.scheduler.lock();
            scheduler.hand_settings_to(&mut idle);
            *scheduler = idle;
        }
        shared.set_hold(Hold::always());
        shared.set_writable();
        shared.dead.store(0, Ordering::Relaxed);
        shared.open_timers.lock().clear();
        shared.set_leads(false);
        self.next_campaign = Instant::now();
    }

    fn take_over(&mut self, held: R::Held) {
        let shared = &self.shared;
        match start::take_over(held, shared, self.grants.clone()) {
            Ok((committer, recovered)) => {
                tracing::warn!(
                    queued = recovered.queued,
                    retrying = recovered.retrying,
                    under_lease = recovered.under_lease,
                    "this replica has the term now, and runs what is queued"
                );
                let scheduler = &shared.scheduler;
                scheduler.lock().resume(shared.clock.ticks());
                shared.forwarded_depth.store(0, Ordering::Relaxed);
                shared.set_writable();
                shared.set_leads(true);
                self.committer = Some(committer);
                let waiting = std::mem::take(&mut self.until_term);
                shared.inbox.put_back(waiting.into());
            }
            Err(error) => {
                tracing::error!(%error, "this replica cannot take over");
                self.step_down();
                std::thread::sleep(BACKOFF.1);
            }
        }
    }

    /// Accepts for the server that has the term, until this one has it; returns nothing if it is asked to close.
    fn follow(&mut self) -> Option<R::Held> {
        loop {
            if Instant::now() >= self.next_campaign {
                self.next_campaign = Instant::now() + R::CAMPAIGN_EVERY;
                match self.campaign() {
                    Ok(Some(held)) => return Some(held),
                    Ok(None) => self.shared.set_writable(),
                    Err(error) => self.fail(&error),
                }
            }
            let inbox = &self.shared.inbox;
            let Taken {
                urgent,
                accepts,
                retries,
                close,
            } = inbox.take(Some(self.next_campaign), usize::MAX);
            for job in retries {
                job.finish(RestReason::Store(FOLLOWS.into()));
            }
            urgent
                .into_iter()
                .for_each(|message| self.turn_away(message));
            if !accepts.is_empty() {
                self.forward(accepts);
            }
            match close {
                Some(Close::Abandon) => return None,
                Some(Close::Orderly(done)) => {
                    let _ = done.send(());
                    return None;
                }
                None => {}
            }
        }
    }

    fn campaign(&mut self) -> Result<Option<R::Held>, StoreError> {
        let held = self.replica.campaign()?;
        if held.is_none() {
            let most = self.shared.options.queue_depth_max;
            let depth = self.replica.depth(most)?;
            self.shared.forwarded_depth.store(depth, Ordering::Relaxed);
        }
        Ok(held)
    }

    fn fail(&self, error: &StoreError) {
        if self.shared.unwritable().is_none() {
            tracing::error!(
                %error,
                "the store cannot be written; alerts are answered 503 until it can"
            );
        }
        self.shared.set_unwritable(error.to_string());
    }

    /// Stores bodies for the server that has the term, and answers them.
    fn forward(&mut self, jobs: Vec<AcceptJob>) {
        let mut arrived = Vec::new();
        let mut waiting = Vec::with_capacity(jobs.len());
        for job in jobs {
            let verdicts = job.alerts.iter().map(|_| Verdict::Accepted(Vec::new()));
            let verdicts = job.verdicts.into_iter().chain(verdicts.skip(job.taken));
            let receipt = Receipt {
                verdicts: verdicts.collect(),
                refused: Vec::new(),
            };
            let alerts = job.alerts.into_iter().skip(job.taken);
            arrived.extend(alerts.map(Arrived::Alert));
            arrived.extend(job.refused.into_iter().map(Arrived::Refused));
            waiting.push((job.reply, receipt));
        }
        let stored = match self.replica.forward(&arrived) {
            Committed::Yes => Ok(()),
            Committed::RolledBack(error) => Err(error),
            Committed::Unknown => self.resolve(),
        };
        if let Err(error) = &stored {
            self.fail(error);
        }
        for (reply, receipt) in waiting {
            let answer = match &stored {
                Ok(()) => Ok(receipt),
                Err(error) => Err(AcceptError::Unavailable(error.to_string())),
            };
            // An error means that the client has gone.
            let _ = reply.send(answer);
        }
        if stored.is_ok() {
            self.replica.notify();
        }
    }

    /// Asks whether a transaction was committed whose commit was not answered. Waits until the store answers.
    fn resolve(&mut self) -> Result<(), StoreError> {
        loop {
            match self.replica.resolve() {
                Ok(Resolved::Committed) => return Ok(()),
                Ok(Resolved::RolledBack) => {
                    return Err(StoreError::Away("the commit was not answered".into()));
                }
                Err(error) => {
                    self.fail(&error);
                    std::thread::sleep(BACKOFF.1);
                }
            }
        }
    }

    /// Answers a message that only the server with the term can handle.
    fn turn_away(&mut self, message: Urgent) {
        match message {
            // What this server knew of it when it had the term is known to the one that has it now, as far as it is stored.
            Urgent::Settle(_)
            | Urgent::Progress { .. }
            | Urgent::CloseGate { .. }
            | Urgent::NoteUpdates(_)
            | Urgent::GrantsUsed(_)
            | Urgent::LookAgain => {}
            Urgent::Note { reply, .. } | Urgent::Record { reply, .. } => {
                let _ = reply.send(match Failpoint::Unfenced.is_set() {
                    true => Ok(()),
                    false => Err(LedgerError::LeaseLost),
                });
            }
            Urgent::Kv(_, reply) => drop(reply.send(Err(LedgerError::LeaseLost))),
            Urgent::Timer(_, reply) => drop(reply.send(Err(LedgerError::LeaseLost))),
            Urgent::Retry { reply, .. } => {
                let _ = reply.send(Err(RetryError::Unavailable(FOLLOWS.into())));
            }
            Urgent::Cancel { reply, .. } => {
                let _ = reply.send(Err(CancelError::Unavailable(FOLLOWS.into())));
            }
            // Asked again later; the server with the term raises its own.
            Urgent::Raise { reply, .. } => drop(reply.send(Raised::NoRoom)),
            Urgent::End { reply, .. } => drop(reply.send(false)),
            kept @ (Urgent::Alarms(_) | Urgent::Audit(_)) => self.until_term.push_back(kept),
        }
    }
}
