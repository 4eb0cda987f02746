//! Deliveries as they are listed.

use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{DeliveryId, Labels};

use crate::model::clock::from_millis;
use crate::model::{Delivery, DueTimer, LabelTest, split_handlers};

use super::codes::{fingerprint_of, priority_of, reason_of, state_of, status_of};
use super::rows;

/// The columns of a [`Delivery`], in the order of [`read`].
pub(super) const LISTED: &str =
    "id, fingerprint, alertname, status, state, route, handlers, attempts,
    accepted_at, settled_at, last_error, not_before, first_died_at, reason,
    representative, storm, timer_key, set_by, priority";

/// Returns a delivery as it is listed.
pub(super) fn load(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Delivery>> {
    conn.prepare_cached(&format!("SELECT {LISTED} FROM deliveries WHERE id = ?1"))?
        .query_row([id.as_raw()], read)
        .optional()
}

/// Returns at most `most` dead deliveries after `from`, in the order of acceptance.
pub(super) fn dead_after(
    conn: &Connection,
    from: i64,
    count: u32,
) -> rusqlite::Result<Vec<Delivery>> {
    conn.prepare_cached(&format!(
        "SELECT {LISTED} FROM deliveries INDEXED BY deliveries_dead
         WHERE state = 4 AND id > ?1 ORDER BY id LIMIT ?2"
    ))?
    .query_map(params![from, count], read)?
    .collect()
}

/// Returns true if the labels of a delivery's alert pass a test.
pub(super) fn has_labels(
    conn: &Connection,
    id: DeliveryId,
    test: &LabelTest,
) -> rusqlite::Result<bool> {
    #[derive(serde::Deserialize)]
    struct Labelled {
        labels: Labels,
    }
    let json = rows::alert_json(conn, id)?.unwrap_or_default();
    Ok(serde_json::from_str(&json).is_ok_and(|alert: Labelled| test.takes(&alert.labels)))
}

pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Delivery> {
    let status: Option<i64> = row.get(3)?;
    Ok(Delivery {
        id: DeliveryId::from_raw(row.get(0)?),
        fingerprint: fingerprint_of(row.get(1)?)
            .map(|f| f.to_string())
            .unwrap_or_default(),
        alertname: row.get(2)?,
        status: status.map_or("", |code| status_of(code).as_str()).into(),
        priority: priority_of(row.get(18)?),
        state: state_of(row.get(4)?),
        route: row.get(5)?,
        handlers: split_handlers(row.get_ref(6)?.as_str()?),
        attempts: row.get(7)?,
        received_at: from_millis(row.get(8)?),
        settled_at: row.get::<_, Option<i64>>(9)?.map(from_millis),
        first_died_at: row.get::<_, Option<i64>>(12)?.map(from_millis),
        reason: reason_of(row.get(13)?),
        last_error: row.get(10)?,
        coalesced_into: row.get::<_, Option<i64>>(14)?.map(DeliveryId::from_raw),
        storm: row.get::<_, Option<i64>>(15)?.map(DeliveryId::from_raw),
        timer: timer(row.get(16)?, row.get(17)?),
    })
}

/// Returns the timer that a delivery was made for.
fn timer(key: Option<String>, set_by: Option<i64>) -> Option<DueTimer> {
    Some(DueTimer {
        key: key?,
        set_by: DeliveryId::from_raw(set_by?),
    })
}
