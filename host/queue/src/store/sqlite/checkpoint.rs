//! Checkpoints of the write-ahead log on a thread of their own, so that the committer does not wait for them.
//!
//! The log is reset only after a complete checkpoint, and one that runs while the log grows is never complete. So `SQLite` runs the
//! final one on the committer's thread, after a commit with a log of [`LOG_FRAMES_MAX`] pages, nearly all of which are copied
//! already. It skips that if another checkpoint is under way, so this thread runs none from that length on.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use crate::model::OpenError;

use super::errors::failed;

/// How many rows are written between two checkpoints.
const ROWS: usize = 1_000;

/// The length of the log, in pages, from which it is to be reset: 32 MB.
pub(super) const LOG_FRAMES_MAX: i64 = 8_000;

/// The thread that checkpoints.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
}

impl Checkpointer {
    /// Starts the thread, with a connection of its own.
    ///
    /// # Errors
    /// If the store cannot be opened, or the system cannot start a thread.
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

    /// Counts the rows that a transaction has written, and wakes the thread if a checkpoint is due.
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

    /// Ends the thread, after the checkpoint under way.
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
    // Syncs the log before it is copied, and the database before the log is reset.
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
            // The committer's thread does the rest. Its wake-up is dropped.
            Ok(frames) if frames >= LOG_FRAMES_MAX => drop(woken.try_recv()),
            Ok(_) => failing = false,
            Err(error) => {
                // No data is lost, but the log grows.
                if !failing {
                    tracing::warn!(%error, "the checkpoint of the write-ahead log failed; trying again");
                }
                failing = true;
            }
        }
    }
}
