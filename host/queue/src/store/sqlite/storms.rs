//! Storms, and what runs as one, as rows.

use std::sync::Arc;

use rusqlite::{Connection, params};

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::clock::from_millis;
use crate::model::{Members, Row, State, Storm, StormKey, join_handlers, split_handlers};
use crate::store::SettleMembers;

use super::codes::{QUEUED, priority_code, priority_of, reason_code, state_code};
use super::rows::{self, ROW, STORED_BYTES_SQL};

/// The members of a delivery whose identifiers are listed.
const LISTED_MAX: u32 = 1_000;

/// Writes for whom a delivery stands: each member once, and what members stood for by one statement for each of those.
pub(super) fn coalesce(
    conn: &Connection,
    representative: DeliveryId,
    storm: Option<DeliveryId>,
    members: &[DeliveryId],
    merged: &[DeliveryId],
    resolves: &[DeliveryId],
) -> rusqlite::Result<()> {
    let storm = storm.map(DeliveryId::as_raw);
    let mut member = conn.prepare_cached(
        "UPDATE deliveries SET representative = ?2, storm = coalesce(?3, storm)
         WHERE id = ?1 AND state < 3",
    )?;
    for id in members {
        member.execute(params![id.as_raw(), representative.as_raw(), storm])?;
    }
    let mut of_merged = conn.prepare_cached(
        "UPDATE deliveries SET representative = ?2, storm = coalesce(?3, storm)
         WHERE representative = ?1 AND state < 3",
    )?;
    for id in merged {
        of_merged.execute(params![id.as_raw(), representative.as_raw(), storm])?;
    }
    let mut belongs = conn.prepare_cached("UPDATE deliveries SET storm = ?2 WHERE id = ?1")?;
    if storm.is_some() {
        for id in [representative].iter().chain(resolves) {
            belongs.execute(params![id.as_raw(), storm])?;
        }
    }
    Ok(())
}

/// Ends what a delivery stands for; returns how many, or nothing if the lease of that no longer holds.
pub(super) fn settle_members(
    conn: &Connection,
    settle: &SettleMembers,
) -> rusqlite::Result<Option<u64>> {
    let representative = settle.representative.as_raw();
    if let Some(lease) = settle.lease {
        let holds: bool = conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM deliveries WHERE id = ?1 AND leases = ?2)",
            )?
            .query_one(params![representative, lease.number], |row| row.get(0))?;
        if !holds {
            return Ok(None);
        }
    }
    let state = settle.reason.state();
    let of = if settle.itself {
        "id"
    } else {
        "representative"
    };
    let count = conn
        .prepare_cached(&format!(
            "UPDATE deliveries SET state = ?2, settled_at = ?3, reason = ?4, last_error = ?5, parked = 0,
                 first_died_at = CASE ?2 WHEN 4 THEN coalesce(first_died_at, ?3) ELSE first_died_at END
             WHERE {of} = ?1 AND state < 3",
        ))?
        .execute(params![
            representative,
            state_code(state),
            settle.at.as_millisecond(),
            reason_code(settle.reason),
            settle.last_error,
        ])?;
    if state == State::Dead {
        conn.prepare_cached(&format!(
            "UPDATE deliveries SET dead_bytes = {STORED_BYTES_SQL} WHERE {of} = ?1 AND state = 4"
        ))?
        .execute([representative])?;
    }
    Ok(Some(if settle.itself { 0 } else { count as u64 }))
}

/// Has another delivery stand for the members of one, which leaves the storm if it is a firing.
pub(super) fn hand_over(
    conn: &Connection,
    from: DeliveryId,
    to: DeliveryId,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE deliveries SET representative = CASE id WHEN ?2 THEN NULL ELSE ?2 END
         WHERE representative = ?1 AND state < 3",
    )?
    .execute([from.as_raw(), to.as_raw()])?;
    // A firing leaves its storm. What has resolved still counts there.
    conn.prepare_cached("UPDATE deliveries SET storm = NULL WHERE id = ?1 AND status = 0")?
        .execute([from.as_raw()])?;
    Ok(())
}

/// Has a member be by itself.
pub(super) fn leave(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE deliveries SET representative = NULL, storm = NULL WHERE id = ?1")?
        .execute([id.as_raw()])?;
    Ok(())
}

