//! What is remembered of events, by which `rules/recognize.rs` decides whether an alert is new, a duplicate or stale.
//!
//! The table is sorted by start and fingerprint, so new events belong on pages all over it: written one by one, each would add a
//! page to the write-ahead log. New events are therefore gathered in memory, and flushed in batches in the order of the table.
//! After a crash, the events that the table lacks are read from the stored deliveries. Only how often they were sent again, and
//! when last, is lost then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Occurrence, Status};

use crate::model::clock::{from_millis, from_nanos};
use crate::model::{Kept, Known, OPEN_AMONG};

use super::codes::status_of;
use super::gathered::{self, Gathered, Key, alias, put, stored};

/// How much is gathered in memory before it is written. Only tests use other values than the defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathering {
    /// How many events are gathered before they are flushed. Each takes about 100 bytes, and there may be twice as many.
    pub(crate) events: usize,
    /// How many events are written in one transaction.
    pub(crate) a_step: usize,
    /// How long counts are gathered for the aggregates.
    pub(crate) counts_for: Duration,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            events: 65_536,
            a_step: 500,
            counts_for: Duration::from_secs(1),
        }
    }
}

/// After which time events are flushed even if there are fewer.
const GATHERED_FOR: Duration = Duration::from_secs(60);

/// How many events are flushed for each new one, so that a flush ends before the next is due.
const FLUSHED_FOR_EACH: usize = 2;

/// The pause between two transactions of a flush if there are no new events.
const PACE: Duration = Duration::from_millis(15);

/// The key in `meta` of [`Events::written_before`].
const WRITTEN_BEFORE: &str = "events_before";

/// The events that are remembered, in memory and in the table. Changes are provisional until [`Events::commit`] or
/// [`Events::rollback`].
#[derive(Debug)]
pub(super) struct Events {
    gathering: Gathering,
    gathered: Arc<Mutex<Gathered>>,
    /// The first delivery of the fresh events, and when it was stored; absent if there are none.
    fresh_since: Option<(i64, Instant)>,
    /// The events that are being flushed, in the reverse order of the table.
    to_flush: Vec<Key>,
    /// How many of them this transaction has written.
    written: usize,
    /// How many have to be flushed because of new events.
    owed: usize,
    /// The earlier values of what this transaction has changed.
    undo: Vec<(Key, Option<Kept>)>,
    /// The table has the events of all deliveries before this identifier.
    written_before: i64,
    /// The new `written_before` once this transaction is durable, if it changes.
    advanced_to: Option<i64>,
    next_step: Instant,
}

impl Events {
    /// Reads the events that the table lacks from the deliveries.
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
            fresh_since: None,
            to_flush: Vec::new(),
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
             FROM deliveries
             WHERE id >= ?1 AND starts_at IS NOT NULL AND set_by IS NULL ORDER BY id",
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
            // If it has `ends`, it is an alias of another resolved, which this event replaces.
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

    /// Returns the events in memory, for readers on other threads.
    pub(super) fn gathered(&self) -> Arc<Mutex<Gathered>> {
        Arc::clone(&self.gathered)
    }

    /// Removes an event from memory, or reads it from the table, while the deliveries are read.
    fn take(&mut self, conn: &Connection, key: Key) -> rusqlite::Result<Option<Kept>> {
        let known = self.gathered.lock().fresh.remove(&key);
        match known {
            Some(kept) => Ok(Some(kept)),
            None => stored(conn, key),
        }
    }

    fn gather(&mut self, key: Key, kept: Kept, first: DeliveryId) {
        self.fresh_since
            .get_or_insert_with(|| (first.as_raw(), Instant::now()));
        self.gathered.lock().fresh.insert(key, kept);
    }

    /// Returns what is remembered of an event's start.
    pub(super) fn look_up(&self, conn: &Connection, event: Event) -> rusqlite::Result<Known> {
        let key = Key::from(event);
        let mut known = Known::default();
        self.gathered.lock().add_latest(key, &mut known);
        gathered::add_stored(conn, key, &mut known)?;
        Ok(known)
    }

