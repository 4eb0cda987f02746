//! Values in the table `meta`.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::Fingerprint;

/// The key of the alarms that were raised and have not ended: their fingerprints, 8 bytes each.
const ALARMS: &str = "alarms";

/// Returns the alarms that were raised and have not ended.
pub(super) fn alarms(conn: &Connection) -> rusqlite::Result<BTreeSet<Fingerprint>> {
    let stored: Option<Vec<u8>> = conn
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([ALARMS], |row| row.get(0))
        .optional()?;
    let stored = stored.unwrap_or_default();
    let (words, _) = stored.as_chunks::<8>();
    let fingerprints = words.iter().map(|word| u64::from_be_bytes(*word));
    Ok(fingerprints.map(Fingerprint).collect())
}

/// Stores the alarms that were raised and have not ended.
pub(super) fn put_alarms(conn: &Connection, fire: &BTreeSet<Fingerprint>) -> rusqlite::Result<()> {
    let bytes: Vec<u8> = fire.iter().flat_map(|one| one.0.to_be_bytes()).collect();
    conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
        .execute(params![ALARMS, bytes])?;
    Ok(())
}

/// Returns a number; nothing if there is none.
pub(super) fn number(conn: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}
