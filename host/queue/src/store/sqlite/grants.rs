//! Which grants handlers have used.

use rusqlite::{Connection, params};

use alert_manager_core::alert::{HandlerName, Timestamp};

use crate::model::clock::{from_millis, from_nanos, nanos};
use crate::model::{GrantUsed, GrantsUsed};

use super::meta;

/// How many uses are kept: those that were used last. Grants come from the configuration, which may change for years.
const USES_MAX: u32 = 10_000;

/// The key in `meta` of when the store began to keep uses, in milliseconds since 1970.
const SINCE: &str = "grants_used_since";

/// Returns what is kept.
pub(super) fn used(conn: &Connection) -> rusqlite::Result<GrantsUsed> {
    let since = meta::number(conn, SINCE)?.unwrap_or_default();
    let uses = conn
        .prepare("SELECT handler, kind, name, calls, first_at, last_at FROM grants_used")?
        .query_map([], |row| {
            Ok(GrantUsed {
                handler: HandlerName::new(row.get_ref(0)?.as_str()?),
                kind: row.get(1)?,
                grant: row.get(2)?,
                calls: row.get::<_, i64>(3)?.unsigned_abs(),
                first: from_nanos(row.get(4)?),
                last: from_nanos(row.get(5)?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(GrantsUsed {
        since: from_millis(since),
        uses,
    })
}

/// Stores uses in the place of what is kept of them, and removes the oldest beyond [`USES_MAX`].
pub(super) fn put(conn: &Connection, uses: &[GrantUsed]) -> rusqlite::Result<()> {
    for used in uses {
        conn.prepare_cached("INSERT OR REPLACE INTO grants_used VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                used.handler.as_str(),
                used.kind,
                used.grant,
                used.calls.cast_signed(),
                nanos(used.first),
                nanos(used.last),
            ])?;
    }
    conn.prepare_cached(
        "DELETE FROM grants_used WHERE (handler, kind, name) IN (
             SELECT handler, kind, name FROM grants_used ORDER BY last_at DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([USES_MAX])?;
    Ok(())
}

/// Notes that uses are kept from now on.
pub(super) fn begin(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO meta VALUES (?1, ?2)",
        params![SINCE, now.as_millisecond()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::store::sqlite::schema;

    #[test]
    fn of_too_many_uses_those_that_were_used_last_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
        let used_at = |n: u32| GrantUsed {
            handler: HandlerName::new("a"),
            kind: "http".into(),
            grant: format!("https://{n}.example.com"),
            calls: 1,
            first: from_millis(0),
            last: from_millis(n.into()),
        };
        let all: Vec<_> = (0..USES_MAX + 5).map(used_at).collect();
        put(&conn, &all).unwrap();
        let kept = used(&conn).unwrap().uses;
        assert_eq!(kept.len(), USES_MAX as usize);
        assert!(kept.contains(&used_at(USES_MAX + 4)) && !kept.contains(&used_at(4)));
    }
}
