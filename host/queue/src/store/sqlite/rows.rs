//! Deliveries, their runs and their journal, as rows.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::failpoint::Failpoint;
use alert_manager_core::alert::{
    DeliveryId, Fingerprint, HandlerName, Priority, Status, Timestamp,
};
use alert_manager_core::journal::{
    CallKind, CallName, Dependency, ENTRY_BYTES, Entry, RecordUse, Recorded, lines,
};

use crate::model::clock::{from_millis, from_nanos, nanos};
use crate::model::{
    Beside, Left, NewDelivery, OnKey, Reason, Row, State, join_handlers, split_handlers,
};

use super::schema::{DEAD, DONE, QUEUED, RETRYING, RUNNING};

/// Writes a delivery and its alert.
pub(super) fn insert(conn: &Connection, new: &NewDelivery<'_>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO deliveries (id, state, leases, priority, status, fingerprint, starts_at,
             accepted_at, settled_at, alertname, route, handlers, last_error, occurrence,
             sent_starts_at, beside, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?
    .execute(params![
        new.id.as_raw(),
        state_code(new.state),
        new.leases,
        priority_code(new.priority),
        new.status.map(status_code),
        new.fingerprint.map(|f| f.0.cast_signed()),
        new.starts_at.map(nanos),
        new.accepted_at.as_millisecond(),
        new.settled_at.map(Timestamp::as_millisecond),
        &*new.alertname,
        &*new.route,
        pipeline_text(&new.pipeline),
        new.last_error.as_deref(),
        new.occurrence.as_raw(),
        new.sent_starts_at.map(nanos),
        new.beside.to_text(),
        new.reason.map(reason_code),
    ])?;
    conn.prepare_cached("INSERT INTO alerts (id, json) VALUES (?1, ?2)")?
        .execute(params![new.id.as_raw(), &*new.json])?;
    Ok(())
}

/// Returns a pipeline as it is stored: empty if nothing runs.
fn pipeline_text(pipeline: &[HandlerName]) -> String {
    match pipeline {
        [] => String::new(),
        handlers => join_handlers(handlers),
    }
}

/// The columns of a [`Row`], in the order of [`read`].
pub(super) const ROW: &str = "id, state, leases, after_crash, priority, fingerprint,
    coalesce(revived_at, accepted_at), not_before, route, handlers, next_handler, reason,
    settled_at, deaths, suspected, resent, beside, waits_for";

/// Reads the columns of [`ROW`].
pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: DeliveryId::from_raw(row.get(0)?),
        state: state_of(row.get(1)?),
        leases: row.get(2)?,
        after_crash: row.get(3)?,
        priority: priority_of(row.get(4)?),
        fingerprint: fingerprint_of(row.get(5)?),
        since: from_millis(row.get(6)?),
        not_before: row.get(7)?,
        route: row.get(8)?,
        pipeline: split_handlers(row.get_ref(9)?.as_str()?),
        next_handler: row.get_ref(10)?.as_str_or_null()?.map(HandlerName::new),
        reason: reason_of(row.get(11)?),
        settled_at: row.get::<_, Option<i64>>(12)?.map(from_millis),
        deaths: row.get(13)?,
        suspected: row.get(14)?,
        resent: row.get(15)?,
        beside: Beside::of_text(row.get_ref(16)?.as_str_or_null()?),
        waits_for: lines::of_text(row.get_ref(17)?.as_str_or_null()?.unwrap_or_default()),
    })
}

