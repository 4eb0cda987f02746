//! What is remembered of events, so that `rules/recognize.rs` can tell whether an alert is new, a duplicate or stale.
//!
//! The table is sorted by the events' starts and fingerprints, so that a new event belongs anywhere in it:
//! written at once, each would cost a page of its own in the log. New ones therefore stay in memory until many
//! can be written in the table's order. Nothing depends on that memory: whatever the table lacks follows from the
//! deliveries, which are on disk, and is read from them after a crash. Only how often an event was sent again, and when
//! last, is forgotten then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::clock::{from_millis, from_nanos};
use crate::model::{Kept, Known, OPEN_AMONG};
use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Occurrence, Status};

use super::codes::status_of;
use super::gathered::{self, Gathered, Key, alias, put, stored};

/// How many events gather before they are written, and how many are written at a time. A test of that takes small ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathering {
    /// Events that gather in memory before they are written: about 100 bytes each, and twice as many at most.
    pub(crate) events: usize,
    /// Events written at a time: neighbours share their pages. While nothing comes, with a pause between.
    pub(crate) a_step: usize,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            events: 65_536,
            a_step: 500,
        }
    }
}

/// How long an event stays in memory at most while nothing else comes.
const GATHERED_FOR: Duration = Duration::from_secs(60);

/// Events written with each one that comes: those that leave are gone before as many have gathered again.
const LEAVING_FOR_EACH: usize = 2;

/// Between two steps while nothing comes.
const PACE: Duration = Duration::from_millis(15);

/// In `meta`: the table has the events of every delivery before this one.
const WRITTEN_BEFORE: &str = "events_before";

/// The memory of events. What changes in it is provisional until [`Events::commit`] or [`Events::rollback`].
#[derive(Debug)]
pub(super) struct Events {
    gathering: Gathering,
    gathered: Arc<Mutex<Gathered>>,
    /// The first delivery of the young ones, and when it came.
    young_since: Option<(i64, Instant)>,
    /// Those that leave, in the order of the table, the first of them last.
    order: Vec<Key>,
    /// How many of them this transaction has written.
    written: usize,
    /// How many are to be written for those that came.
    owed: usize,
    /// What this transaction has changed, as it was before.
    undo: Vec<(Key, Option<Kept>)>,
    /// The table has the events of all deliveries before this one.
    written_before: i64,
    /// The same once this transaction is on disk, if it changes that.
    advanced_to: Option<i64>,
    next_step: Instant,
}

impl Events {
    /// Reads what the table lacks from the deliveries.
    pub(super) fn load(conn: &Connection, gathering: Gathering) -> rusqlite::Result<Self> {
        let written_before = conn
            .query_row(
                "SELECT value FROM meta WHERE key = ?1",
                [WRITTEN_BEFORE],
                |row| row.get(0),
            )
            .optional()?
            .unwrap_or(0);
        let mut events = Self {
            gathering,
            gathered: Arc::default(),
            young_since: None,
            order: Vec::new(),
            written: 0,
            owed: 0,
            undo: Vec::new(),
            written_before,
            advanced_to: None,
            next_step: Instant::now(),
        };
        let mut statement = conn.prepare(
            "SELECT id, fingerprint, starts_at, status, route, handlers = '', accepted_at,
                 coalesce(revived_at, accepted_at), occurrence, sent_starts_at
             FROM deliveries WHERE id >= ?1 AND starts_at IS NOT NULL ORDER BY id",
        )?;
        let mut rows = statement.query([written_before])?;
        while let Some(row) = rows.next()? {
            let id = DeliveryId::from_raw(row.get(0)?);
            let key = Key {
                fingerprint: Fingerprint(row.get::<_, i64>(1)?.cast_unsigned()),
                starts_at: row.get(2)?,
                occurrence: Occurrence::from_raw(row.get(8)?),
                status: status_of(row.get(3)?),
            };
            let (accepted_ms, at) = (row.get(6)?, from_millis(row.get(7)?));
            let known = events.take(conn, key)?;
            // What another resolved was sent under may have come to be a resolved of its own.
            let known = known.filter(|kept| kept.ends.is_none());
            let mut kept = known.unwrap_or_else(|| Kept::seen_first(from_millis(accepted_ms)));
            let is_unrouted: bool = row.get(5)?;
            if !is_unrouted {
                kept.memory.ran(row.get_ref(4)?.as_str()?, id, at);
            }
            kept.last_seen_ms = kept.last_seen_ms.max(at.as_millisecond());
            events.gather(key, kept, id);
            if let Some(sent) = row.get(9)? {
                let alias = alias(key, sent);
                let kept = events.take(conn, alias)?.unwrap_or_else(|| Kept {
                    ends: Some(key.starts_at),
                    ..Kept::seen_first(from_millis(accepted_ms))
                });
                events.gather(alias, kept, id);
            }
        }
        Ok(events)
    }

