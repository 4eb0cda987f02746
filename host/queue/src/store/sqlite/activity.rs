//! Aggregates: how much was counted in each minute, and after two days in each hour.
//!
//! What transactions have counted is gathered, and written by one of them: at once if there is little to do, else once a second,
//! since each row that is written adds pages to the write-ahead log. Readers add what is gathered to what is written. A kill loses
//! what is gathered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, Rows, params};

use alert_manager_core::alert::{HandlerName, Timestamp};

use crate::model::clock::from_millis;
use crate::model::{Activity, ActivityKind, ActivityOf, Amount, Tally};

use super::codes::{
    ACTIVITY_KINDS, activity_code, activity_key, handler_prefix, histogram, parse_activity_key,
    times_of,
};
use super::meta;

const MINUTE_MS: i64 = 60_000;

/// How many minutes an hour has, and thereby the `length` of its rows.
const HOUR: i64 = 60;

/// For how many minutes rows of minutes are kept.
const MINUTES_KEPT: i64 = 48 * HOUR;

/// For how many minutes rows of hours are kept: 90 days, as history.
const HOURS_KEPT: i64 = 90 * 24 * HOUR;

/// How many rows one step of retention reads or removes at most, if one hour does not have more.
const ROWS_A_STEP: u32 = 1_000;

/// The key in `meta` of the [`number`](Unwritten::number) of the last batch of counts that is in the table.
const WRITTEN: &str = "counts_written";

/// A minute since 1970, and what is counted in it.
type Key = (i64, ActivityOf);

/// A batch of counts that is not in the table yet. One transaction writes all of it.
#[derive(Clone, Debug)]
pub(super) struct Unwritten {
    /// Its number: the transaction that writes it stores it too.
    number: i64,
    amounts: HashMap<Key, Amount>,
}

impl Unwritten {
    /// Returns what a view of the table lacks: nothing if the batch was written before the view.
    fn lacking(
        &self,
        conn: &Connection,
        kind: ActivityKind,
    ) -> rusqlite::Result<impl Iterator<Item = (&Key, &Amount)>> {
        let is_lacking = meta::number(conn, WRITTEN)?.unwrap_or(0) < self.number;
        let amounts = self.amounts.iter().filter(move |_| is_lacking);
        Ok(amounts.filter(move |((_, of), _)| of.kind() == kind))
    }
}

/// What is counted and not written yet, and the rows that were written last, which are changed in place.
#[derive(Debug)]
pub(super) struct Counted {
    /// How long counts are gathered.
    gathered_for: Duration,
    /// By the transaction under way.
    staged: HashMap<Key, Amount>,
    /// By earlier ones. Readers have it too.
    gathered: Arc<Mutex<Unwritten>>,
    /// Those of the latest minute.
    rows: HashMap<Key, Stored>,
    /// True if the transaction under way writes all of it.
    is_written: bool,
    written_at: Option<Instant>,
}

/// A row as it is stored.
#[derive(Debug)]
struct Stored {
    id: i64,
    amount: Amount,
}

impl Counted {
    pub(super) fn load(conn: &Connection, gathered_for: Duration) -> rusqlite::Result<Self> {
        let gathered = Unwritten {
            number: meta::number(conn, WRITTEN)?.unwrap_or(0) + 1,
            amounts: HashMap::new(),
        };
        Ok(Self {
            gathered_for,
            staged: HashMap::new(),
            gathered: Arc::new(Mutex::new(gathered)),
            rows: HashMap::new(),
            is_written: false,
            written_at: None,
        })
    }

    /// Returns what is not written yet, for readers.
    pub(super) fn unwritten(&self) -> Arc<Mutex<Unwritten>> {
        Arc::clone(&self.gathered)
    }

    /// Adds what the transaction under way has counted.
    pub(super) fn stage(&mut self, tally: &Tally, now: Timestamp) {
        let minute = minute_of(now);
        for (of, amount) in &tally.0 {
            let staged = self.staged.entry((minute, of.clone())).or_default();
            staged.add(amount);
        }
    }

