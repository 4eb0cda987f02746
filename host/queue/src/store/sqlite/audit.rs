//! The audit log.

use rusqlite::{Connection, params};

use alert_manager_core::alert::Timestamp;

use crate::model::clock::from_millis;
use crate::model::{AuditFilter, Audited};

/// How many entries are kept: the newest.
const ENTRIES_MAX: i64 = 100_000;

/// How many entries one step of retention removes at most.
const ENTRIES_A_STEP: u32 = 1_000;

/// Adds an entry.
pub(super) fn put(conn: &Connection, audited: &Audited) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO audit (at, what, person, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        audited.at.as_millisecond(),
        audited.what,
        audited.person,
        audited.subject,
        audited.detail,
    ])?;
    Ok(())
}

/// Returns entries, newest first.
pub(super) fn list(conn: &Connection, filter: &AuditFilter) -> rusqlite::Result<Vec<Audited>> {
    let from = filter.from.map_or(i64::MIN, Timestamp::as_millisecond);
    let to = filter.to.map_or(i64::MAX, Timestamp::as_millisecond);
    conn.prepare_cached(
        "SELECT at, what, person, subject, detail FROM audit
         WHERE at >= ?1 AND at < ?2 AND (?3 IS NULL OR what = ?3)
             AND (?4 IS NULL OR person = ?4 OR substr(person, 1, length(?4) + 2) = ?4 || ' (') AND (?5 IS NULL OR subject = ?5)
         ORDER BY at DESC, id DESC LIMIT ?6",
    )?
    .query_map(
        params![
            from,
            to,
            filter.what,
            filter.person,
            filter.subject,
            filter.limit
        ],
        |row| {
            Ok(Audited {
                at: from_millis(row.get(0)?),
                what: row.get(1)?,
                person: row.get(2)?,
                subject: row.get(3)?,
                detail: row.get(4)?,
            })
        },
    )?
    .collect()
}

/// Removes some entries from before a time, in milliseconds since 1970, and those beyond [`ENTRIES_MAX`]. Returns true if there may
/// be more.
pub(super) fn forget(conn: &Connection, before_ms: i64) -> rusqlite::Result<bool> {
    let removed = conn
        .prepare_cached(
            "DELETE FROM audit WHERE id IN (
                 SELECT id FROM audit WHERE at < ?1
                 UNION SELECT id FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?2
                 LIMIT ?3)",
        )?
        .execute(params![before_ms, ENTRIES_MAX, ENTRIES_A_STEP])?;
    Ok(removed == ENTRIES_A_STEP as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::store::sqlite::schema;

    #[test]
    fn of_too_many_entries_the_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
        let tx = conn.unchecked_transaction().unwrap();
        for n in 0..ENTRIES_MAX + i64::from(ENTRIES_A_STEP) + 5 {
            let at = from_millis(n);
            put(
                &tx,
                &Audited {
                    at,
                    ..Audited::default()
                },
            )
            .unwrap();
        }
        assert!(forget(&tx, 0).unwrap(), "one step is not enough");
        assert!(!forget(&tx, 0).unwrap());
        tx.commit().unwrap();
        let kept: (i64, i64) = conn
            .query_row("SELECT count(*), min(at) FROM audit", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(kept, (ENTRIES_MAX, i64::from(ENTRIES_A_STEP) + 5));
    }
}
