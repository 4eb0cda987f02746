//! Takes alerts in, within the committer's transaction.

use std::sync::Arc;

use crate::commit::inbox::AcceptJob;
use crate::model::Beside;
use crate::model::NewAlert;
use crate::model::Reason;
use crate::model::{Accepted, Delivery, KeptRefused, Refused, State, Verdict};
use crate::schedule::Entrant;
use alert_manager_core::alert::{Alert, DeliveryId, Event, Occurrence, Priority, Timestamp};
use alert_manager_core::plan::Plan;

use super::committer::{Committer, Group, Handed};
use super::memory::Memory;
use super::recognize::{News, Recognized};
use super::refused;
use super::rows::{self, NewDelivery};
use super::schema::{DEAD, DONE, QUEUED, RUNNING};

/// What is said of a delivery that no route wanted ([`Reason::Unrouted`]).
const UNROUTED: &str = "unrouted";

/// What is said of a delivery that came when its handler already had half of the queue ([`Reason::Backlog`]).
const BACKLOG: &str = "backlog: half of the queue already waits for a handler of this pipeline; \
                       send it again when that has caught up";

/// What one transaction has taken of one body.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) refused: Vec<KeptRefused>,
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
                part.refused.push(self.keep_refused(group, refused)?);
            }
        }
        Ok(part)
    }

    pub(super) fn accept_alert(
        &mut self,
        group: &mut Group,
        new: &NewAlert,
    ) -> rusqlite::Result<Verdict> {
        let Recognized { event, news, sent } =
            self.events
                .recognize(&self.conn, &new.alert, new.starts_at_missing, group.now)?;
        if let News::Stale(resolved) = news {
            self.events.seen_again(&self.conn, resolved, group.now)?;
            return Ok(Verdict::Stale);
        }
        let changed = as_event(new, event)?;
        let (alert, json) = changed
            .as_ref()
            .map_or((&new.alert, &new.json), |(alert, json)| (alert, json));
        let arrival = Arrival {
            alert,
            json,
            sent,
            plans: &new.plans,
            beside: Beside::of(new.plans.iter().map(|plan| Arc::clone(&plan.route))),
        };
        match news {
            News::Known(memory) => self.accept_again(group, &arrival, event, memory),
            _ => self.accept_new(group, &arrival, event),
        }
    }

    fn accept_new(
        &mut self,
        group: &mut Group,
        new: &Arrival<'_>,
        event: Event,
    ) -> rusqlite::Result<Verdict> {
        let mut memory = Memory::default();
        let mut accepted = Vec::with_capacity(new.plans.len().max(1));
        for plan in new.runnable() {
            let taken = self.insert(group, new, plan)?;
            memory.ran(&plan.route, taken.id, group.now);
            accepted.push(taken);
        }
        if accepted.is_empty() {
            accepted.push(self.insert_unrouted(group, new)?);
        }
        let first = accepted[0].id;
        self.events.remember(event, memory, first, group.now);
        if let Some(sent) = new.sent {
            self.events.remember_sent(event, sent, first, group.now);
        }
        Ok(Verdict::Accepted(accepted))
    }

    fn accept_again(
        &mut self,
        group: &mut Group,
        new: &Arrival<'_>,
        event: Event,
        mut memory: Memory,
    ) -> rusqlite::Result<Verdict> {
        if let Some(sent) = new.sent {
            self.events.sent_again(&self.conn, event, sent, group.now)?;
        }
        let mut accepted = Vec::new();
        for plan in new.runnable() {
            if let Some((route, again)) = self.run_again(group, new, plan, &mut memory)? {
                memory.ran(&route, again.id, group.now);
                accepted.push(again);
            }
        }
        if accepted.is_empty() {
            let ran_as = memory.deliveries();
            self.events
                .sent_in_vain(&self.conn, event, memory, group.now)?;
            return Ok(Verdict::Duplicate(ran_as));
        }
        self.events
            .runs_again(&self.conn, event, memory, group.now)?;
        Ok(Verdict::Accepted(accepted))
    }

    /// Stores an event that is known to be due on one more route, whatever became of it on others; `memory` is what is known of
    /// it. It waits for none of its other routes.
    pub(super) fn accept_on(
        &mut self,
        group: &mut Group,
        new: &NewAlert,
        (event, plan): (Event, &Plan),
        memory: Option<Memory>,
    ) -> rusqlite::Result<DeliveryId> {
        let changed = as_event(new, event)?;
        let (alert, json) = changed
            .as_ref()
            .map_or((&new.alert, &new.json), |(alert, json)| (alert, json));
        let arrival = Arrival {
            alert,
            json,
            sent: None,
            plans: &new.plans,
            beside: Beside::Anything,
        };
        let id = self.insert(group, &arrival, plan)?.id;
        let is_new = memory.is_none();
        let mut memory = memory.unwrap_or_default();
        memory.ran(&plan.route, id, group.now);
        if is_new {
            self.events.remember(event, memory, id, group.now);
        } else {
            self.events
                .runs_again(&self.conn, event, memory, group.now)?;
        }
        Ok(id)
    }

    pub(super) fn insert(
        &mut self,
        group: &mut Group,
        new: &Arrival<'_>,
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
                    beside: new.beside.clone(),
                    fingerprint: new.alert.fingerprint,
                    pipeline: Arc::clone(&pipeline),
                    handler: pipeline[0].clone(),
                    priority: plan.priority,
                    due: group.ticks,
                    accepted_at: group.now,
                    since: group.ticks,
                    leases: 0,
                    after_crash: false,
                    suspected: 0,
                    waits_for: Vec::new(),
                    alert: Some(Arc::clone(new.alert)),
                    alert_bytes: new.json.len(),
                };
                scheduler.admit(entrant, group.ticks)
            });
            (room, grant.flatten())
        };
        let state = match (room, &grant) {
            (false, _) => DEAD,
            (true, Some(_)) => RUNNING,
            (true, None) => QUEUED,
        };
        rows::insert(
            &self.conn,
            &NewDelivery {
                id,
                state,
                leases: u32::from(grant.is_some()),
                settled_at: (!room).then_some(group.now),
                reason: (!room).then_some(Reason::Backlog),
                last_error: (!room).then_some(BACKLOG),
                handlers: &rows::join_handlers(&pipeline),
                route: &plan.route,
                beside: rows::beside_text(&new.beside).as_deref(),
                priority: plan.priority,
                ..new.delivery(group.now)
            },
        )?;
        if !room {
            self.die(group, id, Reason::Backlog)?;
        }
        group.handed.extend(grant.map(Handed::new));
        Ok(Accepted {
            id,
            handlers: plan.handlers.clone(),
        })
    }

    fn insert_unrouted(
        &mut self,
        group: &mut Group,
        new: &Arrival<'_>,
    ) -> rusqlite::Result<Accepted> {
        let id = self.next_id(group.now);
        rows::insert(
            &self.conn,
            &NewDelivery {
                id,
                state: DONE,
                settled_at: Some(group.now),
                reason: Some(Reason::Unrouted),
                last_error: Some(UNROUTED),
                ..new.delivery(group.now)
            },
        )?;
        if self.reports_settled() {
            group.settled.push(Delivery {
                id,
                fingerprint: new.alert.fingerprint.to_string(),
                alertname: new.alert.name().to_owned(),
                status: new.alert.status.as_str().to_owned(),
                state: State::Done,
                route: String::new(),
                handlers: Vec::new(),
                attempts: 0,
                received_at: group.now,
                settled_at: Some(group.now),
                first_died_at: None,
                reason: Some(Reason::Unrouted),
                last_error: Some(UNROUTED.to_owned()),
            });
        }
        Ok(Accepted {
            id,
            handlers: Vec::new(),
        })
    }

    fn keep_refused(
        &mut self,
        group: &mut Group,
        refused: &Refused,
    ) -> rusqlite::Result<KeptRefused> {
        if let Some(id) = refused::seen_again(&self.conn, &refused.digest, group.now)? {
            return Ok(KeptRefused { id, is_known: true });
        }
        let id = self.next_id(group.now);
        refused::remember(&self.conn, &refused.digest, id, group.now)?;
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
                occurrence: Occurrence::FIRST,
                sent_starts_at: None,
                accepted_at: group.now,
                settled_at: Some(group.now),
                alertname: &refused.alertname,
                route: "",
                beside: None,
                handlers: "",
                reason: Some(Reason::Refused),
                last_error: Some(&refused.error),
                json: &refused.json,
            },
        )?;
        self.die(group, id, Reason::Refused)?;
        Ok(KeptRefused {
            id,
            is_known: false,
        })
    }
}

