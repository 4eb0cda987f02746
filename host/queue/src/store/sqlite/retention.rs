//! Retention: removes settled deliveries that are too old, or that make the store too large, in small steps that do not delay
//! commits.
//!
//! By time, deliveries are removed that were settled longer ago than `retention.time`. By size, done ones are removed first, the
//! oldest first. Dead ones are removed only if no done one is left, and only while they take more than their share
//! ([`DEAD_SHARE`]) of the size, from the pipeline whose dead deliveries take most. Unsettled deliveries are never removed.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::{Options, Reason};
use crate::store::{Removed, RetentionRun};

use super::codes::{DEAD, DONE, reason_code};
use super::history::{self, HISTORY_MEMORY};
use super::{activity, audit, kv, refused, rows, storms};

const DELIVERIES_A_STEP: u32 = 300;
const EVENTS_A_STEP: u32 = 500;
const REFUSED_A_STEP: u32 = 200;
const KV_A_STEP: u32 = 200;
const PAGES_A_STEP: u32 = 128;

/// How many done deliveries are removed before the size of the store is read again.
const DONE_AT_ONCE: u32 = 16;

/// Dead deliveries are kept while they take less than `retention.size` divided by this.
const DEAD_SHARE: u64 = 2;

/// How long an event is remembered after it was last sent.
const EVENT_MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The pause between two steps if there is more to remove.
const PACE: Duration = Duration::from_millis(15);

/// The pause between two steps if there is not.
const REST: Duration = Duration::from_secs(10);

/// The pause between two scans of all events, which have no index by age.
const EVENTS_REST: Duration = Duration::from_secs(60 * 60);

/// A file with fewer free pages is not shrunk, since they are reused, unless it is larger than `retention.size` with them.
const FREE_PAGES_MIN: u64 = 1_024;

/// A key that sorts before all events.
const NO_EVENT: (i64, i64, i64, i64) = (i64::MIN, i64::MIN, i64::MIN, i64::MIN);

/// How often removals by size are logged at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The limits of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    pub(super) now: Timestamp,
    pub(super) options: &'a Options,
    /// The last identifier that was assigned.
    pub(super) last_id: i64,
    /// The first delivery that must not be removed, because its event may have to be read from it after a crash.
    pub(super) needed_from: i64,
}

impl Removed {
    fn sum(self) -> u64 {
        self.done + self.dead
    }

    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.dead += other.dead;
    }
}

impl RetentionRun {
    /// Returns how many deliveries this step may still remove.
    fn left(self) -> u32 {
        let sum = u32::try_from(self.by_time.sum() + self.by_size.sum()).unwrap_or(u32::MAX);
        DELIVERIES_A_STEP.saturating_sub(sum)
    }
}

/// The state of retention between steps.
#[derive(Debug)]
pub(super) struct Retention {
    next: Instant,
    /// The last event that the scan has reached.
    events_to: (i64, i64, i64, i64),
    events_next: Instant,
    /// Deliveries removed by size that are not logged yet.
    unlogged: Removed,
    log_next: Instant,
}

impl Retention {
    pub(super) fn new() -> Self {
        Self {
            next: Instant::now() + PACE,
            events_to: NO_EVENT,
            events_next: Instant::now(),
            unlogged: Removed::default(),
            log_next: Instant::now(),
        }
    }

    /// Returns when the next step is due.
    pub(super) fn next_step(&self) -> Instant {
        self.next
    }

    /// Runs one step if it is due; returns what it has removed.
    pub(super) fn step(
        &mut self,
        conn: &Connection,
        limits: Limits<'_>,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<RetentionRun> {
        if Instant::now() < self.next {
            return Ok(RetentionRun::default());
        }
        // Set first, so that a failed step is retried after a pause.
        self.next = Instant::now() + REST;
        let (removed, more) = self.remove(conn, limits, usage)?;
        let pace = if more { PACE } else { REST };
        self.next = Instant::now() + pace;
        self.unlogged.add(removed.by_size);
        if !more {
            self.log(limits.options);
        }
        Ok(removed)
    }