/// Reads one delivery.
pub(super) fn load(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Row>> {
    conn.prepare_cached(&format!("SELECT {ROW} FROM deliveries WHERE id = ?1"))?
        .query_row([id.as_raw()], read)
        .optional()
}

/// Reads how a delivery stands, and how often it was leased.
pub(super) fn state(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<(State, u32)>> {
    conn.prepare_cached("SELECT state, leases FROM deliveries WHERE id = ?1")?
        .query_row([id.as_raw()], |row| {
            Ok((state_of(row.get(0)?), row.get(1)?))
        })
        .optional()
}

/// Gives every delivery after `after` that held an alert to `each`, in the order of acceptance.
pub(super) fn follow(
    conn: &Connection,
    after: DeliveryId,
    mut each: impl FnMut(OnKey<'_>),
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT id, fingerprint, route, state, leases, beside FROM deliveries
         WHERE id > ?1 AND fingerprint IS NOT NULL ORDER BY id",
    )?;
    let mut rows = statement.query([after.as_raw()])?;
    while let Some(row) = rows.next()? {
        let fingerprint: i64 = row.get(1)?;
        each(OnKey {
            id: DeliveryId::from_raw(row.get(0)?),
            fingerprint: Fingerprint(fingerprint.cast_unsigned()),
            route: row.get_ref(2)?.as_str()?,
            state: state_of(row.get(3)?),
            leases: row.get(4)?,
            beside: row.get_ref(5)?.as_str_or_null()?,
        });
    }
    Ok(())
}

/// Returns true if a step of a delivery from this one on has changed something outside the server.
pub(super) fn has_effect(
    conn: &Connection,
    id: DeliveryId,
    from_step: u32,
) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM journal
             WHERE delivery = ?1 AND step >= ?2 AND effect > 0 AND kind IN (?3, ?4))",
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

/// Gives a lease back that nobody will end any more.
pub(super) fn give_back(conn: &Connection, id: DeliveryId, left: Left) -> rusqlite::Result<()> {
    let sql = match left {
        Left::Unbegun => "UPDATE deliveries SET state = ?2, leases = leases - 1 WHERE id = ?1",
        Left::UnderWay => "UPDATE deliveries SET state = ?2, after_crash = 1 WHERE id = ?1",
    };
    conn.prepare_cached(sql)?
        .execute(params![id.as_raw(), QUEUED])?;
    Ok(())
}

/// Returns what a delivery waits for as it is stored: a line each.
pub(super) fn waits_for_text(waits_for: &[Dependency]) -> Option<String> {
    (!waits_for.is_empty()).then(|| lines::to_text(waits_for))
}

/// Returns a delivery's alert, as JSON.
pub(super) fn alert_json(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT json FROM alerts WHERE id = ?1")?
        .query_row([id.as_raw()], |row| row.get(0))
        .optional()
}

/// Returns how far a delivery is, as JSON; absent before its first lease ended.
pub(super) fn progress_json(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT progress FROM runs WHERE delivery = ?1")?
        .query_row([id.as_raw()], |row| row.get(0))
        .optional()
}

/// Stores what a lease came to, and how far the delivery is with it.
pub(super) fn put_run(
    conn: &Connection,
    id: DeliveryId,
    lease: u32,
    progress: &str,
    story: Option<&str>,
) -> rusqlite::Result<()> {
    if lease > 1 {
        conn.prepare_cached(
            "INSERT INTO earlier_runs (delivery, lease, story)
             SELECT delivery, lease, story FROM runs
             WHERE delivery = ?1 AND lease < ?2 AND story IS NOT NULL",
        )?
        .execute(params![id.as_raw(), lease])?;
    }
    if stories_omitted(lease) > 0 {
        conn.prepare_cached(
            "DELETE FROM earlier_runs WHERE delivery = ?1 AND lease > ?2 AND lease <= ?3",
        )?
        .execute(params![
            id.as_raw(),
            STORIES_FIRST_MAX,
            lease - STORIES_LAST_MAX
        ])?;
    }
    conn.prepare_cached(
        "INSERT INTO runs (delivery, lease, progress, story) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (delivery) DO UPDATE SET
             progress = excluded.progress,
             story = CASE lease WHEN excluded.lease THEN coalesce(excluded.story, story)
                                ELSE excluded.story END,
             lease = excluded.lease",
    )?
    .execute(params![id.as_raw(), lease, progress, story])?;
    Ok(())
}

/// Of how many first and how many last leases of a delivery the stories are kept.
const STORIES_FIRST_MAX: u32 = 3;
const STORIES_LAST_MAX: u32 = 20;

/// Returns how many leases are past those whose story is kept, given the latest.
fn stories_omitted(lease: u32) -> u32 {
    lease.saturating_sub(STORIES_FIRST_MAX + STORIES_LAST_MAX)
}

/// Returns what was recorded of the leases of a delivery, in order, as far as it is kept.
pub(super) fn stories(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT lease, story FROM earlier_runs WHERE delivery = ?1
         UNION ALL
         SELECT lease, story FROM runs WHERE delivery = ?1 AND story IS NOT NULL
         ORDER BY lease",
    )?
    .query_map([id.as_raw()], |row| row.get(1))?
    .collect()
}

/// Appends to the record of a step. The same place written twice is the same call: the later one counts.
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
            i64::from(entry.effect) + i64::from(entry.effect && entry.in_doubt),
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
    let effect: i64 = row.get(5)?;
    let entry = Entry {
        seq: row.get(1)?,
        kind: kind_of(row.get(2)?),
        name: if row.get(3)? {
            CallName::Key(name)
        } else {
            CallName::Digest(name)
        },
        effect: effect > 0,
        in_doubt: effect > 1,
        request: row.get(6)?,
        result: row.get(7)?,
        reply: row.get(8)?,
        at: from_nanos(row.get(9)?),
        clock: from_nanos(row.get(10)?),
    };
    Ok((row.get(0)?, entry))
}

/// Returns what a step has recorded up to its last effect, in order, and how much the others have.
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
    let needed = entries.iter().rposition(|entry| entry.effect);
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
    Ok(Recorded { entries, elsewhere })
}

