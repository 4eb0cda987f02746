//! The refused parts of bodies that are remembered. A sender may post the same bad part with each re-send of its group: it is kept
//! and reported once.

use std::collections::HashMap;

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::store::StoreError;

use super::session::{Call, Session, args};
use super::values::Columns as _;

/// Returns the deliveries as which parts are kept; nothing for one that is new, or whose delivery retention has removed.
pub(super) fn find(
    session: &Session,
    digests: &[[u8; 32]],
) -> Result<Vec<Option<DeliveryId>>, StoreError> {
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<&[u8]> = digests.iter().map(|digest| &digest[..]).collect();
    let found = session.query(
        "SELECT digest, delivery FROM refused_parts
         WHERE digest = ANY($1) AND EXISTS (SELECT 1 FROM deliveries WHERE id = delivery)",
        &[&wanted],
    )?;
    let kept = found
        .iter()
        .map(|row| Ok((row.column(0)?, DeliveryId::from_raw(row.int(1)?))))
        .collect::<Result<HashMap<&[u8], _>, StoreError>>()?;
    let find = |digest: &[u8; 32]| kept.get(&digest[..]).copied();
    Ok(digests.iter().map(find).collect())
}

/// Returns what stores that a part was sent again.
pub(super) fn seen_again(digest: &[u8; 32], now: Timestamp) -> Call<'_> {
    Call::new(
        "UPDATE refused_parts SET last_seen = $2 WHERE digest = $1",
        args![&digest[..], now.as_millisecond()],
    )
}

/// Returns what adds a part that is kept as `delivery`.
pub(super) fn remember(digest: &[u8; 32], delivery: DeliveryId, now: Timestamp) -> Call<'_> {
    Call::new(
        "INSERT INTO refused_parts (digest, delivery, last_seen) VALUES ($1, $2, $3)
         ON CONFLICT (digest) DO UPDATE
             SET delivery = excluded.delivery, last_seen = excluded.last_seen",
        args![&digest[..], delivery.as_raw(), now.as_millisecond()],
    )
}

/// Deletes at most `parts_max` parts that were last sent at `cutoff_ms` or before, in milliseconds since 1970. Returns how many.
pub(super) fn forget(session: &Session, cutoff_ms: i64, parts_max: i64) -> Result<i64, StoreError> {
    let gone = session.one(
        "WITH gone AS (DELETE FROM refused_parts WHERE digest IN
             (SELECT digest FROM refused_parts WHERE last_seen <= $1 LIMIT $2) RETURNING 1)
         SELECT count(*) FROM gone",
        &[&cutoff_ms, &parts_max],
    )?;
    gone.int(0)
}
