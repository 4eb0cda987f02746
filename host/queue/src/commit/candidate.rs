//! What a new delivery may run as one with, and which storm it belongs to.

use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Event, Status};
use alert_manager_core::plan::Plan;

use crate::model::{Candidate, Run, State, Storm};
use crate::rules::admission::Arrival;
use crate::store::{StoreError, Txn};

use super::group::Work;

impl<T: Txn> Work<'_, '_, T> {
    /// Returns what a new delivery may run as one with; nothing if it runs alone.
    pub(super) fn candidate(
        &mut self,
        new: &Arrival<'_>,
        plan: &Plan,
        event: Event,
    ) -> Result<Option<Candidate>, StoreError> {
        let no_storm_is_open = self.shared.scheduler.lock().has_no_open_storm();
        let may_belong = plan.storm.is_some() || event.status == Status::Resolved;
        let new_candidate = |text: &Arc<str>| Candidate {
            text: Arc::clone(text),
            event,
            storm: None,
            is_counted: false,
            is_clean: false,
        };
        let candidate = plan.storm.as_ref().map(new_candidate);
        if !may_belong || (no_storm_is_open && event.status == Status::Resolved) {
            return Ok(candidate);
        }
        let known = self.known(event)?;
        let is_current = known.occurrence == Some(event.occurrence);
        let Some(firing) = known.firing.as_ref().filter(|_| is_current) else {
            return Ok(candidate);
        };
        let runs = new.earlier_runs(&firing.memory, &plan.route);
        let resolved = known.resolved.as_ref();
        let has_resolved =
            resolved.is_some_and(|kept| !new.earlier_runs(&kept.memory, &plan.route).is_empty());
        let storm = match no_storm_is_open {
            true => None,
            false => self.open_storm_of(&runs, plan)?,
        };
        // A re-send of what fired in a storm, or the end of it, belongs there too, even if storms were switched off since.
        if let Some(storm) = storm {
            let candidate = candidate.unwrap_or_else(|| new_candidate(&storm.key.text));
            return Ok(Some(Candidate {
                storm: Some(storm.id),
                is_counted: event.status == Status::Firing || has_resolved,
                ..candidate
            }));
        }
        // One that people know from a message of its own has its reminder there.
        match event.status {
            Status::Firing if self.was_notified_alone(&runs)? => Ok(None),
            _ => Ok(candidate),
        }
    }

    /// Returns the open storm that one of these runs belongs to, if `plan` has its handlers or may be part of a storm.
    fn open_storm_of(&mut self, runs: &[Run], plan: &Plan) -> Result<Option<Storm>, StoreError> {
        for run in runs {
            let Some(id) = self.storm_of(run.delivery)? else {
                continue;
            };
            let scheduler = self.shared.scheduler.lock();
            let open = scheduler.open_storm(id).cloned();
            drop(scheduler);
            let joins =
                |storm: &Storm| plan.storm.is_some() || *storm.key.pipeline == *plan.handlers;
            if let Some(storm) = open.filter(joins) {
                return Ok(Some(storm));
            }
        }
        Ok(None)
    }

    /// Returns the storm that a delivery belongs to.
    fn storm_of(&mut self, id: DeliveryId) -> Result<Option<DeliveryId>, StoreError> {
        if let Some(storm) = self.shared.scheduler.lock().storm_of(id) {
            return Ok(storm);
        }
        Ok(self.row(id)?.and_then(|row| row.storm))
    }

    /// Returns true if the latest of these runs of a firing is known to have notified people, of that firing alone.
    fn was_notified_alone(&mut self, runs: &[Run]) -> Result<bool, StoreError> {
        let Some(latest) = runs.first() else {
            return Ok(false);
        };
        Ok(match self.row(latest.delivery)? {
            Some(row) if row.storm.is_some() => false,
            Some(row) if row.state == State::Done => true,
            Some(row) => self.has_actor_effect(row.id)?,
            None => false,
        })
    }
}
