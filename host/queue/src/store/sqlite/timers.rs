//! The timers that are open. A row has all that its delivery needs, since the delivery that has set it may be removed first.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{DeliveryId, HandlerName};
use alert_manager_core::journal::TimerReply;

use crate::model::clock::from_millis;
use crate::model::{OpenTimer, StoredTimer, TimerId};
use crate::store::{TimerChanged, TimerOp};

use super::codes::priority_of;

/// The bytes of the open timers of each handler that has set one since the start. They are summed once, since that reads every
/// timer of the handler, and then updated with each change. Cleared if a transaction fails.
pub(super) type Usage = HashMap<HandlerName, u64>;

/// Sets, replaces or cancels a timer that a handler has for the alert of a delivery on its route.
pub(super) fn change(
    conn: &Connection,
    usage: &mut Usage,
    op: &TimerOp<'_>,
) -> rusqlite::Result<TimerChanged> {
    let handler = op.handler.as_str();
    let (known, known_bytes, of_alert): (Option<i64>, Option<i64>, i64) = conn
        .prepare_cached(
            "SELECT t.id, t.bytes,
                 (SELECT count(*) FROM timers o WHERE o.handler = ?2 AND o.fingerprint = d.fingerprint)
             FROM deliveries d LEFT JOIN timers t INDEXED BY timers_keys
                 ON t.handler = ?2 AND t.fingerprint = d.fingerprint AND t.route = d.route AND t.key = ?3
             WHERE d.id = ?1",
        )?
        .query_one(params![op.set_by.as_raw(), handler, op.key], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let refused = |reply| Ok(TimerChanged { reply, id: None });
    let Some((due_ms, found)) = op.set else {
        return match known {
            None => refused(TimerReply::Absent),
            Some(id) => {
                remove(conn, usage, TimerId(id))?;
                Ok(done(id))
            }
        };
    };
    if known.is_none() && of_alert.unsigned_abs() >= op.quota.open_max {
        return refused(TimerReply::TooMany);
    }
    let bytes = bytes(conn, op, found)?;
    let others = used(conn, usage, op.handler)? - known_bytes.unwrap_or(0).unsigned_abs();
    if others + bytes > op.quota.bytes_max {
        return refused(TimerReply::TooLarge);
    }
    usage.insert(op.handler.clone(), others + bytes);
    let id = conn
        .prepare_cached(
            "INSERT INTO timers (handler, fingerprint, route, key, due_at, set_by, priority, bytes, alert, found)
             SELECT ?2, fingerprint, route, ?3, ?4, id, priority, ?5,
                 (SELECT json FROM alerts WHERE alerts.id = deliveries.id), ?6
             FROM deliveries WHERE id = ?1
             ON CONFLICT (handler, fingerprint, route, key) DO UPDATE SET
                 due_at = excluded.due_at, set_by = excluded.set_by, priority = excluded.priority,
                 bytes = excluded.bytes, alert = excluded.alert, found = excluded.found
             RETURNING id",
        )?
        .query_one(
            params![op.set_by.as_raw(), handler, op.key, due_ms, bytes.cast_signed(), found],
            |row| row.get(0),
        )?;
    Ok(done(id))
}

fn done(id: i64) -> TimerChanged {
    TimerChanged {
        reply: TimerReply::Done,
        id: Some(TimerId(id)),
    }
}

/// Returns the size of a timer.
fn bytes(conn: &Connection, op: &TimerOp<'_>, found: &str) -> rusqlite::Result<u64> {
    let alert: i64 = conn
        .prepare_cached("SELECT octet_length(json) FROM alerts WHERE id = ?1")?
        .query_one([op.set_by.as_raw()], |row| row.get(0))?;
    Ok(alert.unsigned_abs() + (found.len() + op.key.len()) as u64)
}

/// Returns the size of the open timers of a handler.
fn used(conn: &Connection, usage: &mut Usage, handler: &HandlerName) -> rusqlite::Result<u64> {
    if let Some(used) = usage.get(handler) {
        return Ok(*used);
    }
    let used = conn
        .prepare_cached(
            "SELECT coalesce(sum(bytes), 0) FROM timers INDEXED BY timers_bytes WHERE handler = ?1",
        )?
        .query_one([handler.as_str()], |row| row.get(0))
        .map(i64::unsigned_abs)?;
    usage.insert(handler.clone(), used);
    Ok(used)
}

/// Removes a timer.
pub(super) fn remove(conn: &Connection, usage: &mut Usage, id: TimerId) -> rusqlite::Result<()> {
    let removed: Option<(HandlerName, i64)> = conn
        .prepare_cached("DELETE FROM timers WHERE id = ?1 RETURNING handler, bytes")?
        .query_row([id.0], |row| {
            Ok((HandlerName::new(row.get_ref(0)?.as_str()?), row.get(1)?))
        })
        .optional()?;
    if let Some((handler, bytes)) = removed
        && let Some(used) = usage.get_mut(&handler)
    {
        *used -= bytes.unsigned_abs();
    }
    Ok(())
}

/// Returns a timer; absent if it is not open.
pub(super) fn load(conn: &Connection, id: TimerId) -> rusqlite::Result<Option<StoredTimer>> {
    conn.prepare_cached(
        "SELECT key, set_by, handler, route, priority, alert, found FROM timers WHERE id = ?1",
    )?
    .query_row([id.0], |row| {
        Ok(StoredTimer {
            key: row.get(0)?,
            set_by: DeliveryId::from_raw(row.get(1)?),
            handler: HandlerName::new(row.get_ref(2)?.as_str()?),
            route: row.get(3)?,
            priority: priority_of(row.get(4)?),
            alert: row.get(5)?,
            found: row.get(6)?,
        })
    })
    .optional()
}

/// Returns all open timers, each with its handler, and when it is due, in milliseconds since 1970.
pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<(TimerId, HandlerName, i64)>> {
    conn.prepare("SELECT id, handler, due_at FROM timers")?
        .query_map([], |row| {
            let handler = HandlerName::new(row.get_ref(1)?.as_str()?);
            Ok((TimerId(row.get(0)?), handler, row.get(2)?))
        })?
        .collect()
}

/// Returns the open timers that a delivery has set.
pub(super) fn ids_of(conn: &Connection, set_by: DeliveryId) -> rusqlite::Result<Vec<TimerId>> {
    conn.prepare_cached("SELECT id FROM timers WHERE set_by = ?1")?
        .query_map([set_by.as_raw()], |row| row.get(0).map(TimerId))?
        .collect()
}

/// Returns the open timers that a delivery has set, as its story shows them, the next one first.
pub(super) fn shown(conn: &Connection, set_by: DeliveryId) -> rusqlite::Result<Vec<OpenTimer>> {
    conn.prepare_cached(
        "SELECT handler, key, due_at FROM timers WHERE set_by = ?1 ORDER BY due_at, id",
    )?
    .query_map([set_by.as_raw()], |row| {
        Ok(OpenTimer {
            handler: HandlerName::new(row.get_ref(0)?.as_str()?),
            key: row.get(1)?,
            due_at: from_millis(row.get(2)?),
        })
    })?
    .collect()
}
