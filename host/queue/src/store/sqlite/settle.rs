//! Ends of leases, records of calls, retries and cancellations, within the committer's transaction.

use std::collections::HashSet;

use rusqlite::params;

use crate::commit::inbox::{KvMessage, Later, Outcome, Settle, Urgent};
use crate::model::Reason;
use crate::model::{CancelError, RetryError};
use crate::model::{Delivery, LeaseToken, Progress, Raised, Selected, State, StepStatus};
use crate::schedule::{Ended, Entrant, Withdrawn};
use alert_manager_core::alert::{Alert, DeliveryId};
use alert_manager_core::journal::{KvOutcome, LedgerError, Note};

use super::committer::{Committer, Group, Handed};
use super::notices::Followed;
use super::rows::{self, Stored};
use super::schema::{DEAD, DONE, QUEUED, RETRYING, RUNNING, has_run};
use super::{kv, reader};

/// What a message is answered once its transaction is durable.
#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    Record(Result<(), LedgerError>),
    Kv(Result<KvOutcome, LedgerError>),
    Retry(Result<Selected, RetryError>),
    Cancel(Result<(), CancelError>),
    Raised(Raised),
    Ended(bool),
    Alarms(Vec<Alert>),
}

impl Answer {
    /// Answers `message`. Whoever asked may have gone: what was stored stays stored.
    pub(super) fn give(self, message: Urgent) {
        match (self, message) {
            (Self::Record(result), Urgent::Record { reply, .. } | Urgent::Note { reply, .. }) => {
                drop(reply.send(result));
            }
            (Self::Kv(result), Urgent::Kv(_, reply)) => drop(reply.send(result)),
            (Self::Retry(result), Urgent::Retry { reply, .. }) => drop(reply.send(result)),
            (Self::Cancel(result), Urgent::Cancel { reply, .. }) => drop(reply.send(result)),
            (Self::Raised(raised), Urgent::Raise { reply, .. }) => drop(reply.send(raised)),
            (Self::Ended(ended), Urgent::End { reply, .. }) => drop(reply.send(ended)),
            (Self::Alarms(alarms), Urgent::Alarms(reply)) => drop(reply.send(alarms)),
            _ => {}
        }
    }
}

/// Who sends a dead delivery again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reviver {
    /// Its sender, with the same event. Once after it has run: what dies after that stays dead, and is no new dead letter.
    Resend,
    /// An operator, as often as they like.
    Person,
}

impl Committer {
    /// Writes what a message asks for.
    pub(super) fn apply(
        &mut self,
        group: &mut Group,
        message: &Urgent,
        settled_too: &HashSet<(DeliveryId, LeaseToken)>,
    ) -> rusqlite::Result<Answer> {
        Ok(match message {
            Urgent::Settle(settle) => {
                self.settle(group, settle)?;
                Answer::Nothing
            }
            Urgent::Progress {
                id,
                token,
                progress,
            } => {
                let lease = self.lease_of(group, *id, *token);
                if let (Some(lease), false) = (lease, settled_too.contains(&(*id, *token))) {
                    rows::put_run(&self.conn, *id, lease, progress, None)?;
                }
                Answer::Nothing
            }
            Urgent::Note {
                id,
                token,
                step,
                note,
                ..
            } => Answer::Record(match self.lease_of(group, *id, *token) {
                None => Err(LedgerError::LeaseLost),
                Some(lease) => self.note(*id, lease, *step, note)?,
            }),
            Urgent::Record {
                id,
                token,
                step,
                entries,
                ..
            } => Answer::Record(match self.lease_of(group, *id, *token) {
                None => Err(LedgerError::LeaseLost),
                Some(_) => {
                    rows::append(&self.conn, *id, *step, entries)?;
                    Ok(())
                }
            }),
            Urgent::Kv(message, _) => Answer::Kv(self.change_kv(group, message)?),
            Urgent::Retry {
                id, force, later, ..
            } => Answer::Retry(self.retry(group, *id, *force, later)?),
            Urgent::Cancel { id, .. } => Answer::Cancel(self.cancel(group, *id)?),
            Urgent::Raise {
                alert, if_blocked, ..
            } => Answer::Raised(self.raise(group, alert, *if_blocked)?),
            Urgent::End { fingerprint, .. } => {
                let followed = self.end_all(group, *fingerprint)?;
                Answer::Ended(followed == Followed::Now)
            }
            Urgent::Alarms(_) => Answer::Alarms(self.alarms()?),
            Urgent::LookAgain => {
                self.look_again(group)?;
                Answer::Nothing
            }
        })
    }

