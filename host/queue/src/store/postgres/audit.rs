//! The audit log.

use alert_manager_core::alert::Timestamp;

use crate::model::clock::from_millis;
use crate::model::{AuditFilter, Audited};
use crate::store::StoreError;

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// How many entries are kept: the newest.
const ENTRIES_MAX: i64 = 100_000;

/// How many entries one step of retention removes at most.
const ENTRIES_A_STEP: i64 = 1_000;

/// Returns what adds an entry.
pub(super) fn put(audited: &Audited) -> Call<'_> {
    Call::new(
        "INSERT INTO audit (at, what, person, subject, detail) VALUES ($1, $2, $3, $4, $5)",
        args![
            audited.at.as_millisecond(),
            Stored(&audited.what),
            Stored(&audited.person),
            Stored(&audited.subject),
            Stored(&audited.detail),
        ],
    )
}

/// Returns entries, newest first.
pub(super) fn list(session: &Session, filter: &AuditFilter) -> Result<Vec<Audited>, StoreError> {
    let from = filter.from.map_or(i64::MIN, Timestamp::as_millisecond);
    let to = filter.to.map_or(i64::MAX, Timestamp::as_millisecond);
    let (what, person) = (
        filter.what.as_deref().map(Stored),
        filter.person.as_deref().map(Stored),
    );
    let subject = filter.subject.as_deref().map(Stored);
    let rows = session.query(
        "SELECT at, what, person, subject, detail FROM audit
         WHERE at >= $1 AND at < $2 AND ($3::text IS NULL OR what = $3)
             AND ($4::text IS NULL OR person = $4 OR left(person, length($4) + 2) = $4 || ' (') AND ($5::text IS NULL OR subject = $5)
         ORDER BY at DESC, id DESC LIMIT $6",
        &[
            &from,
            &to,
            &what,
            &person,
            &subject,
            &i64::from(filter.limit),
        ],
    )?;
    let audited = |row: &tokio_postgres::Row| {
        Ok(Audited {
            at: from_millis(row.int(0)?),
            what: row.text(1)?,
            person: row.text(2)?,
            subject: row.text(3)?,
            detail: row.text(4)?,
        })
    };
    rows.iter().map(audited).collect()
}

/// Removes some entries from before a time, in milliseconds since 1970, and those beyond [`ENTRIES_MAX`]. Returns true if there may
/// be more.
pub(super) fn forget(session: &Session, before_ms: i64) -> Result<bool, StoreError> {
    let removed = session.one(
        "WITH gone AS (DELETE FROM audit WHERE id IN (
             SELECT id FROM audit WHERE at < $1
             UNION SELECT id FROM audit WHERE id <= (SELECT max(id) FROM audit) - $2
             LIMIT $3) RETURNING 1)
         SELECT count(*) FROM gone",
        &[&before_ms, &ENTRIES_MAX, &ENTRIES_A_STEP],
    )?;
    Ok(removed.int(0)? == ENTRIES_A_STEP)
}
