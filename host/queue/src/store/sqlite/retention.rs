//! Retention: removes what is too old or too much, a little at a time, so that no commit waits long for it.
//!
//! By time, settled deliveries go once they were settled longer ago than `retention.time`. By size, done ones go first, the
//! oldest of them first. Dead letters are the last to go, and only for other dead letters: not before nothing that is done is
//! left, and only while dead letters take more than [`DEAD_SHARE`] of the size; those of the pipeline that has most of them go
//! first. What is not settled never goes.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::Options;
use crate::model::Reason;
use crate::store::{Removed, Tidied};
use alert_manager_core::alert::{DeliveryId, Timestamp};

use super::codes::{DEAD, DONE, reason_code};
use super::{kv, refused, rows, storms};

const DELIVERIES_A_STEP: u32 = 300;
const EVENTS_A_STEP: u32 = 500;
const REFUSED_A_STEP: u32 = 200;
const KV_A_STEP: u32 = 200;
const PAGES_A_STEP: u32 = 128;

/// After so many the store is measured again: no more than needed is to go.
const DONE_AT_ONCE: u32 = 16;

/// Dead letters are left alone while they take less than this part of `retention.size`: a half.
const DEAD_SHARE: u64 = 2;

/// How long an event is remembered after it was last seen.
const EVENT_MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Between two steps while there is more to remove, and between two rounds.
const PACE: Duration = Duration::from_millis(15);
const REST: Duration = Duration::from_secs(10);

/// Events have no index by age: all of them are looked at, this long after the last time.
const EVENTS_REST: Duration = Duration::from_secs(60 * 60);

/// Free pages are used again first; only a file that has far too many of them shrinks, or one that is too large with them.
const FREE_PAGES_MIN: u64 = 1_024;

/// Before every event, in the order of their table.
const NO_EVENT: (i64, i64, i64, i64) = (i64::MIN, i64::MIN, i64::MIN, i64::MIN);

/// What was removed before its time is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(60);

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

impl Removed {
    fn sum(self) -> u64 {
        self.done + self.dead
    }

    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.dead += other.dead;
    }
}

impl Tidied {
    /// Returns how many a step may still remove.
    fn left(self) -> u32 {
        let sum = u32::try_from(self.by_time.sum() + self.by_size.sum()).unwrap_or(u32::MAX);
        DELIVERIES_A_STEP.saturating_sub(sum)
    }
}

/// How far the removal has come.
#[derive(Debug)]
pub(super) struct Retention {
    next: Instant,
    /// Events up to this one were looked at in this round.
    events_to: (i64, i64, i64, i64),
    events_next: Instant,
    /// Removed before its time, and not logged yet.
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

    /// Makes one step if it is due; returns what it removed.
    pub(super) fn step(
        &mut self,
        conn: &Connection,
        limits: Limits<'_>,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<Tidied> {
        if Instant::now() < self.next {
            return Ok(Tidied::default());
        }
        // Set first: a step that fails must not be tried again without a pause.
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

    /// Makes one step; returns what it removed, and true if there is more to look at.
    fn remove(
        &mut self,
        conn: &Connection,
        limits: Limits<'_>,
        usage: &mut kv::Usage,
    ) -> rusqlite::Result<(Tidied, bool)> {
        let tx = conn.unchecked_transaction()?;
        let mut removed = Tidied::default();
        remove_old(&tx, limits, &mut removed)?;
        remove_done(&tx, limits, &mut removed)?;
        remove_dead(&tx, limits, &mut removed)?;
        if removed != Tidied::default() {
            // The newest may be gone with the rest, and identifiers must not start again.
            tx.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('last_id', ?1)")?
                .execute([limits.last_id])?;
        }
        let mut more = removed.left() == 0;
        more |= self.forget_events(&tx, limits.now)?;
        storms::forget(&tx, before(limits.now, limits.options.retention_time))?;
        let forgotten = refused::forget(&tx, before(limits.now, EVENT_MEMORY), REFUSED_A_STEP)?;
        more |= forgotten == REFUSED_A_STEP as usize;
        more |= kv::expire(&tx, usage, None, limits.now, KV_A_STEP)? == KV_A_STEP as usize;
        tx.commit()?;
        match shrink(conn, limits.options.retention_bytes_max) {
            Ok(can_shrink) => more |= can_shrink,
            // What was removed is durable, and has to be counted.
            Err(error) => {
                tracing::warn!(%error, "cannot shrink the file of the store; trying again");
            }
        }
        Ok((removed, more))
    }

    /// Says what was removed before its time.
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

    /// Returns true if the round is not at its end.
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

/// Removes what was settled too long ago.
fn remove_old(conn: &Connection, limits: Limits<'_>, removed: &mut Tidied) -> rusqlite::Result<()> {
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
            rows::delete(conn, id)?;
        }
    }
    Ok(())
}

/// Removes done deliveries, the oldest first, while the store is too large.
fn remove_done(
    conn: &Connection,
    limits: Limits<'_>,
    removed: &mut Tidied,
) -> rusqlite::Result<()> {
    while removed.left() > 0 && is_too_large(conn, limits)? {
        let count = removed.left().min(DONE_AT_ONCE);
        let ids = oldest(conn, DONE, i64::MAX, limits.needed_from, count)?;
        if ids.is_empty() {
            break;
        }
        for id in ids {
            rows::delete(conn, id)?;
            removed.by_size.done += 1;
        }
    }
    Ok(())
}

/// Removes dead deliveries while the store is too large, nothing that is done is left, and dead ones take more than their
/// share: the oldest of the pipeline whose dead ones take most.
fn remove_dead(
    conn: &Connection,
    limits: Limits<'_>,
    removed: &mut Tidied,
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
        let largest = (0..pipelines.len()).max_by_key(|place| pipelines[*place].1);
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
        rows::delete(conn, id)?;
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

/// Returns true if anything is done, also what is still needed: that can go soon.
fn has_done(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_settled
             WHERE state >= 3 AND state = ?1)",
    )?
    .query_one([DONE], |row| row.get(0))
}

/// Returns deliveries that ended so until `cutoff`, the oldest first.
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

/// Returns the milliseconds since 1970 at `ago` before `now`.
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

/// Returns the size of what is stored. Free pages are no part of it: they are used again, or given back. Nor is the log,
/// which has a bound of its own (`checkpoint.rs`) and gets no shorter by what is removed.
fn live_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(conn, "page_count")? - pragma(conn, "freelist_count")?;
    Ok(pages * pragma(conn, "page_size")?)
}

/// Gives some free pages at the end of the file back; returns true if there are more.
fn shrink(conn: &Connection, bytes_max: u64) -> rusqlite::Result<bool> {
    let (free, pages) = (pragma(conn, "freelist_count")?, pragma(conn, "page_count")?);
    let has_many = free >= FREE_PAGES_MIN && free * 4 >= pages;
    let is_too_large =
        free >= u64::from(PAGES_A_STEP) && pages * pragma(conn, "page_size")? > bytes_max;
    if !has_many && !is_too_large {
        return Ok(false);
    }
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({PAGES_A_STEP})"))?;
    // Each row that it steps over is a page given back.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

#[cfg(test)]
mod tests;