/// Returns a delivery's record as its story has it, in order: all but the replies, which are for retries alone.
pub(super) fn journal(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<(u32, Entry)>> {
    let told = ENTRY.replace("reply", "''");
    conn.prepare_cached(&format!(
        "SELECT {told} FROM journal WHERE delivery = ?1 ORDER BY step, seq"
    ))?
    .query_map([id.as_raw()], read_entry)?
    .collect()
}

/// What a delivery takes of the store, in bytes, as an expression over its row. The first term stands for the row itself and
/// its places in the indexes. `octet_length` does not read the text.
pub(super) const DEAD_BYTES: &str = "(512
    + coalesce((SELECT octet_length(json) FROM alerts WHERE alerts.id = deliveries.id), 0)
    + coalesce((SELECT octet_length(progress) + coalesce(octet_length(story), 0) FROM runs
        WHERE runs.delivery = deliveries.id), 0)
    + coalesce((SELECT sum(octet_length(story)) FROM earlier_runs
        WHERE earlier_runs.delivery = deliveries.id), 0)
    + coalesce((SELECT sum(octet_length(request) + octet_length(result) + octet_length(reply))
        FROM journal WHERE journal.delivery = deliveries.id), 0))";

/// Notes what a dead delivery takes of the store: retention by size goes by it.
pub(super) fn measure_dead(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    conn.prepare_cached(&format!(
        "UPDATE deliveries SET dead_bytes = {DEAD_BYTES} WHERE id = ?1"
    ))?
    .execute([id.as_raw()])?;
    Ok(())
}

/// Forgets the death of a delivery that lives again and was not reported: its next death is the first to be reported.
pub(super) fn forget_death(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE deliveries SET first_died_at = NULL WHERE id = ?1")?
        .execute([id.as_raw()])?;
    Ok(())
}

/// Returns true if a delivery is stored.
pub(super) fn exists(conn: &Connection, id: DeliveryId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM deliveries WHERE id = ?1)")?
        .query_one([id.as_raw()], |row| row.get(0))
}

/// Removes a delivery and everything that hangs on it.
pub(super) fn delete(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM deliveries WHERE id = ?1",
        "DELETE FROM alerts WHERE id = ?1",
        "DELETE FROM runs WHERE delivery = ?1",
        "DELETE FROM earlier_runs WHERE delivery = ?1",
        "DELETE FROM journal WHERE delivery = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([id.as_raw()])?;
    }
    Ok(())
}

pub(super) fn fingerprint_of(stored: Option<i64>) -> Option<Fingerprint> {
    stored.map(|n| Fingerprint(n.cast_unsigned()))
}

pub(super) fn status_code(status: Status) -> i64 {
    match status {
        Status::Firing => 0,
        Status::Resolved => 1,
    }
}

pub(super) fn status_of(code: i64) -> Status {
    match code {
        0 => Status::Firing,
        _ => Status::Resolved,
    }
}

/// Returns a state as it is stored.
pub(super) const fn state_code(state: State) -> i64 {
    match state {
        State::Queued => QUEUED,
        State::Running => RUNNING,
        State::Retrying => RETRYING,
        State::Done => DONE,
        State::Dead => DEAD,
    }
}

pub(super) const fn state_of(code: i64) -> State {
    match code {
        QUEUED => State::Queued,
        RUNNING => State::Running,
        RETRYING => State::Retrying,
        DONE => State::Done,
        _ => State::Dead,
    }
}

/// Returns a reason as it is stored: those of dead deliveries from 10 on.
pub(super) const fn reason_code(reason: Reason) -> i64 {
    match reason {
        Reason::Handled => 0,
        Reason::Unrouted => 1,
        Reason::Coalesced => 2,
        Reason::Outdated => 3,
        Reason::Failed => 10,
        Reason::Cancelled => 11,
        Reason::Backlog => 12,
        Reason::Refused => 13,
        Reason::Died => 14,
    }
}

pub(super) fn reason_of(code: Option<i64>) -> Option<Reason> {
    let mut all = Reason::ALL.into_iter();
    all.find(|reason| Some(reason_code(*reason)) == code)
}

fn priority_code(priority: Priority) -> i64 {
    match priority {
        Priority::Critical => 0,
        Priority::Warning => 1,
        Priority::Normal => 2,
    }
}

fn priority_of(code: i64) -> Priority {
    match code {
        0 => Priority::Critical,
        1 => Priority::Warning,
        _ => Priority::Normal,
    }
}

fn kind_code(kind: CallKind) -> i64 {
    match kind {
        CallKind::Http => 0,
        CallKind::Slack => 1,
        CallKind::Kv => 2,
        CallKind::Config => 3,
    }
}

fn kind_of(code: i64) -> CallKind {
    match code {
        0 => CallKind::Http,
        1 => CallKind::Slack,
        2 => CallKind::Kv,
        _ => CallKind::Config,
    }
}