    /// Adds a new event, whose first delivery is `first`.
    pub(super) fn remember(&mut self, event: Event, kept: Kept, first: DeliveryId) {
        let key = Key::from(event);
        let before = self.gathered.lock().fresh.get(&key).cloned();
        self.undo.push((key, before));
        self.gather(key, kept, first);
    }

    /// Changes a known event, in memory or in the table.
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

    /// Returns at most `most` firings of a fingerprint that no resolved has ended, the latest first. Searches its latest
    /// [`OPEN_AMONG`].
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
            // A resolved with this `startsAt` that ended another firing did not end this one.
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

    /// Returns when events have to be flushed even without new ones.
    pub(super) fn next_step(&self) -> Option<Instant> {
        if !self.to_flush.is_empty() {
            return Some(self.next_step);
        }
        self.fresh_since.map(|(_, at)| at + GATHERED_FOR)
    }

    /// Returns true if events have to be flushed now, even without new ones.
    pub(super) fn is_due(&self) -> bool {
        self.next_step().is_some_and(|at| Instant::now() >= at)
    }

    /// Returns the first delivery from which events may have to be read after a crash. The table has the events of all earlier
    /// ones.
    pub(super) fn needed_from(&self) -> i64 {
        if self.to_flush.is_empty() && self.fresh_since.is_none() {
            return i64::MAX;
        }
        self.written_before
    }

    /// Flushes some events within a transaction that has added `new` ones.
    pub(super) fn write(
        &mut self,
        conn: &Connection,
        new: usize,
        last_id: i64,
    ) -> rusqlite::Result<()> {
        let is_due = self.is_due();
        let is_ripe = is_due || self.gathered.lock().fresh.len() >= self.gathering.events;
        if self.to_flush.is_empty() && is_ripe {
            self.begin_flush();
            self.owed = 0;
        }
        self.owed += new * FLUSHED_FOR_EACH;
        if !is_due && self.owed < self.gathering.a_step {
            return Ok(());
        }
        let count = std::mem::take(&mut self.owed).max(self.gathering.a_step);
        self.write_some(conn, count, last_id)
    }

    /// Flushes all events within the last transaction.
    pub(super) fn write_all(&mut self, conn: &Connection, last_id: i64) -> rusqlite::Result<()> {
        self.write_some(conn, usize::MAX, last_id)?;
        self.commit();
        self.begin_flush();
        self.write_some(conn, usize::MAX, last_id)
    }

    /// Begins to flush the fresh events.
    fn begin_flush(&mut self) {
        let mut gathered = self.gathered.lock();
        gathered.flushing = std::mem::take(&mut gathered.fresh);
        self.to_flush = gathered.flushing.keys().copied().collect();
        self.to_flush
            .sort_unstable_by_key(|key| std::cmp::Reverse(key.columns()));
        self.fresh_since = None;
    }

    fn write_some(
        &mut self,
        conn: &Connection,
        count: usize,
        last_id: i64,
    ) -> rusqlite::Result<()> {
        if self.to_flush.is_empty() {
            return Ok(());
        }
        self.next_step = Instant::now() + PACE;
        let gathered = self.gathered.lock();
        for key in self.to_flush.iter().rev().take(count) {
            // Absent if the transaction that added it was rolled back.
            if let Some(kept) = gathered.flushing.get(key) {
                put(conn, *key, kept)?;
            }
            self.written += 1;
        }
        if self.written == self.to_flush.len() {
            let from = self.fresh_since.map_or(last_id + 1, |(id, _)| id);
            conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                .execute(params![WRITTEN_BEFORE, from])?;
            self.advanced_to = Some(from);
        }
        Ok(())
    }

    /// Makes the changes of the transaction permanent.
    pub(super) fn commit(&mut self) {
        self.undo.clear();
        let left = self.to_flush.len() - std::mem::take(&mut self.written);
        let mut gathered = self.gathered.lock();
        for key in self.to_flush.drain(left..) {
            gathered.flushing.remove(&key);
        }
        if let Some(from) = self.advanced_to.take() {
            self.written_before = from;
        }
    }

    /// Undoes the changes of the transaction.
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
        events.begin_flush();
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
