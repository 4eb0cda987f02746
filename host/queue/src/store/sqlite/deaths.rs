//! What follows from a death, in the transaction in which a delivery dies: it is counted, measured, and reported.
//!
//! The first few of a kind are reported one by one, each by a notice that is stored with the death itself. The rest, and what
//! cannot be reported now, is counted in the table `unreported`, and reported together later: so there is a notice for every
//! death, stored once, and a storm of deaths is a few messages.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::Reason;
use crate::model::clock::{Ticks, from_millis};
use crate::model::{DeadLetter, DeadLetterNotices, DeadLetters};
use crate::model::{Delivery, Raised, State};
use alert_manager_core::alert::{
    DeliveryId, Fingerprint, HandlerName, Status, Timestamp, is_dead_letter_route,
};

use super::committer::{Committer, Group};
use super::notices::Followed;
use super::{reader, rows};

/// Notices about single deliveries of one class in one window. The rest of the class is reported together.
const NOTICES_A_WINDOW_MAX: u32 = 5;

/// How long deaths of a class are gathered before they are reported together.
const WINDOW_MS: Ticks = 60_000;

/// Classes that are reported together in one transaction.
const CLASSES_A_STEP_MAX: u32 = 100;

/// The class of a notice, before its delivery: the last in the order of classes, so that notices hold up no deaths.
const NOTICE: &str = "way,";

/// Deaths of the time before layout 3 that are looked at in one transaction, and how old one may be to be reported.
const EARLIER_A_STEP: u32 = 300;
const EARLIER_MS_MAX: i64 = 6 * 24 * 60 * 60 * 1_000;

/// In `meta`: deaths until this time may not be reported yet; what was looked at so far.
const EARLIER_UNTIL: &str = "earlier_deaths_until";
const EARLIER_SEEN: &str = "earlier_deaths_seen";

/// Returns true if a death is to be reported. Whoever cancelled a delivery knows; a notice takes its next way instead; and
/// what dies once more after its sender sent it again is reported already.
fn should_report(reason: Reason, dead: &Delivery) -> bool {
    let is_first = dead.first_died_at.is_none() || dead.first_died_at == dead.settled_at;
    reason.is_dead_letter() && !is_dead_letter_route(&dead.route) && is_first
}

/// Returns true if a death is that of a notice which is to take its next way. Whoever cancels a notice has read it.
fn should_follow(reason: Reason, dead: &Delivery) -> bool {
    reason.is_dead_letter()
        && is_dead_letter_route(&dead.route)
        && dead.status == Status::Firing.as_str()
}

/// What is reported together: why, and the pipeline.
fn class_of(reason: Reason, handlers: &[HandlerName]) -> String {
    format!("{}{}", reason.as_str(), rows::join_handlers(handlers))
}

fn parse_class(class: &str) -> (Reason, Vec<HandlerName>) {
    let (reason, handlers) = class.split_once(',').unwrap_or((class, ""));
    (
        reason.parse().unwrap_or(Reason::Failed),
        rows::split_handlers(handlers),
    )
}

/// How many deaths were reported lately. What is not is in the store.
#[derive(Debug, Default)]
pub(super) struct Reports {
    windows: HashMap<String, Window>,
    /// When what is unreported is to be reported together; absent if nothing is.
    due: Option<Ticks>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Ticks,
    notices: u32,
}

impl Window {
    fn is_over(self, now: Ticks) -> bool {
        now - self.since >= WINDOW_MS
    }
}

impl Reports {
    /// Returns what is due at once if the store has something that is unreported.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let some: bool = conn.query_one(
            "SELECT EXISTS (SELECT 1 FROM unreported)
                 OR EXISTS (SELECT 1 FROM meta WHERE key = ?1)",
            [EARLIER_UNTIL],
            |row| row.get(0),
        )?;
        Ok(Self {
            windows: HashMap::new(),
            due: some.then_some(0),
        })
    }

    /// Counts a notice of a class, unless it has had as many as it may have.
    fn take_turn(&mut self, class: &str, now: Ticks) -> bool {
        match self.windows.get_mut(class) {
            Some(window) if !window.is_over(now) => {
                let free = window.notices < NOTICES_A_WINDOW_MAX;
                window.notices += u32::from(free);
                free
            }
            _ => {
                self.count(class, now, 1);
                true
            }
        }
    }

    /// Takes a notice back that was not stored after all.
    fn give_back(&mut self, class: &str) {
        if let Some(window) = self.windows.get_mut(class) {
            window.notices = window.notices.saturating_sub(1);
        }
    }

    /// The transaction was rolled back: its notices are not stored, and what it reported together is still unreported.
    pub(super) fn rollback(&mut self, noticed: &[String], now: Ticks) {
        for class in noticed {
            self.give_back(class);
        }
        self.gathered(now + WINDOW_MS);
    }

    /// Begins a window with some notices.
    fn count(&mut self, class: &str, now: Ticks, notices: u32) {
        let window = Window {
            since: now,
            notices,
        };
        self.windows.insert(class.to_owned(), window);
    }

    fn gathered(&mut self, due: Ticks) {
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }
}

