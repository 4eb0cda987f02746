//! Storms, and what runs as one, as rows.

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::clock::from_millis;
use crate::model::{Members, Row, State, Storm, StormKey, join_handlers, split_handlers};
use crate::store::codes::{QUEUED, priority_code, priority_of, reason_code, state_code};
use crate::store::{SettleMembers, StoreError};

use super::rows::{self, ROW, raw, stored_bytes_sql};
use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// The members of a delivery whose identifiers are listed.
const LISTED_MAX: i64 = 1_000;

/// Writes for whom a delivery stands, with what its members stood for, and what belongs to the storm.
pub(super) fn coalesce<'a>(
    representative: DeliveryId,
    storm: Option<DeliveryId>,
    members: &[DeliveryId],
    merged: &[DeliveryId],
    resolves: &[DeliveryId],
) -> Vec<Call<'a>> {
    let storm = storm.map(DeliveryId::as_raw);
    let mut calls = vec![Call::new(
        "UPDATE deliveries SET representative = $2, storm = coalesce($3, storm)
         WHERE id = ANY($1) AND state < 3",
        args![raw(members), representative.as_raw(), storm],
    )];
    if !merged.is_empty() {
        calls.push(Call::new(
            "UPDATE deliveries SET representative = $2, storm = coalesce($3, storm)
             WHERE representative = ANY($1) AND state < 3",
            args![raw(merged), representative.as_raw(), storm],
        ));
    }
    if storm.is_some() {
        let mut belongs = raw(resolves);
        belongs.push(representative.as_raw());
        calls.push(Call::new(
            "UPDATE deliveries SET storm = $2 WHERE id = ANY($1)",
            args![belongs, storm],
        ));
    }
    calls
}

/// Ends what a delivery stands for, and returns how many; or ends the delivery itself, and returns none after that.
pub(super) fn settle_members(settle: &SettleMembers) -> Vec<Call<'_>> {
    let representative = settle.representative.as_raw();
    let state = settle.reason.state();
    let of = if settle.itself {
        "id"
    } else {
        "representative"
    };
    let first_died_at = match state {
        State::Dead => "coalesce(first_died_at, $3)",
        _ => "first_died_at",
    };
    let ended = Call::new(
        format!(
            "WITH ended AS (
                 UPDATE deliveries SET state = $2, settled_at = $3, reason = $4, last_error = $5,
                     parked = 0, first_died_at = {first_died_at}
                 WHERE {of} = $1 AND state < 3 RETURNING 1)
             SELECT count(*) FROM ended"
        ),
        args![
            representative,
            state_code(state),
            settle.at.as_millisecond(),
            reason_code(settle.reason),
            Stored(&settle.last_error),
        ],
    );
    let bytes = stored_bytes_sql();
    let measured = Call::new(
        format!(
            "UPDATE deliveries d SET bytes = {bytes}
             WHERE {of} = $1 AND state >= 3 AND bytes IS NULL"
        ),
        args![representative],
    );
    vec![ended, measured]
}

/// Has another delivery stand for the members of one, which leaves the storm if it is a firing.
pub(super) fn hand_over<'a>(from: DeliveryId, to: DeliveryId) -> Vec<Call<'a>> {
    let (from, to) = (from.as_raw(), to.as_raw());
    vec![
        Call::new(
            "UPDATE deliveries SET representative = CASE WHEN id = $2 THEN NULL ELSE $2 END
             WHERE representative = $1 AND state < 3",
            args![from, to],
        ),
        // A firing leaves its storm. What has resolved still counts there.
        Call::new(
            "UPDATE deliveries SET storm = NULL WHERE id = $1 AND status = 0",
            args![from],
        ),
    ]
}

/// Has a member be by itself.
pub(super) fn leave<'a>(id: DeliveryId) -> Call<'a> {
    Call::new(
        "UPDATE deliveries SET representative = NULL, storm = NULL WHERE id = $1",
        args![id.as_raw()],
    )
}

