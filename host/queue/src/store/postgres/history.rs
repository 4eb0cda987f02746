//! History: when each occurrence of an alert began and ended, and on which routes. A row outlives its delivery.

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Timestamp};
use alert_manager_core::journal::{Earlier, PAST_LISTED_MAX, Past, PastOccurrence};

use crate::model::clock::{from_nanos, nanos};
use crate::model::{State, join_handlers};
use crate::store::codes::state_of;
use crate::store::sqlite::history::{ROWS_READ_MAX, Same, hashes};
use crate::store::{Began, StoreError};

use super::rows;
use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// Returns what writes an occurrence that has begun.
pub(super) fn begin(began: &Began) -> Call<'_> {
    let event = began.alert.event();
    Call::new(
        "INSERT INTO history (id, alertname, starts_at, fingerprint, occurrence, accepted_at,
             route, handlers, labels)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        args![
            began.id.as_raw(),
            Stored(began.alert.name()),
            nanos(event.starts_at),
            event.fingerprint.0.cast_signed(),
            i64::from(event.occurrence.as_raw()),
            began.at.as_millisecond(),
            Stored(&began.route),
            join_handlers(&began.pipeline),
            hashes(&began.alert.labels),
        ],
    )
}

/// Returns what notes when the occurrence of a resolved alert has ended.
pub(super) fn end(alert: &Alert, ends_at: Timestamp) -> Call<'_> {
    let event = alert.event();
    Call::new(
        "UPDATE history SET ends_at = $5
         WHERE alertname = $1 AND starts_at = $2 AND fingerprint = $3 AND occurrence = $4",
        args![
            Stored(alert.name()),
            nanos(event.starts_at),
            event.fingerprint.0.cast_signed(),
            i64::from(event.occurrence.as_raw()),
            nanos(ends_at),
        ],
    )
}

/// Returns what notes that deliveries of occurrences are dead, since they are about to be removed.
pub(super) fn note_dead<'a>(ids: &[i64]) -> Call<'a> {
    Call::new(
        "UPDATE history SET died = true WHERE id = ANY($1)",
        args![ids.to_vec()],
    )
}

/// Returns the earlier occurrences of alerts like that of a delivery; nothing if it is not stored.
pub(super) fn earlier(
    session: &Session,
    of: DeliveryId,
    handler: &HandlerName,
    asked: &Earlier,
) -> Result<Past, StoreError> {
    let (json, row) = (
        rows::alert_json(session, of)?,
        rows::load(session, &[of])?.pop().flatten(),
    );
    let alert = json.and_then(|json| serde_json::from_str::<Alert>(&json).ok());
    let (Some(alert), Some(row)) = (alert, row) else {
        return Ok(Past::default());
    };
    let own = alert.event();
    let own = (
        nanos(own.starts_at),
        own.fingerprint.0.cast_signed(),
        i64::from(own.occurrence.as_raw()),
    );
    let same: Vec<Same> = asked
        .same
        .iter()
        .map(|name| Same::of(&alert, name))
        .collect();
    let found = session.query(
        "SELECT h.starts_at, h.fingerprint, h.occurrence, h.id, h.ends_at, h.died, h.labels, d.state
         FROM (SELECT * FROM history
               WHERE alertname = $1 AND starts_at >= $2
               ORDER BY starts_at DESC, fingerprint DESC, occurrence DESC LIMIT $5) AS h
         LEFT JOIN deliveries d ON d.id = h.id
         WHERE h.route = $3 OR strpos(h.handlers, $4) > 0
         ORDER BY h.starts_at DESC, h.fingerprint DESC, h.occurrence DESC, h.id",
        &[
            &Stored(alert.name()),
            &nanos(asked.since),
            &Stored(&row.route),
            &format!(",{handler},"),
            &i64::from(ROWS_READ_MAX),
        ],
    )?;
    let (mut past, mut last) = (Past::default(), None);
    for columns in &found {
        let this = (columns.int(0)?, columns.int(1)?, columns.int(2)?);
        let labels: &[u8] = columns.column(6)?;
        // On several routes it is one occurrence.
        if this == own || last == Some(this) || !same.iter().all(|same| same.holds(labels)) {
            continue;
        }
        last = Some(this);
        past.count = past.count.saturating_add(1);
        if past.occurrences.len() < PAST_LISTED_MAX {
            // That of a removed delivery is known if it died.
            let state = match columns.maybe_int(7)? {
                Some(code) => state_of(code),
                None if columns.column(5)? => State::Dead,
                None => State::Done,
            };
            past.occurrences.push(PastOccurrence {
                delivery: DeliveryId::from_raw(columns.int(3)?),
                starts_at: from_nanos(this.0),
                ends_at: columns.maybe_int(4)?.map(from_nanos),
                state: state.as_str().to_owned(),
            });
        }
    }
    Ok(past)
}

/// Removes at most `rows_max` occurrences that were accepted until `cutoff`, in milliseconds since 1970, the oldest first. Returns
/// how many.
pub(super) fn forget(session: &Session, cutoff: i64, rows_max: i64) -> Result<i64, StoreError> {
    let gone = session.one(
        "WITH gone AS (DELETE FROM history WHERE id IN
             (SELECT id FROM (SELECT id, accepted_at FROM history ORDER BY id LIMIT $2) AS oldest
              WHERE accepted_at <= $1) RETURNING 1)
         SELECT count(*) FROM gone",
        &[&cutoff, &rows_max],
    )?;
    gone.int(0)
}

/// Removes this number of occurrences, the oldest first.
pub(super) fn remove_oldest(session: &Session, count: i64) -> Result<(), StoreError> {
    session.query(
        "DELETE FROM history WHERE id IN (SELECT id FROM history ORDER BY id LIMIT $1)",
        &[&count],
    )?;
    Ok(())
}
