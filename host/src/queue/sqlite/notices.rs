//! Alerts of the server's own, above all about dead letters: on which way each goes, which is next if it dies there, and its
//! end. All of it is stored in the transaction of what causes it.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::alert::{
    Alert, DEAD_LETTER_ROUTE, DeliveryId, Event, Fingerprint, Priority, Status, Timestamp,
    is_dead_letter_route,
};
use crate::journal::CallKind;
use crate::queue::dead_letters::{DeadLetterNotices, NOT_SENT, SUBJECT, is_current, note_last_way};
use crate::queue::inbox::NewAlert;
use crate::queue::types::{Delivery, IfBlocked, Plan, Raised, State, Submission};

use super::committer::{Committer, Group};
use super::memory::Memory;
use super::reader;
use super::rows::{self, Stored};
use super::schema::DONE;

/// A time that no store lives for: what was reported is never reported as a reminder.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What became of a notice that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// It took its next way, or needs none.
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
        alert: Alert,
    ) -> rusqlite::Result<Raised> {
        let known = self.events.look_up(&self.conn, alert.event())?;
        if known.firing.is_some() {
            return Ok(Raised::Known);
        }
        self.take_way(group, notices, alert, None)
    }

    fn take_way(
        &mut self,
        group: &mut Group,
        notices: &dyn DeadLetterNotices,
        mut alert: Alert,
        memory: Option<Memory>,
    ) -> rusqlite::Result<Raised> {
        let mut ways = notices.ways();
        ways.retain(|way| {
            let taken = memory.as_ref().and_then(|memory| memory.run_on(&way.route));
            taken.is_none()
        });
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
        note_last_way(&mut alert, ways.len() == 1);
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
        let new = NewAlert::from(Submission {
            alert,
            starts_at_missing: false,
            plans: vec![plan],
        });
        let id = self.accept_on(group, &new, &new.plans[0], memory)?;
        // It may have died of the backlog at once.
        if self.shared.scheduler.lock().contains(id) {
            self.watch(group, id);
        }
        Ok(())
    }

    /// A notice has ended: it takes its next way, unless somebody was notified or it is out of date. If none is left, the log
    /// and a metric are.
    pub(super) fn forward(
        &mut self,
        group: &mut Group,
        dead: &Delivery,
    ) -> rusqlite::Result<Forwarded> {
        let Some(notices) = self.notices() else {
            return Ok(Forwarded::NotNow);
        };
        let Some(alert) = self.alert_of(dead.id)? else {
            return Ok(Forwarded::Now);
        };
        let known = self.events.look_up(&self.conn, alert.event())?;
        let memory = known.firing.map(|kept| kept.memory).unwrap_or_default();
        let is_over = known.resolved.is_some() || self.is_out_of_date(&alert)?;
        if is_over || self.is_reported(&memory)? {
            return Ok(Forwarded::Now);
        }
        let why = match dead.state {
            State::Done => "its handlers did nothing outside this server".to_owned(),
            _ => dead.last_error.clone().unwrap_or_default(),
        };
        let next = notices.forwarded(alert.clone(), dead);
        Ok(match self.take_way(group, &*notices, next, Some(memory))? {
            Raised::NoRoom => Forwarded::NotNow,
            Raised::Nowhere => {
                group.unreported.push((alert, why));
                Forwarded::Now
            }
            Raised::Stored | Raised::Known => Forwarded::Now,
        })
    }

    /// Returns true if a notice has notified somebody on any way, or may yet.
    fn is_reported(&self, memory: &Memory) -> rusqlite::Result<bool> {
        for run in memory.runs_off(std::iter::empty()) {
            let Some(stored) = Stored::load(&self.conn, run.delivery)? else {
                continue;
            };
            if stored.state < DONE || self.has_notified(&stored)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns true if a settled notice has notified somebody: it is done on the way that was chosen for it, or one of its
    /// handlers has done something outside. To be done is not enough on other ways: a handler that only enriches is, too.
    fn has_notified(&self, stored: &Stored) -> rusqlite::Result<bool> {
        let is_done = stored.state == DONE && stored.last_error.as_deref() != Some(NOT_SENT);
        Ok((is_done && stored.route == DEAD_LETTER_ROUTE) || self.has_acted(stored)?)
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
        let (Some(notices), Some(ended)) = (self.notices(), reader::delivery(&self.conn, id)?)
        else {
            return Ok(());
        };
        if !is_dead_letter_route(&ended.route) {
            let about = crate::queue::DeadLetter::One(&ended);
            let fingerprint = notices.notice(&about, group.now).fingerprint;
            for event in self.events.open_firings(&self.conn, fingerprint)? {
                self.resolve(group, &*notices, event)?;
            }
        } else if ended.status == Status::Firing.as_str()
            && let Some(alert) = self.alert_of(id)?
        {
            if self.is_out_of_date(&alert)? {
                self.resolve(group, &*notices, alert.event())?;
            } else if ended.state == State::Done {
                self.forward(group, &ended)?;
            }
        }
        Ok(())
    }

    /// Stores the end of a notice on each way on which it has notified somebody. One that is still on its way is looked at
    /// again when it ends.
    fn resolve(
        &mut self,
        group: &mut Group,
        notices: &dyn DeadLetterNotices,
        firing: Event,
    ) -> rusqlite::Result<()> {
        let known = self.events.look_up(&self.conn, firing)?;
        let runs = known.firing.map(|kept| kept.memory).unwrap_or_default();
        let mut ended = known.resolved.map(|kept| kept.memory);
        for run in runs.runs_off(std::iter::empty()) {
            let Some(stored) = Stored::load(&self.conn, run.delivery)? else {
                continue;
            };
            let is_ended = ended
                .as_ref()
                .is_some_and(|ended| ended.run_on(&stored.route).is_some());
            let (false, Some(alert)) = (is_ended, self.alert_of(stored.id)?) else {
                continue;
            };
            // One about a delivery ends itself if it comes too late; any other is followed by its end.
            let is_under_way = stored.state < DONE && subject_of(&alert).is_none();
            if is_under_way || self.has_notified(&stored)? {
                let alert = notices.resolved(alert, group.now);
                let event = alert.event();
                let plan = plan(stored.route.as_str().into(), stored.pipeline.clone());
                self.put_notice(group, alert, plan, ended)?;
                let known = self.events.look_up(&self.conn, event)?;
                ended = known.resolved.map(|kept| kept.memory);
            }
        }
        Ok(())
    }

    /// Stores an alert of the server's own, unless it fires already.
    pub(super) fn raise(
        &mut self,
        group: &mut Group,
        alert: &Alert,
        if_blocked: IfBlocked,
    ) -> rusqlite::Result<Raised> {
        let open = self.events.open_firings(&self.conn, alert.fingerprint)?;
        if !open.is_empty() {
            return Ok(Raised::Known);
        }
        let Some(notices) = self.notices() else {
            return Ok(Raised::Nowhere);
        };
        if if_blocked == IfBlocked::Leave && notices.ways().iter().all(|way| way.is_blocked) {
            return Ok(Raised::Nowhere);
        }
        self.notify(group, &*notices, alert.clone())
    }

    /// Ends what fires of an alert of the server's own.
    pub(super) fn end_all(
        &mut self,
        group: &mut Group,
        fingerprint: Fingerprint,
    ) -> rusqlite::Result<()> {
        let Some(notices) = self.notices() else {
            return Ok(());
        };
        for event in self.events.open_firings(&self.conn, fingerprint)? {
            self.resolve(group, &*notices, event)?;
        }
        Ok(())
    }

    fn alert_of(&self, id: DeliveryId) -> rusqlite::Result<Option<Alert>> {
        Ok(serde_json::from_str(&rows::alert_json(&self.conn, id)?).ok())
    }
}

fn plan(route: std::sync::Arc<str>, handlers: Vec<crate::alert::HandlerName>) -> Plan {
    Plan {
        route,
        handlers,
        priority: Priority::Critical,
        repeat_after: NEVER,
    }
}

/// Returns the delivery that a notice is about.
pub(in crate::queue) fn subject_of(alert: &Alert) -> Option<DeliveryId> {
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
pub(super) fn watched(conn: &Connection) -> rusqlite::Result<HashSet<DeliveryId>> {
    conn.prepare(
        "SELECT id FROM deliveries INDEXED BY deliveries_unsettled
         WHERE state < 3 AND (revived_at IS NOT NULL OR route GLOB 'dead-letter*')",
    )?
    .query_map([], |row| row.get(0).map(DeliveryId::from_raw))?
    .collect()
}

impl super::reader::Reader {
    /// Returns true if a notice is about a delivery of which it no longer holds.
    pub(in crate::queue) fn is_out_of_date(
        &self,
        subject: DeliveryId,
        starts_at: Timestamp,
    ) -> Result<bool, crate::queue::errors::ReadError> {
        let subject = self.delivery(subject)?;
        Ok(subject.is_some_and(|subject| !is_current(&subject, starts_at)))
    }
}
