//! Alerts of the server's own, above all about dead letters: on which way each goes, which is next if it dies there, and its
//! end. All of it is stored in the transaction of what causes it.

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

/// A time that no store lives for: what was reported is never reported as a reminder.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What became of a notice that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// It took its next way, or was resolved, or needs neither.
    Now,
    /// Nobody is to be notified now, or there is no room for it.
    NotNow,
}

impl<T: Txn> Work<'_, '_, T> {
    /// Stores an alert on the best way that it has not taken yet: on one that is not blocked, if there is any.
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
        // It may have died of the backlog at once.
        if self.shared.scheduler.lock().contains(id) {
            self.watch(id, &plan.route);
        }
        Ok(())
    }

    /// A notice has ended. One that is out of date is resolved where it was reported. Any other takes its next way, unless
    /// somebody was notified; if no way is left, the log and a metric are.
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
            // It has ended on one way; on another there may have been no room for its end.
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
        Ok(match self.take_way(&*notices, next, priority, Some(memory))? {
            Raised::NoRoom => Followed::NotNow,
            Raised::Nowhere => {
                self.group.unreported.push((alert, why));
                Followed::Now
            }
            Raised::Stored | Raised::Known => Followed::Now,
        })
    }

    /// Returns true if a notice has notified somebody on any way, or may yet.
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

    /// Returns true if a notice has notified somebody: one of its handlers has done something outside, or it is done by those
    /// that the operator named. For others that is not enough: a handler that only enriches is done, too.
    fn has_notified(
        &mut self,
        notices: &dyn DeadLetterNotices,
        row: &Row,
    ) -> Result<bool, StoreError> {
        if row.reason == Some(Reason::Handled) && notices.suffices(&row.route, &row.pipeline) {
            return Ok(true);
        }
        // The enrichments come first, one of each handler.
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

    /// A delivery that was revived, or a notice, has ended well, or was cancelled: notices that say otherwise are resolved.
    pub(super) fn ended(&mut self, id: DeliveryId) -> Result<(), StoreError> {
        let Some(ended) = self.delivery(id)? else {
            return Ok(());
        };
        if is_dead_letter_route(&ended.route) {
            if ended.status == Status::Firing.as_str() && self.follow(&ended)? == Followed::NotNow {
                self.follow_later(id);
            }
        } else if let Some(notices) = self.notices() {
            let about = DeadLetter::One(&ended);
            let notice = notices.notice(&about, self.now);
            for event in self.firings(notice.fingerprint)? {
                self.resolve(&*notices, event)?;
            }
        }
        Ok(())
    }

    /// Stores the end of a notice on each way on which it has notified somebody. One that is still on its way is looked at
    /// again when it ends, and if there is no room for its end now, that is tried again.
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
            // A sender may have sent the same.
            let is_own = is_dead_letter_route(&row.route);
            if !is_own || is_ended {
                continue;
            }
            let Some(alert) = self.alert_of(row.id)? else {
                continue;
            };
            // One about a delivery ends itself if it comes too late; any other is followed by its end.
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

    /// What is held, or the ways, have changed: a notice that waits for a dependency is tried at once if a way is free that it
    /// has not taken, so that it takes that one instead of waiting.
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
                // One that cannot be read waits for its time, and ends then with that reason.
                let _ = self.hurry(&row)?;
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

/// Says what nobody was notified of.
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
