//! Aggregates: how much was counted in each minute, and after two days in each hour. They are written in the transaction that they
//! count, once for each of its keys.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio_postgres::Row;

use alert_manager_core::alert::{HandlerName, Timestamp};

use crate::model::clock::from_millis;
use crate::model::{Activity, ActivityKind, ActivityOf, Amount, Tally};
use crate::store::StoreError;
use crate::store::codes::{
    ACTIVITY_KINDS, activity_code, activity_key, handler_prefix, histogram, parse_activity_key,
    times_of,
};

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

const MINUTE_MS: i64 = 60_000;

/// How many minutes an hour has, and thereby the `length` of its rows.
const HOUR: i64 = 60;

/// For how many minutes rows of minutes are kept.
const MINUTES_KEPT: i64 = 48 * HOUR;

/// For how many minutes rows of hours are kept: 90 days, as history.
const HOURS_KEPT: i64 = 90 * 24 * HOUR;

/// How many rows one step of retention removes at most.
const ROWS_A_STEP: i64 = 1_000;

/// Amounts by kind and key.
type Amounts = BTreeMap<(i64, String), Amount>;

/// Adds what a transaction has counted to the rows of its minute, which are locked until it ends.
pub(super) fn count(session: &Session, tally: &Tally, now: Timestamp) -> Result<(), StoreError> {
    let keyed = tally.0.iter().map(|(of, amount)| {
        let key = (activity_code(of.kind()), activity_key(of));
        (key, amount.clone())
    });
    add(session, 1, minute_of(now), keyed.collect())
}

/// Adds amounts to the rows of a minute or an hour.
fn add(session: &Session, length: i64, start: i64, mut amounts: Amounts) -> Result<(), StoreError> {
    let kinds: Vec<i64> = amounts.keys().map(|(kind, _)| *kind).collect();
    let keys: Vec<String> = amounts.keys().map(|(_, key)| key.clone()).collect();
    let stored = || keys.iter().map(|key| Stored(key)).collect::<Vec<_>>();
    let known = session.query(
        "SELECT a.key, a.count, a.sum_ms, a.histogram, a.kind
         FROM unnest($3::bigint[], $4::text[]) AS v(kind, key)
         JOIN activity a ON a.length = $1 AND a.kind = v.kind AND a.start = $2 AND a.key = v.key
         ORDER BY a.kind, a.key FOR UPDATE OF a",
        &[&length, &start, &kinds, &stored()],
    )?;
    for row in &known {
        if let Some(amount) = amounts.get_mut(&(row.int(4)?, row.text(0)?)) {
            amount.add(&read(row)?);
        }
    }
    let amounts: Vec<&Amount> = amounts.values().collect();
    let put = Call::new(
        "INSERT INTO activity (length, kind, start, key, count, sum_ms, histogram)
         SELECT $1, v.kind, $2, v.key, v.count, v.sum_ms, v.histogram
         FROM unnest($3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[])
             AS v(kind, key, count, sum_ms, histogram)
         ON CONFLICT (length, kind, start, key) DO UPDATE SET
             count = excluded.count, sum_ms = excluded.sum_ms, histogram = excluded.histogram",
        args![
            length,
            start,
            kinds,
            stored(),
            amounts
                .iter()
                .map(|amount| amount.count.cast_signed())
                .collect::<Vec<_>>(),
            amounts
                .iter()
                .map(|amount| amount.times.sum_ms.cast_signed())
                .collect::<Vec<_>>(),
            amounts
                .iter()
                .map(|amount| histogram(&amount.times))
                .collect::<Vec<_>>(),
        ],
    );
    session.together(&[put])?;
    Ok(())
}

