//! Removes what is too old or too much, a little at a time, so that no commit waits long for it.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::alert::{DeliveryId, Timestamp};
use crate::queue::options::Options;

use super::schema::{DEAD, DONE};
use super::{ID_COUNTER_BITS, kv, refused, rows};

const DELIVERIES_A_STEP: u32 = 300;
const EVENTS_A_STEP: u32 = 500;
const REFUSED_A_STEP: u32 = 200;
const KV_A_STEP: u32 = 200;
const PAGES_A_STEP: u32 = 128;

/// How long an event is remembered after it was last seen.
const EVENT_MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Between two steps while there is more to remove, and between two rounds.
const PACE: Duration = Duration::from_millis(15);
const REST: Duration = Duration::from_secs(10);

/// Events have no index by age: all of them are looked at, this long after the last time.
const EVENTS_REST: Duration = Duration::from_secs(60 * 60);

/// Free pages are used again first; only a file that has far too many of them shrinks.
const FREE_PAGES_MIN: u64 = 1_024;

/// Before every event, in the order of their table.
const NO_EVENT: (i64, i64, i64, i64) = (i64::MIN, i64::MIN, i64::MIN, i64::MIN);

/// What a step goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    pub(super) now: Timestamp,
    pub(super) options: &'a Options,
    /// The newest delivery that there ever was.
    pub(super) last_id: i64,
    /// Deliveries from this one on are still needed: what is remembered of their events is read from them.
    pub(super) needed_from: i64,
}

/// Where the removal stands.
#[derive(Debug)]
pub(super) struct Retention {
    next: Instant,
    /// Deliveries up to this one were looked at in this round.
    deliveries_to: i64,
    /// Events up to this one were looked at in this round.
    events_to: (i64, i64, i64, i64),
    events_next: Instant,
}

impl Retention {
    pub(super) fn new() -> Self {
        Self {
            next: Instant::now() + PACE,
            deliveries_to: i64::MIN,
            events_to: NO_EVENT,
            events_next: Instant::now(),
        }
    }

    /// Returns when the next step is due.
    pub(super) fn next_step(&self) -> Option<Instant> {
        Some(self.next)
    }

    /// Makes one step where it is due; returns how many dead deliveries it removed.
    pub(super) fn step(
        &mut self,
        conn: &Connection,
        limits: Limits<'_>,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<u64> {
        if Instant::now() < self.next {
            return Ok(0);
        }
        // Set first: a step that fails must not be tried again without a pause.
        self.next = Instant::now() + REST;
        let removed = self.remove(conn, limits, usage)?;
        let pace = if removed.more { PACE } else { REST };
        self.next = Instant::now() + pace;
        Ok(removed.dead)
    }

    /// Makes one step.
    fn remove(
        &mut self,
        conn: &Connection,
        limits: Limits<'_>,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<Removed> {
        let tx = conn.unchecked_transaction()?;
        let too_large = live_bytes(&tx)? > limits.options.retention_bytes_max;
        let mut removed = self.remove_deliveries(&tx, limits, too_large)?;
        if removed.any {
            // The newest may be gone with the rest, and identifiers must not start again.
            tx.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('last_id', ?1)")?
                .execute([limits.last_id])?;
        }
        removed.more |= self.forget_events(&tx, limits.now)?;
        let forgotten = refused::forget(&tx, before(limits.now, EVENT_MEMORY), REFUSED_A_STEP)?;
        removed.more |= forgotten == REFUSED_A_STEP as usize;
        removed.more |= kv::expire(&tx, usage, None, limits.now, KV_A_STEP)? == KV_A_STEP as usize;
        tx.commit()?;
        removed.more |= shrink(conn)?;
        Ok(removed)
    }

