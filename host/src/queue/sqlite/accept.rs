//! Takes alerts in, within the committer's transaction.

use std::sync::Arc;

use crate::alert::{Alert, DeliveryId, Priority, Status, Timestamp};
use crate::queue::dead_letters::DeathKind;
use crate::queue::inbox::{AcceptJob, NewAlert};
use crate::queue::scheduler::Entrant;
use crate::queue::types::{Accepted, Plan, Refused, Verdict};

use super::committer::{Committer, Group, Handed};
use super::memory::Memory;
use super::rows::{self, NewDelivery, Stored};
use super::schema::{DEAD, DONE, QUEUED};

/// Why a delivery is done that no route wanted.
const UNROUTED: &str = "unrouted";

/// Why a delivery is dead that came when its handler already had half of the queue.
const BACKLOG: &str = "backlog: half of the queue already waits for a handler of this pipeline; \
                       send it again when that has caught up";

/// What one transaction has taken of one body.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) refused_ids: Vec<DeliveryId>,
    pub(super) whole: bool,
}

impl Committer {
    /// Takes up to `alerts_max` alerts of a body in, and at its end what was refused of it.
    pub(super) fn accept(
        &mut self,
        group: &mut Group,
        job: &AcceptJob,
        alerts_max: usize,
    ) -> rusqlite::Result<Part> {
        let mut part = Part::default();
        for new in job.alerts[job.taken..].iter().take(alerts_max) {
            let verdict = self.accept_alert(group, new)?;
            part.verdicts.push(verdict);
        }
        part.whole = job.taken + part.verdicts.len() == job.alerts.len();
        if part.whole {
            for refused in &job.refused {
                part.refused_ids.push(self.keep_refused(group, refused)?);
            }
        }
        Ok(part)
    }

    pub(super) fn accept_alert(
        &mut self,
        group: &mut Group,
        new: &NewAlert,
    ) -> rusqlite::Result<Verdict> {
        let dated = self.with_start(new)?;
        let (alert, json) = dated
            .as_ref()
            .map_or((&new.alert, &new.json), |(alert, json)| (alert, json));
        let event = alert.event();
        let known = self.events.look_up(&self.conn, event)?;
        if event.status == Status::Firing && known.resolved {
            let resolved = crate::alert::Event {
                status: Status::Resolved,
                ..event
            };
            self.events.seen_again(&self.conn, resolved, group.now)?;
            return Ok(Verdict::Stale);
        }
        let plans: Vec<&Plan> = new
            .plans
            .iter()
            .filter(|p| !p.handlers.is_empty())
            .collect();
        let Some(mut memory) = known.same else {
            let mut memory = Memory::default();
            let mut accepted = Vec::with_capacity(plans.len().max(1));
            for plan in &plans {
                let taken = self.insert(group, alert, json, plan)?;
                memory.ran(&plan.route, taken.id, group.now);
                accepted.push(taken);
            }
            if plans.is_empty() {
                accepted.push(self.insert_unrouted(group, alert, json)?);
            }
            let first = accepted[0].id;
            self.events.remember(event, memory, first, group.now);
            return Ok(Verdict::Accepted(accepted));
        };
        let mut accepted = Vec::new();
        for plan in plans {
            if let Some(again) = self.run_again(group, alert, json, plan, &memory)? {
                memory.ran(&plan.route, again.id, group.now);
                accepted.push(again);
            }
        }
        if accepted.is_empty() {
            self.events.seen_again(&self.conn, event, group.now)?;
            return Ok(Verdict::Duplicate);
        }
        self.events
            .runs_again(&self.conn, event, memory, group.now)?;
        Ok(Verdict::Accepted(accepted))
    }

    /// Gives an alert without a start that of the firing it belongs to.
    fn with_start(&self, new: &NewAlert) -> rusqlite::Result<Option<(Arc<Alert>, String)>> {
        if !new.starts_at_missing {
            return Ok(None);
        }
        let Some(starts_at) = self.events.open_firing(&self.conn, new.alert.fingerprint)? else {
            return Ok(None);
        };
        let alert = Alert {
            starts_at,
            ..Alert::clone(&new.alert)
        };
        let json = serde_json::to_string(&alert)
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        Ok(Some((Arc::new(alert), json)))
    }

