//! Alerts of the server's own, above all about dead letters: on which way each goes, which is next if it dies there, and its
//! end. All of it is stored in the transaction of what causes it.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::model::NewAlert;
use crate::model::Reason;
use crate::model::{DeadLetterNotices, SUBJECT, Way, is_current};
use crate::model::{Delivery, Raised, State, Submission};
use alert_manager_core::alert::{
    Alert, DeliveryId, Event, Fingerprint, Priority, Status, Timestamp, is_dead_letter_route,
};
use alert_manager_core::journal::CallKind;
use alert_manager_core::plan::Plan;

use super::committer::{Committer, Group};
use super::gathered::OPEN_AMONG;
use super::memory::Memory;
use super::reader;
use super::rows::{self, Stored};
use super::schema::{DONE, RETRYING};

/// A time that no store lives for: what was reported is never reported as a reminder.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The open deliveries whose end may end a notice.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Those that were revived: as many as a person sends again.
    revived: HashSet<DeliveryId>,
    /// Notices themselves, which may take another way: few, and apart from the others.
    notices: HashSet<DeliveryId>,
}

impl Watched {
    /// Returns true if it was not watched before.
    pub(super) fn insert(&mut self, id: DeliveryId, route: &str) -> bool {
        if is_dead_letter_route(route) {
            self.notices.insert(id)
        } else {
            self.revived.insert(id)
        }
    }

    pub(super) fn remove(&mut self, id: DeliveryId) {
        self.revived.remove(&id);
        self.notices.remove(&id);
    }

    pub(super) fn contains(&self, id: DeliveryId) -> bool {
        self.revived.contains(&id) || self.notices.contains(&id)
    }

    /// Returns how many were revived, and how many are notices.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.revived.len(), self.notices.len())
    }
}

/// What became of a notice that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// It took its next way, or was resolved, or needs neither.
    Now,
    /// Nobody is to be notified now, or there is no room for it.
    NotNow,
}

impl Committer {
    /// Stores an alert on the best way that it has not taken yet: on one that is not blocked, if there is any.
    pub(super) fn notify(
        &mut self,
        group: &mut Group,
        notices: &dyn DeadLetterNotices,
        mut alert: Alert,
    ) -> rusqlite::Result<Raised> {
        let known = self.events.look_up(&self.conn, alert.event())?;
        if let Some(occurrence) = known.occurrence {
            if known.resolved.is_none() {
                return Ok(Raised::Known);
            }
            alert.set_occurrence(occurrence.next());
        }
        self.take_way(group, notices, alert, None)
    }

    fn take_way(
        &mut self,
        group: &mut Group,
        notices: &dyn DeadLetterNotices,
        alert: Alert,
        memory: Option<Memory>,
    ) -> rusqlite::Result<Raised> {
        let mut ways = notices.ways();
        if let Some(memory) = &memory {
            ways = ways_left(&self.conn, ways, memory)?;
        }
        if ways.is_empty() {
            return Ok(Raised::Nowhere);
        }
        let any_free = ways.iter().any(|way| !way.is_blocked);
        let chosen = {
            let scheduler = self.shared.scheduler.lock();
            ways.iter()
                .position(|way| way.is_blocked != any_free && scheduler.has_room(&way.handlers))
        };
        let Some(chosen) = chosen else {
            return Ok(Raised::NoRoom);
        };
        let way = ways.swap_remove(chosen);
        self.put_notice(group, alert, plan(way.route, way.handlers), memory)?;
        Ok(Raised::Stored)
    }

    fn put_notice(
        &mut self,
        group: &mut Group,
        alert: Alert,
        plan: Plan,
        memory: Option<Memory>,
    ) -> rusqlite::Result<()> {
        let event = alert.event();
        let new = NewAlert::from(Submission {
            alert,
            starts_at_missing: false,
            plans: vec![plan],
        });
        let id = self.accept_on(group, &new, (event, &new.plans[0]), memory)?;
        // It may have died of the backlog at once.
        if self.shared.scheduler.lock().contains(id) {
            self.watch(group, id, &new.plans[0].route);
        }
        Ok(())
    }

