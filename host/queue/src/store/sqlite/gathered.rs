//! Events in memory that are not in the table yet, and events as rows of the table.

use std::collections::BTreeMap;
use std::ops::Bound;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Occurrence, Status};

use crate::model::clock::nanos;
use crate::model::{Kept, Known, Memory, OPEN_AMONG};

use super::codes::{status_code, status_of};

/// An event. It sorts by fingerprint first, so that the events of one fingerprint are a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) fingerprint: Fingerprint,
    /// In nanoseconds since 1970.
    pub(super) starts_at: i64,
    pub(super) occurrence: Occurrence,
    pub(super) status: Status,
}

impl From<Event> for Key {
    fn from(event: Event) -> Self {
        Self {
            fingerprint: event.fingerprint,
            starts_at: nanos(event.starts_at),
            occurrence: event.occurrence,
            status: event.status,
        }
    }
}

impl Key {
    pub(super) fn resolved(self) -> Self {
        Self {
            status: Status::Resolved,
            ..self
        }
    }

    /// Returns the range of all events with the same start.
    pub(super) fn same_start(self) -> std::ops::RangeInclusive<Self> {
        let first = Self {
            occurrence: Occurrence::FIRST,
            status: Status::Firing,
            ..self
        };
        let last = Self {
            occurrence: Occurrence::LAST,
            status: Status::Resolved,
            ..self
        };
        first..=last
    }

    pub(super) fn columns(self) -> (i64, i64, u32, i64) {
        (
            self.starts_at,
            self.fingerprint.0.cast_signed(),
            self.occurrence.as_raw(),
            status_code(self.status),
        )
    }
}

/// The events that are not in the table yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Those that are gathered.
    pub(super) fresh: BTreeMap<Key, Kept>,
    /// Those that are being written to the table.
    pub(super) flushing: BTreeMap<Key, Kept>,
}

impl Gathered {
    pub(super) fn get(&self, key: Key) -> Option<&Kept> {
        self.fresh.get(&key).or_else(|| self.flushing.get(&key))
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Kept> {
        match self.fresh.get_mut(&key) {
            Some(kept) => Some(kept),
            None => self.flushing.get_mut(&key),
        }
    }

    /// Adds the events of the latest occurrence of a start.
    pub(super) fn add_latest(&self, key: Key, known: &mut Known) {
        for events in [&self.fresh, &self.flushing] {
            for (key, kept) in events.range(key.same_start()).rev().take(2) {
                known.add(key.occurrence, key.status, || kept.clone());
            }
        }
    }

    /// Returns the latest [`OPEN_AMONG`] firings of a fingerprint.
    pub(super) fn firings(&self, fingerprint: Fingerprint) -> Vec<Key> {
        let at = |starts_at| Key {
            fingerprint,
            starts_at,
            occurrence: Occurrence::FIRST,
            status: Status::Firing,
        };
        let all = *at(i64::MIN).same_start().start()..=*at(i64::MAX).same_start().end();
        let keys = |events: &BTreeMap<Key, Kept>| {
            let latest = events.range(all.clone()).rev().map(|(key, _)| *key);
            let firings = latest.filter(|key| key.status == Status::Firing);
            firings.take(usize::from(OPEN_AMONG)).collect::<Vec<_>>()
        };
        let mut firings = keys(&self.fresh);
        firings.extend(keys(&self.flushing));
        firings
    }

    /// Returns the deliveries of the `events_max` events of a fingerprint up to a start, and of as many after it.
    pub(super) fn deliveries_near(&self, key: Key, events_max: usize) -> Vec<DeliveryId> {
        let at = |starts_at| Key { starts_at, ..key }.same_start();
        let own = key.same_start();
        let up_to = *at(i64::MIN).start()..=*own.end();
        let after = (
            Bound::Excluded(*own.end()),
            Bound::Included(*at(i64::MAX).end()),
        );
        let mut found = Vec::new();
        for events in [&self.fresh, &self.flushing] {
            let up_to = events.range(up_to.clone()).rev().take(events_max);
            let after = events.range(after).take(events_max);
            found.extend(
                up_to
                    .chain(after)
                    .flat_map(|(_, kept)| kept.memory.deliveries()),
            );
        }
        found
    }

    /// Returns a delivery of an alert with this fingerprint.
    pub(super) fn delivery_of(&self, fingerprint: Fingerprint) -> Option<DeliveryId> {
        let keys = self.firings(fingerprint).into_iter();
        keys.filter_map(|key| self.get(key)?.memory.latest())
            .map(|run| run.delivery)
            .next()
    }

    pub(super) fn remove(&mut self, key: Key) {
        if self.fresh.remove(&key).is_none() {
            self.flushing.remove(&key);
        }
    }

    /// Returns how often an event was sent again and did not run again; nothing if it is not in memory.
    pub(super) fn duplicates(&self, event: Event) -> Option<u64> {
        self.get(event.into()).map(|kept| kept.duplicates)
    }
}

/// As [`alias`](crate::model::alias), for keys.
pub(super) fn alias(key: Key, sent: i64) -> Key {
    Key {
        starts_at: sent,
        occurrence: Occurrence::FIRST,
        ..key
    }
}

/// Returns a delivery of an alert with this fingerprint, if the table has an event of it that fired.
pub(super) fn stored_delivery_of(
    conn: &Connection,
    fingerprint: Fingerprint,
) -> rusqlite::Result<Option<DeliveryId>> {
    let runs: Option<Vec<u8>> = conn
        .prepare_cached(
            "SELECT runs FROM events INDEXED BY events_firing
             WHERE fingerprint = ?1 AND status = 0 ORDER BY starts_at DESC LIMIT 1",
        )?
        .query_row([fingerprint.0.cast_signed()], |row| row.get(0))
        .optional()?;
    let latest = runs.and_then(|runs| Memory::from_bytes(&runs).latest());
    Ok(latest.map(|run| run.delivery))
}

/// Returns the deliveries of the events of a fingerprint that the table has of a start, of the `events_max` firings before it, and of
/// as many after it.
pub(super) fn stored_near(
    conn: &Connection,
    key: Key,
    events_max: u32,
) -> rusqlite::Result<Vec<DeliveryId>> {
    let of_firings = |condition: &str| {
        format!(
            "SELECT e.runs FROM (
                 SELECT starts_at, occurrence FROM events INDEXED BY events_firing
                 WHERE fingerprint = ?2 AND status = 0 AND starts_at {condition} LIMIT ?3) AS f
             JOIN events AS e ON e.starts_at = f.starts_at AND e.fingerprint = ?2
                 AND e.occurrence = f.occurrence"
        )
    };
    let mut found = Vec::new();
    for sql in [
        of_firings("< ?1 ORDER BY starts_at DESC"),
        of_firings("> ?1 ORDER BY starts_at"),
        "SELECT runs FROM events WHERE starts_at = ?1 AND fingerprint = ?2
         ORDER BY occurrence DESC LIMIT ?3"
            .to_owned(),
    ] {
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![
            key.starts_at,
            key.fingerprint.0.cast_signed(),
            events_max
        ])?;
        while let Some(row) = rows.next()? {
            found.extend(Memory::from_bytes(row.get_ref(0)?.as_blob()?).deliveries());
        }
    }
    Ok(found)
}

