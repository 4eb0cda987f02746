//! History: when each occurrence of an alert began and ended, and on which routes.
//!
//! As long as its delivery is stored, that is the record of an occurrence: a search finds it by its alertname, and its resolved
//! notes there when it has ended. The table `history` has only those whose deliveries are removed: retention writes a row when it
//! removes one, so accepting an alert costs nothing for this.

use std::time::Duration;

use rusqlite::{Connection, params};

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Timestamp};
use alert_manager_core::journal::{Earlier, Past};

use crate::model::State;
use crate::model::clock::{from_nanos, nanos};
use crate::store::past::{self, Found, Gathered, ROWS_READ_MAX};

use super::{meta, rows};

/// How long an occurrence is kept.
pub(super) const HISTORY_MEMORY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How many rows are removed at most in one step of retention.
pub(super) const HISTORY_A_STEP: u32 = 500;

/// If the store is too large, history takes at most `retention.size` divided by this.
const SHARE: u64 = 8;

/// About how many bytes a row has, with its part of the index.
const ROW_BYTES: u64 = 256;

/// The key in `meta` of how many rows there are.
const ROWS: &str = "history_rows";

/// Notes when the occurrence of a resolved alert has ended: with the deliveries of its firing, or in history if one is removed.
pub(super) fn end(
    conn: &Connection,
    alert: &Alert,
    ran_as: &[DeliveryId],
    ends_at: Timestamp,
) -> rusqlite::Result<()> {
    let mut all_stored = !ran_as.is_empty();
    for id in ran_as {
        let stored = conn
            .prepare_cached(
                "UPDATE deliveries SET ends_at = ?2 WHERE id = ?1 AND labels IS NOT NULL",
            )?
            .execute(params![id.as_raw(), nanos(ends_at)])?;
        all_stored &= stored == 1;
    }
    if all_stored {
        return Ok(());
    }
    let event = alert.event();
    conn.prepare_cached(
        "UPDATE history SET ends_at = ?5
         WHERE alertname = ?1 AND starts_at = ?2 AND fingerprint = ?3 AND occurrence = ?4",
    )?
    .execute(params![
        alert.name(),
        nanos(event.starts_at),
        event.fingerprint.0.cast_signed(),
        event.occurrence.as_raw(),
        nanos(ends_at),
    ])?;
    Ok(())
}

/// Keeps the occurrence of a delivery that is about to be removed, and how it ended. Of reminders, the first is kept.
pub(super) fn keep(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    let known = conn
        .prepare_cached(
            "UPDATE history SET ends_at = coalesce(history.ends_at, d.ends_at)
             FROM deliveries d
             WHERE d.id = ?1 AND d.status = 0 AND d.labels IS NOT NULL AND d.set_by IS NULL
                 AND history.alertname = d.alertname AND history.starts_at = d.starts_at
                 AND history.fingerprint = d.fingerprint AND history.occurrence = d.occurrence
                 AND history.route = d.route",
        )?
        .execute([id.as_raw()])?;
    if known > 0 {
        return Ok(());
    }
    let kept = conn
        .prepare_cached(
            "INSERT OR IGNORE INTO history (id, alertname, starts_at, fingerprint, occurrence,
                 accepted_at, ends_at, died, route, handlers, labels)
             SELECT id, alertname, starts_at, fingerprint, occurrence, accepted_at, ends_at,
                 state = 4, route, handlers, labels
             FROM deliveries
             WHERE id = ?1 AND status = 0 AND labels IS NOT NULL AND set_by IS NULL AND handlers <> ''",
        )?
        .execute([id.as_raw()])?;
    if kept > 0 {
        return add_rows(conn, 1);
    }
    // A delivery from before the eighth layout, which has its row already.
    conn.prepare_cached(
        "UPDATE history SET died = 1
         WHERE id = ?1 AND EXISTS (SELECT 1 FROM deliveries WHERE id = ?1 AND state = 4)",
    )?
    .execute([id.as_raw()])?;
    Ok(())
}

/// Returns the earlier occurrences of alerts like that of a delivery; nothing if it is not stored.
pub(super) fn earlier(
    conn: &Connection,
    of: DeliveryId,
    handler: &HandlerName,
    asked: &Earlier,
) -> rusqlite::Result<Past> {
    let (json, Some(row)) = (rows::alert_json(conn, of)?, rows::load(conn, of)?) else {
        return Ok(Past::default());
    };
    let Some(alert) = json.and_then(|json| serde_json::from_str::<Alert>(&json).ok()) else {
        return Ok(Past::default());
    };
    like(conn, &alert, (&row.route, handler), asked, ROWS_READ_MAX)
}

