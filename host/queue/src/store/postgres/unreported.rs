//! Deaths that are not reported yet.

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::NOTICES_A_WINDOW_MAX;
use crate::model::clock::from_millis;
use crate::store::{StoreError, Unreported};

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// Returns true if there are unreported deaths.
pub(super) fn is_any(session: &Session) -> Result<bool, StoreError> {
    let found = session.one("SELECT EXISTS (SELECT 1 FROM unreported)", &[])?;
    found.column(0)
}

/// Adds a death to its class.
pub(super) fn gather(class: &str, count: u64, id: DeliveryId, died_at: Timestamp) -> Call<'_> {
    Call::new(
        "INSERT INTO unreported AS u (class, count, since, ids) VALUES ($1, $5, $2, $3)
         ON CONFLICT (class) DO UPDATE SET
             count = u.count + $5,
             since = least(u.since, excluded.since),
             ids = CASE WHEN u.count < $4 THEN u.ids || ',' || excluded.ids ELSE u.ids END",
        args![
            Stored(class),
            died_at.as_millisecond(),
            id.as_raw().to_string(),
            i64::from(NOTICES_A_WINDOW_MAX),
            count.cast_signed(),
        ],
    )
}

/// Adds a delivery that is to be looked at again, in a class of its own. Does nothing if the class is there already.
pub(super) fn gather_alone(class: &str, id: DeliveryId, at: Timestamp) -> Call<'_> {
    Call::new(
        "INSERT INTO unreported (class, count, since, ids) VALUES ($1, 1, $2, $3)
         ON CONFLICT DO NOTHING",
        args![Stored(class), at.as_millisecond(), id.as_raw().to_string()],
    )
}

/// Deletes a class.
pub(super) fn forget(class: &str) -> Call<'_> {
    Call::new(
        "DELETE FROM unreported WHERE class = $1",
        args![Stored(class)],
    )
}

/// Returns the first classes, ordered by class.
pub(super) fn list(session: &Session, most: u32) -> Result<Vec<Unreported>, StoreError> {
    let found = session.query(
        "SELECT class, count, since, ids FROM unreported ORDER BY class LIMIT $1",
        &[&i64::from(most)],
    )?;
    let unreported = |row: &tokio_postgres::Row| {
        let ids: &str = row.column(3)?;
        let ids = ids.split(',').filter_map(|id| id.parse().ok());
        Ok(Unreported {
            class: row.text(0)?,
            count: row.int(1)?.unsigned_abs(),
            since: from_millis(row.int(2)?),
            ids: ids.map(DeliveryId::from_raw).collect(),
        })
    };
    found.iter().map(unreported).collect()
}