    /// Returns when what is gathered has to be written even without a transaction.
    pub(super) fn next_step(&self) -> Option<Instant> {
        let written_at = self
            .written_at
            .filter(|_| !self.gathered.lock().amounts.is_empty())?;
        Some(written_at + self.gathered_for)
    }

    /// Returns true if it has to be written now, even without a transaction.
    pub(super) fn is_due(&self) -> bool {
        self.next_step().is_some_and(|at| Instant::now() >= at)
    }

    /// Writes everything within the transaction under way, if the last time is long enough ago.
    pub(super) fn write(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let is_ripe = |at: Instant| at.elapsed() >= self.gathered_for;
        match self.written_at.is_none_or(is_ripe) {
            true => self.write_all(conn),
            false => Ok(()),
        }
    }

    /// Writes everything within the transaction under way.
    pub(super) fn write_all(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let gathered = self.gathered.lock();
        for (key, amount) in gathered.amounts.iter().chain(&self.staged) {
            self.is_written = true;
            if let Some(row) = self.rows.get_mut(key) {
                row.amount.add(amount);
                update(conn, row)?;
                continue;
            }
            let (minute, of) = key;
            let row = add(
                conn,
                (1, activity_code(of.kind()), *minute, &activity_key(of)),
                amount,
            )?;
            self.rows.insert(key.clone(), row);
        }
        if self.is_written {
            conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                .execute(params![WRITTEN, gathered.number])?;
        }
        Ok(())
    }

    /// The transaction is durable.
    pub(super) fn commit(&mut self) {
        let mut gathered = self.gathered.lock();
        if std::mem::take(&mut self.is_written) {
            gathered.number += 1;
            gathered.amounts.clear();
            self.staged.clear();
            self.written_at = Some(Instant::now());
            let latest = self.rows.keys().map(|(minute, _)| *minute).max();
            self.rows.retain(|(minute, _), _| Some(*minute) == latest);
        } else {
            for (key, amount) in self.staged.drain() {
                gathered.amounts.entry(key).or_default().add(&amount);
            }
        }
    }

    /// The transaction is rolled back: rows are read again.
    pub(super) fn roll_back(&mut self) {
        self.staged.clear();
        self.rows.clear();
        self.is_written = false;
    }
}

/// Returns what was counted between two times, the oldest first; if `handler` is given, of this handler alone.
pub(super) fn between(
    conn: &Connection,
    unwritten: &Unwritten,
    of: ActivityKind,
    handler: Option<&HandlerName>,
    (from, to): (Timestamp, Timestamp),
) -> rusqlite::Result<Vec<Activity>> {
    let kind = of;
    let mut found = Vec::new();
    // Hours are older than minutes. One that has begun before `from` is left out, as a minute is.
    let (first, end) = (minute_up(from), minute_up(to));
    let prefix = handler.map(handler_prefix);
    for length in [HOUR, 1] {
        let mut statement = conn.prepare_cached(
            "SELECT key, count, sum_ms, histogram, start FROM activity
             WHERE length = ?1 AND kind = ?2 AND start >= ?3 AND start < ?4
                 AND (?5 IS NULL OR substr(key, 1, length(?5)) = ?5) ORDER BY start, key",
        )?;
        let mut rows = statement.query(params![length, activity_code(of), first, end, prefix])?;
        while let Some(row) = rows.next()? {
            // A newer version may count more.
            let Some(of) = parse_activity_key(of, row.get_ref(0)?.as_str()?) else {
                continue;
            };
            found.push(Activity {
                from: from_millis(row.get::<_, i64>(4)? * MINUTE_MS),
                length: Duration::from_secs(60 * length.unsigned_abs()),
                of,
                amount: read(row)?,
            });
        }
    }
    for ((minute, of), amount) in unwritten.lacking(conn, kind)? {
        let is_of =
            |name: &HandlerName| matches!(of, ActivityOf::Handler(known, _) if known == name);
        if (first..end).contains(minute) && handler.is_none_or(is_of) {
            add_to(&mut found, *minute, of, amount);
        }
    }
    Ok(found)
}