    /// Writes what is in doubt of a step into what is stored of the delivery's progress.
    fn note(
        &self,
        id: DeliveryId,
        lease: u32,
        step: u32,
        note: &Note,
    ) -> rusqlite::Result<Result<(), LedgerError>> {
        let mut progress: Progress = match rows::progress_json(&self.conn, id)? {
            Some(json) => match serde_json::from_str(&json) {
                Ok(progress) => progress,
                Err(error) => return Ok(Err(LedgerError::Unavailable(unreadable(&error)))),
            },
            None => match Stored::load(&self.conn, id)? {
                Some(stored) => Progress::new(&stored.pipeline),
                None => return Ok(Ok(())),
            },
        };
        let Some(step) = progress.steps.get_mut(step as usize) else {
            return Ok(Ok(()));
        };
        step.doubts = note.doubts.clone();
        step.begun = Some(note.begun.clone());
        let json = serde_json::to_string(&progress)
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        rows::put_run(&self.conn, id, lease, &json, None)?;
        Ok(Ok(()))
    }

    fn lease_of(&self, group: &Group, id: DeliveryId, token: LeaseToken) -> Option<u32> {
        if group.gone.contains(&id) {
            return None;
        }
        self.shared.scheduler.lock().lease_of(id, token)
    }

    fn settle(&mut self, group: &mut Group, settle: &Settle) -> rusqlite::Result<()> {
        let Some(lease) = self.lease_of(group, settle.id, settle.token) else {
            return self.settle_revoked(group, settle);
        };
        rows::put_run(
            &self.conn,
            settle.id,
            lease,
            &settle.progress,
            settle.story.as_deref(),
        )?;
        let reason = match settle.outcome {
            Outcome::Ended(reason) => Some(reason),
            Outcome::Wait { .. } => None,
        };
        let yields = matches!(
            settle.outcome,
            Outcome::Wait {
                not_before: None,
                ..
            }
        );
        let waits_for = match &settle.outcome {
            Outcome::Wait { waits_for, .. } => rows::waits_for_text(waits_for),
            Outcome::Ended(_) => None,
        };
        let (state, settled_at, not_before, handler) = match &settle.outcome {
            Outcome::Ended(reason) => {
                let state = match reason.state() {
                    State::Dead => DEAD,
                    _ => DONE,
                };
                (state, Some(group.now.as_millisecond()), None, None)
            }
            Outcome::Wait {
                handler,
                not_before,
                ..
            } => {
                let state = if not_before.is_some() {
                    RETRYING
                } else {
                    QUEUED
                };
                (state, None, *not_before, Some(handler.as_str()))
            }
        };
        let attempts = self
            .conn
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, settled_at = ?3, not_before = ?4,
                     next_handler = ?5, attempts = attempts + ?6, last_error = ?7, after_crash = 0,
                     waits_for = ?9, reason = ?10,
                     suspected = suspected * ?8,
                     first_died_at = CASE ?2 WHEN 4 THEN coalesce(first_died_at, ?3)
                                             ELSE first_died_at END
                 WHERE id = ?1 RETURNING attempts",
            )?
            .query_row(
                params![
                    settle.id.as_raw(),
                    state,
                    settled_at,
                    not_before,
                    handler,
                    settle.story.is_some(),
                    settle.last_error,
                    yields,
                    waits_for,
                    reason.map(rows::reason_code),
                ],
                |row| row.get(0),
            )?;
        if let (DEAD, Some(reason)) = (state, reason) {
            self.die(group, settle.id, reason)?;
        } else if state == DONE && self.watched.contains(settle.id) {
            self.ended(group, settle.id)?;
        }
        if let Some(reason) = reason
            && self.reports_settled()
        {
            self.note_settled(group, settle, reason, attempts);
        }
        group.gone.insert(settle.id);
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
        };
        group.ended.push((settle.id, settle.token, ended));
        Ok(())
    }

    /// Notes a delivery that has ended, for the report. Of one that is dead the store has told the rest.
    fn note_settled(&self, group: &mut Group, settle: &Settle, reason: Reason, attempts: u32) {
        let Some(origin) = self.shared.scheduler.lock().origin_of(settle.id) else {
            return;
        };
        if let Some(dead) = group.settled.last_mut().filter(|dead| dead.id == settle.id) {
            dead.received_at = origin.accepted_at;
        } else if let Some(alert) = &settle.alert {
            group.settled.push(Delivery {
                id: settle.id,
                fingerprint: alert.fingerprint.to_string(),
                alertname: alert.name().to_owned(),
                status: alert.status.as_str().to_owned(),
                state: State::Done,
                route: origin.route.to_string(),
                handlers: origin.pipeline.to_vec(),
                attempts,
                received_at: origin.accepted_at,
                settled_at: Some(group.now),
                first_died_at: None,
                reason: Some(reason),
                last_error: settle.last_error.clone(),
            });
        }
    }

    /// The delivery was cancelled under its worker: only the story is kept, unless retention has removed the delivery, and
    /// the ordering key is free now.
    fn settle_revoked(&mut self, group: &mut Group, settle: &Settle) -> rusqlite::Result<()> {
        let lease = self
            .shared
            .scheduler
            .lock()
            .revoked_lease_of(settle.id, settle.token);
        if let Some(lease) = lease {
            if rows::exists(&self.conn, settle.id)? {
                rows::put_run(
                    &self.conn,
                    settle.id,
                    lease,
                    &settle.progress,
                    settle.story.as_deref(),
                )?;
                self.conn
                    .prepare_cached("UPDATE deliveries SET attempts = attempts + ?2 WHERE id = ?1")?
                    .execute(params![settle.id.as_raw(), settle.story.is_some()])?;
            }
            group.ended.push((settle.id, settle.token, Ended::Settled));
        }
        Ok(())
    }

    fn change_kv(
        &mut self,
        group: &Group,
        message: &KvMessage,
    ) -> rusqlite::Result<Result<KvOutcome, LedgerError>> {
        if self.lease_of(group, message.id, message.token).is_none() {
            return Ok(Err(LedgerError::LeaseLost));
        }
        let (reply, changed) = kv::change(
            &self.conn,
            &mut self.kv_usage,
            (&message.handler, &message.key),
            &message.change,
            message.quota,
            group.now,
        )?;
        if changed {
            rows::append(&self.conn, message.id, message.step, &message.before)?;
            let json = serde_json::to_string(&reply)
                .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
            let mut entry = message.entry.clone();
            entry.result.clone_from(&json);
            entry.reply = json;
            rows::append(&self.conn, message.id, message.step, &[entry])?;
        }
        Ok(Ok(KvOutcome { reply, changed }))
    }

    fn retry(
        &mut self,
        group: &mut Group,
        id: DeliveryId,
        force: bool,
        later: &Later,
    ) -> rusqlite::Result<Result<Selected, RetryError>> {
        let Some(stored) = Stored::load(&self.conn, id)? else {
            return Ok(Err(RetryError::NotFound));
        };
        match self.hurry(group, &stored)? {
            Ok(true) => return Ok(Ok(Selected::Retrying)),
            Ok(false) => {}
            Err(why) => return Ok(Err(why)),
        }
        if stored.state != DEAD || self.shared.scheduler.lock().contains(id) {
            return Ok(Err(RetryError::NotDead));
        }
        if stored.fingerprint.is_none() {
            return Ok(Err(RetryError::NoAlert));
        }
        if !force && self.has_passed(&stored, later)? {
            return Ok(Err(RetryError::Passed));
        }
        {
            let scheduler = self.shared.scheduler.lock();
            if scheduler.depth() >= self.shared.options.queue_depth_max
                || !scheduler.has_room(&stored.pipeline)
            {
                return Ok(Err(RetryError::Unavailable("the queue is full".into())));
            }
        }
        self.revive(group, &stored, Reviver::Person)?;
        Ok(Ok(Selected::Dead))
    }

    /// Makes a delivery due that waits for its time; returns false if it does not wait.
    pub(super) fn hurry(
        &mut self,
        group: &mut Group,
        stored: &Stored,
    ) -> rusqlite::Result<Result<bool, RetryError>> {
        let id = stored.id;
        let waits = stored.state == RETRYING
            && !group.gone.contains(&id)
            && self.shared.scheduler.lock().is_waiting(id);
        if !waits {
            return Ok(Ok(false));
        }
        if let Some(json) = rows::progress_json(&self.conn, id)? {
            let mut progress: Progress = match serde_json::from_str(&json) {
                Ok(progress) => progress,
                Err(error) => return Ok(Err(RetryError::Unavailable(unreadable(&error)))),
            };
            progress.hurry();
            let json = serde_json::to_string(&progress)
                .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
            rows::put_run(&self.conn, id, stored.leases, &json, None)?;
        }
        self.conn
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, not_before = NULL, waits_for = NULL WHERE id = ?1",
            )?
            .execute(params![id.as_raw(), QUEUED])?;
        group.hurried.push(id);
        Ok(Ok(true))
    }

    /// Completes what somebody saw of the lane a moment ago with what has changed since.
    fn has_passed(&self, stored: &Stored, later: &Later) -> rusqlite::Result<bool> {
        let ran = |s: &Stored| has_run(s.state, s.leases.into());
        if later.passed {
            return Ok(true);
        }
        for id in &later.open {
            if Stored::load(&self.conn, *id)?.as_ref().is_some_and(ran) {
                return Ok(true);
            }
        }
        let Some(fingerprint) = stored.fingerprint else {
            return Ok(false);
        };
        let lane = [(stored.id, fingerprint, stored.route.clone())];
        let since = reader::later(&self.conn, &lane, later.scanned_to.max(stored.id.as_raw()))?;
        Ok(since.iter().any(|later| later.passed))
    }

    /// Sends a dead delivery again: what failed starts anew, what was done stays done, and so does the record.
    pub(super) fn revive(
        &mut self,
        group: &mut Group,
        stored: &Stored,
        by: Reviver,
    ) -> rusqlite::Result<()> {
        let id = stored.id;
        let mut handler = stored.pipeline.first().cloned();
        if let Some(json) = rows::progress_json(&self.conn, id)? {
            let mut progress: Progress = serde_json::from_str(&json).unwrap_or_default();
            if progress.steps.is_empty() {
                progress = Progress::new(&stored.pipeline);
            }
            restart_failed(&mut progress);
            let pending = progress
                .steps
                .iter()
                .find(|step| step.status == StepStatus::Pending);
            handler = pending.map(|step| step.handler.clone()).or(handler);
            let json = serde_json::to_string(&progress)
                .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
            rows::put_run(&self.conn, id, stored.leases, &json, None)?;
        }
        let (Some(handler), Some(fingerprint)) = (handler, stored.fingerprint) else {
            return Ok(());
        };
        let entrant = Entrant {
            id,
            route: self.texts.route(&stored.route),
            beside: stored.beside.clone(),
            fingerprint,
            pipeline: self.texts.pipeline(&stored.pipeline),
            handler: handler.clone(),
            priority: stored.priority,
            due: group.ticks,
            accepted_at: group.now,
            since: group.ticks,
            leases: stored.leases,
            after_crash: stored.after_crash,
            suspected: 0,
            waits_for: Vec::new(),
            alert: None,
            alert_bytes: 0,
        };
        let grant = self.shared.scheduler.lock().admit(entrant, group.ticks);
        let state = if grant.is_some() { RUNNING } else { QUEUED };
        // After a backlog it runs for the first time: that is no second chance.
        let resent = by == Reviver::Resend && stored.reason != Some(Reason::Backlog);
        self.conn
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, leases = leases + ?3, deaths = 0, suspected = 0,
                     resent = ?6, first_died_at = CASE WHEN ?6 THEN first_died_at END,
                     revived_at = ?4, settled_at = NULL, not_before = NULL, waits_for = NULL, next_handler = ?5,
                     last_error = NULL, reason = NULL, dead_bytes = NULL
                 WHERE id = ?1",
            )?
            .execute(params![
                id.as_raw(),
                state,
                grant.is_some(),
                group.now.as_millisecond(),
                handler.as_str(),
                resent,
            ])?;
        group.revived += u64::from(stored.reason.is_some_and(Reason::is_dead_letter));
        self.watch(group, id, &stored.route);
        if let Some(grant) = grant {
            group.handed.push(Handed {
                json: Some(rows::alert_json(&self.conn, id)?),
                progress: rows::progress_json(&self.conn, id)?,
                grant,
            });
        }
        Ok(())
    }

    fn cancel(
        &mut self,
        group: &mut Group,
        id: DeliveryId,
    ) -> rusqlite::Result<Result<(), CancelError>> {
        if group.gone.contains(&id) {
            let why = "its lease ended this very moment; try again".into();
            return Ok(Err(CancelError::Unavailable(why)));
        }
        let withdrawn = self.shared.scheduler.lock().withdraw(id);
        if withdrawn == Withdrawn::Uncommitted {
            let why = "it was sent again this very moment; try again".into();
            return Ok(Err(CancelError::Unavailable(why)));
        }
        if withdrawn == Withdrawn::Absent {
            let known = Stored::load(&self.conn, id)?.is_some();
            return Ok(Err(if known {
                CancelError::Settled
            } else {
                CancelError::NotFound
            }));
        }
        self.conn
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, settled_at = ?3, not_before = NULL, waits_for = NULL,
                     last_error = ?4, reason = ?5
                 WHERE id = ?1",
            )?
            .execute(params![
                id.as_raw(),
                DEAD,
                group.now.as_millisecond(),
                Reason::Cancelled.as_str(),
                rows::reason_code(Reason::Cancelled),
            ])?;
        self.die(group, id, Reason::Cancelled)?;
        if self.watched.contains(id) {
            self.ended(group, id)?;
        }
        if withdrawn == Withdrawn::Waiting {
            group.withdrawn.push(id);
        }
        Ok(Ok(()))
    }
}

/// Whoever asks about this one delivery is told; the transaction goes on for all others.
fn unreadable(error: &serde_json::Error) -> String {
    format!("what is stored of this delivery cannot be read: {error}")
}

/// Gives every failed step a fresh start. Its record stays, and the times that are part of it.
fn restart_failed(progress: &mut Progress) {
    for step in &mut progress.steps {
        if step.status == StepStatus::Failed {
            step.status = StepStatus::Pending;
            step.attempts = 0;
            step.traps = 0;
            step.used_ms = 0;
            step.not_before = None;
            step.waits_for.clear();
            step.last_error = None;
            step.facts = alert_manager_core::alert::Labels::default();
            step.blocks.clear();
        }
    }
}
