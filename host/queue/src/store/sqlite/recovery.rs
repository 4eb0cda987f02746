//! What a process left that had the file before.

use std::path::Path;

use rusqlite::Connection;

use alert_manager_core::alert::DeliveryId;

use crate::model::{LastEnd, Left, Owner, Reason, Row, State};
use crate::store::Found;

use super::codes::{PREFETCHED, reason_code};
use super::rows::{self, ROW, ROW_COLUMNS};
use super::{gates, unreported};

/// What is on the disk before the store is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remains {
    store: bool,
    /// The write-ahead log holds something: an orderly end writes it back.
    log: bool,
}

impl Remains {
    pub(super) fn of(path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let holds = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
        Self {
            store: holds(path),
            log: holds(Path::new(&log)),
        }
    }

    /// Returns how the process ended, as far as its files say.
    pub(super) fn last_end(self) -> LastEnd {
        match self {
            Self { log: true, .. } => LastEnd::Crash,
            Self { store: true, .. } => LastEnd::Clean,
            Self { store: false, .. } => LastEnd::None,
        }
    }
}

/// Gives each delivery that is not settled to `each`, and returns what else was left.
pub(super) fn recover(
    conn: &Connection,
    last_end: LastEnd,
    last_id: i64,
    secret: [u8; 32],
    mut each: impl FnMut(Row, Option<Left>),
) -> rusqlite::Result<Found> {
    let mut statement = conn.prepare(&format!(
        "SELECT {ROW}, state = {PREFETCHED} FROM deliveries INDEXED BY deliveries_unsettled
         WHERE state < 3 ORDER BY id"
    ))?;
    let mut found = statement.query([])?;
    while let Some(columns) = found.next()? {
        let row = rows::read(columns)?;
        // Under what an earlier version had prefetched no effect had begun.
        let is_prefetched: bool = columns.get(ROW_COLUMNS)?;
        let left = match row.state {
            _ if is_prefetched => Some(Left::Unbegun),
            State::Running => Some(Left::UnderWay),
            _ => None,
        };
        each(row, left);
    }
    Ok(Found {
        last_end,
        owner: Owner(rand::random()),
        last_id,
        secret,
        dead_letters: count_dead_letters(conn)?,
        is_unreported: unreported::is_any(conn)?,
        watched: watched(conn)?,
        closed_gates: gates::closed(conn)?,
    })
}

/// Returns the last identifier that was given out.
pub(super) fn last_id(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_one(
        // Events are known to be written up to an identifier that a failed transaction may have used last: what is
        // accepted from now on has to lie above, whatever the clock says.
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

/// Returns the open deliveries whose end may end a notice, with their routes.
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
