//! Retries and cancellations of single deliveries.

use alert_manager_core::alert::DeliveryId;

use crate::model::{
    CancelError, Position, Progress, Reason, RetryError, Row, Selected, StandsFor, State, has_run,
};
use crate::rules::overtaken::Later;
use crate::rules::revive::{self, Reviver};
use crate::rules::storm;
use crate::schedule::{Entrant, Withdrawn};
use crate::store::{Change, Revive, StoreError, Txn, Wanted};

use super::group::Work;
use super::settle::unreadable;

impl<T: Txn> Work<'_, '_, T> {
    /// Retries a delivery that is dead, or makes it due if it waits for another try.
    pub(super) fn retry(
        &mut self,
        id: DeliveryId,
        force: bool,
        later: &Later,
    ) -> Result<Result<Selected, RetryError>, StoreError> {
        let Some(row) = self.row(id)? else {
            return Ok(Err(RetryError::NotFound));
        };
        match self.make_due(&row)? {
            Ok(true) => return Ok(Ok(Selected::Retrying)),
            Ok(false) => {}
            Err(why) => return Ok(Err(why)),
        }
        if row.state != State::Dead || self.shared.scheduler.lock().contains(id) {
            return Ok(Err(RetryError::NotDead));
        }
        if row.fingerprint.is_none() {
            return Ok(Err(RetryError::NoAlert));
        }
        if !force && self.is_overtaken(&row, later)? {
            return Ok(Err(RetryError::Overtaken));
        }
        let count = self.revived_with(id)?;
        let scheduler = self.shared.scheduler.lock();
        let has_room = scheduler.has_room_for_all(&row.pipeline, count);
        drop(scheduler);
        if !has_room {
            return Ok(Err(RetryError::Unavailable("the queue is full".into())));
        }
        self.revive(&row, Reviver::Person)?;
        Ok(Ok(Selected::Dead))
    }

    /// Makes a delivery due that waits for another try; returns false if it does not wait.
    pub(super) fn make_due(&mut self, row: &Row) -> Result<Result<bool, RetryError>, StoreError> {
        let id = row.id;
        let waits = row.state == State::Retrying
            && !self.group.lease_ended.contains(&id)
            && self.shared.scheduler.lock().is_waiting(id);
        if !waits {
            return Ok(Ok(false));
        }
        let progress = match self.progress_of(id)? {
            None => None,
            Some(json) => {
                let mut progress: Progress = match serde_json::from_str(&json) {
                    Ok(progress) => progress,
                    Err(error) => return Ok(Err(RetryError::Unavailable(unreadable(&error)))),
                };
                progress.make_all_due();
                Some((row.leases, serde_json::to_string(&progress)?))
            }
        };
        self.push_of(id, Change::MakeDue { id, progress });
        self.group.made_due.push(id);
        Ok(Ok(true))
    }

    /// Returns true if a later event of its ordering key has run. `later` was read before this transaction, and is completed with
    /// what has changed since.
    fn is_overtaken(&mut self, row: &Row, later: &Later) -> Result<bool, StoreError> {
        if later.has_run {
            return Ok(true);
        }
        self.flush()?;
        let states = self.txn.states(&later.not_run)?;
        let mut stored = states.into_iter().flatten();
        if stored.any(|(state, leases)| has_run(state, leases)) {
            return Ok(true);
        }
        let Some(fingerprint) = row.fingerprint else {
            return Ok(false);
        };
        let position = Position {
            id: row.id,
            fingerprint,
            route: row.route.clone(),
            cause: row.cause.clone(),
        };
        let mut since = Later::default();
        let from = later.scanned_to.map_or(row.id, |to| to.max(row.id));
        self.txn
            .followers(from, |other| since.add(&position, &other))?;
        Ok(since.has_run)
    }

