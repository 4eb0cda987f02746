//! Deliveries as they are listed.

use tokio_postgres::Row as Columned;

use alert_manager_core::alert::{DeliveryId, Labels};

use crate::model::clock::from_millis;
use crate::model::{Delivery, DueTimer, LabelTest, split_handlers};
use crate::store::StoreError;
use crate::store::codes::{fingerprint_of, priority_of, reason_of, state_of, status_of};

use super::session::Session;
use super::values::Columns as _;

/// The columns of a delivery, in the order of [`read_delivery`].
pub(super) const DELIVERY: &str =
    "id, fingerprint, alertname, status, state, route, handlers, attempts,
    accepted_at, settled_at, last_error, not_before, first_died_at, reason,
    representative, storm, timer_key, set_by, priority";

/// How many columns [`DELIVERY`] has.
pub(super) const DELIVERY_COLUMNS: usize = 19;

/// Returns a delivery as it is listed.
pub(super) fn delivery(session: &Session, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let sql = format!("SELECT {DELIVERY} FROM deliveries WHERE id = $1");
    let found = session.first(sql, &[&id.as_raw()])?;
    found.as_ref().map(read_delivery).transpose()
}

/// Returns those of some deliveries that are stored.
pub(super) fn deliveries(
    session: &Session,
    ids: &[DeliveryId],
) -> Result<Vec<Delivery>, StoreError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.as_raw()).collect();
    let sql = format!("SELECT {DELIVERY} FROM deliveries WHERE id = ANY($1)");
    let found = session.query(sql, &[&ids])?;
    found.iter().map(read_delivery).collect()
}

/// Returns true if the labels of an alert pass a test.
pub(super) fn has_labels(json: &str, test: &LabelTest) -> bool {
    #[derive(serde::Deserialize)]
    struct Labelled {
        labels: Labels,
    }
    serde_json::from_str(json).is_ok_and(|alert: Labelled| test.takes(&alert.labels))
}

/// Returns the delivery of a row with the columns of [`DELIVERY`].
pub(super) fn read_delivery(row: &Columned) -> Result<Delivery, StoreError> {
    let id = |at| Ok::<_, StoreError>(row.maybe_int(at)?.map(DeliveryId::from_raw));
    let time = |at| Ok::<_, StoreError>(row.maybe_int(at)?.map(from_millis));
    Ok(Delivery {
        id: DeliveryId::from_raw(row.int(0)?),
        fingerprint: fingerprint_of(row.maybe_int(1)?)
            .map(|f| f.to_string())
            .unwrap_or_default(),
        alertname: row.text(2)?,
        status: row
            .maybe_int(3)?
            .map_or("", |code| status_of(code).as_str())
            .into(),
        priority: priority_of(row.int(18)?),
        state: state_of(row.int(4)?),
        route: row.text(5)?,
        handlers: split_handlers(row.column(6)?),
        attempts: row.count(7)?,
        received_at: from_millis(row.int(8)?),
        settled_at: time(9)?,
        first_died_at: time(12)?,
        reason: reason_of(row.maybe_int(13)?),
        last_error: row.maybe_text(10)?,
        coalesced_into: id(14)?,
        storm: id(15)?,
        timer: timer(row.maybe_text(16)?, row.maybe_int(17)?),
    })
}

/// Returns the timer that a delivery was made for.
fn timer(key: Option<String>, set_by: Option<i64>) -> Option<DueTimer> {
    Some(DueTimer {
        key: key?,
        set_by: DeliveryId::from_raw(set_by?),
    })
}
