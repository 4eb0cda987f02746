//! Reads deliveries, their alerts, their progress and their stories.

use tokio_postgres::Row as Columned;

use alert_manager_core::alert::{
    DeliveryId, Event, Fingerprint, HandlerName, Occurrence, Timestamp,
};
use alert_manager_core::journal::{Dependency, lines};

use crate::model::clock::{from_millis, from_nanos};
use crate::model::{Cause, Follower, OtherRoutes, Row, State, join_handlers, split_handlers};
use crate::store::StoreError;
use crate::store::codes::{
    fingerprint_of, parking_of, priority_of, reason_of, state_of, status_of,
};

use super::session::{Call, Session, args};
use super::values::Columns as _;

/// How many rows are read at once of a result that may be long.
pub(super) const PAGE: i64 = 10_000;

/// Returns a pipeline as it is stored; empty if it has no handlers.
pub(super) fn pipeline_text(pipeline: &[HandlerName]) -> String {
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

/// Reads the columns of [`ROW`].
pub(super) fn read(row: &Columned) -> Result<Row, StoreError> {
    let fingerprint = fingerprint_of(row.maybe_int(5)?);
    let id = |at| Ok::<_, StoreError>(row.maybe_int(at)?.map(DeliveryId::from_raw));
    Ok(Row {
        id: DeliveryId::from_raw(row.int(0)?),
        state: state_of(row.int(1)?),
        leases: row.count(2)?,
        after_crash: row.column(3)?,
        priority: priority_of(row.int(4)?),
        fingerprint,
        since: from_millis(row.int(6)?),
        not_before: row.maybe_int(7)?,
        route: row.text(8)?,
        pipeline: split_handlers(row.column(9)?),
        next_handler: row.column::<Option<&str>>(10)?.map(HandlerName::new),
        reason: reason_of(row.maybe_int(11)?),
        settled_at: row.maybe_int(12)?.map(from_millis),
        deaths: row.count(13)?,
        suspected: row.count(14)?,
        resent: row.column(15)?,
        other_routes: OtherRoutes::of_text(row.maybe_text(16)?.as_deref()),
        waits_for: lines::of_text(&row.maybe_text(17)?.unwrap_or_default()),
        parking: parking_of(row.int(18)?),
        storm_key: row.maybe_text(19)?.map(Into::into),
        storm: id(20)?,
        representative: id(21)?,
        event: event(
            fingerprint,
            row.maybe_int(22)?,
            row.maybe_int(23)?,
            row.count(24)?,
        ),
        cause: cause(row.column(25)?, row.column(9)?),
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

/// Returns the stored forms of identifiers.
pub(super) fn raw(ids: &[DeliveryId]) -> Vec<i64> {
    ids.iter().map(|id| id.as_raw()).collect()
}

/// Reads deliveries, in the order of `ids`; absent if they are not stored.
pub(super) fn load(session: &Session, ids: &[DeliveryId]) -> Result<Vec<Option<Row>>, StoreError> {
    let found = session.query(
        format!("SELECT {ROW} FROM deliveries WHERE id = ANY($1)"),
        &[&raw(ids)],
    )?;
    let mut rows = found
        .iter()
        .map(|row| Ok((row.int(0)?, read(row)?)))
        .collect::<Result<std::collections::HashMap<_, _>, StoreError>>()?;
    Ok(ids.iter().map(|id| rows.remove(&id.as_raw())).collect())
}

/// Reads the states of deliveries and their numbers of leases. A member counts one of its representative.
pub(super) fn states(
    session: &Session,
    ids: &[DeliveryId],
) -> Result<Vec<Option<(State, u32)>>, StoreError> {
    let found = session.query(
        "SELECT id, state, leases + (representative IS NOT NULL)::int FROM deliveries WHERE id = ANY($1)",
        &[&raw(ids)],
    )?;
    let states = found
        .iter()
        .map(|row| Ok((row.int(0)?, (state_of(row.int(1)?), row.count(2)?))))
        .collect::<Result<std::collections::HashMap<_, _>, StoreError>>()?;
    Ok(ids
        .iter()
        .map(|id| states.get(&id.as_raw()).copied())
        .collect())
}

/// Calls `each` with every delivery after `after`, in the order of acceptance, except refused parts of bodies.
pub(super) fn followers(
    session: &Session,
    after: DeliveryId,
    each: &mut dyn FnMut(Follower<'_>),
) -> Result<(), StoreError> {
    let mut last = after.as_raw();
    loop {
        let page = session.query(
            "SELECT id, fingerprint, route, state, leases + (representative IS NOT NULL)::int, beside,
                 set_by IS NOT NULL, handlers
             FROM deliveries WHERE id > $1 AND fingerprint IS NOT NULL ORDER BY id LIMIT $2",
            &[&last, &PAGE],
        )?;
        for row in &page {
            last = row.int(0)?;
            let (route, beside) = (row.text(2)?, row.maybe_text(5)?);
            each(Follower {
                id: DeliveryId::from_raw(last),
                fingerprint: Fingerprint(row.int(1)?.cast_unsigned()),
                route: &route,
                state: state_of(row.int(3)?),
                leases: row.count(4)?,
                other_routes: beside.as_deref(),
                cause: cause(row.column(6)?, row.column(7)?),
            });
        }
        if (page.len() as i64) < PAGE {
            return Ok(());
        }
    }
}

/// Returns dependencies as they are stored, one on each line.
pub(super) fn waits_for_text(waits_for: &[Dependency]) -> Option<String> {
    (!waits_for.is_empty()).then(|| lines::to_text(waits_for))
}

/// Returns a delivery's alert, as JSON.
pub(super) fn alert_json(session: &Session, id: DeliveryId) -> Result<Option<String>, StoreError> {
    let found = session.first("SELECT json FROM alerts WHERE id = $1", &[&id.as_raw()])?;
    found.map(|row| row.text(0)).transpose()
}

/// Returns the progress of a delivery, as JSON; absent if no lease has stored any.
pub(super) fn progress_json(
    session: &Session,
    id: DeliveryId,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT progress FROM runs WHERE delivery = $1";
    let found = session.first(sql, &[&id.as_raw()])?;
    found.map(|row| row.text(0)).transpose()
}

/// Returns the stories of a delivery that are kept, in the order of leases.
pub(super) fn stories(session: &Session, id: DeliveryId) -> Result<Vec<String>, StoreError> {
    let found = session.query(
        "SELECT lease, story FROM earlier_runs WHERE delivery = $1
         UNION ALL
         SELECT lease, story FROM runs WHERE delivery = $1 AND story IS NOT NULL
         ORDER BY lease",
        &[&id.as_raw()],
    )?;
    found.iter().map(|row| row.text(1)).collect()
}

/// About how many bytes a delivery has besides its texts: its rows and their parts of the indexes.
pub(super) const ROW_BYTES: i64 = 1_024;

/// The size of a delivery in the store, in bytes, as an SQL expression over its row `d`. Texts count uncompressed.
pub(super) fn stored_bytes_sql() -> String {
    format!(
        "({ROW_BYTES}
        + coalesce((SELECT octet_length(json) FROM alerts WHERE alerts.id = d.id), 0)
        + coalesce((SELECT octet_length(progress) + coalesce(octet_length(story), 0) FROM runs
            WHERE runs.delivery = d.id), 0)
        + coalesce((SELECT sum(octet_length(story)) FROM earlier_runs
            WHERE earlier_runs.delivery = d.id), 0)
        + coalesce((SELECT sum(octet_length(request) + octet_length(result) + octet_length(reply))
            FROM journal WHERE journal.delivery = d.id), 0))"
    )
}

/// Returns what stores the sizes of settled deliveries, for retention by size.
pub(super) fn measure<'a>(ids: Vec<i64>) -> Call<'a> {
    let bytes = stored_bytes_sql();
    Call::new(
        format!("UPDATE deliveries d SET bytes = {bytes} WHERE id = ANY($1) AND state >= 3"),
        args![ids],
    )
}

/// Returns what deletes deliveries with their rows in all tables.
pub(super) fn delete<'a>(ids: &[i64]) -> Vec<Call<'a>> {
    let delete = |sql: &'static str| Call::new(sql, args![ids.to_vec()]);
    vec![
        delete("DELETE FROM deliveries WHERE id = ANY($1)"),
        delete("DELETE FROM alerts WHERE id = ANY($1)"),
        delete("DELETE FROM runs WHERE delivery = ANY($1)"),
        delete("DELETE FROM earlier_runs WHERE delivery = ANY($1)"),
        delete("DELETE FROM journal WHERE delivery = ANY($1)"),
    ]
}

/// Returns a time as it is stored.
pub(super) fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millisecond)
}