    /// A known event comes again: a dead delivery of it is revived, and one that ran long enough ago
    /// runs again as a reminder. Returns nothing where it is a duplicate on this route.
    fn run_again(
        &mut self,
        group: &mut Group,
        alert: &Arc<Alert>,
        json: &str,
        plan: &Plan,
        memory: &Memory,
    ) -> rusqlite::Result<Option<Accepted>> {
        let mut ended = None;
        if let Some(run) = memory.run_on(&plan.route) {
            if self.shared.scheduler.lock().contains(run.delivery) {
                return Ok(None);
            }
            let stored = Stored::load(&self.conn, run.delivery)?;
            ended = stored.as_ref().and_then(|s| s.settled_at);
            if let Some(stored) = stored.filter(|s| s.state == DEAD) {
                let given_up = stored.last_error.as_deref() == Some(super::CANCELLED);
                let room = self.shared.scheduler.lock().has_room(&stored.pipeline);
                if given_up || !room {
                    return Ok(None);
                }
                let accepted = Accepted {
                    id: stored.id,
                    handlers: stored.pipeline.clone(),
                };
                self.revive(group, &stored)?;
                return Ok(Some(accepted));
            }
        }
        if !memory.is_due(&plan.route, plan.repeat_after, ended, group.now) {
            return Ok(None);
        }
        self.insert(group, alert, json, plan).map(Some)
    }

    fn insert(
        &mut self,
        group: &mut Group,
        alert: &Arc<Alert>,
        json: &str,
        plan: &Plan,
    ) -> rusqlite::Result<Accepted> {
        let id = self.next_id(group.now);
        let route = self.texts.route(&plan.route);
        let pipeline = self.texts.pipeline(&plan.handlers);
        let (room, grant) = {
            let mut scheduler = self.shared.scheduler.lock();
            let room = scheduler.has_room(&pipeline);
            let grant = room.then(|| {
                let entrant = Entrant {
                    id,
                    route,
                    fingerprint: alert.fingerprint,
                    pipeline: Arc::clone(&pipeline),
                    handler: pipeline[0].clone(),
                    priority: plan.priority,
                    due: group.ticks,
                    accepted_at: group.now,
                    since: group.ticks,
                    leases: 0,
                    after_crash: false,
                    alert: Some(Arc::clone(alert)),
                    alert_bytes: json.len(),
                };
                scheduler.admit(entrant, group.ticks)
            });
            (room, grant.flatten())
        };
        let state = match (room, &grant) {
            (false, _) => DEAD,
            (true, Some(grant)) => rows::leased(grant),
            (true, None) => QUEUED,
        };
        rows::insert(
            &self.conn,
            &NewDelivery {
                id,
                state,
                leases: u32::from(grant.is_some()),
                settled_at: (!room).then_some(group.now),
                last_error: (!room).then_some(BACKLOG),
                handlers: &rows::join_handlers(&pipeline),
                route: &plan.route,
                priority: plan.priority,
                ..of_alert(alert, json, group.now)
            },
        )?;
        if !room {
            self.die(group, id, DeathKind::Backlog)?;
        }
        group.handed.extend(grant.map(Handed::new));
        Ok(Accepted {
            id,
            handlers: plan.handlers.clone(),
        })
    }

    fn insert_unrouted(
        &mut self,
        group: &Group,
        alert: &Alert,
        json: &str,
    ) -> rusqlite::Result<Accepted> {
        let id = self.next_id(group.now);
        rows::insert(
            &self.conn,
            &NewDelivery {
                id,
                state: DONE,
                settled_at: Some(group.now),
                last_error: Some(UNROUTED),
                ..of_alert(alert, json, group.now)
            },
        )?;
        Ok(Accepted {
            id,
            handlers: Vec::new(),
        })
    }

    fn keep_refused(
        &mut self,
        group: &mut Group,
        refused: &Refused,
    ) -> rusqlite::Result<DeliveryId> {
        let id = self.next_id(group.now);
        rows::insert(
            &self.conn,
            &NewDelivery {
                id,
                state: DEAD,
                leases: 0,
                priority: Priority::Normal,
                status: None,
                fingerprint: None,
                starts_at: None,
                accepted_at: group.now,
                settled_at: Some(group.now),
                alertname: &refused.alertname,
                route: "",
                handlers: "",
                last_error: Some(&refused.error),
                json: &refused.json,
            },
        )?;
        self.die(group, id, DeathKind::Refused)?;
        Ok(id)
    }
}

/// Returns what is always the same of an alert's delivery; the rest is that of one without a route.
fn of_alert<'a>(alert: &'a Alert, json: &'a str, now: Timestamp) -> NewDelivery<'a> {
    NewDelivery {
        id: DeliveryId::from_raw(0),
        state: QUEUED,
        leases: 0,
        priority: Priority::of(&alert.labels),
        status: Some(alert.status),
        fingerprint: Some(alert.fingerprint),
        starts_at: Some(alert.starts_at),
        accepted_at: now,
        settled_at: None,
        alertname: alert.name(),
        route: "",
        handlers: "",
        last_error: None,
        json,
    }
}
