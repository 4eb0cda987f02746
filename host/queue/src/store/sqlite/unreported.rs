//! Deaths that are not reported yet: those in the table `unreported`, and those from before the store had it.

use rusqlite::{Connection, params};

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::NOTICES_A_WINDOW_MAX;
use crate::model::clock::from_millis;
use crate::store::{EarlierDeaths, Unreported};

use super::{listed, meta};

/// The key in `meta` of the time of the migration to layout 3, which made the table. Some deaths before it may have no notice.
const EARLIER_UNTIL: &str = "earlier_deaths_until";

/// The key in `meta` of the last of these deaths that was looked at.
const EARLIER_SEEN: &str = "earlier_deaths_seen";

/// Returns true if there may be unreported deaths.
pub(super) fn is_any(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_one(
        "SELECT EXISTS (SELECT 1 FROM unreported)
             OR EXISTS (SELECT 1 FROM meta WHERE key = ?1)",
        [EARLIER_UNTIL],
        |row| row.get(0),
    )
}

/// Adds a death to its class.
pub(super) fn gather(
    conn: &Connection,
    class: &str,
    count: u64,
    id: DeliveryId,
    died_at: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO unreported (class, count, since, ids) VALUES (?1, ?5, ?2, ?3)
         ON CONFLICT (class) DO UPDATE SET
             count = count + ?5,
             since = min(since, excluded.since),
             ids = CASE WHEN count < ?4 THEN ids || ',' || excluded.ids ELSE ids END",
    )?
    .execute(params![
        class,
        died_at.as_millisecond(),
        id.as_raw().to_string(),
        NOTICES_A_WINDOW_MAX,
        count.cast_signed(),
    ])?;
    Ok(())
}

/// Adds a delivery that is to be looked at again, in a class of its own. Does nothing if the class is there already.
pub(super) fn gather_alone(
    conn: &Connection,
    class: &str,
    id: DeliveryId,
    at: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO unreported (class, count, since, ids) VALUES (?1, 1, ?2, ?3)",
    )?
    .execute(params![class, at.as_millisecond(), id.as_raw().to_string()])?;
    Ok(())
}

/// Deletes a class.
pub(super) fn forget(conn: &Connection, class: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM unreported WHERE class = ?1")?
        .execute([class])?;
    Ok(())
}

/// Returns the first classes, ordered by class.
pub(super) fn list(conn: &Connection, most: u32) -> rusqlite::Result<Vec<Unreported>> {
    conn.prepare_cached("SELECT class, count, since, ids FROM unreported ORDER BY class LIMIT ?1")?
        .query_map([most], |row| {
            let ids = row.get_ref(3)?.as_str()?;
            Ok(Unreported {
                class: row.get(0)?,
                count: row.get::<_, i64>(1)?.unsigned_abs(),
                since: from_millis(row.get(2)?),
                ids: ids
                    .split(',')
                    .filter_map(|id| id.parse().ok())
                    .map(DeliveryId::from_raw)
                    .collect(),
            })
        })?
        .collect()
}

/// Returns the next deaths from before the table; nothing if all of them were looked at.
pub(super) fn earlier(conn: &Connection, most: u32) -> rusqlite::Result<Option<EarlierDeaths>> {
    let Some(until_ms) = meta::number(conn, EARLIER_UNTIL)? else {
        return Ok(None);
    };
    let from = meta::number(conn, EARLIER_SEEN)?.unwrap_or(i64::MIN);
    let deliveries = listed::dead_after(conn, from, most)?;
    Ok(Some(EarlierDeaths {
        deliveries,
        until_ms,
    }))
}

/// Stores the last of these deaths that was looked at; nothing if there are no more.
pub(super) fn seen_earlier(conn: &Connection, last: Option<DeliveryId>) -> rusqlite::Result<()> {
    match last {
        Some(last) => conn
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
            .execute(params![EARLIER_SEEN, last.as_raw()])?,
        None => conn
            .prepare_cached("DELETE FROM meta WHERE key IN (?1, ?2)")?
            .execute([EARLIER_UNTIL, EARLIER_SEEN])?,
    };
    Ok(())
}