/// Returns what was counted between two times, the oldest first; if `handler` is given, of this handler alone.
pub(super) fn between(
    session: &Session,
    of: ActivityKind,
    handler: Option<&HandlerName>,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Activity>, StoreError> {
    let mut found = Vec::new();
    // Hours are older than minutes. One that has begun before `from` is left out, as a minute is.
    let (first, end) = (minute_up(from), minute_up(to));
    let prefix = handler.map(handler_prefix);
    let prefix = prefix.as_deref();
    for length in [HOUR, 1] {
        let rows = session.query(
            "SELECT key, count, sum_ms, histogram, start FROM activity
             WHERE length = $1 AND kind = $2 AND start >= $3 AND start < $4
                 AND ($5::text IS NULL OR starts_with(key, $5)) ORDER BY start, key",
            &[&length, &activity_code(of), &first, &end, &prefix],
        )?;
        for row in &rows {
            // A newer version may count more.
            let Some(of) = parse_activity_key(of, &row.text(0)?) else {
                continue;
            };
            found.push(Activity {
                from: from_millis(row.int(4)? * MINUTE_MS),
                length: Duration::from_secs(60 * length.unsigned_abs()),
                of,
                amount: read(row)?,
            });
        }
    }
    Ok(found)
}

/// Returns how many were counted together between two times.
pub(super) fn counted(
    session: &Session,
    of: ActivityKind,
    from: Timestamp,
    to: Timestamp,
) -> Result<HashMap<ActivityOf, u64>, StoreError> {
    let rows = session.query(
        "SELECT key, sum(count)::bigint FROM activity
         WHERE length IN (1, $1) AND kind = $2 AND start >= $3 AND start < $4 GROUP BY key",
        &[&HOUR, &activity_code(of), &minute_up(from), &minute_up(to)],
    )?;
    by_key(&rows, of, i64::unsigned_abs)
}

/// Returns the beginning of the last minute, or hour, in which something was counted.
pub(super) fn last_counted(
    session: &Session,
    of: ActivityKind,
) -> Result<HashMap<ActivityOf, Timestamp>, StoreError> {
    let rows = session.query(
        "SELECT key, max(start) FROM activity WHERE length IN (1, $1) AND kind = $2 GROUP BY key",
        &[&HOUR, &activity_code(of)],
    )?;
    by_key(&rows, of, |start| from_millis(start * MINUTE_MS))
}

/// Returns the second column by the first one, which is a key.
fn by_key<T>(
    rows: &[Row],
    of: ActivityKind,
    value: impl Fn(i64) -> T,
) -> Result<HashMap<ActivityOf, T>, StoreError> {
    let mut found = HashMap::new();
    for row in rows {
        // A newer version may count more.
        if let Some(of) = parse_activity_key(of, &row.text(0)?) {
            found.insert(of, value(row.int(1)?));
        }
    }
    Ok(found)
}

/// Adds up the minutes of an hour that is too old for them, and removes hours that are too old. Returns true if there may be more.
pub(super) fn roll_up(session: &Session, now: Timestamp) -> Result<bool, StoreError> {
    let minute = minute_of(now);
    let mut more = false;
    for kind in ACTIVITY_KINDS.map(activity_code) {
        let oldest = session.one(
            "SELECT min(start) FROM activity WHERE length = 1 AND kind = $1",
            &[&kind],
        )?;
        if let Some(oldest) = oldest.maybe_int(0)? {
            let hour = oldest - oldest.rem_euclid(HOUR);
            if hour + HOUR <= minute - MINUTES_KEPT {
                roll_hour(session, kind, hour)?;
                more = true;
            }
        }
        let removed = session.one(
            "WITH gone AS (DELETE FROM activity WHERE (length, kind, start, key) IN (
                 SELECT length, kind, start, key FROM activity
                 WHERE length = $1 AND kind = $2 AND start < $3 LIMIT $4) RETURNING 1)
             SELECT count(*) FROM gone",
            &[&HOUR, &kind, &(minute - HOURS_KEPT), &ROWS_A_STEP],
        )?;
        more |= removed.int(0)? == ROWS_A_STEP;
    }
    Ok(more)
}

/// Adds up the minutes of one hour. It has a row already if the clock was set back.
fn roll_hour(session: &Session, kind: i64, hour: i64) -> Result<(), StoreError> {
    let minutes = session.query(
        "DELETE FROM activity WHERE length = 1 AND kind = $1 AND start >= $2 AND start < $3
         RETURNING key, count, sum_ms, histogram",
        &[&kind, &hour, &(hour + HOUR)],
    )?;
    let mut sums = Amounts::new();
    for row in &minutes {
        sums.entry((kind, row.text(0)?))
            .or_default()
            .add(&read(row)?);
    }
    add(session, HOUR, hour, sums)
}

/// Returns the first minute that begins at a time or later.
fn minute_up(time: Timestamp) -> i64 {
    (time.as_millisecond() + MINUTE_MS - 1).div_euclid(MINUTE_MS)
}

fn minute_of(time: Timestamp) -> i64 {
    time.as_millisecond().div_euclid(MINUTE_MS)
}

/// Reads an amount: the second column and the two after it.
fn read(row: &Row) -> Result<Amount, StoreError> {
    Ok(Amount {
        count: row.int(1)?.unsigned_abs(),
        times: times_of(row.column(3)?, row.int(2)?.unsigned_abs()),
    })
}