    /// A notice has ended. One that is out of date is resolved where it was reported. Any other takes its next way, unless
    /// somebody was notified; if no way is left, the log and a metric are.
    pub(super) fn follow(
        &mut self,
        group: &mut Group,
        notice: &Delivery,
    ) -> rusqlite::Result<Followed> {
        let Some(notices) = self.notices() else {
            return Ok(Followed::NotNow);
        };
        let Some(alert) = self.alert_of(notice.id)? else {
            return Ok(Followed::Now);
        };
        if self.is_out_of_date(&alert)? {
            return self.resolve(group, &*notices, alert.event());
        }
        let known = self.events.look_up(&self.conn, alert.event())?;
        let is_later = known.occurrence > Some(alert.occurrence());
        if known.resolved.is_some() && !is_later {
            // It has ended on one way; on another there may have been no room for its end.
            return self.resolve(group, &*notices, alert.event());
        }
        let memory = known.firing.map(|kept| kept.memory).unwrap_or_default();
        if is_later
            || notice.reason == Some(Reason::Cancelled)
            || self.is_reported(&*notices, &memory)?
        {
            return Ok(Followed::Now);
        }
        let why = match notice.state {
            State::Done => "its handlers did nothing outside this server".to_owned(),
            _ => notice.last_error.clone().unwrap_or_default(),
        };
        let next = notices.forwarded(alert.clone(), notice);
        Ok(match self.take_way(group, &*notices, next, Some(memory))? {
            Raised::NoRoom => Followed::NotNow,
            Raised::Nowhere => {
                group.unreported.push((alert, why));
                Followed::Now
            }
            Raised::Stored | Raised::Known => Followed::Now,
        })
    }

    /// Returns true if a notice has notified somebody on any way, or may yet.
    fn is_reported(
        &self,
        notices: &dyn DeadLetterNotices,
        memory: &Memory,
    ) -> rusqlite::Result<bool> {
        for run in memory.runs_off(std::iter::empty()) {
            let Some(stored) = Stored::load(&self.conn, run.delivery)? else {
                continue;
            };
            if stored.state < DONE || self.has_notified(notices, &stored)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns true if a notice has notified somebody: one of its handlers has done something outside, or it is done by those
    /// that the operator named. For others that is not enough: a handler that only enriches is done, too.
    fn has_notified(
        &self,
        notices: &dyn DeadLetterNotices,
        stored: &Stored,
    ) -> rusqlite::Result<bool> {
        let is_done = stored.reason == Some(Reason::Handled);
        let suffices = is_done && notices.suffices(&stored.route, &stored.pipeline);
        Ok(suffices || self.has_acted(stored)?)
    }

    /// Returns true if an actor of a delivery has changed something outside.
    fn has_acted(&self, stored: &Stored) -> rusqlite::Result<bool> {
        // The enrichments come first, one of each handler.
        let first_actor = i64::try_from(stored.pipeline.len()).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM journal
                     WHERE delivery = ?1 AND step >= ?2 AND effect > 0 AND kind IN (?3, ?4))",
            )?
            .query_one(
                params![
                    stored.id.as_raw(),
                    first_actor,
                    rows::kind_code(CallKind::Http),
                    rows::kind_code(CallKind::Slack),
                ],
                |row| row.get(0),
            )
    }

    fn is_out_of_date(&self, alert: &Alert) -> rusqlite::Result<bool> {
        let Some(subject) = subject_of(alert) else {
            return Ok(false);
        };
        let subject = reader::delivery(&self.conn, subject)?;
        Ok(subject.is_some_and(|subject| !is_current(&subject, alert.starts_at)))
    }

    /// A delivery that was revived, or a notice, has ended well, or was cancelled: notices that say otherwise are resolved.
    pub(super) fn ended(&mut self, group: &mut Group, id: DeliveryId) -> rusqlite::Result<()> {
        let Some(ended) = reader::delivery(&self.conn, id)? else {
            return Ok(());
        };
        if is_dead_letter_route(&ended.route) {
            if ended.status == Status::Firing.as_str()
                && self.follow(group, &ended)? == Followed::NotNow
            {
                self.follow_later(group, id)?;
            }
        } else if let Some(notices) = self.notices() {
            let about = crate::DeadLetter::One(&ended);
            let fingerprint = notices.notice(&about, group.now).fingerprint;
            for event in self.firings(fingerprint)? {
                self.resolve(group, &*notices, event)?;
            }
        }
        Ok(())
    }

    /// Stores the end of a notice on each way on which it has notified somebody. One that is still on its way is looked at
    /// again when it ends, and where there is no room for its end now, that is tried again.
    pub(super) fn resolve(
        &mut self,
        group: &mut Group,
        notices: &dyn DeadLetterNotices,
        firing: Event,
    ) -> rusqlite::Result<Followed> {
        let known = self.events.look_up(&self.conn, firing)?;
        let runs = known.firing.map(|kept| kept.memory).unwrap_or_default();
        let mut ended = known.resolved.map(|kept| kept.memory);
        let mut followed = Followed::Now;
        for run in runs.runs_off(std::iter::empty()) {
            let Some(stored) = Stored::load(&self.conn, run.delivery)? else {
                continue;
            };
            let is_ended = ended
                .as_ref()
                .is_some_and(|ended| ended.run_on(&stored.route).is_some());
            // A sender may have sent the same.
            let is_own = is_dead_letter_route(&stored.route);
            let (true, Some(alert)) = (is_own && !is_ended, self.alert_of(stored.id)?) else {
                continue;
            };
            // One about a delivery ends itself if it comes too late; any other is followed by its end.
            let is_about_one = subject_of(&alert).is_some();
            let is_under_way = stored.state < DONE && !is_about_one;
            if !is_under_way && !self.has_notified(notices, &stored)? {
                continue;
            }
            if !self.shared.scheduler.lock().has_room(&stored.pipeline) {
                followed = Followed::NotNow;
                self.follow_later(group, stored.id)?;
                continue;
            }
            let alert = notices.resolved(alert, group.now);
            let event = alert.event();
            let plan = plan(stored.route.as_str().into(), stored.pipeline.clone());
            self.put_notice(group, alert, plan, ended)?;
            let known = self.events.look_up(&self.conn, event)?;
            ended = known.resolved.map(|kept| kept.memory);
        }
        Ok(followed)
    }