/// Returns the earlier occurrences of alerts like `alert` on a route and on those that the handler served, among the newest
/// `rows_max` rows of its name.
fn like(
    conn: &Connection,
    alert: &Alert,
    (route, handler): (&str, &HandlerName),
    asked: &Earlier,
    rows_max: u32,
) -> rusqlite::Result<Past> {
    let mut statement = conn.prepare_cached(
        "SELECT starts_at, fingerprint, occurrence, id, ends_at, died, labels
         FROM (SELECT * FROM (
                   SELECT starts_at, fingerprint, occurrence, id, ends_at, died, labels, route, handlers
                   FROM history INDEXED BY history_alerts
                   WHERE alertname = ?1 AND starts_at >= ?2
                   ORDER BY starts_at DESC, fingerprint DESC, occurrence DESC LIMIT ?5)
               UNION ALL
               SELECT starts_at, fingerprint, occurrence, id, ends_at, 0, labels, route, handlers
               FROM (SELECT id, starts_at, fingerprint, occurrence, ends_at, labels, route, handlers, status, set_by
                     FROM deliveries INDEXED BY deliveries_alertname
                     WHERE alertname = ?1 AND id >= ?6 ORDER BY id DESC LIMIT ?5)
               WHERE status = 0 AND labels IS NOT NULL AND set_by IS NULL AND handlers <> ''
                   AND starts_at >= ?2)
         WHERE route = ?3 OR instr(handlers, ?4) > 0
         ORDER BY starts_at DESC, fingerprint DESC, occurrence DESC, id",
    )?;
    let handlers = format!(",{handler},");
    let mut found = statement.query(params![
        alert.name(),
        nanos(asked.since),
        route,
        handlers,
        rows_max,
        past::first_id(asked.since),
    ])?;
    let mut gathered = Gathered::of(alert, asked);
    while let Some(columns) = found.next()? {
        let id = DeliveryId::from_raw(columns.get(3)?);
        let row = Found {
            which: (columns.get(0)?, columns.get(1)?, columns.get(2)?),
            delivery: id,
            ends_at: columns.get::<_, Option<i64>>(4)?.map(from_nanos),
            labels: columns.get_ref(6)?.as_blob()?,
        };
        let died = columns.get(5)?;
        gathered.add(row, || state(conn, id, died))?;
    }
    Ok(gathered.past())
}

/// Returns the state of a delivery, or its last one if it was removed.
fn state(conn: &Connection, id: DeliveryId, has_died: bool) -> rusqlite::Result<State> {
    let stored = rows::state(conn, id)?.map(|(state, _)| state);
    Ok(stored.unwrap_or(if has_died { State::Dead } else { State::Done }))
}

/// Removes occurrences that were accepted until `cutoff`, in milliseconds since 1970, the oldest first. Returns true if there may
/// be more.
pub(super) fn forget(conn: &Connection, cutoff: i64) -> rusqlite::Result<bool> {
    let mut old =
        conn.prepare_cached("SELECT id, accepted_at FROM history ORDER BY id LIMIT ?1")?;
    let rows = old.query_map([HISTORY_A_STEP], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    let old = rows.iter().take_while(|(_, at)| *at <= cutoff);
    let mut count = 0;
    for (id, _) in old {
        conn.prepare_cached("DELETE FROM history WHERE id = ?1")?
            .execute([id])?;
        count += 1;
    }
    add_rows(conn, -i64::from(count))?;
    Ok(count == HISTORY_A_STEP)
}

/// Removes occurrences of a store that is too large, the oldest first, while they take more than their share of `bytes_max`.
/// Returns true if there may be more.
pub(super) fn remove_beyond_share(conn: &Connection, bytes_max: u64) -> rusqlite::Result<bool> {
    let count = meta::number(conn, ROWS)?.unwrap_or(0).unsigned_abs();
    let beyond = count.saturating_sub(bytes_max / SHARE / ROW_BYTES);
    let step = beyond.min(HISTORY_A_STEP.into());
    if step > 0 {
        let removed = conn
            .prepare_cached(
                "DELETE FROM history WHERE id IN (SELECT id FROM history ORDER BY id LIMIT ?1)",
            )?
            .execute([step.cast_signed()])?;
        add_rows(conn, -i64::try_from(removed).unwrap_or(i64::MAX))?;
    }
    Ok(beyond > step)
}

/// Counts rows that are added, or removed.
fn add_rows(conn: &Connection, change: i64) -> rusqlite::Result<()> {
    if change != 0 {
        conn.prepare_cached("UPDATE meta SET value = value + ?2 WHERE key = ?1")?
            .execute(params![ROWS, change])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
