//! Reads and writes deliveries, their alerts, their progress and their stories.

use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{
    DeliveryId, Event, Fingerprint, HandlerName, Occurrence, Timestamp,
};
use alert_manager_core::journal::{Dependency, lines};

use crate::model::clock::{from_millis, from_nanos, nanos};
use crate::model::{
    Abandoned, Cause, Follower, NewDelivery, OtherRoutes, Row, State, join_handlers, split_handlers,
};

use super::codes::{
    QUEUED, fingerprint_of, parking_of, priority_code, priority_of, reason_code, reason_of,
    state_code, state_of, status_code, status_of,
};
use super::labels::hashed;

/// Writes a delivery and its alert.
pub(super) fn insert(conn: &Connection, new: &NewDelivery<'_>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO deliveries (id, state, leases, priority, status, fingerprint, starts_at,
             accepted_at, settled_at, alertname, route, handlers, last_error, occurrence,
             sent_starts_at, beside, reason, storm_key, storm, timer_key, set_by, labels)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
             ?20, ?21, ?22)",
    )?
    .execute(params![
        new.id.as_raw(),
        state_code(new.state),
        new.leases,
        priority_code(new.priority),
        new.status.map(status_code),
        new.fingerprint.map(|f| f.0.cast_signed()),
        new.starts_at.map(nanos),
        new.accepted_at.as_millisecond(),
        new.settled_at.map(Timestamp::as_millisecond),
        &*new.alertname,
        &*new.route,
        pipeline_text(&new.pipeline),
        new.last_error.as_deref(),
        new.occurrence.as_raw(),
        new.sent_starts_at.map(nanos),
        new.other_routes.to_text(),
        new.reason.map(reason_code),
        new.storm_key.as_deref(),
        new.storm.map(DeliveryId::as_raw),
        new.timer.as_ref().map(|timer| &timer.due.key),
        new.timer.as_ref().map(|timer| timer.due.set_by.as_raw()),
        new.alert.as_ref().map(|alert| hashed(&alert.labels)),
    ])?;
    conn.prepare_cached("INSERT INTO alerts (id, json) VALUES (?1, ?2)")?
        .execute(params![new.id.as_raw(), &*new.json])?;
    if let Some(timer) = &new.timer {
        put_run(conn, new.id, 0, &timer.progress, None)?;
    }
    Ok(())
}

/// Returns a pipeline as it is stored; empty if it has no handlers.
fn pipeline_text(pipeline: &[HandlerName]) -> String {
    match pipeline {
        [] => String::new(),
        handlers => join_handlers(handlers),
    }
}

/// The columns of a [`Row`], in the order of [`read`].
pub(super) const ROW: &str = "id, state, leases, after_crash, priority, fingerprint,
    coalesce(revived_at, accepted_at), not_before, route, handlers, next_handler, reason,
    settled_at, deaths, suspected, resent, beside, waits_for, parked, storm_key, storm,
    representative, status, starts_at, occurrence, set_by IS NOT NULL";

/// How many columns [`ROW`] has.
pub(super) const ROW_COLUMNS: usize = 26;

/// Reads the columns of [`ROW`].
pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let fingerprint = fingerprint_of(row.get(5)?);
    Ok(Row {
        id: DeliveryId::from_raw(row.get(0)?),
        state: state_of(row.get(1)?),
        leases: row.get(2)?,
        after_crash: row.get(3)?,
        priority: priority_of(row.get(4)?),
        fingerprint,
        since: from_millis(row.get(6)?),
        not_before: row.get(7)?,
        route: row.get(8)?,
        pipeline: split_handlers(row.get_ref(9)?.as_str()?),
        next_handler: row.get_ref(10)?.as_str_or_null()?.map(HandlerName::new),
        reason: reason_of(row.get(11)?),
        settled_at: row.get::<_, Option<i64>>(12)?.map(from_millis),
        deaths: row.get(13)?,
        suspected: row.get(14)?,
        resent: row.get(15)?,
        other_routes: OtherRoutes::of_text(row.get_ref(16)?.as_str_or_null()?),
        waits_for: lines::of_text(row.get_ref(17)?.as_str_or_null()?.unwrap_or_default()),
        parking: parking_of(row.get(18)?),
        storm_key: row.get(19)?,
        storm: row.get::<_, Option<i64>>(20)?.map(DeliveryId::from_raw),
        representative: row.get::<_, Option<i64>>(21)?.map(DeliveryId::from_raw),
        event: event(fingerprint, row.get(22)?, row.get(23)?, row.get(24)?),
        cause: cause(row.get(25)?, row.get_ref(9)?.as_str()?),
    })
}

