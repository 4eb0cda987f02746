//! Recovery: reads what the last process left.

use std::path::Path;

use rusqlite::Connection;

use alert_manager_core::alert::DeliveryId;

use crate::model::{Abandoned, LastEnd, Owner, Reason, Row, State};
use crate::store::Found;

use super::codes::{PREFETCHED, reason_code};
use super::rows::{self, ROW, ROW_COLUMNS};
use super::{gates, grants, storms, timers, unreported};

/// Which files of the store there are before it is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files {
    has_store: bool,
    /// True if the write-ahead log is not empty. An orderly shutdown empties it.
    has_log: bool,
}

impl Files {
    pub(super) fn of(path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let is_filled = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
        Self {
            has_store: is_filled(path),
            has_log: is_filled(Path::new(&log)),
        }
    }

    /// Returns how the last process ended, as far as its files show.
    pub(super) fn last_end(self) -> LastEnd {
        match self {
            Self { has_log: true, .. } => LastEnd::Crash,
            Self {
                has_store: true, ..
            } => LastEnd::Clean,
            Self {
                has_store: false, ..
            } => LastEnd::None,
        }
    }
}

/// Implements [`Store::recover`](crate::store::Store::recover).
pub(super) fn recover(
    conn: &Connection,
    last_end: LastEnd,
    last_id: i64,
    secret: [u8; 32],
    mut each: impl FnMut(Row, Option<Abandoned>),
) -> rusqlite::Result<Found> {
    let mut statement = conn.prepare(&format!(
        "SELECT {ROW}, state = {PREFETCHED} FROM deliveries INDEXED BY deliveries_unsettled
         WHERE state < 3 ORDER BY id"
    ))?;
    let mut found = statement.query([])?;
    while let Some(columns) = found.next()? {
        let row = rows::read(columns)?;
        // An earlier version had leased it in advance, and no worker had started it.
        let is_prefetched: bool = columns.get(ROW_COLUMNS)?;
        let abandoned = match row.state {
            _ if is_prefetched => Some(Abandoned::NotStarted),
            State::Running => Some(Abandoned::Started),
            _ => None,
        };
        each(row, abandoned);
    }
    Ok(Found {
        last_end,
        owner: Owner(rand::random()),
        last_id,
        secret,
        dead_letters: count_dead_letters(conn)?,
        is_unreported: unreported::is_any(conn)?,
        watched: watched(conn)?,
        storms: storms::open(conn)?,
        closed_gates: gates::closed(conn)?,
        timers: timers::all(conn)?,
        grants_used: grants::used(conn)?,
    })
}

/// Returns the last identifier that was assigned.
pub(super) fn last_id(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_one(
        // `events_before` may come from a transaction that failed later, whose identifiers are not in `deliveries`. New
        // identifiers have to be larger, even if the system's clock is behind.
        "SELECT max(coalesce((SELECT max(id) FROM deliveries), 0),
                    coalesce((SELECT value FROM meta WHERE key = 'last_id'), 0),
                    coalesce((SELECT value FROM meta WHERE key = 'events_before'), 0) - 1)",
        [],
        |row| row.get(0),
    )
}

fn count_dead_letters(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_one(
        "SELECT count(*) FROM deliveries INDEXED BY deliveries_dead
         WHERE state = 4 AND reason IS NOT ?1",
        [reason_code(Reason::Cancelled)],
        |row| row.get::<_, i64>(0),
    )
    .map(i64::unsigned_abs)
}

/// Returns the unsettled deliveries whose end may end a notice, with their routes.
fn watched(conn: &Connection) -> rusqlite::Result<Vec<(DeliveryId, String)>> {
    conn.prepare(
        "SELECT id, route FROM deliveries INDEXED BY deliveries_unsettled
         WHERE state < 3 AND (revived_at IS NOT NULL OR route GLOB 'dead-letter*')",
    )?
    .query_map([], |row| {
        Ok((DeliveryId::from_raw(row.get(0)?), row.get(1)?))
    })?
    .collect()
}
