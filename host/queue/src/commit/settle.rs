//! Messages under a lease: progress, records of calls, and settlements.

use std::borrow::Cow;
use std::collections::HashSet;

use alert_manager_core::journal::{Entry, KvOutcome, LedgerError, Note};

use crate::model::{Delivery, Lease, Progress, Reason, State};
use crate::rules::settle::{Outcome, after_lease};
use crate::schedule::{Ended, LeaseEnds};
use crate::store::{Change, KvOp, Settle, StoreError, Txn};

use super::answer::Answer;
use super::deaths::Together;
use super::group::Work;
use super::inbox::{self, KvMessage, Urgent};
use super::notices::Followed;

impl<'m, T: Txn> Work<'_, 'm, T> {
    /// Handles a message. `settled_too` are the leases that end in the same transaction.
    pub(super) fn decide(
        &mut self,
        message: &'m Urgent,
        settled_too: &HashSet<Lease>,
    ) -> Result<Answer, StoreError> {
        Ok(match message {
            Urgent::Settle(settle) => {
                self.settle(settle)?;
                Answer::Nothing
            }
            Urgent::Progress { lease, progress } => {
                if self.holds(*lease) && !settled_too.contains(lease) {
                    let progress = self.with_updates(lease.id, progress, LeaseEnds::Later)?;
                    self.push(Change::Progress {
                        lease: *lease,
                        progress,
                    });
                }
                Answer::Nothing
            }
            Urgent::Note {
                lease, step, note, ..
            } => Answer::Record(match self.holds(*lease) {
                false => Err(LedgerError::LeaseLost),
                true => self.note(*lease, *step, note)?,
            }),
            Urgent::Record {
                lease,
                step,
                entries,
                ..
            } => Answer::Record(match self.holds(*lease) {
                false => Err(LedgerError::LeaseLost),
                true => {
                    self.record(*lease, *step, Cow::Borrowed(entries));
                    if entries.iter().any(|entry| entry.parked) {
                        self.note_updates(lease.id)?;
                    }
                    Ok(())
                }
            }),
            Urgent::Kv(message, _) => Answer::Kv(self.change_kv(message)?),
            Urgent::Timer(message, _) => Answer::Timer(self.change_timer(message)?),
            Urgent::Retry {
                id, force, later, ..
            } => Answer::Retry(self.retry(*id, *force, later)?),
            Urgent::Cancel { id, .. } => Answer::Cancel(self.cancel(*id)?),
            Urgent::Raise {
                alert, if_blocked, ..
            } => Answer::Raised(self.raise(alert, *if_blocked)?),
            Urgent::End { fingerprint, .. } => {
                let followed = self.end_all(*fingerprint)?;
                Answer::Ended(followed == Followed::Now)
            }
            Urgent::Alarms(_) => Answer::Alarms(self.alarms()?),
            Urgent::CloseGate { name, until_ms } => {
                self.push(Change::CloseGate {
                    name: name.clone(),
                    until_ms: *until_ms,
                });
                Answer::Nothing
            }
            Urgent::GrantsUsed(uses) => {
                self.push(Change::GrantsUsed(uses));
                Answer::Nothing
            }
            Urgent::Audit(audited) => {
                self.push(Change::Audit(audited));
                Answer::Nothing
            }
            Urgent::NoteUpdates(id) => {
                self.note_updates(*id)?;
                Answer::Nothing
            }
            Urgent::LookAgain => {
                self.look_again()?;
                Answer::Nothing
            }
        })
    }

    /// Returns true if a lease is valid, and has not ended in this transaction.
    pub(super) fn holds(&self, lease: Lease) -> bool {
        !self.group.lease_ended.contains(&lease.id) && self.shared.scheduler.lock().holds(lease)
    }

    pub(super) fn record(&mut self, lease: Lease, step: u32, entries: Cow<'m, [Entry]>) {
        self.push(Change::Journal {
            lease,
            step,
            entries,
        });
    }

    /// Stores what a step is about to call in the progress of its delivery.
    fn note(
        &mut self,
        lease: Lease,
        step: u32,
        note: &Note,
    ) -> Result<Result<(), LedgerError>, StoreError> {
        let mut progress: Progress = match self.progress_of(lease.id)? {
            Some(json) => match serde_json::from_str(&json) {
                Ok(progress) => progress,
                Err(error) => return Ok(Err(LedgerError::Unavailable(unreadable(&error)))),
            },
            None => match self.row(lease.id)? {
                Some(row) => Progress::new(&row.pipeline),
                None => return Ok(Ok(())),
            },
        };
        let Some(step) = progress.steps.get_mut(step as usize) else {
            return Ok(Ok(()));
        };
        step.doubts = note.doubts.clone();
        step.begun = Some(note.begun.clone());
        let progress = serde_json::to_string(&progress)?.into();
        self.push(Change::Progress { lease, progress });
        Ok(Ok(()))
    }

    fn settle(&mut self, settle: &'m inbox::Settle) -> Result<(), StoreError> {
        let lease = settle.lease;
        if !self.holds(lease) {
            return self.settle_revoked(settle);
        }
        let after = after_lease(&settle.outcome, self.now);
        let progress = self.with_updates(lease.id, &settle.progress, LeaseEnds::Now)?;
        self.push_of(
            lease.id,
            Change::Settle(Settle {
                lease,
                after,
                last_error: settle.last_error.as_deref(),
                progress,
                story: settle.story.as_deref(),
            }),
        );
        if let Some(reason) = after.reason {
            let reports = self.reports_settled();
            if after.state == State::Done {
                self.note_done(settle, reason, reports);
            }
            let with = self.end_standing(
                lease,
                reason,
                &settle.progress,
                settle.last_error.as_deref(),
            )?;
            if after.state == State::Dead {
                let waited_for = settle.waited_for.as_deref();
                self.die_with(lease.id, reason, Together { with, waited_for })?;
                if reports {
                    self.date_death(lease);
                }
            } else if self.state.watched.contains(lease.id) {
                self.ended(lease.id)?;
            }
        }
        self.group.lease_ended.insert(lease.id);
        let ended = match &settle.outcome {
            Outcome::Ended(_) => Ended::Settled,
            Outcome::Wait {
                handler,
                due,
                waits_for,
                ..
            } => Ended::Waits {
                handler: handler.clone(),
                due: *due,
                waits_for: waits_for.clone(),
            },
            Outcome::Park(park) => Ended::Parked {
                handler: park.handler.clone(),
                parked: park.parked.clone(),
                is_clean: park.is_clean,
                due: park.due.clone(),
                waits_for: park.waits_for.clone(),
            },
        };
        self.group.ended.push((lease, ended));
        Ok(())
    }

    /// Counts a delivery that is done, and adds it to the report if there is to be one.
    fn note_done(&mut self, settle: &inbox::Settle, reason: Reason, reports: bool) {
        let origin = self.shared.scheduler.lock().origin_of(settle.lease.id);
        let Some(origin) = origin else {
            return;
        };
        self.count_settled(&origin.pipeline, reason, origin.accepted_at);
        let Some(alert) = settle.alert.as_ref().filter(|_| reports) else {
            return;
        };
        self.group.settled.push(Delivery {
            id: settle.lease.id,
            fingerprint: alert.fingerprint.to_string(),
            alertname: alert.name().to_owned(),
            status: alert.status.as_str().to_owned(),
            priority: origin.priority,
            state: State::Done,
            route: origin.route.to_string(),
            handlers: origin.pipeline.to_vec(),
            attempts: 0,
            received_at: origin.accepted_at,
            settled_at: Some(self.now),
            first_died_at: None,
            reason: Some(reason),
            last_error: settle.last_error.clone(),
            coalesced_into: None,
            storm: None,
            timer: None,
        });
        self.count_attempts();
    }

    /// Corrects the report of a dead delivery, which was read from the store: `received_at` is when it was retried, if it was.
    fn date_death(&mut self, lease: Lease) {
        let origin = self.shared.scheduler.lock().origin_of(lease.id);
        let mut settled = self.group.settled.iter_mut().rev();
        let dead = settled.find(|dead| dead.id == lease.id);
        if let (Some(origin), Some(dead)) = (origin, dead) {
            dead.received_at = origin.accepted_at;
        }
    }

    /// Ends a lease that was revoked because its delivery was cancelled: stores the story, if the delivery is still stored. Later
    /// deliveries of its ordering key can run now.
    fn settle_revoked(&mut self, settle: &'m inbox::Settle) -> Result<(), StoreError> {
        let lease = settle.lease;
        if self.shared.scheduler.lock().has_revoked(lease) {
            self.push(Change::Lose {
                lease,
                progress: &settle.progress,
                story: settle.story.as_deref(),
            });
            self.cancel_standing(lease.id, Some(&settle.progress))?;
            self.group.ended.push((lease, Ended::Settled));
        }
        Ok(())
    }

    fn change_kv(
        &mut self,
        message: &'m KvMessage,
    ) -> Result<Result<KvOutcome, LedgerError>, StoreError> {
        if !self.holds(message.lease) {
            return Ok(Err(LedgerError::LeaseLost));
        }
        let (reply, changed) = self.txn.kv(&KvOp {
            handler: &message.handler,
            key: &message.key,
            change: &message.change,
            quota: message.quota,
        })?;
        if changed {
            let (lease, step) = (message.lease, message.step);
            self.record(lease, step, Cow::Borrowed(&message.before));
            let json = serde_json::to_string(&reply)?;
            let mut entry = message.entry.clone();
            entry.result.clone_from(&json);
            entry.reply = json;
            self.record(lease, step, Cow::Owned(vec![entry]));
        }
        Ok(Ok(KvOutcome { reply, changed }))
    }
}

/// Returns the error of a request about a delivery whose stored progress cannot be parsed. The transaction continues.
pub(super) fn unreadable(error: &serde_json::Error) -> String {
    format!("what is stored of this delivery cannot be read: {error}")
}