/// Returns why a delivery exists. One that was made for a timer has the handler alone that has set it.
pub(super) fn cause(is_of_timer: bool, handlers: &str) -> Cause {
    let mut handlers = is_of_timer.then(|| split_handlers(handlers).into_iter());
    let handler = handlers.as_mut().and_then(Iterator::next);
    handler.map_or(Cause::Alert, Cause::Timer)
}

/// Returns the event of a delivery; nothing if that is of no alert.
fn event(
    fingerprint: Option<Fingerprint>,
    status: Option<i64>,
    starts_at: Option<i64>,
    occurrence: u32,
) -> Option<Event> {
    Some(Event {
        fingerprint: fingerprint?,
        starts_at: from_nanos(starts_at?),
        status: status_of(status?),
        occurrence: Occurrence::from_raw(occurrence),
    })
}

/// Reads one delivery.
pub(super) fn load(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Row>> {
    conn.prepare_cached(&format!("SELECT {ROW} FROM deliveries WHERE id = ?1"))?
        .query_row([id.as_raw()], read)
        .optional()
}

/// Reads the state of a delivery and its number of leases. A member counts one of its representative.
pub(super) fn state(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<(State, u32)>> {
    conn.prepare_cached(
        "SELECT state, leases + (representative IS NOT NULL) FROM deliveries WHERE id = ?1",
    )?
    .query_row([id.as_raw()], |row| {
        Ok((state_of(row.get(0)?), row.get(1)?))
    })
    .optional()
}

/// Calls `each` with every delivery after `after`, in the order of acceptance, except refused parts of bodies.
pub(super) fn followers(
    conn: &Connection,
    after: DeliveryId,
    mut each: impl FnMut(Follower<'_>),
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT id, fingerprint, route, state, leases + (representative IS NOT NULL), beside,
             set_by IS NOT NULL, handlers
         FROM deliveries WHERE id > ?1 AND fingerprint IS NOT NULL ORDER BY id",
    )?;
    let mut rows = statement.query([after.as_raw()])?;
    while let Some(row) = rows.next()? {
        let fingerprint: i64 = row.get(1)?;
        each(Follower {
            id: DeliveryId::from_raw(row.get(0)?),
            fingerprint: Fingerprint(fingerprint.cast_unsigned()),
            route: row.get_ref(2)?.as_str()?,
            state: state_of(row.get(3)?),
            leases: row.get(4)?,
            other_routes: row.get_ref(5)?.as_str_or_null()?,
            cause: cause(row.get(6)?, row.get_ref(7)?.as_str()?),
        });
    }
    Ok(())
}

/// Ends a lease that no worker will end.
pub(super) fn end_abandoned(
    conn: &Connection,
    id: DeliveryId,
    lease: Abandoned,
) -> rusqlite::Result<()> {
    let sql = match lease {
        Abandoned::NotStarted => {
            "UPDATE deliveries SET state = ?2, leases = leases - 1 WHERE id = ?1"
        }
        Abandoned::Started => {
            "UPDATE deliveries SET state = ?2, after_crash = 1, parked = 0 WHERE id = ?1"
        }
    };
    conn.prepare_cached(sql)?
        .execute(params![id.as_raw(), QUEUED])?;
    Ok(())
}

/// Returns dependencies as they are stored, one on each line.
pub(super) fn waits_for_text(waits_for: &[Dependency]) -> Option<String> {
    (!waits_for.is_empty()).then(|| lines::to_text(waits_for))
}

/// Returns a delivery's alert, as JSON.
pub(super) fn alert_json(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT json FROM alerts WHERE id = ?1")?
        .query_row([id.as_raw()], |row| row.get(0))
        .optional()
}

/// Returns the progress of a delivery, as JSON; absent if no lease has stored any.
pub(super) fn progress_json(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT progress FROM runs WHERE delivery = ?1")?
        .query_row([id.as_raw()], |row| row.get(0))
        .optional()
}

/// Stores the progress of a delivery under its latest lease, and the story of that lease if there is one.
pub(super) fn put_run(
    conn: &Connection,
    id: DeliveryId,
    lease: u32,
    progress: &str,
    story: Option<&str>,
) -> rusqlite::Result<()> {
    if lease > 1 {
        conn.prepare_cached(
            "INSERT INTO earlier_runs (delivery, lease, story)
             SELECT delivery, lease, story FROM runs
             WHERE delivery = ?1 AND lease < ?2 AND story IS NOT NULL",
        )?
        .execute(params![id.as_raw(), lease])?;
    }
    if stories_omitted(lease) > 0 {
        conn.prepare_cached(
            "DELETE FROM earlier_runs WHERE delivery = ?1 AND lease > ?2 AND lease <= ?3",
        )?
        .execute(params![
            id.as_raw(),
            STORIES_FIRST_MAX,
            lease - STORIES_LAST_MAX
        ])?;
    }
    conn.prepare_cached(
        "INSERT INTO runs (delivery, lease, progress, story) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (delivery) DO UPDATE SET
             progress = excluded.progress,
             story = CASE lease WHEN excluded.lease THEN coalesce(excluded.story, story)
                                ELSE excluded.story END,
             lease = excluded.lease",
    )?
    .execute(params![id.as_raw(), lease, progress, story])?;
    Ok(())
}

/// How many of a delivery's first leases, and of its last, keep their stories.
const STORIES_FIRST_MAX: u32 = 3;
const STORIES_LAST_MAX: u32 = 20;

/// Returns how many leases have lost their stories, given the number of the latest.
fn stories_omitted(lease: u32) -> u32 {
    lease.saturating_sub(STORIES_FIRST_MAX + STORIES_LAST_MAX)
}

/// Returns the stories of a delivery that are kept, in the order of leases.
pub(super) fn stories(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT lease, story FROM earlier_runs WHERE delivery = ?1
         UNION ALL
         SELECT lease, story FROM runs WHERE delivery = ?1 AND story IS NOT NULL
         ORDER BY lease",
    )?
    .query_map([id.as_raw()], |row| row.get(1))?
    .collect()
}

/// The size of a delivery in the store, in bytes, as an SQL expression over its row. The constant is an estimate of the row itself
/// and its index entries. `octet_length` does not read the text.
pub(super) const STORED_BYTES_SQL: &str = "(512
    + coalesce((SELECT octet_length(json) FROM alerts WHERE alerts.id = deliveries.id), 0)
    + coalesce((SELECT octet_length(progress) + coalesce(octet_length(story), 0) FROM runs
        WHERE runs.delivery = deliveries.id), 0)
    + coalesce((SELECT sum(octet_length(story)) FROM earlier_runs
        WHERE earlier_runs.delivery = deliveries.id), 0)
    + coalesce((SELECT sum(octet_length(request) + octet_length(result) + octet_length(reply))
        FROM journal WHERE journal.delivery = deliveries.id), 0))";

/// Stores the size of a dead delivery, for retention by size.
pub(super) fn measure_dead(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    conn.prepare_cached(&format!(
        "UPDATE deliveries SET dead_bytes = {STORED_BYTES_SQL} WHERE id = ?1"
    ))?
    .execute([id.as_raw()])?;
    Ok(())
}

/// Forgets the death of a delivery that was queued again before it was reported: its next death counts as the first.
pub(super) fn forget_death(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE deliveries SET first_died_at = NULL WHERE id = ?1")?
        .execute([id.as_raw()])?;
    Ok(())
}

/// Returns true if a delivery is stored.
pub(super) fn exists(conn: &Connection, id: DeliveryId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM deliveries WHERE id = ?1)")?
        .query_one([id.as_raw()], |row| row.get(0))
}

/// Deletes a delivery with its rows in all tables.
pub(super) fn delete(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM deliveries WHERE id = ?1",
        "DELETE FROM alerts WHERE id = ?1",
        "DELETE FROM runs WHERE delivery = ?1",
        "DELETE FROM earlier_runs WHERE delivery = ?1",
        "DELETE FROM journal WHERE delivery = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([id.as_raw()])?;
    }
    Ok(())
}