    fn remove_deliveries(
        &mut self,
        conn: &Connection,
        limits: Limits<'_>,
        too_large: bool,
    ) -> rusqlite::Result<Removed> {
        let cutoff = before(limits.now, limits.options.retention_time);
        let batch = conn
            .prepare_cached(
                "SELECT id, state, settled_at FROM deliveries WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?
            .query_map(params![self.deliveries_to, DELIVERIES_A_STEP], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<Vec<(i64, i64, Option<i64>)>>>()?;
        let mut removed = Removed::default();
        let mut young = batch.len() < DELIVERIES_A_STEP as usize;
        for (raw, state, settled_at) in batch {
            let id = DeliveryId::from_raw(raw);
            let is_old = too_large || raw >> ID_COUNTER_BITS <= cutoff;
            if !is_old || raw >= limits.needed_from {
                young = true;
                break;
            }
            self.deliveries_to = raw;
            let old = settled_at.is_some_and(|at| at <= cutoff);
            if state >= DONE && (old || too_large) {
                rows::delete(conn, id)?;
                removed.any = true;
                removed.dead += u64::from(state == DEAD);
            }
        }
        removed.more = !young;
        if young {
            self.deliveries_to = i64::MIN;
        }
        Ok(removed)
    }

    /// Returns true where the round is not at its end.
    fn forget_events(&mut self, conn: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
        if Instant::now() < self.events_next {
            return Ok(false);
        }
        let cutoff = before(now, EVENT_MEMORY);
        let (starts_at, fingerprint, occurrence, status) = self.events_to;
        let batch = conn
            .prepare_cached(
                "SELECT starts_at, fingerprint, occurrence, status, last_seen FROM events
                 WHERE (starts_at, fingerprint, occurrence, status) > (?1, ?2, ?3, ?4)
                 ORDER BY starts_at, fingerprint, occurrence, status LIMIT ?5",
            )?
            .query_map(
                params![starts_at, fingerprint, occurrence, status, EVENTS_A_STEP],
                |row| {
                    let key = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                    Ok((key, row.get(4)?))
                },
            )?
            .collect::<rusqlite::Result<Vec<((i64, i64, i64, i64), i64)>>>()?;
        let more = batch.len() == EVENTS_A_STEP as usize;
        for (key, last_seen) in batch {
            self.events_to = key;
            if last_seen <= cutoff {
                conn.prepare_cached(
                    "DELETE FROM events WHERE starts_at = ?1 AND fingerprint = ?2
                         AND occurrence = ?3 AND status = ?4",
                )?
                .execute(params![key.0, key.1, key.2, key.3])?;
            }
        }
        if !more {
            self.events_to = NO_EVENT;
            self.events_next = Instant::now() + EVENTS_REST;
        }
        Ok(more)
    }
}

#[derive(Debug, Default)]
struct Removed {
    any: bool,
    dead: u64,
    /// There is more to look at.
    more: bool,
}

/// Returns the milliseconds since 1970 at `ago` before `now`.
fn before(now: Timestamp, ago: Duration) -> i64 {
    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(ago)
}

fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<u64> {
    conn.pragma_query_value(None, name, |row| row.get(0))
        .map(i64::unsigned_abs)
}

fn live_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(conn, "page_count")? - pragma(conn, "freelist_count")?;
    Ok(pages * pragma(conn, "page_size")?)
}

/// Gives some free pages at the end of the file back; returns true where there are more.
fn shrink(conn: &Connection) -> rusqlite::Result<bool> {
    let free = pragma(conn, "freelist_count")?;
    if free < FREE_PAGES_MIN || free * 4 < pragma(conn, "page_count")? {
        return Ok(false);
    }
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({PAGES_A_STEP})"))?;
    // Each row that it steps over is a page given back.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::{Fingerprint, Occurrence, Priority, Status};
    use crate::queue::clock::from_millis;
    use crate::queue::sqlite::rows::NewDelivery;
    use crate::queue::sqlite::schema::{self, QUEUED};

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

    fn now() -> Timestamp {
        from_millis(100 * DAY_MS)
    }

    fn unsynced(dir: &tempfile::TempDir) -> Connection {
        let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
        conn.pragma_update(None, "synchronous", "OFF").unwrap();
        conn
    }

    fn put(conn: &Connection, accepted_ms: i64, state: i64, json: &str) -> i64 {
        let at = from_millis(accepted_ms);
        let last: i64 = conn
            .query_one("SELECT coalesce(max(id), 0) FROM deliveries", [], |row| {
                row.get(0)
            })
            .unwrap();
        let id = (last + 1).max(accepted_ms << ID_COUNTER_BITS);
        let delivery = NewDelivery {
            id: DeliveryId::from_raw(id),
            state,
            leases: 1,
            priority: Priority::Normal,
            status: Some(Status::Firing),
            fingerprint: Some(Fingerprint(1)),
            starts_at: Some(at),
            occurrence: Occurrence::FIRST,
            sent_starts_at: None,
            accepted_at: at,
            settled_at: (state >= DONE).then_some(at),
            alertname: "A",
            route: "route",
            beside: None,
            handlers: ",a,",
            last_error: None,
            json,
        };
        rows::insert(conn, &delivery).unwrap();
        rows::put_run(conn, delivery.id, 1, "{}", None).unwrap();
        id
    }

    /// Steps to the end of a round; returns how many dead ones went.
    fn round(conn: &Connection, options: &Options, needed_from: i64) -> u64 {
        let mut retention = Retention::new();
        let mut dead = 0;
        loop {
            let mut usage = kv::Usage::new();
            let limits = Limits {
                now: now(),
                options,
                last_id: 77,
                needed_from,
            };
            let removed = retention.remove(conn, limits, &mut usage).unwrap();
            dead += removed.dead;
            if !removed.more {
                return dead;
            }
        }
    }

    fn ids(conn: &Connection, sql: &str) -> Vec<i64> {
        let mut statement = conn.prepare(sql).unwrap();
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        ids.map(Result::unwrap).collect()
    }

    #[test]
    fn what_settled_long_ago_goes_with_everything_that_hangs_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        for _ in 0..1_000 {
            put(&conn, 80 * DAY_MS, DONE, "{}");
        }
        put(&conn, 80 * DAY_MS, DEAD, "{}");
        let waiting = put(&conn, 80 * DAY_MS, QUEUED, "{}");
        let recent = put(&conn, 94 * DAY_MS, DONE, "{}");
        assert_eq!(round(&conn, &Options::default(), i64::MAX), 1);
        assert_eq!(ids(&conn, "SELECT id FROM deliveries"), [waiting, recent]);
        assert_eq!(ids(&conn, "SELECT id FROM alerts"), [waiting, recent]);
        assert_eq!(ids(&conn, "SELECT delivery FROM runs"), [waiting, recent]);
        assert_eq!(
            ids(&conn, "SELECT value FROM meta WHERE key = 'last_id'"),
            [77]
        );
    }

