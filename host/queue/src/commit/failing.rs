//! Failures of the store: a transaction is undone in memory, and the next one waits for a backoff.

use std::time::Instant;

use crate::model::{AcceptError, CancelError, RestReason, RetryError};
use crate::store::{Store, StoreError};

use super::committer::{BACKOFF, Committer, Failing};
use super::group::Group;
use super::inbox::{AcceptJob, Taken, Urgent};

impl<S: Store> Committer<S> {
    /// Undoes a transaction of which nothing is stored. Clients are asked to try again; other messages go back into the inbox.
    pub(super) fn undo(&mut self, group: &Group, taken: Taken, error: &StoreError) {
        self.roll_back(group);
        let why = error.to_string();
        self.is_fenced = *error == StoreError::Fenced;
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

    /// Undoes a transaction in memory.
    pub(super) fn roll_back(&mut self, group: &Group) {
        {
            let mut scheduler = self.shared.scheduler.lock();
            scheduler.rollback(group.ticks);
            if !group.over.is_empty() {
                scheduler.look_at_storms(group.ticks);
            }
        }
        for id in &group.watched {
            self.state.watched.remove(*id);
        }
        self.state.reports.rollback(&group.noticed, group.ticks);
    }

    pub(super) fn fail(&mut self, why: &str) {
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

    /// Refuses bodies that cannot be stored now.
    pub(super) fn turn_away(&self, jobs: Vec<AcceptJob>) {
        let why = self.shared.unwritable().unwrap_or_default();
        for job in jobs {
            let _ = job.reply.send(Err(AcceptError::Unavailable(why.clone())));
        }
    }

    /// Checks whether the store can be written again, if there is nothing to write.
    pub(super) fn probe(&mut self) -> bool {
        match self.store.probe() {
            Ok(()) => {
                self.failing = None;
                tracing::info!("the store can be written again");
                self.shared.set_writable();
                true
            }
            Err(error) => {
                self.is_fenced = error == StoreError::Fenced;
                self.fail(&error.to_string());
                false
            }
        }
    }
}
