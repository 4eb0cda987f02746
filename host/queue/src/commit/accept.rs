//! Accepts alerts: recognizes each, and stores its deliveries.

use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Event, Priority};
use alert_manager_core::plan::Plan;

use crate::model::{
    Accepted, Arrived, Delivery, Kept, KeptRefused, Memory, NewAlert, Reason, Refused, Remember,
    State, Verdict, alias,
};
use crate::rules::admission::{self, Arrival, Begins, UNROUTED};
use crate::rules::recognize::{self, Belongs, News, Recognized};
use crate::rules::rerun::{Again, earlier_run};
use crate::rules::revive::Reviver;
use crate::schedule::Entrant;
use crate::store::{Change, StoreError, Txn};

use super::group::Work;
use super::inbox::AcceptJob;

/// The part of a body that one transaction has stored.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) refused: Vec<KeptRefused>,
    /// True if this was the last part.
    pub(super) whole: bool,
}

impl<'m, T: Txn> Work<'_, 'm, T> {
    /// Decides about what servers without the term have accepted.
    pub(super) fn accept_arrived(&mut self, arrived: &'m [Arrived]) -> Result<(), StoreError> {
        if arrived.is_empty() {
            return Ok(());
        }
        let named = arrived.iter().filter_map(|one| match one {
            Arrived::Alert(new) if !new.starts_at_missing => Some(recognize::named(&new.alert)),
            _ => None,
        });
        self.recall(named.collect())?;
        let on_arrival = self.shared.on_arrival.lock().clone();
        let mut part = Part::default();
        for one in arrived {
            match one {
                Arrived::Alert(new) => {
                    part.verdicts.push(self.accept_alert(new)?);
                    if let Some(look) = on_arrival.as_ref() {
                        look.0(&new.alert);
                    }
                }
                Arrived::Refused(refused) => part.refused.push(self.keep_refused(refused)?),
            }
        }
        self.count_received(&part);
        Ok(())
    }

    /// Accepts at most `alerts_max` alerts of these bodies.
    pub(super) fn accept_all(
        &mut self,
        jobs: &'m [AcceptJob],
        mut alerts_max: usize,
    ) -> Result<Vec<Part>, StoreError> {
        let taken = jobs.iter().flat_map(|job| &job.alerts[job.taken..]);
        let named = taken.take(alerts_max).filter(|new| !new.starts_at_missing);
        self.recall(named.map(|new| recognize::named(&new.alert)).collect())?;
        let mut parts = Vec::with_capacity(jobs.len());
        for job in jobs {
            let part = self.accept(job, alerts_max)?;
            alerts_max = alerts_max.saturating_sub(part.verdicts.len());
            self.count_received(&part);
            parts.push(part);
        }
        Ok(parts)
    }

    /// Accepts at most `alerts_max` alerts of a body, and with the last of them its refused parts.
    fn accept(&mut self, job: &'m AcceptJob, alerts_max: usize) -> Result<Part, StoreError> {
        let mut part = Part::default();
        for new in job.alerts[job.taken..].iter().take(alerts_max) {
            let verdict = self.accept_alert(new)?;
            part.verdicts.push(verdict);
        }
        part.whole = job.taken + part.verdicts.len() == job.alerts.len();
        if part.whole {
            for refused in &job.refused {
                part.refused.push(self.keep_refused(refused)?);
            }
        }
        Ok(part)
    }

    fn accept_alert(&mut self, new: &'m NewAlert) -> Result<Verdict, StoreError> {
        let Recognized { event, news, sent } = self.recognize(new)?;
        if let News::Stale(resolved) = news {
            self.remember(resolved, self.again(None, true))?;
            return Ok(Verdict::Stale);
        }
        let arrival = Arrival::of_message(new, event, sent)?;
        match news {
            News::Known(memory) => self.accept_again(&new.plans, &arrival, event, memory),
            _ => self.accept_new(&new.plans, &arrival, event),
        }
    }

    /// Determines which event an alert is.
    fn recognize(&mut self, new: &NewAlert) -> Result<Recognized, StoreError> {
        let (named, now) = (recognize::named(&new.alert), self.now);
        if new.starts_at_missing {
            let open = self.open_firings(named.fingerprint, 1)?;
            let starts_at = open.first().map_or(named.starts_at, |open| open.starts_at);
            let event = Event { starts_at, ..named };
            return Ok(recognize::judge(event, self.known(event)?, None, now));
        }
        let known = self.known(named)?;
        let starts_at = match recognize::belongs(named, known) {
            Belongs::ToItsOwn => return Ok(recognize::judge(named, known, None, now)),
            Belongs::To(starts_at) => Some(starts_at),
            Belongs::ToOpen => recognize::only_one(&self.open_firings(named.fingerprint, 2)?),
        };
        let Some(starts_at) = starts_at else {
            return Ok(recognize::judge(named, self.known(named)?, None, now));
        };
        let event = Event { starts_at, ..named };
        let sent = Some(named.starts_at);
        Ok(recognize::judge(event, self.known(event)?, sent, now))
    }

    fn accept_new(
        &mut self,
        plans: &'m [Plan],
        new: &Arrival<'m>,
        event: Event,
    ) -> Result<Verdict, StoreError> {
        let mut memory = Memory::default();
        let mut accepted = Vec::with_capacity(plans.len().max(1));
        for plan in admission::runnable(plans) {
            let taken = self.insert(new, plan)?;
            memory.ran(&plan.route, taken.id, self.now);
            accepted.push(taken);
        }
        self.end_occurrence(new, event)?;
        if accepted.is_empty() {
            accepted.push(self.insert_unrouted(new));
        }
        let first = accepted[0].id;
        self.remember_new(event, memory, first)?;
        if let Some(sent) = new.sent {
            let kept = Kept {
                ends: Some(crate::model::clock::nanos(event.starts_at)),
                ..Kept::seen_first(self.now)
            };
            self.remember(alias(event, sent), Remember::New { kept, first })?;
        }
        Ok(Verdict::Accepted(accepted))
    }

    fn accept_again(
        &mut self,
        plans: &'m [Plan],
        new: &Arrival<'m>,
        event: Event,
        mut memory: Memory,
    ) -> Result<Verdict, StoreError> {
        if let Some(sent) = new.sent {
            self.remember(alias(event, sent), self.again(None, false))?;
        }
        let mut accepted = Vec::new();
        for plan in admission::runnable(plans) {
            if let Some((route, again)) = self.run_again(new, plan, plans, &mut memory)? {
                memory.ran(&route, again.id, self.now);
                accepted.push(again);
            }
        }
        if accepted.is_empty() {
            let ran_as = memory.deliveries();
            self.remember(event, self.again(Some(memory), true))?;
            return Ok(Verdict::Duplicate(ran_as));
        }
        self.remember(event, self.again(Some(memory), false))?;
        Ok(Verdict::Accepted(accepted))
    }

    /// Handles a known event on one of its routes: a dead delivery is revived, and an event that ran long enough ago runs again as a
    /// reminder. Returns the delivery with its route; nothing if the event is a duplicate there.
    fn run_again(
        &mut self,
        new: &Arrival<'m>,
        plan: &Plan,
        plans: &[Plan],
        memory: &mut Memory,
    ) -> Result<Option<(Arc<str>, Accepted)>, StoreError> {
        self.load(&memory.deliveries())?;
        if let Some(earlier) = earlier_run(plan, plans, memory, &self.rows) {
            let id = earlier.delivery();
            let is_open = self.shared.scheduler.lock().contains(id);
            let again = earlier.again(plan, is_open, self.now);
            if let Some(stays_dead) = earlier.stays_dead(plan) {
                memory.set_stays_dead(id, stays_dead);
            }
            match again {
                Again::Duplicate => return Ok(None),
                Again::Revive(row) => {
                    let row = row.clone();
                    let with = self.representative_to_revive(&row)?;
                    let first = with.as_ref().unwrap_or(&row);
                    let count = self.revived_with(first.id)?;
                    let scheduler = self.shared.scheduler.lock();
                    let has_room = scheduler.has_room_for_all(&first.pipeline, count);
                    drop(scheduler);
                    if !has_room {
                        return Ok(None);
                    }
                    self.revive(first, Reviver::Resend)?;
                    let accepted = Accepted {
                        id: row.id,
                        handlers: row.pipeline,
                    };
                    return Ok(Some((row.route.as_str().into(), accepted)));
                }
                Again::Run => {}
            }
        }
        let accepted = self.insert(new, plan)?;
        Ok(Some((Arc::clone(&plan.route), accepted)))
    }

    /// Stores an event on one more route, without looking at its runs on others. `memory` are these runs; absent if the event is
    /// new.
    pub(super) fn accept_on(
        &mut self,
        new: &Arrival<'m>,
        plan: &Plan,
        memory: Option<Memory>,
    ) -> Result<DeliveryId, StoreError> {
        let event = new.alert.event();
        let id = self.insert(new, plan)?.id;
        let is_new = memory.is_none();
        let mut memory = memory.unwrap_or_default();
        memory.ran(&plan.route, id, self.now);
        if is_new {
            self.end_occurrence(new, event)?;
            self.remember_new(event, memory, id)?;
        } else {
            self.remember(event, self.again(Some(memory), false))?;
        }
        Ok(id)
    }

    fn remember_new(
        &mut self,
        event: Event,
        memory: Memory,
        first: DeliveryId,
    ) -> Result<(), StoreError> {
        let kept = Kept {
            memory,
            ..Kept::seen_first(self.now)
        };
        self.remember(event, Remember::New { kept, first })
    }

    fn again(&self, memory: Option<Memory>, is_duplicate: bool) -> Remember {
        Remember::Again {
            at: self.now,
            memory,
            is_duplicate,
        }
    }

    /// Stores a delivery on a route.
    pub(super) fn insert(
        &mut self,
        new: &Arrival<'m>,
        plan: &Plan,
    ) -> Result<Accepted, StoreError> {
        let id = self.state.next_id(self.now);
        let route = self.state.texts.route(&plan.route);
        let pipeline = self.state.texts.pipeline(&plan.handlers);
        let event = new.alert.event();
        self.count_on(&route);
        let storm = self.candidate(new, plan, event)?;
        let belongs_to = storm.as_ref().and_then(|storm| storm.storm);
        let storm_key = storm.as_ref().map(|storm| Arc::clone(&storm.text));
        let (begins, mut grant, late) = {
            let mut scheduler = self.shared.scheduler.lock();
            if scheduler.has_room(&pipeline) {
                let entrant = Entrant {
                    id,
                    route: Arc::clone(&route),
                    other_routes: new.other_routes.clone(),
                    fingerprint: new.alert.fingerprint,
                    pipeline: Arc::clone(&pipeline),
                    handler: pipeline[0].clone(),
                    priority: plan.priority,
                    due: self.group.ticks,
                    accepted_at: self.now,
                    since: self.group.ticks,
                    leases: 0,
                    after_crash: false,
                    suspected: 0,
                    waits_for: Vec::new(),
                    alert: Some(Arc::clone(&new.alert)),
                    alert_bytes: new.json.len(),
                    storm,
                    cause: new.cause(),
                };
                match scheduler.admit(entrant, self.group.ticks) {
                    Some(grant) => (Begins::Leased, Some(grant), None),
                    None => {
                        let late = scheduler.run_with_late_firing(id, self.group.ticks);
                        (Begins::Waiting, None, late)
                    }
                }
            } else {
                (Begins::Backlog, None, None)
            }
        };
        if let (Some(grant), Some(timer)) = (&mut grant, &new.timer) {
            grant.stored.progress = Some(timer.progress.to_string());
        }
        let mut delivery = new.on_route(id, plan, (route, pipeline), begins, self.now);
        delivery.storm_key = storm_key;
        delivery.storm = belongs_to;
        self.push(Change::Insert(delivery));
        if let Some(firing) = late {
            self.coalesce_late(firing, id);
        }
        if begins == Begins::Backlog {
            self.die(id, Reason::Backlog)?;
        }
        // A new delivery: nothing of it has to be read.
        self.group.grants.extend(grant);
        Ok(Accepted {
            id,
            handlers: plan.handlers.clone(),
        })
    }

    fn insert_unrouted(&mut self, new: &Arrival<'m>) -> Accepted {
        let id = self.state.next_id(self.now);
        self.push(Change::Insert(new.unrouted(id, self.now)));
        let no_route = self.state.texts.route("");
        self.count_on(&no_route);
        self.count_settled(&[], Reason::Unrouted, self.now);
        if self.reports_settled() {
            self.group.settled.push(Delivery {
                id,
                fingerprint: new.alert.fingerprint.to_string(),
                alertname: new.alert.name().to_owned(),
                status: new.alert.status.as_str().to_owned(),
                priority: Priority::Normal,
                state: State::Done,
                route: String::new(),
                handlers: Vec::new(),
                attempts: 0,
                received_at: self.now,
                settled_at: Some(self.now),
                first_died_at: None,
                reason: Some(Reason::Unrouted),
                last_error: Some(UNROUTED.to_owned()),
                coalesced_into: None,
                storm: None,
                timer: None,
            });
        }
        Accepted {
            id,
            handlers: Vec::new(),
        }
    }

    fn keep_refused(&mut self, part: &'m Refused) -> Result<KeptRefused, StoreError> {
        self.flush()?;
        let (digest, at) = (part.digest, self.now);
        if let Some(Some(id)) = self.txn.parts(&[digest])?.pop() {
            self.push(Change::PartAgain { digest, at });
            return Ok(KeptRefused { id, is_known: true });
        }
        let id = self.state.next_id(at);
        self.push(Change::KeepPart {
            digest,
            kept_as: id,
            at,
        });
        self.push(Change::Insert(admission::kept_part(id, part, at)));
        self.die(id, Reason::Refused)?;
        Ok(KeptRefused {
            id,
            is_known: false,
        })
    }
}
