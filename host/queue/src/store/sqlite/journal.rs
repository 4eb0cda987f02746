//! The recorded calls of steps.

use rusqlite::{Connection, params};

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::journal::{CallKind, CallName, ENTRY_BYTES, Entry, RecordUse, Recorded};

use crate::failpoint::Failpoint;
use crate::model::clock::{from_nanos, nanos};

use super::codes::{effect_code, effect_flags, kind_code, kind_of};

/// Appends calls to the record of a step. An entry with the number of an earlier one replaces it: it is the same call.
pub(super) fn append(
    conn: &Connection,
    id: DeliveryId,
    step: u32,
    entries: &[Entry],
) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO journal
             (delivery, step, seq, kind, keyed, name, effect, request, result, reply, at, clock)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for entry in entries {
        let (keyed, name) = match &entry.name {
            CallName::Key(name) => (true, name),
            CallName::Digest(name) => (false, name),
        };
        insert.execute(params![
            id.as_raw(),
            step,
            entry.seq,
            kind_code(entry.kind),
            keyed,
            name,
            effect_code(entry),
            entry.request,
            entry.result,
            entry.reply,
            nanos(entry.at),
            nanos(entry.clock),
        ])?;
    }
    Ok(())
}

const ENTRY: &str = "step, seq, kind, keyed, name, effect, request, result, reply, at, clock";

fn read_entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u32, Entry)> {
    let name: String = row.get(4)?;
    let flags = effect_flags(row.get(5)?);
    let entry = Entry {
        seq: row.get(1)?,
        kind: kind_of(row.get(2)?),
        name: if row.get(3)? {
            CallName::Key(name)
        } else {
            CallName::Digest(name)
        },
        effect: flags.effect,
        in_doubt: flags.in_doubt,
        parked: flags.parked,
        failed: flags.failed,
        request: row.get(6)?,
        result: row.get(7)?,
        reply: row.get(8)?,
        at: from_nanos(row.get(9)?),
        clock: from_nanos(row.get(10)?),
    };
    Ok((row.get(0)?, entry))
}

/// Returns the record of a step up to its last effect, or up to where it was last parked, in order; and the size of the other
/// steps' records.
pub(super) fn recorded(conn: &Connection, id: DeliveryId, step: u32) -> rusqlite::Result<Recorded> {
    let mut entries = conn
        .prepare_cached(&format!(
            "SELECT {ENTRY} FROM journal WHERE delivery = ?1 AND step = ?2 ORDER BY seq"
        ))?
        .query_map(params![id.as_raw(), step], read_entry)?
        .map(|row| row.map(|(_, entry)| entry))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if Failpoint::Unrecorded.is_set() {
        entries.clear();
    }
    let is_needed = |entry: &Entry| entry.effect || entry.parked;
    let needed = entries.iter().rposition(is_needed);
    entries.truncate(needed.map_or(0, |last| last + 1));
    let elsewhere = conn
        .prepare_cached(
            "SELECT count(*), coalesce(sum(octet_length(name) + octet_length(request)
                 + octet_length(result) + octet_length(reply)), 0)
             FROM journal WHERE delivery = ?1 AND step <> ?2",
        )?
        .query_row(params![id.as_raw(), step], |row| {
            let (entries, texts): (i64, i64) = (row.get(0)?, row.get(1)?);
            let entries = entries.unsigned_abs();
            Ok(RecordUse {
                entries,
                bytes: texts.unsigned_abs() + entries * ENTRY_BYTES as u64,
            })
        })?;
    Ok(Recorded {
        entries,
        resumes_parked: false,
        elsewhere,
    })
}

/// Returns the records of all steps, in order, without the replies, which only retries need.
pub(super) fn all(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<(u32, Entry)>> {
    let columns = ENTRY.replace("reply", "''");
    conn.prepare_cached(&format!(
        "SELECT {columns} FROM journal WHERE delivery = ?1 ORDER BY step, seq"
    ))?
    .query_map([id.as_raw()], read_entry)?
    .collect()
}

/// Returns how many effects of a delivery are on record, by interface.
pub(super) fn effects(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<(CallKind, u64)>> {
    conn.prepare_cached(
        "SELECT kind, count(*) FROM journal WHERE delivery = ?1 AND effect IN (1, 2) GROUP BY kind",
    )?
    .query_map([id.as_raw()], |row| {
        let count: i64 = row.get(1)?;
        Ok((kind_of(row.get(0)?), count.unsigned_abs()))
    })?
    .collect()
}

/// Returns true if step `from_step` of a delivery, or a later one, has changed something outside the server.
pub(super) fn has_effect(
    conn: &Connection,
    id: DeliveryId,
    from_step: u32,
) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM journal
             WHERE delivery = ?1 AND step >= ?2 AND effect IN (1, 2) AND kind IN (?3, ?4))",
    )?
    .query_one(
        params![
            id.as_raw(),
            from_step,
            kind_code(CallKind::Http),
            kind_code(CallKind::Slack),
        ],
        |row| row.get(0),
    )
}

/// Returns true if a delivery has any effect on record.
pub(super) fn has_recorded_effect(conn: &Connection, id: DeliveryId) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM journal WHERE delivery = ?1 AND effect IN (1, 2))",
    )?
    .query_one([id.as_raw()], |row| row.get(0))
}
