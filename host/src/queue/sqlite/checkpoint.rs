//! Copies the log back into the database beside the committer, which would otherwise stand still for it.
//!
//! A copy that runs while the log grows never reaches its end, and only then is the log begun anew. The committer's
//! own checkpoint does that: `SQLite` starts one after a commit that left many frames, and finds next to all copied.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

/// Rows written between two checkpoints, in alerts taken in and messages stored.
const ROWS: usize = 1_000;

/// The thread that copies.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
}

impl Checkpointer {
    /// Starts the thread, on a connection of its own.
    pub(super) fn start(store: &Path) -> rusqlite::Result<Self> {
        let conn = Connection::open_with_flags(
            store,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        // The log is synced before it is copied, the database before the log is begun anew.
        conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -64;")?;
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpointer".into())
            .spawn(move || {
                for () in woken {
                    copy(&conn);
                }
            })
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            rows: 0,
        })
    }

    /// Notes what a transaction wrote, and wakes the thread where that is due.
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
}

impl Checkpointer {
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

/// A failure shows in the committer's own checkpoint too, and loses nothing: the log has it all.
fn copy(conn: &Connection) {
    if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::debug!(%error, "the log cannot be copied back now");
    }
}