/// Adds what was counted in a minute to what was found, which is in the order of time.
fn add_to(found: &mut Vec<Activity>, minute: i64, of: &ActivityOf, amount: &Amount) {
    let from = from_millis(minute * MINUTE_MS);
    let later = found.iter_mut().rev().take_while(|one| one.from >= from);
    let length = Duration::from_secs(60);
    let mut same = later.filter(|one| one.from == from && one.length == length && one.of == *of);
    if let Some(same) = same.next() {
        same.amount.add(amount);
        return;
    }
    let place = found.partition_point(|one| one.from <= from);
    let (of, amount) = (of.clone(), amount.clone());
    found.insert(
        place,
        Activity {
            from,
            length,
            of,
            amount,
        },
    );
}

/// Returns how many were counted together between two times.
pub(super) fn counted(
    conn: &Connection,
    unwritten: &Unwritten,
    of: ActivityKind,
    (from, to): (Timestamp, Timestamp),
) -> rusqlite::Result<HashMap<ActivityOf, u64>> {
    let (first, end) = (minute_up(from), minute_up(to));
    let mut statement = conn.prepare_cached(
        "SELECT key, sum(count) FROM activity
         WHERE length IN (1, ?1) AND kind = ?2 AND start >= ?3 AND start < ?4 GROUP BY key",
    )?;
    let rows = statement.query(params![HOUR, activity_code(of), first, end])?;
    let mut found = by_key(rows, of, i64::unsigned_abs)?;
    for ((minute, of), amount) in unwritten.lacking(conn, of)? {
        if (first..end).contains(minute) {
            *found.entry(of.clone()).or_default() += amount.count;
        }
    }
    Ok(found)
}

/// Returns the beginning of the last minute, or hour, in which something was counted.
pub(super) fn last_counted(
    conn: &Connection,
    unwritten: &Unwritten,
    of: ActivityKind,
) -> rusqlite::Result<HashMap<ActivityOf, Timestamp>> {
    // The index has all of it.
    let mut statement = conn.prepare_cached(
        "SELECT key, max(start) FROM activity WHERE length IN (1, ?1) AND kind = ?2 GROUP BY key",
    )?;
    let rows = statement.query(params![HOUR, activity_code(of)])?;
    let mut found = by_key(rows, of, |start| from_millis(start * MINUTE_MS))?;
    for ((minute, of), _) in unwritten.lacking(conn, of)? {
        let last = found.entry(of.clone()).or_insert(Timestamp::MIN);
        *last = (*last).max(from_millis(minute * MINUTE_MS));
    }
    Ok(found)
}

/// Returns the second column by the first one, which is a key.
fn by_key<T>(
    mut rows: Rows<'_>,
    of: ActivityKind,
    value: impl Fn(i64) -> T,
) -> rusqlite::Result<HashMap<ActivityOf, T>> {
    let mut found = HashMap::new();
    while let Some(row) = rows.next()? {
        // A newer version may count more.
        if let Some(of) = parse_activity_key(of, row.get_ref(0)?.as_str()?) {
            found.insert(of, value(row.get(1)?));
        }
    }
    Ok(found)
}