    /// Returns what readers beside the committer may look at.
    pub(super) fn gathered(&self) -> Arc<Mutex<Gathered>> {
        Arc::clone(&self.gathered)
    }

    /// Takes out what is kept of an event while the deliveries are read.
    fn take(&mut self, conn: &Connection, key: Key) -> rusqlite::Result<Option<Kept>> {
        let known = self.gathered.lock().young.remove(&key);
        match known {
            Some(kept) => Ok(Some(kept)),
            None => stored(conn, key),
        }
    }

    fn gather(&mut self, key: Key, kept: Kept, first: DeliveryId) {
        self.young_since
            .get_or_insert_with(|| (first.as_raw(), Instant::now()));
        self.gathered.lock().young.insert(key, kept);
    }

    /// Looks up what is known of an event's start.
    pub(super) fn look_up(&self, conn: &Connection, event: Event) -> rusqlite::Result<Known> {
        let key = Key::from(event);
        let mut known = Known::default();
        self.gathered.lock().add_latest(key, &mut known);
        gathered::add_stored(conn, key, &mut known)?;
        Ok(known)
    }

    /// Remembers an event that was not known, and whose first delivery is `first`.
    pub(super) fn remember(&mut self, event: Event, kept: Kept, first: DeliveryId) {
        let key = Key::from(event);
        let before = self.gathered.lock().young.get(&key).cloned();
        self.undo.push((key, before));
        self.gather(key, kept, first);
    }

    /// Changes a known event where it is: in memory, or in the table.
    pub(super) fn change(
        &mut self,
        conn: &Connection,
        event: Event,
        change: impl FnOnce(&mut Kept),
    ) -> rusqlite::Result<()> {
        let key = Key::from(event);
        if let Some(kept) = self.gathered.lock().get_mut(key) {
            self.undo.push((key, Some(kept.clone())));
            change(kept);
            return Ok(());
        }
        let Some(mut kept) = stored(conn, key)? else {
            return Ok(());
        };
        change(&mut kept);
        put(conn, key, &kept)
    }

    /// Returns the fingerprint's firings that no resolved has ended, among its latest [`OPEN_AMONG`], the one that began last
    /// first; no more than `most`.
    pub(super) fn open_firings(
        &self,
        conn: &Connection,
        fingerprint: Fingerprint,
        most: usize,
    ) -> rusqlite::Result<Vec<Event>> {
        let gathered = self.gathered.lock();
        let mut firings = gathered.firings(fingerprint);
        let mut statement = conn.prepare_cached(
            "SELECT starts_at, occurrence FROM events INDEXED BY events_firing
             WHERE fingerprint = ?1 AND status = 0 ORDER BY starts_at DESC LIMIT ?2",
        )?;
        let mut rows = statement.query(params![fingerprint.0.cast_signed(), OPEN_AMONG])?;
        while let Some(row) = rows.next()? {
            firings.push(Key {
                fingerprint,
                starts_at: row.get(0)?,
                occurrence: Occurrence::from_raw(row.get(1)?),
                status: Status::Firing,
            });
        }
        firings.sort_unstable_by(|a, b| b.cmp(a));
        firings.dedup();
        let mut open: Vec<Event> = Vec::new();
        for firing in firings.into_iter().take(usize::from(OPEN_AMONG)) {
            let resolved = firing.resolved();
            let ended = match gathered.get(resolved) {
                Some(kept) => Some(kept.ends),
                None => stored(conn, resolved)?.map(|kept| kept.ends),
            };
            // A resolved that was sent under this start and ended another firing did not end this one.
            if ended.is_none_or(|ends| ends.is_some()) {
                open.push(Event {
                    fingerprint,
                    starts_at: from_nanos(firing.starts_at),
                    status: Status::Firing,
                    occurrence: firing.occurrence,
                });
            }
            if open.len() == most {
                break;
            }
        }
        Ok(open)
    }

    /// Returns when events are to be written though nothing comes.
    pub(super) fn next_step(&self) -> Option<Instant> {
        if !self.order.is_empty() {
            return Some(self.next_step);
        }
        self.young_since.map(|(_, at)| at + GATHERED_FOR)
    }

