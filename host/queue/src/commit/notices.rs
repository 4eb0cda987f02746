//! Notices about dead letters, and alarms: the way that each takes, the next way if it dies, and its resolved. They are stored in
//! the transaction of what causes them.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{
    Alert, DeliveryId, Event, Fingerprint, HandlerName, Priority, Status, is_dead_letter_route,
};
use alert_manager_core::plan::Plan;

use crate::model::{
    DeadLetter, DeadLetterNotices, Delivery, Memory, OPEN_AMONG, Raised, Reason, Row, SUBJECT,
    State,
};
use crate::rules::admission::Arrival;
use crate::rules::notices::{choose, is_current, subject_of, ways_left};
use crate::store::{StoreError, Txn};

use super::group::Work;

/// The `repeat_after` of notices and alarms: longer than any store is used, so that they have no reminders.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Whether the consequences of a notice's end are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// It took its next way or was resolved, or needs neither.
    Now,
    /// Not now: there is nobody to notify, or no room in the queue.
    NotNow,
}

impl<T: Txn> Work<'_, '_, T> {
    /// Stores a notice or alarm on its first way, unless it fires already.
    pub(super) fn notify(
        &mut self,
        notices: &dyn DeadLetterNotices,
        mut alert: Alert,
        priority: Priority,
    ) -> Result<Raised, StoreError> {
        let known = self.known(alert.event())?;
        if let Some(occurrence) = known.occurrence {
            if known.resolved.is_none() {
                return Ok(Raised::Known);
            }
            alert.set_occurrence(occurrence.next());
        }
        self.take_way(notices, alert, priority, None)
    }

    /// Returns the priority of a delivery. A notice about it has the same.
    pub(super) fn priority_of(&mut self, id: DeliveryId) -> Result<Priority, StoreError> {
        let row = self.row(id)?;
        Ok(row.map_or(Priority::Critical, |row| row.priority))
    }

    fn take_way(
        &mut self,
        notices: &dyn DeadLetterNotices,
        alert: Alert,
        priority: Priority,
        memory: Option<Memory>,
    ) -> Result<Raised, StoreError> {
        let mut ways = notices.ways();
        if let Some(memory) = &memory {
            ways = ways_left(ways, &self.runs(memory)?);
        }
        if ways.is_empty() {
            return Ok(Raised::Nowhere);
        }
        let chosen = {
            let scheduler = self.shared.scheduler.lock();
            choose(&ways, |way| scheduler.has_room(&way.handlers))
        };
        let Some(chosen) = chosen else {
            return Ok(Raised::NoRoom);
        };
        let way = ways.swap_remove(chosen);
        self.put_notice(alert, &plan(way.route, way.handlers, priority), memory)?;
        Ok(Raised::Stored)
    }

    fn put_notice(
        &mut self,
        alert: Alert,
        plan: &Plan,
        memory: Option<Memory>,
    ) -> Result<(), StoreError> {
        let id = self.accept_on(&Arrival::of_own(alert)?, plan, memory)?;
        // It may be dead at once, because of a backlog.
        if self.shared.scheduler.lock().contains(id) {
            self.watch(id, &plan.route);
        }
        Ok(())
    }

    /// Handles the end of a notice. If it is out of date, it is resolved on the ways by which it was reported. Otherwise it takes its
    /// next way, unless a person was notified. If no way is left, it is logged and counted.
    pub(super) fn follow(&mut self, notice: &Delivery) -> Result<Followed, StoreError> {
        let Some(notices) = self.notices() else {
            return Ok(Followed::NotNow);
        };
        let Some(alert) = self.alert_of(notice.id)? else {
            return Ok(Followed::Now);
        };
        if self.is_out_of_date(&alert)? {
            return self.resolve(&*notices, alert.event());
        }
        let known = self.known(alert.event())?;
        let is_later = known.occurrence > Some(alert.occurrence());
        let memory = known.firing_memory();
        if known.resolved.is_some() && !is_later {
            // It is resolved on one way. On another there may have been no room for that.
            return self.resolve(&*notices, alert.event());
        }
        let is_cancelled = notice.reason == Some(Reason::Cancelled);
        if is_later || is_cancelled || self.is_reported(&*notices, &memory)? {
            return Ok(Followed::Now);
        }
        let why = match notice.state {
            State::Done => "its handlers did nothing outside this server".to_owned(),
            _ => notice.last_error.clone().unwrap_or_default(),
        };
        let next = notices.forwarded(alert.clone(), notice);
        let priority = self.priority_of(notice.id)?;
        Ok(
            match self.take_way(&*notices, next, priority, Some(memory))? {
                Raised::NoRoom => Followed::NotNow,
                Raised::Nowhere => {
                    self.group.unreported.push((alert, why));
                    Followed::Now
                }
                Raised::Stored | Raised::Known => Followed::Now,
            },
        )
    }

