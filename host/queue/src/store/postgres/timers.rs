//! The timers that are open. A row has all that its delivery needs, since the delivery that has set it may be removed first.

use alert_manager_core::alert::{DeliveryId, HandlerName};
use alert_manager_core::journal::TimerReply;

use crate::model::clock::from_millis;
use crate::model::{OpenTimer, StoredTimer, TimerId};
use crate::store::codes::priority_of;
use crate::store::{StoreError, TimerChanged, TimerOp};

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// Sets, replaces or cancels a timer that a handler has for the alert of a delivery on its route.
pub(super) fn change(session: &Session, op: &TimerOp<'_>) -> Result<TimerChanged, StoreError> {
    let handler = op.handler.as_str();
    let found = session.one(
        "SELECT (SELECT t.id FROM timers t WHERE t.handler = $2 AND t.fingerprint = d.fingerprint
                 AND t.route = d.route AND t.key = $3),
             (SELECT count(*) FROM timers t WHERE t.handler = $2 AND t.fingerprint = d.fingerprint),
             (SELECT octet_length(json) FROM alerts a WHERE a.id = d.id)::bigint
         FROM deliveries d WHERE d.id = $1",
        &[&op.set_by.as_raw(), &handler, &Stored(op.key)],
    )?;
    let (known, of_alert) = (found.maybe_int(0)?, found.int(1)?);
    let refused = |reply| Ok(TimerChanged { reply, id: None });
    let Some((due_ms, given)) = op.set else {
        return match known {
            None => refused(TimerReply::Absent),
            Some(id) => {
                session.together(&[remove(TimerId(id))])?;
                Ok(done(id))
            }
        };
    };
    if known.is_none() && of_alert.unsigned_abs() >= op.quota.open_max {
        return refused(TimerReply::TooMany);
    }
    let alert_bytes = found.maybe_int(2)?.unwrap_or(0).unsigned_abs();
    let bytes = alert_bytes + (given.len() + op.key.len()) as u64;
    let others = session.one(
        "SELECT coalesce(sum(bytes), 0)::bigint FROM timers
         WHERE handler = $1 AND id IS DISTINCT FROM $2",
        &[&handler, &known],
    )?;
    if bytes + others.int(0)?.unsigned_abs() > op.quota.bytes_max {
        return refused(TimerReply::TooLarge);
    }
    let set = session.one(
        "INSERT INTO timers (handler, fingerprint, route, key, due_at, set_by, priority, bytes, alert, found)
         SELECT $2, fingerprint, route, $3, $4, id, priority, $5,
             (SELECT json FROM alerts WHERE alerts.id = deliveries.id), $6
         FROM deliveries WHERE id = $1
         ON CONFLICT (handler, fingerprint, route, key) DO UPDATE SET
             due_at = excluded.due_at, set_by = excluded.set_by, priority = excluded.priority,
             bytes = excluded.bytes, alert = excluded.alert, found = excluded.found
         RETURNING id",
        &[
            &op.set_by.as_raw(),
            &handler,
            &Stored(op.key),
            &due_ms,
            &bytes.cast_signed(),
            &Stored(given),
        ],
    )?;
    Ok(done(set.int(0)?))
}

fn done(id: i64) -> TimerChanged {
    TimerChanged {
        reply: TimerReply::Done,
        id: Some(TimerId(id)),
    }
}

/// Returns what removes a timer.
pub(super) fn remove<'a>(id: TimerId) -> Call<'a> {
    Call::new("DELETE FROM timers WHERE id = $1", args![id.0])
}

/// Returns a timer; absent if it is not open.
pub(super) fn load(session: &Session, id: TimerId) -> Result<Option<StoredTimer>, StoreError> {
    let found = session.first(
        "SELECT key, set_by, handler, route, priority, alert, found FROM timers WHERE id = $1",
        &[&id.0],
    )?;
    let timer = |row: tokio_postgres::Row| {
        Ok(StoredTimer {
            key: row.text(0)?,
            set_by: DeliveryId::from_raw(row.int(1)?),
            handler: HandlerName::new(row.column::<&str>(2)?),
            route: row.text(3)?,
            priority: priority_of(row.int(4)?),
            alert: row.text(5)?,
            found: row.text(6)?,
        })
    };
    found.map(timer).transpose()
}

/// Returns all open timers, each with its handler, and when it is due, in milliseconds since 1970.
pub(super) fn all(session: &Session) -> Result<Vec<(TimerId, HandlerName, i64)>, StoreError> {
    let found = session.query("SELECT id, handler, due_at FROM timers ORDER BY id", &[])?;
    let timer = |row: &tokio_postgres::Row| {
        let handler = HandlerName::new(row.column::<&str>(1)?);
        Ok((TimerId(row.int(0)?), handler, row.int(2)?))
    };
    found.iter().map(timer).collect()
}

/// Returns the open timers that a delivery has set.
pub(super) fn ids_of(session: &Session, set_by: DeliveryId) -> Result<Vec<TimerId>, StoreError> {
    let found = session.query(
        "SELECT id FROM timers WHERE set_by = $1 ORDER BY id",
        &[&set_by.as_raw()],
    )?;
    found.iter().map(|row| row.int(0).map(TimerId)).collect()
}

/// Returns the open timers that a delivery has set, as its story shows them, the next one first.
pub(super) fn shown(session: &Session, set_by: DeliveryId) -> Result<Vec<OpenTimer>, StoreError> {
    let found = session.query(
        "SELECT handler, key, due_at FROM timers WHERE set_by = $1 ORDER BY due_at, id",
        &[&set_by.as_raw()],
    )?;
    let shown = |row: &tokio_postgres::Row| {
        Ok(OpenTimer {
            handler: HandlerName::new(row.column::<&str>(0)?),
            key: row.text(1)?,
            due_at: from_millis(row.int(2)?),
        })
    };
    found.iter().map(shown).collect()
}