    /// Returns true if events are to be written though nothing comes.
    pub(super) fn is_due(&self) -> bool {
        self.next_step().is_some_and(|at| Instant::now() >= at)
    }

    /// Returns the first delivery from which something may have to be read after a crash: the table has the events of
    /// all before it.
    pub(super) fn needed_from(&self) -> i64 {
        if self.order.is_empty() && self.young_since.is_none() {
            return i64::MAX;
        }
        self.written_before
    }

    /// Writes some of what has gathered, within a transaction that brought `new` ones.
    pub(super) fn write(
        &mut self,
        conn: &Connection,
        new: usize,
        last_id: i64,
    ) -> rusqlite::Result<()> {
        let is_due = self.is_due();
        let is_ripe = is_due || self.gathered.lock().young.len() >= self.gathering.events;
        if self.order.is_empty() && is_ripe {
            self.let_go();
            self.owed = 0;
        }
        self.owed += new * LEAVING_FOR_EACH;
        if !is_due && self.owed < self.gathering.a_step {
            return Ok(());
        }
        let count = std::mem::take(&mut self.owed).max(self.gathering.a_step);
        self.write_some(conn, count, last_id)
    }

    /// Writes everything, within a transaction that is the last one.
    pub(super) fn write_all(&mut self, conn: &Connection, last_id: i64) -> rusqlite::Result<()> {
        self.write_some(conn, usize::MAX, last_id)?;
        self.commit();
        self.let_go();
        self.write_some(conn, usize::MAX, last_id)
    }

    /// Sends the young ones on their way.
    fn let_go(&mut self) {
        let mut gathered = self.gathered.lock();
        gathered.leaving = std::mem::take(&mut gathered.young);
        self.order = gathered.leaving.keys().copied().collect();
        self.order
            .sort_unstable_by_key(|key| std::cmp::Reverse(key.columns()));
        self.young_since = None;
    }

    fn write_some(
        &mut self,
        conn: &Connection,
        count: usize,
        last_id: i64,
    ) -> rusqlite::Result<()> {
        if self.order.is_empty() {
            return Ok(());
        }
        self.next_step = Instant::now() + PACE;
        let gathered = self.gathered.lock();
        for key in self.order.iter().rev().take(count) {
            // Absent if the transaction that brought it was rolled back.
            if let Some(kept) = gathered.leaving.get(key) {
                put(conn, *key, kept)?;
            }
            self.written += 1;
        }
        if self.written == self.order.len() {
            let from = self.young_since.map_or(last_id + 1, |(id, _)| id);
            conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                .execute(params![WRITTEN_BEFORE, from])?;
            self.advanced_to = Some(from);
        }
        Ok(())
    }

    /// The transaction is on disk.
    pub(super) fn commit(&mut self) {
        self.undo.clear();
        let left = self.order.len() - std::mem::take(&mut self.written);
        let mut gathered = self.gathered.lock();
        for key in self.order.drain(left..) {
            gathered.leaving.remove(&key);
        }
        if let Some(from) = self.advanced_to.take() {
            self.written_before = from;
        }
    }

    /// The transaction was rolled back.
    pub(super) fn rollback(&mut self) {
        self.written = 0;
        self.advanced_to = None;
        let mut gathered = self.gathered.lock();
        for (key, kept) in self.undo.drain(..).rev() {
            match kept {
                None => gathered.remove(key),
                Some(kept) => {
                    if let Some(changed) = gathered.get_mut(key) {
                        *changed = kept;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::store::sqlite::schema;

    #[test]
    fn deliveries_are_needed_until_their_events_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
        let mut events = Events::load(&conn, Gathering::default()).unwrap();
        assert_eq!(events.needed_from(), i64::MAX, "there is nothing to read");
        let event = Event {
            fingerprint: Fingerprint(1),
            starts_at: from_millis(0),
            status: Status::Firing,
            occurrence: Occurrence::FIRST,
        };
        let now = from_millis(1);
        events.remember(event, Kept::seen_first(now), DeliveryId::from_raw(7));
        events.commit();
        assert!(events.needed_from() <= 7);
        events.let_go();
        events.write_some(&conn, 1, 9).unwrap();
        assert!(events.needed_from() <= 7, "not on disk yet");
        events.rollback();
        assert!(events.needed_from() <= 7);
        events.write_some(&conn, 1, 9).unwrap();
        events.commit();
        assert_eq!(events.needed_from(), i64::MAX);
        assert!(events.look_up(&conn, event).unwrap().firing.is_some());
    }
}