impl Committer {
    /// Does what follows from the death of a delivery, whose row says already that it is dead.
    pub(super) fn die(
        &mut self,
        group: &mut Group,
        id: DeliveryId,
        reason: Reason,
    ) -> rusqlite::Result<()> {
        group.died += u64::from(reason.is_dead_letter());
        rows::measure_dead(&self.conn, id)?;
        let Some(dead) = reader::delivery(&self.conn, id)? else {
            return Ok(());
        };
        if self.reports_settled() {
            group.settled.push(dead.clone());
        }
        if should_follow(reason, &dead) {
            if self.follow(group, &dead)? == Followed::NotNow {
                self.follow_later(group, id)?;
            }
            return Ok(());
        }
        if !should_report(reason, &dead) {
            return Ok(());
        }
        let class = class_of(reason, &dead.handlers);
        if self.reports.take_turn(&class, group.ticks) {
            if self.report(group, &DeadLetter::One(&dead))? {
                group.noticed.push(class);
                return Ok(());
            }
            self.reports.give_back(&class);
        }
        gather(&self.conn, &class, &dead)?;
        self.reports.gathered(group.ticks + WINDOW_MS);
        Ok(())
    }

    /// Notes a notice that has ended, whose next way, or whose end, cannot be stored now.
    pub(super) fn follow_later(
        &mut self,
        group: &Group,
        notice: DeliveryId,
    ) -> rusqlite::Result<()> {
        gather_notice(&self.conn, notice, group.now)?;
        self.reports.gathered(group.ticks + WINDOW_MS);
        Ok(())
    }

    /// Returns when what is unreported is to be reported together.
    pub(super) fn next_report(&self) -> Option<Ticks> {
        let due = self.reports.due?;
        self.notices().map(|_| due)
    }

    /// Reports what is unreported, each class in one notice.
    pub(super) fn report_gathered(&mut self, group: &mut Group) -> rusqlite::Result<()> {
        let now = group.ticks;
        if self.look_at_earlier(group.now)? {
            self.reports.due = Some(now);
            return Ok(());
        }
        self.reports
            .windows
            .retain(|_, window| !window.is_over(now));
        let unreported = unreported(&self.conn)?;
        let mut are_left = unreported.len() == CLASSES_A_STEP_MAX as usize;
        for class in unreported {
            let notices = self.report_class(group, &class)?;
            are_left |= notices.is_none();
            if let Some(notices) = notices {
                self.reports.count(&class.name, now, notices);
                self.conn
                    .prepare_cached("DELETE FROM unreported WHERE class = ?1")?
                    .execute([&class.name])?;
            }
        }
        self.reports.due = are_left.then_some(now + WINDOW_MS);
        Ok(())
    }

    /// Reports one class: a few one by one, many together. Returns how many notices that took, nothing if the handlers for
    /// dead letters have no room for them now.
    fn report_class(
        &mut self,
        group: &mut Group,
        class: &Unreported,
    ) -> rusqlite::Result<Option<u32>> {
        let (reason, handlers) = parse_class(&class.name);
        if class.count > u64::from(NOTICES_A_WINDOW_MAX) {
            let many = DeadLetters {
                reason,
                handlers: &handlers,
                count: class.count,
                since: class.since,
            };
            let reported = self.report(group, &DeadLetter::Many(many))?;
            group.coalesced += if reported { class.count } else { 0 };
            return Ok(reported.then_some(1));
        }
        let mut notices = 0;
        for id in &class.ids {
            // It may have been sent again, or removed, since.
            let found = reader::delivery(&self.conn, *id)?;
            let is_notice = |found: &Delivery| is_dead_letter_route(&found.route);
            let is_reported = match found {
                Some(notice) if is_notice(&notice) => {
                    !matches!(notice.state, State::Done | State::Dead)
                        || self.follow(group, &notice)? == Followed::Now
                }
                Some(dead) if dead.state == State::Dead => {
                    self.report(group, &DeadLetter::One(&dead))?
                }
                _ => {
                    rows::forget_death(&self.conn, *id)?;
                    continue;
                }
            };
            if !is_reported {
                // Those before it are known events by now, and make no second notice.
                return Ok(None);
            }
            notices += 1;
        }
        Ok(Some(notices))
    }

    /// Stores a notice; returns false if there is nobody to report to, or no room for it in the queue.
    fn report(&mut self, group: &mut Group, about: &DeadLetter<'_>) -> rusqlite::Result<bool> {
        let Some(notices) = self.notices() else {
            return Ok(false);
        };
        let notice = notices.notice(about, group.now);
        let raised = self.notify(group, &*notices, notice)?;
        Ok(matches!(raised, Raised::Stored | Raised::Known))
    }

