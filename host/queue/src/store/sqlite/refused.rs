//! The refused parts of bodies that are remembered. A sender may post the same bad part with each re-send of its group: it is kept
//! and reported once.

use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{DeliveryId, Timestamp};

/// Returns the delivery as which a part is kept; nothing if it is new, or if retention has removed the delivery.
pub(super) fn find(conn: &Connection, digest: &[u8; 32]) -> rusqlite::Result<Option<DeliveryId>> {
    conn.prepare_cached(
        "SELECT delivery FROM refused_parts
         WHERE digest = ?1 AND EXISTS (SELECT 1 FROM deliveries WHERE id = delivery)",
    )?
    .query_row([digest], |row| row.get(0).map(DeliveryId::from_raw))
    .optional()
}

/// Stores that a part was sent again.
pub(super) fn seen_again(
    conn: &Connection,
    digest: &[u8; 32],
    now: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE refused_parts SET last_seen = ?2 WHERE digest = ?1")?
        .execute(params![digest, now.as_millisecond()])?;
    Ok(())
}

/// Adds a part that is kept as `delivery`.
pub(super) fn remember(
    conn: &Connection,
    digest: &[u8; 32],
    delivery: DeliveryId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO refused_parts (digest, delivery, last_seen) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![digest, delivery.as_raw(), now.as_millisecond()])?;
    Ok(())
}

/// Deletes at most `parts_max` parts that were last sent at `cutoff_ms` or before, in milliseconds since 1970. Returns how many.
pub(super) fn forget(conn: &Connection, cutoff_ms: i64, parts_max: u32) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM refused_parts WHERE digest IN
             (SELECT digest FROM refused_parts WHERE last_seen <= ?1 LIMIT ?2)",
    )?
    .execute(params![cutoff_ms, parts_max])
}