    pub(super) fn firings(&self, fingerprint: Fingerprint) -> rusqlite::Result<Vec<Event>> {
        let all = usize::from(OPEN_AMONG);
        self.events.open_firings(&self.conn, fingerprint, all)
    }

    /// What is held, or the ways, have changed: a notice that waits for a dependency is tried at once if a way is free that it
    /// has not taken, so that it takes that one instead of waiting.
    pub(super) fn look_again(&mut self, group: &mut Group) -> rusqlite::Result<()> {
        let ways = self.notices().map(|notices| notices.ways());
        let ways = ways.unwrap_or_default();
        if ways.iter().all(|way| way.is_blocked) {
            return Ok(());
        }
        let open: Vec<DeliveryId> = self.watched.notices.iter().copied().collect();
        for id in open {
            let Some(stored) = Stored::load(&self.conn, id)? else {
                continue;
            };
            let waits = stored.state == RETRYING && !stored.waits_for.is_empty();
            if !waits {
                continue;
            }
            let Some(alert) = self.alert_of(id)? else {
                continue;
            };
            let known = self.events.look_up(&self.conn, alert.event())?;
            let memory = known.firing.map(|kept| kept.memory).unwrap_or_default();
            let left = ways_left(&self.conn, ways.clone(), &memory)?;
            if alert.status == Status::Firing && left.iter().any(|way| !way.is_blocked) {
                // One that cannot be read waits for its time, and ends then with that reason.
                let _ = self.hurry(group, &stored)?;
            }
        }
        Ok(())
    }

    pub(super) fn alert_of(&self, id: DeliveryId) -> rusqlite::Result<Option<Alert>> {
        Ok(serde_json::from_str(&rows::alert_json(&self.conn, id)?).ok())
    }
}

/// Returns the ways that an alert has not taken. A way with other handlers than it had is another one.
pub(super) fn ways_left(
    conn: &Connection,
    ways: Vec<Way>,
    memory: &Memory,
) -> rusqlite::Result<Vec<Way>> {
    let mut left = Vec::with_capacity(ways.len());
    for way in ways {
        let is_taken = match memory.run_on(&way.route) {
            None => false,
            Some(run) => Stored::load(conn, run.delivery)?.is_none_or(|stored| {
                let mut handlers = way.handlers.iter();
                handlers.all(|handler| stored.pipeline.contains(handler))
            }),
        };
        if !is_taken {
            left.push(way);
        }
    }
    Ok(left)
}

fn plan(route: std::sync::Arc<str>, handlers: Vec<alert_manager_core::alert::HandlerName>) -> Plan {
    Plan {
        route,
        handlers,
        priority: Priority::Critical,
        repeat_after: NEVER,
    }
}

/// Returns the delivery that a notice is about.
pub(crate) fn subject_of(alert: &Alert) -> Option<DeliveryId> {
    alert.labels.get(SUBJECT)?.parse().ok()
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

/// Returns the open deliveries whose end may end a notice.
pub(super) fn watched(conn: &Connection) -> rusqlite::Result<Watched> {
    let mut watched = Watched::default();
    let mut found = conn.prepare(
        "SELECT id, route FROM deliveries INDEXED BY deliveries_unsettled
         WHERE state < 3 AND (revived_at IS NOT NULL OR route GLOB 'dead-letter*')",
    )?;
    let mut rows = found.query([])?;
    while let Some(row) = rows.next()? {
        let id = DeliveryId::from_raw(row.get(0)?);
        watched.insert(id, row.get_ref(1)?.as_str()?);
    }
    drop(rows);
    Ok(watched)
}

impl super::reader::Reader {
    /// Returns true if a notice is about a delivery of which it no longer holds.
    pub(crate) fn is_out_of_date(
        &self,
        subject: DeliveryId,
        starts_at: Timestamp,
    ) -> Result<bool, crate::model::ReadError> {
        let subject = self.delivery(subject)?;
        Ok(subject.is_some_and(|subject| !is_current(&subject, starts_at)))
    }
}