    pub(super) fn notices(&self) -> Option<Arc<dyn DeadLetterNotices>> {
        self.shared.dead_letters.lock().clone()
    }

    /// Looks at some deaths of the time before the table `unreported`: those that have no notice are gathered. Returns true if
    /// there are more.
    fn look_at_earlier(&self, now: Timestamp) -> rusqlite::Result<bool> {
        let Some(notices) = self.notices() else {
            return Ok(false);
        };
        let meta = |key: &str| {
            self.conn
                .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
                .query_row([key], |row| row.get::<_, i64>(0))
                .optional()
        };
        let Some(until) = meta(EARLIER_UNTIL)? else {
            return Ok(false);
        };
        let from = meta(EARLIER_SEEN)?.unwrap_or(i64::MIN);
        let oldest = now.as_millisecond() - EARLIER_MS_MAX;
        let batch = reader::dead_after(&self.conn, from, EARLIER_A_STEP)?;
        for dead in &batch {
            let died_at = dead.settled_at.map_or(0, Timestamp::as_millisecond);
            let reason = dead.reason.unwrap_or(Reason::Failed);
            if died_at <= oldest || died_at > until || !should_report(reason, dead) {
                continue;
            }
            let mut notice = notices.notice(&DeadLetter::One(dead), now);
            // As it was in that layout.
            notice.fingerprint = Fingerprint::of(&notice.labels);
            let known = self.events.look_up(&self.conn, notice.event())?;
            if known.firing.is_none() {
                gather(&self.conn, &class_of(reason, &dead.handlers), dead)?;
            }
        }
        match batch.last() {
            Some(last) => self
                .conn
                .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                .execute(params![EARLIER_SEEN, last.id.as_raw()])?,
            None => self
                .conn
                .prepare_cached("DELETE FROM meta WHERE key IN (?1, ?2)")?
                .execute([EARLIER_UNTIL, EARLIER_SEEN])?,
        };
        Ok(!batch.is_empty())
    }
}

/// What a start found dead: the server had died under it. It is reported once there is somebody to report to.
pub(super) fn found_dead(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Delivery>> {
    rows::measure_dead(conn, id)?;
    let Some(dead) = reader::delivery(conn, id)? else {
        return Ok(None);
    };
    let reason = Reason::Died;
    if should_follow(reason, &dead) {
        gather_notice(conn, id, dead.settled_at.unwrap_or(dead.received_at))?;
    } else if should_report(reason, &dead) {
        gather(conn, &class_of(reason, &dead.handlers), &dead)?;
    }
    Ok(Some(dead))
}

/// Deaths of one class that are not reported yet.
#[derive(Debug)]
struct Unreported {
    name: String,
    count: u64,
    since: Timestamp,
    /// The first few of them.
    ids: Vec<DeliveryId>,
}

/// Counts a death that is to be reported later.
fn gather(conn: &Connection, class: &str, dead: &Delivery) -> rusqlite::Result<()> {
    let died_at = dead.settled_at.unwrap_or(dead.received_at);
    conn.prepare_cached(
        "INSERT INTO unreported (class, count, since, ids) VALUES (?1, 1, ?2, ?3)
         ON CONFLICT (class) DO UPDATE SET
             count = count + 1,
             since = min(since, excluded.since),
             ids = CASE WHEN count < ?4 THEN ids || ',' || excluded.ids ELSE ids END",
    )?
    .execute(params![
        class,
        died_at.as_millisecond(),
        dead.id.as_raw().to_string(),
        NOTICES_A_WINDOW_MAX,
    ])?;
    Ok(())
}

/// Notes a notice that is to be looked at again, in a class of its own: it is never one of many.
fn gather_notice(conn: &Connection, id: DeliveryId, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO unreported (class, count, since, ids) VALUES (?1, 1, ?2, ?3)",
    )?
    .execute(params![
        class_of_notice(id),
        now.as_millisecond(),
        id.as_raw().to_string()
    ])?;
    Ok(())
}

/// Notes that a notice is not to be looked at again.
pub(super) fn forget_notice(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM unreported WHERE class = ?1")?
        .execute([class_of_notice(id)])?;
    Ok(())
}

fn class_of_notice(id: DeliveryId) -> String {
    format!("{NOTICE}{}", id.as_raw())
}

fn unreported(conn: &Connection) -> rusqlite::Result<Vec<Unreported>> {
    conn.prepare_cached("SELECT class, count, since, ids FROM unreported ORDER BY class LIMIT ?1")?
        .query_map([CLASSES_A_STEP_MAX], |row| {
            let ids = row.get_ref(3)?.as_str()?;
            Ok(Unreported {
                name: row.get(0)?,
                count: row.get::<_, i64>(1)?.unsigned_abs(),
                since: from_millis(row.get(2)?),
                ids: ids
                    .split(',')
                    .filter_map(|id| id.parse().ok())
                    .map(DeliveryId::from_raw)
                    .collect(),
            })
        })?
        .collect()
}
