//! The recorded calls of steps.

use std::collections::HashMap;

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::journal::{CallKind, CallName, ENTRY_BYTES, Entry, RecordUse, Recorded};

use crate::failpoint::Failpoint;
use crate::model::clock::from_nanos;
use crate::store::StoreError;
use crate::store::codes::{effect_flags, kind_code, kind_of};

use super::session::Session;
use super::values::Columns as _;

const ENTRY: &str = "step, seq, kind, keyed, name, effect, request, result, reply, at, clock";

fn read_entry(row: &tokio_postgres::Row) -> Result<(u32, Entry), StoreError> {
    let name = row.text(4)?;
    let flags = effect_flags(row.int(5)?);
    let entry = Entry {
        seq: row.count(1)?,
        kind: kind_of(row.int(2)?),
        name: if row.column(3)? {
            CallName::Key(name)
        } else {
            CallName::Digest(name)
        },
        effect: flags.effect,
        in_doubt: flags.in_doubt,
        parked: flags.parked,
        failed: flags.failed,
        request: row.text(6)?,
        result: row.text(7)?,
        reply: row.text(8)?,
        at: from_nanos(row.int(9)?),
        clock: from_nanos(row.int(10)?),
    };
    Ok((row.count(0)?, entry))
}

/// Returns the record of a step up to its last effect, or up to where it was last parked, in order; and the size of the other
/// steps' records.
pub(super) fn recorded(
    session: &Session,
    id: DeliveryId,
    step: u32,
) -> Result<Recorded, StoreError> {
    let step = i64::from(step);
    let found = session.query(
        format!("SELECT {ENTRY} FROM journal WHERE delivery = $1 AND step = $2 ORDER BY seq"),
        &[&id.as_raw(), &step],
    )?;
    let entry = |row| read_entry(row).map(|(_, entry)| entry);
    let mut entries = found.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    if Failpoint::Unrecorded.is_set() {
        entries.clear();
    }
    let is_needed = |entry: &Entry| entry.effect || entry.parked;
    let needed = entries.iter().rposition(is_needed);
    entries.truncate(needed.map_or(0, |last| last + 1));
    let elsewhere = session.one(
        "SELECT count(*), coalesce(sum(octet_length(name) + octet_length(request)
             + octet_length(result) + octet_length(reply)), 0)::bigint
         FROM journal WHERE delivery = $1 AND step <> $2",
        &[&id.as_raw(), &step],
    )?;
    let count = elsewhere.int(0)?.unsigned_abs();
    Ok(Recorded {
        entries,
        resumes_parked: false,
        elsewhere: RecordUse {
            entries: count,
            bytes: elsewhere.int(1)?.unsigned_abs() + count * ENTRY_BYTES as u64,
        },
    })
}

/// Returns the records of all steps, in order, without the replies, which only retries need.
pub(super) fn all(session: &Session, id: DeliveryId) -> Result<Vec<(u32, Entry)>, StoreError> {
    let columns = ENTRY.replace("reply", "''");
    let sql = format!("SELECT {columns} FROM journal WHERE delivery = $1 ORDER BY step, seq");
    let found = session.query(sql, &[&id.as_raw()])?;
    found.iter().map(read_entry).collect()
}

/// Returns how many effects of deliveries are on record, by interface.
pub(super) fn effects(
    session: &Session,
    ids: &[DeliveryId],
) -> Result<HashMap<DeliveryId, Vec<(CallKind, u64)>>, StoreError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.as_raw()).collect();
    let found = session.query(
        "SELECT delivery, kind, count(*) FROM journal
         WHERE delivery = ANY($1) AND effect IN (1, 2) GROUP BY delivery, kind",
        &[&ids],
    )?;
    let mut effects: HashMap<_, Vec<_>> = HashMap::new();
    for row in &found {
        let id = DeliveryId::from_raw(row.int(0)?);
        let counted = (kind_of(row.int(1)?), row.int(2)?.unsigned_abs());
        effects.entry(id).or_default().push(counted);
    }
    Ok(effects)
}

/// Returns true if step `from_step` of a delivery, or a later one, has changed something outside the server.
pub(super) fn has_effect(
    session: &Session,
    id: DeliveryId,
    from_step: u32,
) -> Result<bool, StoreError> {
    let kinds = vec![kind_code(CallKind::Http), kind_code(CallKind::Slack)];
    let found = session.one(
        "SELECT EXISTS (SELECT 1 FROM journal
             WHERE delivery = $1 AND step >= $2 AND effect IN (1, 2) AND kind = ANY($3))",
        &[&id.as_raw(), &i64::from(from_step), &kinds],
    )?;
    found.column(0)
}

/// Returns true if a delivery has any effect on record.
pub(super) fn has_recorded_effect(session: &Session, id: DeliveryId) -> Result<bool, StoreError> {
    let found = session.one(
        "SELECT EXISTS (SELECT 1 FROM journal WHERE delivery = $1 AND effect IN (1, 2))",
        &[&id.as_raw()],
    )?;
    found.column(0)
}
