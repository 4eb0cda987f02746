//! Removes what is too old or too much, a little at a time, so that no commit waits long for it.
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

use super::schema::{DEAD, DONE};
use super::{kv, refused, rows};

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

/// Where the removal stands.
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
            params![id.as_raw(), rows::reason_code(Reason::Cancelled)],
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::clock::from_millis;
    use crate::model::{Beside, ID_COUNTER_BITS, NewDelivery, split_handlers};
    use crate::store::sqlite::schema::{self, QUEUED};
    use alert_manager_core::alert::{Fingerprint, Occurrence, Priority, Status};

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
        put_for(conn, accepted_ms, state, ",a,", json)
    }

    fn put_for(conn: &Connection, accepted_ms: i64, state: i64, handlers: &str, json: &str) -> i64 {
        let at = from_millis(accepted_ms);
        let last: i64 = conn
            .query_one("SELECT coalesce(max(id), 0) FROM deliveries", [], |row| {
                row.get(0)
            })
            .unwrap();
        let id = (last + 1).max(accepted_ms << ID_COUNTER_BITS);
        let delivery = NewDelivery {
            id: DeliveryId::from_raw(id),
            state: rows::state_of(state),
            leases: 1,
            priority: Priority::Normal,
            status: Some(Status::Firing),
            fingerprint: Some(Fingerprint(1)),
            starts_at: Some(at),
            occurrence: Occurrence::FIRST,
            sent_starts_at: None,
            accepted_at: at,
            settled_at: (state >= DONE).then_some(at),
            alertname: "A".into(),
            route: "route".into(),
            beside: Beside::Nothing,
            pipeline: split_handlers(handlers).into(),
            reason: None,
            last_error: None,
            json: json.into(),
        };
        rows::insert(conn, &delivery).unwrap();
        rows::put_run(conn, delivery.id, 1, "{}", None).unwrap();
        if state == DEAD {
            rows::measure_dead(conn, delivery.id).unwrap();
        }
        id
    }

    /// Steps to the end of a round; returns what went.
    fn round(conn: &Connection, options: &Options, needed_from: i64) -> Tidied {
        let mut retention = Retention::new();
        let mut all = Tidied::default();
        loop {
            let mut usage = kv::Usage::new();
            let limits = Limits {
                now: now(),
                options,
                last_id: 77,
                needed_from,
            };
            let (removed, more) = retention.remove(conn, limits, &mut usage).unwrap();
            all.by_time.add(removed.by_time);
            all.by_size.add(removed.by_size);
            if !more {
                return all;
            }
        }
    }

    fn up_to(bytes_max: u64) -> Options {
        Options {
            retention_bytes_max: bytes_max,
            ..Options::default()
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
        let removed = round(&conn, &Options::default(), i64::MAX);
        let expected = Removed {
            done: 1_000,
            dead: 1,
        };
        assert_eq!((removed.by_time, removed.by_size.sum()), (expected, 0));
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
        let full = up_to(0);
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
        let options = up_to(10 << 20);
        let removed = round(&conn, &options, i64::MAX);
        let left = ids(&conn, "SELECT id FROM deliveries");
        assert!(live_bytes(&conn).unwrap() <= options.retention_bytes_max);
        assert!(
            !left.is_empty() && all.ends_with(&left),
            "the oldest go, and no more than needed"
        );
        let gone = (all.len() - left.len()) as u64;
        assert_eq!(
            removed.by_size,
            Removed {
                done: gone,
                dead: 0
            }
        );
        assert!(live_bytes(&conn).unwrap() > options.retention_bytes_max * 9 / 10);
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

    #[test]
    fn one_that_came_while_the_clock_was_ahead_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let early = put(&conn, 80 * DAY_MS, DONE, "{}");
        let ahead = put(&conn, 5_000 * DAY_MS, DONE, "{}");
        // Numbered after it, so by their ids they come years from now.
        let old = [DONE, DEAD].map(|state| put(&conn, 81 * DAY_MS, state, "{}"));
        let recent = put(&conn, 99 * DAY_MS, DONE, "{}");
        assert!(early < ahead && old.iter().all(|id| *id > ahead));
        let removed = round(&conn, &Options::default(), i64::MAX);
        assert_eq!(ids(&conn, "SELECT id FROM deliveries"), [ahead, recent]);
        assert_eq!(removed.by_time, Removed { done: 2, dead: 1 });
    }

    #[test]
    fn dead_letters_stay_while_anything_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let json = "x".repeat(20_000);
        let dead: Vec<i64> = (0..50)
            .map(|_| put(&conn, 95 * DAY_MS, DEAD, &json))
            .collect();
        for _ in 0..500 {
            put_for(&conn, 96 * DAY_MS, DONE, ",b,", &json);
        }
        let removed = round(&conn, &up_to(4 << 20), i64::MAX);
        assert!(removed.by_size.done > 300);
        assert_eq!(removed.by_size.dead, 0, "though they are the oldest");
        let left = ids(&conn, "SELECT id FROM deliveries WHERE state = 4");
        assert_eq!(left, dead);
    }

    #[test]
    fn whose_dead_letters_fill_the_store_loses_them_before_others_do() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let (small, large) = ("x".repeat(2_000), "x".repeat(40_000));
        // More of them, and older.
        let others: Vec<i64> = (0..300)
            .map(|_| put_for(&conn, 95 * DAY_MS, DEAD, ",b,", &small))
            .collect();
        let own: Vec<i64> = (0..200)
            .map(|_| put_for(&conn, 96 * DAY_MS, DEAD, ",a,", &large))
            .collect();
        let options = up_to(4 << 20);
        let removed = round(&conn, &options, i64::MAX);
        let left = |handlers: &str| {
            let sql = format!("SELECT id FROM deliveries WHERE handlers = '{handlers}'");
            ids(&conn, &sql)
        };
        assert_eq!(left(",b,"), others);
        let kept = left(",a,");
        assert!(!kept.is_empty() && own.ends_with(&kept), "the oldest go");
        assert_eq!(removed.by_size.dead, (own.len() - kept.len()) as u64);
        assert!(live_bytes(&conn).unwrap() <= options.retention_bytes_max);
    }

    #[test]
    fn no_dead_letter_goes_for_what_is_not_settled() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let json = "x".repeat(20_000);
        let dead = put(&conn, 95 * DAY_MS, DEAD, &json);
        for _ in 0..100 {
            put_for(&conn, 96 * DAY_MS, QUEUED, ",b,", &json);
        }
        let removed = round(&conn, &up_to(1 << 20), i64::MAX);
        assert_eq!(removed, Tidied::default());
        assert_eq!(
            ids(&conn, "SELECT id FROM deliveries WHERE state = 4"),
            [dead]
        );
    }

    #[test]
    fn a_file_that_is_too_large_with_its_free_pages_shrinks() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let json = "x".repeat(20_000);
        for _ in 0..400 {
            put(&conn, 99 * DAY_MS, DONE, &json);
        }
        // Less than a quarter of the file is free then.
        let all = live_bytes(&conn).unwrap();
        let options = up_to(all * 9 / 10);
        round(&conn, &options, i64::MAX);
        let file = pragma(&conn, "page_count").unwrap() * pragma(&conn, "page_size").unwrap();
        let slack = u64::from(PAGES_A_STEP) * pragma(&conn, "page_size").unwrap();
        assert!(file <= options.retention_bytes_max + slack, "{file} bytes");
    }

    #[test]
    fn dead_letters_stay_while_what_is_done_cannot_go_yet() {
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let json = "x".repeat(20_000);
        for _ in 0..50 {
            put(&conn, 95 * DAY_MS, DEAD, &json);
        }
        put(&conn, 95 * DAY_MS, DONE, &json);
        let needed = put_for(&conn, 96 * DAY_MS, DONE, ",b,", &json);
        let removed = round(&conn, &up_to(1), needed);
        assert_eq!(removed.by_size, Removed { done: 1, dead: 0 });
    }

    #[test]
    fn what_was_removed_is_counted_though_the_file_cannot_shrink() {
        const PAGE: u64 = 4_096;
        let dir = tempfile::tempdir().unwrap();
        let conn = unsynced(&dir);
        let json = "x".repeat(20_000);
        for _ in 0..50 {
            put(&conn, 80 * DAY_MS, DONE, &json);
        }
        for _ in 0..20 {
            put(&conn, 99 * DAY_MS, DONE, &json);
        }
        let pages = pragma(&conn, "page_count").unwrap();
        assert_eq!(pragma(&conn, "page_size").unwrap(), PAGE);
        drop(conn);
        // To move the last pages, SQLite must know who refers to them: that is on page 2, five bytes for each page.
        let path = dir.path().join("store.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let of_page = |page: u64| usize::try_from(PAGE + 5 * (page - 3)).unwrap();
        bytes[of_page(pages - 4)..of_page(pages + 1)].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let conn = Connection::open(&path).unwrap();
        let options = up_to(pages * PAGE * 3 / 4);
        assert!(pages * PAGE > options.retention_bytes_max);
        let mut usage = kv::Usage::new();
        let limits = Limits {
            now: now(),
            options: &options,
            last_id: 77,
            needed_from: i64::MAX,
        };
        let removed = Retention::new().remove(&conn, limits, &mut usage);
        assert!(shrink(&conn, 0).is_err());
        assert_eq!(removed.unwrap().0.by_time.done, 50);
    }
}