/// Adds up the minutes of an hour that is too old for them, and removes hours that are too old. Returns true if there may be more.
pub(super) fn roll_up(conn: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let minute = minute_of(now);
    let mut more = false;
    for kind in ACTIVITY_KINDS.map(activity_code) {
        let oldest: Option<i64> = conn
            .prepare_cached("SELECT min(start) FROM activity WHERE length = 1 AND kind = ?1")?
            .query_one([kind], |row| row.get(0))?;
        if let Some(oldest) = oldest {
            let hour = oldest - oldest.rem_euclid(HOUR);
            if hour + HOUR <= minute - MINUTES_KEPT {
                roll_hour(conn, kind, hour)?;
                more = true;
            }
        }
        let removed = conn
            .prepare_cached(
                "DELETE FROM activity WHERE id IN (
                     SELECT id FROM activity
                     WHERE length = ?1 AND kind = ?2 AND start < ?3 LIMIT ?4)",
            )?
            .execute(params![HOUR, kind, minute - HOURS_KEPT, ROWS_A_STEP])?;
        more |= removed == ROWS_A_STEP as usize;
    }
    Ok(more)
}

/// Adds up the minutes of one hour.
fn roll_hour(conn: &Connection, kind: i64, hour: i64) -> rusqlite::Result<()> {
    let mut sums: BTreeMap<String, Amount> = BTreeMap::new();
    let mut statement = conn.prepare_cached(
        "DELETE FROM activity WHERE length = 1 AND kind = ?1 AND start >= ?2 AND start < ?3
         RETURNING key, count, sum_ms, histogram",
    )?;
    let mut rows = statement.query(params![kind, hour, hour + HOUR])?;
    while let Some(row) = rows.next()? {
        sums.entry(row.get(0)?).or_default().add(&read(row)?);
    }
    for (key, sum) in sums {
        add(conn, (HOUR, kind, hour, &key), &sum)?;
    }
    Ok(())
}

/// Returns the first minute that begins at a time or later.
fn minute_up(time: Timestamp) -> i64 {
    (time.as_millisecond() + MINUTE_MS - 1).div_euclid(MINUTE_MS)
}

fn minute_of(time: Timestamp) -> i64 {
    time.as_millisecond().div_euclid(MINUTE_MS)
}

/// What a row is of: its length, its kind, when it begins, and its key.
type RowKey<'a> = (i64, i64, i64, &'a str);

/// Adds an amount to a row, and makes it if there is none.
fn add(conn: &Connection, key: RowKey<'_>, amount: &Amount) -> rusqlite::Result<Stored> {
    let (length, kind, start, key) = key;
    let known = conn
        .prepare_cached(
            "SELECT key, count, sum_ms, histogram, id FROM activity
             WHERE length = ?1 AND kind = ?2 AND start = ?3 AND key = ?4",
        )?
        .query_row(params![length, kind, start, key], |row| {
            Ok(Stored {
                id: row.get(4)?,
                amount: read(row)?,
            })
        })
        .optional()?;
    if let Some(mut row) = known {
        row.amount.add(amount);
        update(conn, &row)?;
        return Ok(row);
    }
    conn.prepare_cached(
        "INSERT INTO activity (length, kind, start, key, count, sum_ms, histogram)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        length,
        kind,
        start,
        key,
        amount.count.cast_signed(),
        amount.times.sum_ms.cast_signed(),
        histogram(&amount.times),
    ])?;
    Ok(Stored {
        id: conn.last_insert_rowid(),
        amount: amount.clone(),
    })
}

/// Writes the amount of a row that is stored.
fn update(conn: &Connection, row: &Stored) -> rusqlite::Result<()> {
    let Amount { count, times } = &row.amount;
    conn.prepare_cached(
        "UPDATE activity SET count = ?2, sum_ms = ?3, histogram = ?4 WHERE id = ?1",
    )?
    .execute(params![
        row.id,
        count.cast_signed(),
        times.sum_ms.cast_signed(),
        histogram(times),
    ])?;
    Ok(())
}

/// Reads an amount: the second column and the two after it.
fn read(row: &Row<'_>) -> rusqlite::Result<Amount> {
    let sum_ms = row.get::<_, i64>(2)?.unsigned_abs();
    Ok(Amount {
        count: row.get::<_, i64>(1)?.unsigned_abs(),
        times: times_of(row.get_ref(3)?.as_blob()?, sum_ms),
    })
}