/// Has the dead members of a delivery wait for it again.
pub(super) fn revive_members<'a>(
    representative: DeliveryId,
    at: Timestamp,
    resent: bool,
) -> Call<'a> {
    Call::new(
        "UPDATE deliveries SET state = $2, deaths = 0, suspected = 0, resent = $4,
             first_died_at = CASE WHEN $4 THEN first_died_at END, revived_at = $3, settled_at = NULL,
             last_error = NULL, reason = NULL, bytes = NULL, storm_key = NULL
         WHERE representative = $1 AND state = 4",
        args![representative.as_raw(), QUEUED, at.as_millisecond(), resent],
    )
}

/// Returns the dead members of a delivery.
pub(super) fn dead_members(session: &Session, of: DeliveryId) -> Result<Vec<Row>, StoreError> {
    let sql =
        format!("SELECT {ROW} FROM deliveries WHERE representative = $1 AND state = 4 ORDER BY id");
    let found = session.query(sql, &[&of.as_raw()])?;
    found.iter().map(rows::read).collect()
}

/// Returns the members of a delivery as its story has them; nothing if it has none.
pub(super) fn members(session: &Session, of: DeliveryId) -> Result<Option<Members>, StoreError> {
    let counted = session.one(
        "SELECT count(*) FROM deliveries WHERE representative = $1",
        &[&of.as_raw()],
    )?;
    let count = counted.int(0)?.unsigned_abs();
    if count == 0 {
        return Ok(None);
    }
    let found = session.query(
        "SELECT id FROM deliveries WHERE representative = $1 ORDER BY id LIMIT $2",
        &[&of.as_raw(), &LISTED_MAX],
    )?;
    let id = |row: &tokio_postgres::Row| row.int(0).map(DeliveryId::from_raw);
    let ids = found.iter().map(id).collect::<Result<_, _>>()?;
    Ok(Some(Members { count, ids }))
}

/// Writes a storm.
pub(super) fn put(storm: &Storm) -> Call<'_> {
    Call::new(
        "INSERT INTO storms (id, route, pipeline, storm_key, priority, count, resolved,
             opened_at, last_firing_at, last_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET route = excluded.route, pipeline = excluded.pipeline,
             storm_key = excluded.storm_key, priority = excluded.priority, count = excluded.count,
             resolved = excluded.resolved, opened_at = excluded.opened_at,
             last_firing_at = excluded.last_firing_at, last_at = excluded.last_at, closed_at = NULL",
        args![
            storm.id.as_raw(),
            Stored(&storm.key.route),
            join_handlers(&storm.key.pipeline),
            Stored(&storm.key.text),
            priority_code(storm.key.priority),
            storm.count.cast_signed(),
            storm.resolved.cast_signed(),
            storm.opened_at.as_millisecond(),
            storm.last_firing_at.as_millisecond(),
            storm.last_at.as_millisecond(),
        ],
    )
}

/// Notes that a storm is over.
pub(super) fn close<'a>(id: DeliveryId, at: Timestamp) -> Call<'a> {
    Call::new(
        "UPDATE storms SET closed_at = $2 WHERE id = $1",
        args![id.as_raw(), at.as_millisecond()],
    )
}

/// Removes storms that were over at that time, in milliseconds since 1970.
pub(super) fn forget<'a>(cutoff_ms: i64) -> Call<'a> {
    Call::new("DELETE FROM storms WHERE closed_at <= $1", args![cutoff_ms])
}

/// Returns the storms that are open.
pub(super) fn open(session: &Session) -> Result<Vec<Storm>, StoreError> {
    let found = session.query(
        "SELECT id, route, pipeline, storm_key, priority, count, resolved, opened_at,
             last_firing_at, last_at
         FROM storms WHERE closed_at IS NULL ORDER BY id",
        &[],
    )?;
    let storm = |row: &tokio_postgres::Row| {
        Ok(Storm {
            id: DeliveryId::from_raw(row.int(0)?),
            key: StormKey {
                route: row.text(1)?.into(),
                pipeline: split_handlers(row.column(2)?).into(),
                text: row.text(3)?.into(),
                priority: priority_of(row.int(4)?),
            },
            count: row.int(5)?.unsigned_abs(),
            resolved: row.int(6)?.unsigned_abs(),
            opened_at: from_millis(row.int(7)?),
            last_firing_at: from_millis(row.int(8)?),
            last_at: from_millis(row.int(9)?),
        })
    };
    found.iter().map(storm).collect()
}
