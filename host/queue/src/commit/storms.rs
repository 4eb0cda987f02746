//! Storms, as they are stored: a generation is formed in the transaction that leases its representative, and ends in that
//! which ends it.

use alert_manager_core::alert::{Alert, DeliveryId, Event, Labels, Timestamp};

use crate::model::{
    Contents, Described, Formed, Generation, Grant, Lease, Progress, Reason, Row, StandsFor, State,
    Storm,
};
use crate::rules::revive::Reviver;
use crate::rules::storm::{self, AfterDeath, Effects};
use crate::schedule::{Entrant, Standing};
use crate::store::{Change, SettleMembers, StoreError, Txn, Wanted};

use super::deaths::Together;
use super::group::Work;

/// What is said of a member that is done.
fn coalesced_into(representative: DeliveryId) -> String {
    format!("coalesced into {representative}")
}

impl<'m, T: Txn> Work<'_, 'm, T> {
    /// Stores for whom a delivery runs that is leased, and adds what it is given about them to how far it is.
    pub(super) fn stand_for(&mut self, grant: &mut Grant) -> Result<(), StoreError> {
        let (storm, described) = match &grant.stands_for {
            None => return Ok(()),
            Some(StandsFor::New(formed)) => {
                self.store_generation(grant.lease, formed);
                (formed.storm.clone(), formed.described.clone())
            }
            Some(StandsFor::Known) => {
                let of = grant.lease.id;
                let Some((storm, described)) = self.shared.scheduler.lock().describe(of) else {
                    return Ok(());
                };
                if is_described(&grant.stored, &storm) {
                    return Ok(());
                }
                (storm, described)
            }
        };
        // A storm of which this is a later generation began earlier: the SDK remembers when.
        let began = described.iter().map(|one| one.since);
        let since = began.fold(storm.opened_at, Timestamp::min);
        let labels = self.labels_of(&described)?;
        let mut progress = match &grant.stored.progress {
            Some(json) => serde_json::from_str(json).unwrap_or_default(),
            None => Progress::new(&grant.pipeline),
        };
        progress.storm = Some(storm::given(&Generation {
            storm: &storm,
            since,
            labels: &labels,
        }));
        let json = serde_json::to_string(&progress)?;
        grant.stored.progress = Some(json.clone());
        self.push(Change::Progress {
            lease: grant.lease,
            progress: json.into(),
        });
        Ok(())
    }

    fn store_generation(&mut self, lease: Lease, formed: &Formed) {
        for id in &formed.members {
            self.rows.remove(id);
        }
        for storm in [&formed.storm].into_iter().chain(&formed.left) {
            self.push(Change::PutStorm(storm.clone()));
        }
        self.push(Change::Coalesce {
            representative: lease.id,
            storm: Some(formed.storm.id),
            members: formed.members.clone(),
            merged: formed.merged.clone(),
            resolves: formed.resolves.clone(),
        });
    }

    /// Returns the labels of these: what memory lacks is read.
    fn labels_of(&mut self, described: &[Described]) -> Result<Vec<Labels>, StoreError> {
        let absent = described.iter().filter(|one| one.alert.is_none());
        let wanted: Vec<_> = absent
            .map(|one| Wanted {
                id: one.id,
                alert: true,
                progress: false,
            })
            .collect();
        let mut read = match wanted.is_empty() {
            true => Vec::new(),
            false => {
                self.flush()?;
                self.txn.contents(&wanted)?
            }
        }
        .into_iter();
        let labels = described.iter().map(|one| match &one.alert {
            Some(alert) => alert.labels.clone(),
            None => {
                let json = read.next().and_then(|contents| contents.alert);
                let alert = json.and_then(|json| serde_json::from_str::<Alert>(&json).ok());
                alert.map(|alert| alert.labels).unwrap_or_default()
            }
        });
        Ok(labels.collect())
    }

    /// A lease has ended a delivery: what it stands for is settled with it, or stood for by the next. Returns how many died
    /// with it.
    pub(super) fn end_standing(
        &mut self,
        lease: Lease,
        reason: Reason,
        progress: &str,
        last_error: Option<&str>,
    ) -> Result<u64, StoreError> {
        let id = lease.id;
        let Some(standing) = self.shared.scheduler.lock().standing(id) else {
            return Ok(0);
        };
        if reason.state() == State::Done {
            self.settle_members(id, Some(lease), Reason::Coalesced);
            return Ok(0);
        }
        let stood: Progress = serde_json::from_str(progress).unwrap_or_default();
        let effects = self.effects_of(id, &stood)?;
        // Without its storm it is a resolved with its firing, or of a storm that is over: nobody else can stand for it.
        let takes_over = standing.storm.is_some()
            && storm::after_death(reason, effects, stood.takeovers) == AfterDeath::TakesOver;
        match standing.next.filter(|_| takes_over) {
            Some(next) => {
                self.pass_on(id, next, &standing, stood.takeovers + 1)?;
                Ok(0)
            }
            None => {
                let why = last_error.map(|why| format!("{}: {why}", coalesced_into(id)));
                self.settle_members_for(id, Some(lease), reason, why);
                Ok(standing.members)
            }
        }
    }

    /// The next member stands for the others, after so many that died one after the other. The one that did leaves the storm.
    fn pass_on(
        &mut self,
        from: DeliveryId,
        to: DeliveryId,
        standing: &Standing,
        takeovers: u32,
    ) -> Result<(), StoreError> {
        let event = self.row(from)?.and_then(|row| row.event);
        if let Some(row) = self.row(to)? {
            let stored = self.stored_progress(to)?;
            let stored = stored.unwrap_or_else(|| Progress::new(&row.pipeline));
            self.push(Change::PutProgress {
                id: to,
                lease: row.leases,
                progress: serde_json::to_string(&Progress {
                    takeovers,
                    ..stored
                })?,
            });
        }
        self.rows.remove(&to);
        self.push_of(from, Change::HandOver { from, to });
        if let (Some(storm), Some(event)) = (&standing.storm, event) {
            self.leave_storm(storm.id, event);
        }
        self.group.handed_over.push((from, to));
        Ok(())
    }

    /// One delivery fewer belongs to a storm, and so does what waits to end its alert. What has resolved has, whatever became of
    /// that delivery.
    fn leave_storm(&mut self, storm: DeliveryId, event: Event) {
        let mut scheduler = self.shared.scheduler.lock();
        let left = scheduler.leave_storm(storm, event.status);
        let resolved = scheduler.let_its_resolved_leave(event, storm, self.group.ticks);
        drop(scheduler);
        if let Some(storm) = left {
            self.push(Change::PutStorm(storm));
        }
        for id in resolved {
            self.push_of(id, Change::LeaveStorm(id));
        }
    }

    /// Settles what a delivery stands for, by one statement.
    pub(super) fn settle_members(
        &mut self,
        representative: DeliveryId,
        lease: Option<Lease>,
        reason: Reason,
    ) {
        self.settle_members_for(representative, lease, reason, None);
    }

    /// The same; `why` is what is said of them, if more than that they were coalesced.
    fn settle_members_for(
        &mut self,
        representative: DeliveryId,
        lease: Option<Lease>,
        reason: Reason,
        why: Option<String>,
    ) {
        self.push(Change::SettleMembers(SettleMembers {
            representative,
            itself: false,
            lease,
            reason,
            at: self.now,
            last_error: why.unwrap_or_else(|| coalesced_into(representative)),
        }));
        self.rows.retain(|_, row| {
            let of = row.as_ref().and_then(|row| row.representative);
            of != Some(representative)
        });
    }

    /// Returns what may be outside of the server because of a delivery, which is so far.
    fn effects_of(&mut self, id: DeliveryId, progress: &Progress) -> Result<Effects, StoreError> {
        self.flush()?;
        let is_left = self.txn.has_recorded_effect(id)? || storm::is_in_doubt(progress);
        Ok(if is_left {
            Effects::Possible
        } else {
            Effects::None
        })
    }

    /// Returns the progress of a delivery; nothing if none is stored that can be read.
    fn stored_progress(&mut self, id: DeliveryId) -> Result<Option<Progress>, StoreError> {
        let json = self.progress_of(id)?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// A delivery is cancelled, and no lease of it is under way: decides what becomes of the others that it stands for. They are
    /// done if an actor has notified somebody, and dead if that is in doubt; else the next stands for them. `progress` is how far
    /// it is, if that is not stored.
    pub(super) fn cancel_standing(
        &mut self,
        id: DeliveryId,
        progress: Option<&str>,
    ) -> Result<(), StoreError> {
        let Some(standing) = self.shared.scheduler.lock().standing(id) else {
            return Ok(());
        };
        let Some(next) = standing.next else {
            return Ok(());
        };
        let stood = match progress {
            Some(json) => serde_json::from_str(json).ok(),
            None => self.stored_progress(id)?,
        };
        let stood = stood.unwrap_or_default();
        if self.has_actor_effect(id)? {
            self.settle_members(id, None, Reason::Coalesced);
            self.group.dissolved.push(id);
        } else if storm::may_have_notified(&stood) {
            self.group.dissolved.push(id);
            let event = self.row(id)?.and_then(|row| row.event);
            self.leave_in_doubt(id, next);
            if let (Some(storm), Some(event)) = (&standing.storm, event) {
                self.leave_storm(storm.id, event);
            }
            let with = standing.members.saturating_sub(1);
            let waited_for = None;
            self.die_with(next, Reason::Failed, Together { with, waited_for })?;
        } else {
            self.pass_on(id, next, &standing, stood.takeovers)?;
        }
        Ok(())
    }

    /// A delivery is cancelled while it runs: what it stands for is done if somebody was notified, or waits until its lease has ended.
    pub(super) fn cancel_running(&mut self, id: DeliveryId) -> Result<(), StoreError> {
        let has_others = self.shared.scheduler.lock().standing(id).is_some();
        if has_others && self.has_actor_effect(id)? {
            self.settle_members(id, None, Reason::Coalesced);
            self.group.dissolved.push(id);
        }
        Ok(())
    }

    /// Returns true if an actor of a delivery has an effect outside the server on record.
    pub(super) fn has_actor_effect(&mut self, id: DeliveryId) -> Result<bool, StoreError> {
        let Some(row) = self.row(id)? else {
            return Ok(false);
        };
        let first_actor = u32::try_from(row.pipeline.len()).unwrap_or(u32::MAX);
        self.flush()?;
        self.txn.has_effect(id, first_actor)
    }

    /// Nobody knows whether a cancelled delivery has notified anybody of what it stood for: all of that is dead, and the next of
    /// it stands for the others if it is sent again.
    pub(super) fn leave_in_doubt(&mut self, from: DeliveryId, next: DeliveryId) {
        self.rows.remove(&next);
        self.push_of(from, Change::HandOver { from, to: next });
        self.settle_members(next, None, Reason::Failed);
        self.push(Change::SettleMembers(SettleMembers {
            representative: next,
            itself: true,
            lease: None,
            reason: Reason::Failed,
            at: self.now,
            last_error: format!(
                "{from} stood for it, and was cancelled when its message may have been sent"
            ),
        }));
    }

    /// Returns true if what becomes of a member is being decided in this very transaction.
    pub(super) fn is_moving(&self, id: DeliveryId) -> bool {
        let of = self.shared.scheduler.lock().representative_of(id);
        of.is_some_and(|of| {
            self.group.lease_ended.contains(&of)
                || self.group.dissolved.contains(&of)
                || self.group.handed_over.iter().any(|(from, _)| *from == of)
        })
    }

    /// A member leaves: it is cancelled, or sent again to run alone.
    pub(super) fn leave(&mut self, row: &Row) {
        if row.representative.is_none() {
            return;
        }
        self.push_of(row.id, Change::LeaveStorm(row.id));
        if let (Some(storm), Some(event)) = (row.storm, row.event) {
            self.leave_storm(storm, event);
        }
    }

    /// A firing that has waited too long runs with its resolved, which has just come.
    pub(super) fn coalesce_late(&mut self, firing: DeliveryId, resolved: DeliveryId) {
        self.rows.remove(&firing);
        self.push(Change::Coalesce {
            representative: resolved,
            storm: None,
            members: vec![firing],
            merged: Vec::new(),
            resolves: Vec::new(),
        });
    }

    /// Returns the dead delivery that stood for a dead one whose sender sends it again: what died as one runs as one again. Each
    /// of them alone would be a storm of its own.
    pub(super) fn representative_to_revive(
        &mut self,
        member: &Row,
    ) -> Result<Option<Row>, StoreError> {
        let Some(of) = member.representative else {
            return Ok(None);
        };
        let row = self.row(of)?;
        Ok(row.filter(|row| row.state == State::Dead && row.reason == member.reason))
    }

    /// Returns how many enter the queue if a dead delivery is sent again.
    pub(super) fn revived_with(&mut self, id: DeliveryId) -> Result<usize, StoreError> {
        self.flush()?;
        Ok(1 + self.txn.dead_members(id)?.len())
    }

    /// What a dead delivery stood for is sent again with it.
    pub(super) fn revive_members(&mut self, of: &Row, by: Reviver) -> Result<(), StoreError> {
        let id = of.id;
        self.flush()?;
        let rows = self.txn.dead_members(id)?;
        let stands_for_storm = of.storm.is_some() && of.representative.is_none();
        if rows.is_empty() && !stands_for_storm {
            return Ok(());
        }
        let mut entrants = Vec::with_capacity(rows.len());
        for row in &rows {
            self.rows.remove(&row.id);
            self.group.revived += u64::from(row.reason.is_some_and(Reason::is_dead_letter));
            entrants.extend(self.entrant_of(row));
        }
        self.push(Change::ReviveMembers {
            representative: id,
            at: self.now,
            resent: by.is_second_chance(of),
        });
        self.shared
            .scheduler
            .lock()
            .adopt(entrants, id, of.storm, self.group.ticks);
        Ok(())
    }

    /// Returns a member as it enters the schedule once more.
    fn entrant_of(&mut self, row: &Row) -> Option<Entrant> {
        Some(Entrant {
            id: row.id,
            route: self.state.texts.route(&row.route),
            other_routes: row.other_routes.clone(),
            fingerprint: row.fingerprint?,
            pipeline: self.state.texts.pipeline(&row.pipeline),
            handler: row.pipeline.first()?.clone(),
            priority: row.priority,
            due: self.group.ticks,
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
        })
    }

    /// Closes the storms that were over when the transaction began, and are so still.
    pub(super) fn close_storms(&mut self) {
        let over = self.group.over.clone();
        let mut scheduler = self.shared.scheduler.lock();
        self.group.closed = scheduler.still_over(over, self.group.ticks);
        drop(scheduler);
        for id in self.group.closed.clone() {
            self.push(Change::CloseStorm { id, at: self.now });
        }
    }
}

/// Returns true if a representative was given the facts of this storm already.
fn is_described(contents: &Contents, storm: &Storm) -> bool {
    let progress = contents.progress.as_deref();
    let progress = progress.and_then(|json| serde_json::from_str::<Progress>(json).ok());
    let given = progress.and_then(|progress| progress.storm);
    let id = storm.id.to_string();
    given.is_some_and(|given| given.facts.get("storm.id") == Some(id.as_str()))
}