pub(super) fn stored(conn: &Connection, key: Key) -> rusqlite::Result<Option<Kept>> {
    let (starts_at, fingerprint, occurrence, status) = key.columns();
    conn.prepare_cached(
        "SELECT accepted_at, last_seen, duplicates, ends, runs FROM events
         WHERE starts_at = ?1 AND fingerprint = ?2 AND occurrence = ?3 AND status = ?4",
    )?
    .query_row(
        params![starts_at, fingerprint, occurrence, status],
        read_kept,
    )
    .optional()
}

/// Adds the events of the latest occurrence of a start that are in the table.
pub(super) fn add_stored(conn: &Connection, key: Key, known: &mut Known) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT accepted_at, last_seen, duplicates, ends, runs, occurrence, status FROM events
         WHERE starts_at = ?1 AND fingerprint = ?2
         ORDER BY occurrence DESC, status DESC LIMIT 2",
    )?;
    let mut rows = statement.query(params![key.starts_at, key.fingerprint.0.cast_signed()])?;
    while let Some(row) = rows.next()? {
        let (occurrence, status) = (row.get(5)?, status_of(row.get(6)?));
        let kept = read_kept(row)?;
        known.add(Occurrence::from_raw(occurrence), status, || kept);
    }
    Ok(())
}

pub(super) fn read_kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        accepted_ms: row.get(0)?,
        last_seen_ms: row.get(1)?,
        duplicates: row.get::<_, i64>(2)?.unsigned_abs(),
        ends: row.get(3)?,
        memory: Memory::from_bytes(row.get_ref(4)?.as_blob()?),
    })
}

pub(super) fn put(conn: &Connection, key: Key, kept: &Kept) -> rusqlite::Result<()> {
    let (starts_at, fingerprint, occurrence, status) = key.columns();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO events (starts_at, fingerprint, occurrence, status, accepted_at,
             last_seen, duplicates, ends, runs)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        starts_at,
        fingerprint,
        occurrence,
        status,
        kept.accepted_ms,
        kept.last_seen_ms,
        kept.duplicates.cast_signed(),
        kept.ends,
        kept.memory.to_bytes(),
    ])?;
    Ok(())
}

/// Returns how often an event was sent again and did not run again; 0 if it is not in the table.
pub(super) fn duplicates(conn: &Connection, event: Event) -> rusqlite::Result<u64> {
    Ok(stored(conn, event.into())?.map_or(0, |kept| kept.duplicates))
}
