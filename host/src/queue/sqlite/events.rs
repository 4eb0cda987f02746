//! What is remembered of events: whether an alert is new, a duplicate, stale, due for a reminder, or the
//! second chance of a dead delivery.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::alert::{DeliveryId, Event, Fingerprint, Status, Timestamp};
use crate::queue::clock::{from_nanos, nanos};

use super::rows::status_code;

/// The last time that an event ran on one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// A digest of the route's name.
    route: u64,
    /// What it ran as.
    pub(super) delivery: DeliveryId,
    /// When it was accepted, or revived, in milliseconds since 1970.
    at_ms: i64,
}

/// The memory of one event.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By route; empty where no route matched so far.
    runs: Vec<Run>,
}

/// What is known when an alert comes.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of the same event.
    pub(super) same: Option<Memory>,
    /// True where the resolved of the same firing was taken before.
    pub(super) resolved: bool,
}

impl Memory {
    /// Returns the last run on `route`.
    pub(super) fn run_on(&self, route: &str) -> Option<Run> {
        let route = digest(route);
        self.runs.iter().find(|run| run.route == route).copied()
    }

    /// Returns true where no run on `route` is younger than `repeat_after`, counted from its end where
    /// that is known. A route that is new to the
    /// event follows its latest run on any other: renaming a route must not send everything again.
    pub(super) fn is_due(
        &self,
        route: &str,
        repeat_after: Duration,
        ended: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let latest = self
            .run_on(route)
            .or_else(|| self.runs.iter().max_by_key(|run| run.at_ms).copied());
        let Some(latest) = latest else {
            return true;
        };
        let ran_ms = ended.map_or(latest.at_ms, |at| at.as_millisecond().max(latest.at_ms));
        let age_ms = now.as_millisecond() - ran_ms;
        u128::try_from(age_ms).is_ok_and(|age| age >= repeat_after.as_millis())
    }

    /// Notes a run on `route`.
    pub(super) fn ran(&mut self, route: &str, delivery: DeliveryId, now: Timestamp) {
        let route = digest(route);
        self.runs.retain(|run| run.route != route);
        self.runs.push(Run {
            route,
            delivery,
            at_ms: now.as_millisecond(),
        });
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 * self.runs.len());
        for run in &self.runs {
            bytes.extend(run.route.to_be_bytes());
            bytes.extend(run.delivery.as_raw().to_be_bytes());
            bytes.extend(run.at_ms.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let (runs, _) = words.as_chunks::<3>();
        let runs = runs
            .iter()
            .map(|[route, delivery, at]| Run {
                route: u64::from_be_bytes(*route),
                delivery: DeliveryId::from_raw(i64::from_be_bytes(*delivery)),
                at_ms: i64::from_be_bytes(*at),
            })
            .collect();
        Self { runs }
    }
}

/// Looks an event up.
pub(super) fn look_up(conn: &Connection, event: Event) -> rusqlite::Result<Known> {
    let mut known = Known::default();
    let mut statement = conn.prepare_cached(
        "SELECT status, runs FROM events WHERE starts_at = ?1 AND fingerprint = ?2",
    )?;
    let mut rows = statement.query(params![
        nanos(event.starts_at),
        event.fingerprint.0.cast_signed()
    ])?;
    while let Some(row) = rows.next()? {
        let status: i64 = row.get(0)?;
        if status == status_code(event.status) {
            known.same = Some(Memory::from_bytes(row.get_ref(1)?.as_blob()?));
        }
        known.resolved |= status == status_code(Status::Resolved);
    }
    Ok(known)
}

/// Remembers an event that was not known, or that runs again.
pub(super) fn remember(
    conn: &Connection,
    event: Event,
    memory: &Memory,
    now: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO events (starts_at, fingerprint, status, last_seen, runs)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (starts_at, fingerprint, status) DO UPDATE SET
             last_seen = excluded.last_seen, runs = excluded.runs",
    )?
    .execute(params![
        nanos(event.starts_at),
        event.fingerprint.0.cast_signed(),
        status_code(event.status),
        now.as_millisecond(),
        memory.to_bytes(),
    ])?;
    Ok(())
}

/// Notes that a known event was sent again and not run.
pub(super) fn seen_again(conn: &Connection, event: Event, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE events SET last_seen = ?4, duplicates = duplicates + 1
         WHERE starts_at = ?1 AND fingerprint = ?2 AND status = ?3",
    )?
    .execute(params![
        nanos(event.starts_at),
        event.fingerprint.0.cast_signed(),
        status_code(event.status),
        now.as_millisecond(),
    ])?;
    Ok(())
}

/// Returns how often an event was sent again without being run.
pub(super) fn duplicates(conn: &Connection, event: Event) -> rusqlite::Result<u64> {
    let found: Option<i64> = conn
        .prepare_cached(
            "SELECT duplicates FROM events
             WHERE starts_at = ?1 AND fingerprint = ?2 AND status = ?3",
        )?
        .query_row(
            params![
                nanos(event.starts_at),
                event.fingerprint.0.cast_signed(),
                status_code(event.status)
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.unwrap_or(0).unsigned_abs())
}

/// Returns when the fingerprint's firing began that no resolved has ended, the latest where there are several.
///
/// Only senders that give no start need this, so the index for it is made when the first one comes.
pub(super) fn open_firing(
    conn: &Connection,
    fingerprint: Fingerprint,
) -> rusqlite::Result<Option<Timestamp>> {
    conn.execute_batch(
        "CREATE INDEX IF NOT EXISTS events_firing ON events (fingerprint) WHERE status = 0",
    )?;
    conn.prepare_cached(
        "SELECT starts_at FROM events AS firing INDEXED BY events_firing
         WHERE fingerprint = ?1 AND status = 0 AND NOT EXISTS (
             SELECT 1 FROM events AS resolved
             WHERE resolved.starts_at = firing.starts_at
                 AND resolved.fingerprint = firing.fingerprint AND resolved.status = 1)
         ORDER BY starts_at DESC LIMIT 1",
    )?
    .query_row([fingerprint.0.cast_signed()], |row| {
        row.get(0).map(from_nanos)
    })
    .optional()
}

/// FNV-1a-64: stable over versions, and a route's name is the operator's own, not an attacker's.
fn digest(route: &str) -> u64 {
    route.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