/// An alert whose event is known.
pub(super) struct Arrival<'a> {
    alert: &'a Arc<Alert>,
    json: &'a str,
    /// The start that the sender gave, if that of the event is another.
    sent: Option<Timestamp>,
    pub(super) plans: &'a [Plan],
    beside: Beside,
}

impl Arrival<'_> {
    /// Returns the plans that have something to run.
    fn runnable(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().filter(|plan| !plan.handlers.is_empty())
    }

    /// Returns what is always the same of an alert's delivery; the rest is that of one without a route.
    fn delivery(&self, now: Timestamp) -> NewDelivery<'_> {
        NewDelivery {
            id: DeliveryId::from_raw(0),
            state: QUEUED,
            leases: 0,
            priority: Priority::of(&self.alert.labels),
            status: Some(self.alert.status),
            fingerprint: Some(self.alert.fingerprint),
            starts_at: Some(self.alert.starts_at),
            occurrence: self.alert.occurrence(),
            sent_starts_at: self.sent,
            accepted_at: now,
            settled_at: None,
            alertname: self.alert.name(),
            route: "",
            beside: None,
            handlers: "",
            reason: None,
            last_error: None,
            json: self.json,
        }
    }
}

/// Gives an alert the start and the occurrence of its event, where it has others.
fn as_event(new: &NewAlert, event: Event) -> rusqlite::Result<Option<(Arc<Alert>, String)>> {
    if new.alert.event() == event {
        return Ok(None);
    }
    let mut alert = Alert {
        starts_at: event.starts_at,
        ..Alert::clone(&new.alert)
    };
    alert.set_occurrence(event.occurrence);
    let json = serde_json::to_string(&alert)
        .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    Ok(Some((Arc::new(alert), json)))
}