/// Has the dead members of a delivery wait for it again.
pub(super) fn revive_members(
    conn: &Connection,
    representative: DeliveryId,
    at: Timestamp,
    resent: bool,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE deliveries SET state = ?2, deaths = 0, suspected = 0, resent = ?4,
             first_died_at = CASE WHEN ?4 THEN first_died_at END, revived_at = ?3, settled_at = NULL,
             last_error = NULL, reason = NULL, dead_bytes = NULL, storm_key = NULL
         WHERE representative = ?1 AND state = 4",
    )?
    .execute(params![
        representative.as_raw(),
        QUEUED,
        at.as_millisecond(),
        resent,
    ])?;
    Ok(())
}

/// Returns the dead members of a delivery.
pub(super) fn dead_members(conn: &Connection, of: DeliveryId) -> rusqlite::Result<Vec<Row>> {
    conn.prepare_cached(&format!(
        "SELECT {ROW} FROM deliveries INDEXED BY deliveries_members
         WHERE representative = ?1 AND state = 4 ORDER BY id"
    ))?
    .query_map([of.as_raw()], rows::read)?
    .collect()
}

/// Returns the members of a delivery as its story has them; nothing if it has none.
pub(super) fn members(conn: &Connection, of: DeliveryId) -> rusqlite::Result<Option<Members>> {
    let count: i64 = conn
        .prepare_cached("SELECT count(*) FROM deliveries WHERE representative = ?1")?
        .query_one([of.as_raw()], |row| row.get(0))?;
    if count == 0 {
        return Ok(None);
    }
    let ids = conn
        .prepare_cached("SELECT id FROM deliveries WHERE representative = ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![of.as_raw(), LISTED_MAX], |row| {
            row.get(0).map(DeliveryId::from_raw)
        })?
        .collect::<rusqlite::Result<_>>()?;
    let count = count.unsigned_abs();
    Ok(Some(Members { count, ids }))
}

/// Writes a storm.
pub(super) fn put(conn: &Connection, storm: &Storm) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO storms (id, route, pipeline, storm_key, priority, count, resolved,
             opened_at, last_firing_at, last_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        storm.id.as_raw(),
        &*storm.key.route,
        join_handlers(&storm.key.pipeline),
        &*storm.key.text,
        priority_code(storm.key.priority),
        storm.count.cast_signed(),
        storm.resolved.cast_signed(),
        storm.opened_at.as_millisecond(),
        storm.last_firing_at.as_millisecond(),
        storm.last_at.as_millisecond(),
    ])?;
    Ok(())
}

/// Notes that a storm is over.
pub(super) fn close(conn: &Connection, id: DeliveryId, at: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE storms SET closed_at = ?2 WHERE id = ?1")?
        .execute([id.as_raw(), at.as_millisecond()])?;
    Ok(())
}

/// Removes storms that were over at that time, in milliseconds since 1970.
pub(super) fn forget(conn: &Connection, cutoff_ms: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM storms WHERE closed_at <= ?1")?
        .execute([cutoff_ms])?;
    Ok(())
}

/// Returns the storms that are open.
pub(super) fn open(conn: &Connection) -> rusqlite::Result<Vec<Storm>> {
    conn.prepare(
        "SELECT id, route, pipeline, storm_key, priority, count, resolved, opened_at,
             last_firing_at, last_at
         FROM storms WHERE closed_at IS NULL",
    )?
    .query_map([], |row| {
        let key = StormKey {
            route: row.get::<_, Arc<str>>(1)?,
            pipeline: split_handlers(row.get_ref(2)?.as_str()?).into(),
            text: row.get::<_, Arc<str>>(3)?,
            priority: priority_of(row.get(4)?),
        };
        Ok(Storm {
            id: DeliveryId::from_raw(row.get(0)?),
            key,
            count: row.get::<_, i64>(5)?.unsigned_abs(),
            resolved: row.get::<_, i64>(6)?.unsigned_abs(),
            opened_at: from_millis(row.get(7)?),
            last_firing_at: from_millis(row.get(8)?),
            last_at: from_millis(row.get(9)?),
        })
    })?
    .collect()
}
