//! Copies the log back into the database beside the committer, which would otherwise stand still for it.
//!
//! A copy that runs while the log grows never reaches its end, and only from there is the log begun anew. The committer's
//! own checkpoint gets there: `SQLite` tries one after each commit once the log is [`LOG_FRAMES_MAX`] long, and finds next
//! to all copied. It does not wait for a copy under way, so the thread here leaves it room from that length on.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use crate::model::OpenError;

use super::errors::failed;

/// Rows written between two copies, in alerts taken in and messages stored.
const ROWS: usize = 1_000;

/// From this length on the log is to be begun anew: 32 MB.
pub(super) const LOG_FRAMES_MAX: i64 = 8_000;

/// The thread that copies.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
}

impl Checkpointer {
    /// Starts the thread, on a connection of its own.
    pub(super) fn start(store: &Path) -> Result<Self, OpenError> {
        let conn = connect(store).map_err(|e| failed(store, &e))?;
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpointer".into())
            .spawn(move || run(&conn, &woken))
            .map_err(|e| OpenError::Failed {
                path: store.into(),
                reason: e.to_string(),
            })?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            rows: 0,
        })
    }

    /// Notes what a transaction wrote, and wakes the thread if that is due.
    pub(super) fn written(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows < ROWS {
            return;
        }
        if let Some(wake) = &self.wake
            && !matches!(wake.try_send(()), Err(TrySendError::Full(())))
        {
            self.rows = 0;
        }
    }

    /// Waits for the copy under way, and makes no more.
    pub(super) fn stop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpointer has panicked");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn connect(store: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(
        store,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // The log is synced before it is copied, the database before the log is begun anew.
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -64;")?;
    Ok(conn)
}

fn run(conn: &Connection, woken: &Receiver<()>) {
    let mut failing = false;
    while woken.recv().is_ok() {
        let frames = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            row.get::<_, i64>(1)
        });
        match frames {
            // What wants to be copied meanwhile is the committer's to copy, with the rest.
            Ok(frames) if frames >= LOG_FRAMES_MAX => drop(woken.try_recv()),
            Ok(_) => failing = false,
            Err(error) => {
                // Nothing is lost, the log has it all; but it grows.
                if !failing {
                    tracing::warn!(%error, "the checkpoint of the write-ahead log failed; trying again");
                }
                failing = true;
            }
        }
    }
}