    #[test]
    fn what_the_memory_of_events_is_read_from_stays() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        put(&conn, 80 * DAY_MS, DONE, "{}");
        let needed = put(&conn, 80 * DAY_MS, DONE, "{}");
        let later = put(&conn, 81 * DAY_MS, DONE, "{}");
        let full = Options {
            retention_bytes_max: 0,
            ..Options::default()
        };
        for options in [&full, &Options::default()] {
            round(&conn, options, needed);
            assert_eq!(ids(&conn, "SELECT id FROM deliveries"), [needed, later]);
        }
    }

    #[test]
    fn a_store_that_is_too_large_loses_its_oldest_and_its_file_shrinks() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let json = "x".repeat(20_000);
        let all: Vec<i64> = (0..1_500)
            .map(|_| put(&conn, 99 * DAY_MS, DONE, &json))
            .collect();
        let before = pragma(&conn, "page_count").unwrap();
        let options = Options {
            retention_bytes_max: 10 << 20,
            ..Options::default()
        };
        round(&conn, &options, i64::MAX);
        let left = ids(&conn, "SELECT id FROM deliveries");
        assert!(live_bytes(&conn).unwrap() <= options.retention_bytes_max);
        assert!(
            !left.is_empty() && all.ends_with(&left),
            "the oldest go, and no more than needed"
        );
        assert!(pragma(&conn, "page_count").unwrap() < before * 2 / 3);
    }

    #[test]
    fn an_event_is_remembered_for_seven_days_after_it_was_last_seen() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let put = |fingerprint: i64, seen: i64| {
            conn.execute(
                "INSERT INTO events VALUES (0, ?1, 1, 0, 0, ?2, 0, NULL, x'')",
                [fingerprint, seen * DAY_MS],
            )
            .unwrap();
        };
        for fingerprint in 0..1_200 {
            put(fingerprint, if fingerprint == 7 { 94 } else { 92 });
        }
        round(&conn, &Options::default(), i64::MAX);
        assert_eq!(ids(&conn, "SELECT fingerprint FROM events"), [7]);
    }
}