    /// Runs one step; returns what it has removed, and true if there is more to do.
    fn remove(
        &mut self,
        conn: &Connection,
        limits: Limits<'_>,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<(RetentionRun, bool)> {
        let tx = conn.unchecked_transaction()?;
        let mut removed = RetentionRun::default();
        remove_old(&tx, limits, &mut removed)?;
        let mut more = history::forget(&tx, before(limits.now, HISTORY_MEMORY))?;
        if is_too_large(&tx, limits)? {
            let bytes_max = limits.options.retention_bytes_max;
            more |= history::remove_beyond_share(&tx, bytes_max)?;
        }
        remove_done(&tx, limits, &mut removed)?;
        remove_dead(&tx, limits, &mut removed)?;
        if removed != RetentionRun::default() {
            // The latest delivery may be removed, and identifiers must not be reused.
            tx.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('last_id', ?1)")?
                .execute([limits.last_id])?;
        }
        more |= removed.left() == 0;
        more |= self.forget_events(&tx, limits.now)?;
        more |= activity::roll_up(&tx, limits.now)?;
        more |= audit::forget(&tx, before(limits.now, HISTORY_MEMORY))?;
        storms::forget(&tx, before(limits.now, limits.options.retention_time))?;
        let forgotten = refused::forget(&tx, before(limits.now, EVENT_MEMORY), REFUSED_A_STEP)?;
        more |= forgotten == REFUSED_A_STEP as usize;
        more |= kv::expire(&tx, usage, None, limits.now, KV_A_STEP)? == KV_A_STEP as usize;
        tx.commit()?;
        match shrink(conn, limits.options.retention_bytes_max) {
            Ok(can_shrink) => more |= can_shrink,
            // The removal is durable, so it is counted nevertheless.
            Err(error) => {
                tracing::warn!(%error, "cannot shrink the file of the store; trying again");
            }
        }
        Ok((removed, more))
    }

    /// Logs what was removed by size.
    fn log(&mut self, options: &Options) {
        if self.unlogged.sum() == 0 || Instant::now() < self.log_next {
            return;
        }
        self.log_next = Instant::now() + LOG_EVERY;
        let Removed { done, dead } = std::mem::take(&mut self.unlogged);
        tracing::warn!(
            done,
            dead,
            bytes_max = options.retention_bytes_max,
            "the store is larger than retention.size: {done} done and {dead} dead deliveries were removed before \
             retention.time; raise retention.size, or lower retention.time"
        );
    }

    /// Deletes some events that are too old; returns true if the scan is not at its end.
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

/// Removes a delivery. History keeps the occurrence of its alert.
pub(super) fn remove(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    history::keep(conn, id)?;
    rows::delete(conn, id)
}

/// Removes deliveries that were settled too long ago.
fn remove_old(
    conn: &Connection,
    limits: Limits<'_>,
    removed: &mut RetentionRun,
) -> rusqlite::Result<()> {
    let cutoff = before(limits.now, limits.options.retention_time);
    for state in [DONE, DEAD] {
        for id in oldest(conn, state, cutoff, limits.needed_from, removed.left())? {
            match state {
                DONE => removed.by_time.done += 1,
                _ => {
                    removed.by_time.dead += 1;
                    removed.dead_letters += u64::from(is_dead_letter(conn, id)?);
                }
            }
            remove(conn, id)?;
        }
    }
    Ok(())
}

/// Removes done deliveries, the oldest first, while the store is too large.
fn remove_done(
    conn: &Connection,
    limits: Limits<'_>,
    removed: &mut RetentionRun,
) -> rusqlite::Result<()> {
    while removed.left() > 0 && is_too_large(conn, limits)? {
        let count = removed.left().min(DONE_AT_ONCE);
        let ids = oldest(conn, DONE, i64::MAX, limits.needed_from, count)?;
        if ids.is_empty() {
            break;
        }
        for id in ids {
            remove(conn, id)?;
            removed.by_size.done += 1;
        }
    }
    Ok(())
}

/// Removes dead deliveries while the store is too large, no done delivery is left, and the dead ones take more than their share:
/// the oldest of the pipeline whose dead deliveries take most.
fn remove_dead(
    conn: &Connection,
    limits: Limits<'_>,
    removed: &mut RetentionRun,
) -> rusqlite::Result<()> {
    if removed.left() == 0 || !is_too_large(conn, limits)? || has_done(conn)? {
        return Ok(());
    }
    let mut pipelines = conn
        .prepare_cached(
            "SELECT handlers, sum(dead_bytes) FROM deliveries INDEXED BY deliveries_dead_by_handlers
             WHERE state = 4 GROUP BY handlers",
        )?
        .query_map([], |row| {
            let bytes: Option<i64> = row.get(1)?;
            Ok((row.get(0)?, bytes.unwrap_or(0).unsigned_abs()))
        })?
        .collect::<rusqlite::Result<Vec<(String, u64)>>>()?;
    let mut dead_bytes: u64 = pipelines.iter().map(|(_, bytes)| bytes).sum();
    let share = limits.options.retention_bytes_max / DEAD_SHARE;
    let mut oldest_of = conn.prepare_cached(
        "SELECT id, coalesce(dead_bytes, 0)
         FROM deliveries INDEXED BY deliveries_dead_by_handlers
         WHERE state = 4 AND handlers = ?1 AND id < ?2 ORDER BY settled_at LIMIT 1",
    )?;
    while removed.left() > 0 && dead_bytes > share && is_too_large(conn, limits)? {
        let largest = (0..pipelines.len()).max_by_key(|index| pipelines[*index].1);
        let Some(largest) = largest else {
            break;
        };
        let found = oldest_of
            .query_row(params![pipelines[largest].0, limits.needed_from], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
            })
            .optional()?;
        let Some((id, bytes)) = found else {
            pipelines.swap_remove(largest);
            continue;
        };
        let id = DeliveryId::from_raw(id);
        removed.by_size.dead += 1;
        removed.dead_letters += u64::from(is_dead_letter(conn, id)?);
        remove(conn, id)?;
        dead_bytes = dead_bytes.saturating_sub(bytes);
        pipelines[largest].1 = pipelines[largest].1.saturating_sub(bytes);
    }
    Ok(())
}