    /// Queues a dead delivery again. Its failed steps start again, its finished steps and its record are kept.
    pub(super) fn revive(&mut self, row: &Row, by: Reviver) -> Result<(), StoreError> {
        let id = row.id;
        self.leave(row);
        let progress = self
            .progress_of(id)?
            .map(|json| revive::restarted(row, &json));
        let progress = progress.map(|progress| storm::without_storm(progress, row));
        let handler = revive::next_handler(row, progress.as_ref());
        let progress = match progress {
            Some(progress) => Some(serde_json::to_string(&progress)?),
            None => None,
        };
        let (Some(handler), Some(fingerprint)) = (handler, row.fingerprint) else {
            return Ok(());
        };
        let storm = row.storm.filter(|_| row.representative.is_none());
        let mut scheduler = self.shared.scheduler.lock();
        let due = scheduler.due_again(id, storm, self.group.ticks);
        drop(scheduler);
        let entrant = Entrant {
            id,
            route: self.state.texts.route(&row.route),
            other_routes: row.other_routes.clone(),
            fingerprint,
            pipeline: self.state.texts.pipeline(&row.pipeline),
            handler: handler.clone(),
            priority: row.priority,
            due,
            accepted_at: self.now,
            since: self.group.ticks,
            leases: row.leases,
            after_crash: row.after_crash,
            suspected: 0,
            waits_for: Vec::new(),
            alert: None,
            alert_bytes: 0,
            storm: None,
            cause: row.cause.clone(),
        };
        let mut scheduler = self.shared.scheduler.lock();
        let grant = scheduler.admit(entrant, self.group.ticks);
        drop(scheduler);
        let lease = grant.as_ref().map(|grant| grant.lease);
        let own_progress = progress.clone();
        self.push_of(
            id,
            Change::Revive(Revive {
                id,
                at: self.now,
                handler,
                lease,
                resent: by.is_second_chance(row),
                progress: progress.map(|progress| (row.leases, progress)),
            }),
        );
        self.group.revived += u64::from(row.reason.is_some_and(Reason::is_dead_letter));
        self.watch(id, &row.route);
        self.revive_members(row, by)?;
        if let Some(mut grant) = grant {
            self.flush()?;
            let wanted = [Wanted::by(&grant)];
            grant.stored = self.txn.contents(&wanted)?.pop().unwrap_or_default();
            grant.stored.progress = own_progress;
            let stands_for = self.shared.scheduler.lock().standing(id);
            grant.stands_for = stands_for.map(|_| StandsFor::Known);
            self.stand_for(&mut grant)?;
            self.group.grants.push(grant);
        }
        Ok(())
    }

    /// Cancels a delivery that is not settled, and the timers that it has set. Of a settled one, only these are cancelled.
    pub(super) fn cancel(&mut self, id: DeliveryId) -> Result<Result<(), CancelError>, StoreError> {
        if self.group.lease_ended.contains(&id) || self.is_moving(id) {
            let why = "its lease ended this very moment; try again".into();
            return Ok(Err(CancelError::Unavailable(why)));
        }
        let is_member = self.shared.scheduler.lock().representative_of(id).is_some();
        let member = match is_member {
            true => self.row(id)?,
            false => None,
        };
        let withdrawn = self.shared.scheduler.lock().withdraw(id);
        if withdrawn == Withdrawn::Uncommitted {
            let why = "it was sent again this very moment; try again".into();
            return Ok(Err(CancelError::Unavailable(why)));
        }
        if withdrawn == Withdrawn::Absent {
            if self.row(id)?.is_none() {
                return Ok(Err(CancelError::NotFound));
            }
            return Ok(match self.cancel_timers_of(id)? {
                0 => Err(CancelError::Settled),
                _ => Ok(()),
            });
        }
        self.push_of(id, Change::Cancel { id, at: self.now });
        self.cancel_timers_of(id)?;
        match &member {
            Some(member) => self.leave(member),
            None if withdrawn == Withdrawn::Leased => self.cancel_running(id)?,
            None => self.cancel_standing(id, None)?,
        }
        self.die(id, Reason::Cancelled)?;
        if self.state.watched.contains(id) {
            self.ended(id)?;
        }
        if withdrawn == Withdrawn::Waiting {
            self.group.withdrawn.push(id);
        }
        Ok(Ok(()))
    }
}
