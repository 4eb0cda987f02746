//! History: when each occurrence of an alert began and ended, and on which routes.
//!
//! As long as its delivery is stored, that is the record of an occurrence. The table `history` has those whose deliveries are
//! removed: retention writes a row when it removes one.

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Timestamp};
use alert_manager_core::journal::{Earlier, Past};

use crate::model::clock::{from_nanos, nanos};
use crate::store::StoreError;
use crate::store::codes::state_of;
use crate::store::past::{self, Found, Gathered, ROWS_READ_MAX};

use super::rows;
use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// Returns what notes when the occurrence of a resolved alert has ended: with the deliveries of its firing, and in history, where
/// those are that were removed.
pub(super) fn end<'a>(
    alert: &'a Alert,
    ran_as: &[DeliveryId],
    ends_at: Timestamp,
) -> [Call<'a>; 2] {
    let event = alert.event();
    [
        Call::new(
            "UPDATE deliveries SET ends_at = $2 WHERE id = ANY($1) AND labels IS NOT NULL",
            args![rows::raw(ran_as), nanos(ends_at)],
        ),
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
        ),
    ]
}

/// Returns what keeps the occurrences of deliveries that are about to be removed, and how they ended. Of reminders, the first is kept.
pub(super) fn keep<'a>(ids: &[i64]) -> [Call<'a>; 2] {
    [
        Call::new(
            "UPDATE history h SET ends_at = coalesce(h.ends_at, d.ends_at)
             FROM deliveries d
             WHERE d.id = ANY($1) AND d.status = 0 AND d.labels IS NOT NULL AND d.set_by IS NULL
                 AND h.alertname = d.alertname AND h.starts_at = d.starts_at
                 AND h.fingerprint = d.fingerprint AND h.occurrence = d.occurrence AND h.route = d.route",
            args![ids.to_vec()],
        ),
        Call::new(
            "INSERT INTO history (id, alertname, starts_at, fingerprint, occurrence,
                 accepted_at, ends_at, died, route, handlers, labels)
             SELECT DISTINCT ON (alertname, starts_at, fingerprint, occurrence, route)
                 id, alertname, starts_at, fingerprint, occurrence, accepted_at,
                 max(ends_at) OVER (PARTITION BY alertname, starts_at, fingerprint, occurrence, route),
                 state = 4, route, handlers, labels
             FROM deliveries d
             WHERE id = ANY($1) AND status = 0 AND labels IS NOT NULL AND set_by IS NULL AND handlers <> ''
                 AND NOT EXISTS (
                     SELECT 1 FROM history h
                     WHERE h.alertname = d.alertname AND h.starts_at = d.starts_at
                         AND h.fingerprint = d.fingerprint AND h.occurrence = d.occurrence
                         AND h.route = d.route)
             ORDER BY alertname, starts_at, fingerprint, occurrence, route, id
             ON CONFLICT DO NOTHING",
            args![ids.to_vec()],
        ),
    ]
}

/// Returns the earlier occurrences of alerts like that of a delivery; nothing if it is not stored.
pub(super) fn earlier(
    session: &Session,
    of: DeliveryId,
    handler: &HandlerName,
    asked: &Earlier,
) -> Result<Past, StoreError> {
    let json = rows::alert_json(session, of)?;
    let alert = json.and_then(|json| serde_json::from_str::<Alert>(&json).ok());
    let row = rows::load(session, &[of])?.pop().flatten();
    let (Some(alert), Some(row)) = (alert, row) else {
        return Ok(Past::default());
    };
    let found = session.query(
        "SELECT starts_at, fingerprint, occurrence, id, ends_at, state, labels
         FROM (SELECT * FROM (
                   SELECT starts_at, fingerprint, occurrence, id, ends_at,
                       CASE WHEN died THEN 4 ELSE 3 END::bigint AS state, labels, route, handlers
                   FROM history WHERE alertname = $1 AND starts_at >= $2
                   ORDER BY starts_at DESC, fingerprint DESC, occurrence DESC LIMIT $5) AS removed
               UNION ALL
               SELECT starts_at, fingerprint, occurrence, id, ends_at, state, labels, route, handlers
               FROM (SELECT * FROM deliveries WHERE alertname = $1 AND id >= $6
                     ORDER BY id DESC LIMIT $5) AS stored
               WHERE status = 0 AND labels IS NOT NULL AND set_by IS NULL AND handlers <> ''
                   AND starts_at >= $2) AS every
         WHERE route = $3 OR strpos(handlers, $4) > 0
         ORDER BY starts_at DESC, fingerprint DESC, occurrence DESC, id",
        &[
            &Stored(alert.name()),
            &nanos(asked.since),
            &Stored(&row.route),
            &format!(",{handler},"),
            &i64::from(ROWS_READ_MAX),
            &past::first_id(asked.since),
        ],
    )?;
    let mut gathered = Gathered::of(&alert, asked);
    for columns in &found {
        let row = Found {
            which: (columns.int(0)?, columns.int(1)?, columns.int(2)?),
            delivery: DeliveryId::from_raw(columns.int(3)?),
            ends_at: columns.maybe_int(4)?.map(from_nanos),
            labels: columns.column(6)?,
        };
        gathered.add(row, || Ok::<_, StoreError>(state_of(columns.int(5)?)))?;
    }
    Ok(gathered.past())
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
