//! Values in the table `meta`.

use std::collections::BTreeSet;

use alert_manager_core::alert::Fingerprint;

use crate::store::StoreError;

use super::session::{Call, Session, args};
use super::values::Columns as _;

/// Returns the alarms that were raised and have not ended: their fingerprints, 8 bytes each.
pub(super) fn alarms(session: &Session) -> Result<BTreeSet<Fingerprint>, StoreError> {
    let stored = session.first("SELECT bytes FROM meta WHERE key = 'alarms'", &[])?;
    let stored: Vec<u8> = stored
        .map(|row| row.column(0))
        .transpose()?
        .unwrap_or_default();
    let (words, _) = stored.as_chunks::<8>();
    let fingerprints = words.iter().map(|word| u64::from_be_bytes(*word));
    Ok(fingerprints.map(Fingerprint).collect())
}

/// Returns what stores the alarms that were raised and have not ended.
pub(super) fn put_alarms<'a>(fire: &BTreeSet<Fingerprint>) -> Call<'a> {
    let bytes: Vec<u8> = fire.iter().flat_map(|one| one.0.to_be_bytes()).collect();
    Call::new(
        "INSERT INTO meta (key, bytes) VALUES ('alarms', $1)
         ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes",
        args![bytes],
    )
}

/// Returns what stores the last identifier that was assigned, before its delivery is removed: it must not be assigned again.
pub(super) fn keep_last_id<'a>() -> Call<'a> {
    Call::new(
        "INSERT INTO meta AS m (key, number) SELECT 'last_id', coalesce(max(id), 0) FROM deliveries
         ON CONFLICT (key) DO UPDATE SET number = greatest(m.number, excluded.number)",
        args![],
    )
}

/// Returns the last identifier that was assigned.
pub(super) fn last_id(session: &Session) -> Result<i64, StoreError> {
    let found = session.one(
        "SELECT greatest(coalesce((SELECT max(id) FROM deliveries), 0),
             coalesce((SELECT number FROM meta WHERE key = 'last_id'), 0))",
        &[],
    )?;
    found.int(0)
}

/// Returns the store's own random secret.
pub(super) fn secret(session: &Session) -> Result<[u8; 32], StoreError> {
    let found = session.one("SELECT bytes FROM meta WHERE key = 'secret'", &[])?;
    let bytes: &[u8] = found.column(0)?;
    bytes
        .try_into()
        .map_err(|_| StoreError::Fatal("the store's secret is damaged".into()))
}