/// Returns true if a dead delivery counts as a dead letter.
fn is_dead_letter(conn: &Connection, id: DeliveryId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT reason IS NOT ?2 FROM deliveries WHERE id = ?1")?
        .query_one(
            params![id.as_raw(), reason_code(Reason::Cancelled)],
            |row| row.get(0),
        )
}

/// Returns true if a done delivery is left, even one that must not be removed yet: it can be soon.
fn has_done(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_settled
             WHERE state >= 3 AND state = ?1)",
    )?
    .query_one([DONE], |row| row.get(0))
}

/// Returns at most `count` deliveries in a state that were settled until `cutoff`, the oldest first.
fn oldest(
    conn: &Connection,
    state: i64,
    cutoff: i64,
    needed_from: i64,
    count: u32,
) -> rusqlite::Result<Vec<DeliveryId>> {
    conn.prepare_cached(
        "SELECT id FROM deliveries INDEXED BY deliveries_settled
         WHERE state >= 3 AND state = ?1 AND settled_at <= ?2 AND id < ?3
         ORDER BY settled_at LIMIT ?4",
    )?
    .query_map(params![state, cutoff, needed_from, count], |row| {
        row.get(0).map(DeliveryId::from_raw)
    })?
    .collect()
}

/// Returns the time `ago` before `now`, in milliseconds since 1970.
fn before(now: Timestamp, ago: Duration) -> i64 {
    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(ago)
}

fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<u64> {
    conn.pragma_query_value(None, name, |row| row.get(0))
        .map(i64::unsigned_abs)
}

fn is_too_large(conn: &Connection, limits: Limits<'_>) -> rusqlite::Result<bool> {
    Ok(live_bytes(conn)? > limits.options.retention_bytes_max)
}

/// Returns the size of the store in bytes, without free pages, which are reused, and without the write-ahead log, which has a bound
/// of its own (`checkpoint.rs`).
fn live_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(conn, "page_count")? - pragma(conn, "freelist_count")?;
    Ok(pages * pragma(conn, "page_size")?)
}

/// Shrinks the file by some free pages; returns true if there are more.
fn shrink(conn: &Connection, bytes_max: u64) -> rusqlite::Result<bool> {
    let (free, pages) = (pragma(conn, "freelist_count")?, pragma(conn, "page_count")?);
    let has_many = free >= FREE_PAGES_MIN && free * 4 >= pages;
    let is_too_large =
        free >= u64::from(PAGES_A_STEP) && pages * pragma(conn, "page_size")? > bytes_max;
    if !has_many && !is_too_large {
        return Ok(false);
    }
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({PAGES_A_STEP})"))?;
    // Each row of the result is a page that is released.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

#[cfg(test)]
mod tests;
