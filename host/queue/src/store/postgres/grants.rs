//! Which grants handlers have used.

use alert_manager_core::alert::HandlerName;

use crate::model::clock::{from_millis, from_nanos, nanos};
use crate::model::{GrantUsed, GrantsUsed};
use crate::store::StoreError;

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// How many uses are kept: those that were used last. Grants come from the configuration, which may change for years.
const USES_MAX: i64 = 10_000;

/// Returns what is kept.
pub(super) fn used(session: &Session) -> Result<GrantsUsed, StoreError> {
    let sql = "SELECT number FROM meta WHERE key = 'grants_used_since'";
    let since = session.first(sql, &[])?;
    let since = since.map_or(Ok(0), |row| row.int(0))?;
    let found = session.query(
        "SELECT handler, kind, name, calls, first_at, last_at FROM grants_used",
        &[],
    )?;
    let used = |row: &tokio_postgres::Row| {
        Ok(GrantUsed {
            handler: HandlerName::new(row.column::<&str>(0)?),
            kind: row.text(1)?,
            grant: row.text(2)?,
            calls: row.int(3)?.unsigned_abs(),
            first: from_nanos(row.int(4)?),
            last: from_nanos(row.int(5)?),
        })
    };
    Ok(GrantsUsed {
        since: from_millis(since),
        uses: found.iter().map(used).collect::<Result<_, StoreError>>()?,
    })
}

/// Returns what stores uses in the place of what is kept of them, and removes the oldest beyond [`USES_MAX`].
pub(super) fn put<'c>(uses: &'c [GrantUsed]) -> Vec<Call<'c>> {
    let put = |used: &'c GrantUsed| {
        Call::new(
            "INSERT INTO grants_used VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (handler, kind, name) DO UPDATE SET
                 calls = excluded.calls, first_at = excluded.first_at, last_at = excluded.last_at",
            args![
                used.handler.as_str(),
                Stored(&used.kind),
                Stored(&used.grant),
                used.calls.cast_signed(),
                nanos(used.first),
                nanos(used.last),
            ],
        )
    };
    let mut calls: Vec<_> = uses.iter().map(put).collect();
    calls.push(Call::new(
        "DELETE FROM grants_used WHERE (handler, kind, name) IN (
             SELECT handler, kind, name FROM grants_used ORDER BY last_at DESC OFFSET $1)",
        args![USES_MAX],
    ));
    calls
}
