//! Removes what is too old or too much, a little at a time, so that no commit waits long for it.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::alert::{DeliveryId, Timestamp};
use crate::queue::options::Options;

use super::schema::{DEAD, DONE};
use super::{ID_COUNTER_BITS, kv, rows};

const DELIVERIES_A_STEP: u32 = 300;
const EVENTS_A_STEP: u32 = 500;
const KV_A_STEP: u32 = 200;
const PAGES_A_STEP: u32 = 128;

/// How long an event is remembered after it was last seen.
const EVENT_MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Between two steps while there is more to remove, and between two rounds.
const PACE: Duration = Duration::from_millis(15);
const REST: Duration = Duration::from_secs(10);

/// Free pages are used again first; only a file that has far too many of them shrinks.
const FREE_PAGES_MIN: u64 = 1_024;

/// Where the removal stands.
#[derive(Debug)]
pub(super) struct Retention {
    next: Instant,
    /// Deliveries up to this one were looked at in this round.
    deliveries_to: i64,
    /// Events up to this one were looked at in this round.
    events_to: (i64, i64, i64),
}

impl Retention {
    pub(super) fn new() -> Self {
        Self {
            next: Instant::now() + PACE,
            deliveries_to: i64::MIN,
            events_to: (i64::MIN, i64::MIN, i64::MIN),
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
        (now, options): (Timestamp, &Options),
        last_id: i64,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<u64> {
        if Instant::now() < self.next {
            return Ok(0);
        }
        // Set first: a step that fails must not be tried again without a pause.
        self.next = Instant::now() + REST;
        let removed = self.remove(conn, (now, options), last_id, usage)?;
        let pace = if removed.more { PACE } else { REST };
        self.next = Instant::now() + pace;
        Ok(removed.dead)
    }

    /// Makes one step.
    fn remove(
        &mut self,
        conn: &Connection,
        (now, options): (Timestamp, &Options),
        last_id: i64,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<Removed> {
        let tx = conn.unchecked_transaction()?;
        let too_large = live_bytes(&tx)? > options.retention_bytes_max;
        let mut removed = self.remove_deliveries(&tx, (now, options), too_large)?;
        if removed.any {
            // The newest may be gone with the rest, and identifiers must not start again.
            tx.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('last_id', ?1)")?
                .execute([last_id])?;
        }
        removed.more |= self.forget_events(&tx, now)?;
        removed.more |= kv::expire(&tx, usage, now, KV_A_STEP)? == KV_A_STEP as usize;
        tx.commit()?;
        removed.more |= shrink(conn)?;
        Ok(removed)
    }

    fn remove_deliveries(
        &mut self,
        conn: &Connection,
        (now, options): (Timestamp, &Options),
        too_large: bool,
    ) -> rusqlite::Result<Removed> {
        let cutoff = before(now, options.retention_time);
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
            if !too_large && raw >> ID_COUNTER_BITS > cutoff {
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
        let cutoff = before(now, EVENT_MEMORY);
        let (starts_at, fingerprint, status) = self.events_to;
        let batch = conn
            .prepare_cached(
                "SELECT starts_at, fingerprint, status, last_seen FROM events
                 WHERE (starts_at, fingerprint, status) > (?1, ?2, ?3)
                 ORDER BY starts_at, fingerprint, status LIMIT ?4",
            )?
            .query_map(
                params![starts_at, fingerprint, status, EVENTS_A_STEP],
                |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?)),
            )?
            .collect::<rusqlite::Result<Vec<((i64, i64, i64), i64)>>>()?;
        let more = batch.len() == EVENTS_A_STEP as usize;
        for ((starts_at, fingerprint, status), last_seen) in batch {
            self.events_to = (starts_at, fingerprint, status);
            if last_seen <= cutoff {
                conn.prepare_cached(
                    "DELETE FROM events WHERE starts_at = ?1 AND fingerprint = ?2 AND status = ?3",
                )?
                .execute(params![starts_at, fingerprint, status])?;
            }
        }
        if !more {
            self.events_to = (i64::MIN, i64::MIN, i64::MIN);
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