    /// Returns true if a notice has notified a person by any way, or may still do so.
    fn is_reported(
        &mut self,
        notices: &dyn DeadLetterNotices,
        memory: &Memory,
    ) -> Result<bool, StoreError> {
        for (_, row) in self.runs(memory)? {
            let Some(row) = row else {
                continue;
            };
            if row.is_open() || self.has_notified(notices, &row)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns true if a notice has notified a person: one of its actors has had an effect outside the server, or it is done by the
    /// handlers that the operator named. Other handlers may be done without an effect, such as those that only enrich.
    fn has_notified(
        &mut self,
        notices: &dyn DeadLetterNotices,
        row: &Row,
    ) -> Result<bool, StoreError> {
        if row.reason == Some(Reason::Handled) && notices.suffices(&row.route, &row.pipeline) {
            return Ok(true);
        }
        // The enrichments come first, one for each handler.
        let first_actor = u32::try_from(row.pipeline.len()).unwrap_or(u32::MAX);
        self.flush()?;
        self.txn.has_effect(row.id, first_actor)
    }

    fn is_out_of_date(&mut self, alert: &Alert) -> Result<bool, StoreError> {
        let Some(subject) = subject_of(alert) else {
            return Ok(false);
        };
        let subject = self.delivery(subject)?;
        Ok(subject.is_some_and(|subject| !is_current(&subject, alert.starts_at)))
    }

    /// Handles the end of a watched delivery that is done or cancelled: notices about it are resolved, and a notice takes its next
    /// way if it has to.
    pub(super) fn ended(&mut self, id: DeliveryId) -> Result<(), StoreError> {
        let Some(ended) = self.delivery(id)? else {
            return Ok(());
        };
        if is_dead_letter_route(&ended.route) {
            if ended.status == Status::Firing.as_str() && self.follow(&ended)? == Followed::NotNow {
                self.follow_later(id);
            }
        } else if let Some(notices) = self.notices() {
            let about = DeadLetter::One {
                delivery: &ended,
                with: 0,
            };
            let notice = notices.notice(&about, self.now);
            for event in self.firings(notice.fingerprint)? {
                self.resolve(&*notices, event)?;
            }
        }
        Ok(())
    }

    /// Resolves a notice on each way by which it has notified a person. A notice that is not settled is looked at again when it
    /// ends. If the queue has no room for the resolved, that is retried later.
    pub(super) fn resolve(
        &mut self,
        notices: &dyn DeadLetterNotices,
        firing: Event,
    ) -> Result<Followed, StoreError> {
        let known = self.known(firing)?;
        let memory = known.firing_memory();
        let mut ended = known.resolved.as_ref().map(|kept| kept.memory.clone());
        let mut followed = Followed::Now;
        for (_, row) in self.runs(&memory)? {
            let Some(row) = row else {
                continue;
            };
            let is_ended = ended
                .as_ref()
                .is_some_and(|ended| ended.run_on(&row.route).is_some());
            // A sender may have sent the same alert.
            let is_own = is_dead_letter_route(&row.route);
            if !is_own || is_ended {
                continue;
            }
            let Some(alert) = self.alert_of(row.id)? else {
                continue;
            };
            // A notice about one delivery is not sent if it is out of date. Any other is, and its resolved follows it.
            let is_about_one = subject_of(&alert).is_some();
            let is_under_way = row.is_open() && !is_about_one;
            if !is_under_way && !self.has_notified(notices, &row)? {
                continue;
            }
            if !self.shared.scheduler.lock().has_room(&row.pipeline) {
                followed = Followed::NotNow;
                self.follow_later(row.id);
                continue;
            }
            let alert = notices.resolved(alert, self.now);
            let event = alert.event();
            let plan = plan(
                row.route.as_str().into(),
                row.pipeline.clone(),
                row.priority,
            );
            self.put_notice(alert, &plan, ended)?;
            let known = self.known(event)?;
            ended = known.resolved.as_ref().map(|kept| kept.memory.clone());
        }
        Ok(followed)
    }

    /// Returns the firings of a fingerprint that no resolved has ended.
    pub(super) fn firings(&mut self, of: Fingerprint) -> Result<Vec<Event>, StoreError> {
        self.open_firings(of, usize::from(OPEN_AMONG))
    }

    /// Handles a change of the ways: makes notices due that wait for a dependency and have a way left that is not blocked. They fail
    /// at once then, and take that way.
    pub(super) fn look_again(&mut self) -> Result<(), StoreError> {
        let ways = self.notices().map(|notices| notices.ways());
        let ways = ways.unwrap_or_default();
        if ways.iter().all(|way| way.is_blocked) {
            return Ok(());
        }
        for id in self.state.watched.notices() {
            let Some(row) = self.row(id)? else {
                continue;
            };
            let waits = row.state == State::Retrying && !row.waits_for.is_empty();
            if !waits {
                continue;
            }
            let Some(alert) = self.alert_of(id)? else {
                continue;
            };
            let memory = self.known(alert.event())?.firing_memory();
            let left = ways_left(ways.clone(), &self.runs(&memory)?);
            if alert.status == Status::Firing && left.iter().any(|way| !way.is_blocked) {
                // If its progress cannot be parsed, it dies with that reason when its time has come.
                let _ = self.make_due(&row)?;
            }
        }
        Ok(())
    }
}

fn plan(route: Arc<str>, handlers: Vec<HandlerName>, priority: Priority) -> Plan {
    Plan {
        route,
        handlers,
        priority,
        repeat_after: NEVER,
        storm: None,
    }
}

/// Logs a notice by which nobody was notified.
pub(super) fn log_unreported(alert: &Alert, why: &str) {
    let text = |name| alert.annotations.get(name).unwrap_or_default();
    tracing::error!(
        alertname = alert.name(),
        delivery = alert.labels.get(SUBJECT),
        "nobody was notified, every way to report has failed: {} {} The last way failed with: {why}",
        text("summary"),
        text("description"),
    );
}
