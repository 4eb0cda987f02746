//! A store in one `SQLite` file, which one process at a time may open.

mod activity;
mod apply;
mod audit;
#[cfg(test)]
pub(crate) mod bench;
mod checkpoint;
mod copy;
mod errors;
mod events;
mod gates;
mod gathered;
mod grants;
mod history;
mod journal;
mod kv;
mod layout;
mod list;
mod listed;
mod meta;
mod reader;
mod recovery;
mod refused;
mod retention;
mod rows;
mod schema;
mod storms;
#[cfg(test)]
mod tests;
mod timers;
mod txn;
mod unreported;
pub(super) mod whole;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::clock::Clock;
use crate::model::{Abandoned, LastEnd, OpenError, Options, Row};

use super::{Found, Hold, Reader, Resolved, RetentionRun, Store, StoreError};
use super::{codes, labels};
use checkpoint::Checkpointer;
use events::Events;
pub(crate) use events::Gathering;
use reader::SqliteReader;
use recovery::Files;
use retention::{Limits, Retention};
use txn::SqliteTxn;

/// A store in a file that this process alone may write.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    conn: Connection,
    path: PathBuf,
    clock: Clock,
    options: Options,
    /// How the last process ended, as far as its files show.
    last_end: LastEnd,
    secret: [u8; 32],
    /// The last identifier that was stored.
    last_id: i64,
    events: Events,
    activity: activity::Counted,
    kv_usage: kv::Usage,
    timer_usage: timers::Usage,
    retention: Retention,
    checkpointer: Checkpointer,
    reader: Arc<SqliteReader>,
    /// Keeps other processes from opening the store.
    _lock: File,
}

impl SqliteStore {
    /// Opens the store at `path`, and creates it if there is none.
    ///
    /// # Errors
    /// If the file cannot be written, is damaged, is in use by another process, or was not made by this program.
    pub(crate) fn open(
        path: &Path,
        gathering: Gathering,
        options: &Options,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let files = Files::of(path);
        let opened = schema::open(path)?;
        let failed = |e: rusqlite::Error| errors::failed(path, &e);
        if whole::is_unfinished(&opened.conn).map_err(failed)? {
            return Err(OpenError::Unfinished(path.into()));
        }
        let last_id = recovery::last_id(&opened.conn).map_err(failed)?;
        let events = Events::load(&opened.conn, gathering).map_err(failed)?;
        let checkpointer = Checkpointer::start(path)?;
        let activity =
            activity::Counted::load(&opened.conn, gathering.counts_for).map_err(failed)?;
        let reader = Arc::new(SqliteReader::new(
            path.into(),
            options.bounds.clone(),
            events.gathered(),
            activity.unwritten(),
        ));
        Ok(Self {
            conn: opened.conn,
            path: path.into(),
            clock,
            options: options.clone(),
            last_end: files.last_end(),
            secret: opened.secret,
            last_id,
            events,
            activity,
            kv_usage: kv::Usage::new(),
            timer_usage: timers::Usage::new(),
            retention: Retention::new(),
            checkpointer,
            reader,
            _lock: opened.lock,
        })
    }

    /// Rolls back a transaction that an error has left open.
    fn end_open(&self) -> rusqlite::Result<()> {
        if self.conn.is_autocommit() {
            return Ok(());
        }
        self.conn.execute_batch("ROLLBACK")
    }

    /// Rolls back a transaction, and its changes in memory.
    fn roll_back(&mut self) {
        if let Err(error) = self.end_open() {
            tracing::error!(%error, "rollback failed");
        }
        self.events.rollback();
        self.activity.roll_back();
        self.kv_usage.clear();
        self.timer_usage.clear();
    }
}

impl Store for SqliteStore {
    type Txn<'s> = SqliteTxn<'s>;

    fn recover(&mut self, each: impl FnMut(Row, Option<Abandoned>)) -> Result<Found, OpenError> {
        recovery::recover(&self.conn, self.last_end, self.last_id, self.secret, each)
            .map_err(|e| errors::failed(&self.path, &e))
    }

    fn refused(&self, error: StoreError) -> OpenError {
        OpenError::Failed {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }

    fn begin(&mut self) -> Result<SqliteTxn<'_>, StoreError> {
        // An earlier rollback may have failed.
        self.end_open()?;
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(SqliteTxn::new(self))
    }

    fn resolve(&mut self) -> Result<Resolved, StoreError> {
        // `SQLite` always returns the result of a commit, so there is no unknown one.
        Ok(Resolved::RolledBack)
    }

    fn run_retention(&mut self, now: Timestamp) -> Result<RetentionRun, StoreError> {
        let limits = Limits {
            now,
            options: &self.options,
            last_id: self.last_id,
            needed_from: self.events.needed_from(),
        };
        let step = self.retention.step(&self.conn, limits, &mut self.kv_usage);
        if step.is_err() {
            self.kv_usage.clear();
            // A failed rollback shows in the next transaction.
            let _ = self.end_open();
        }
        Ok(step?)
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        let tried = self.conn.execute_batch(
            "BEGIN IMMEDIATE;
             INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(65536));
             DELETE FROM meta WHERE key = 'probe';
             COMMIT;",
        );
        if tried.is_err() {
            // A failed rollback shows in the next try.
            let _ = self.end_open();
        }
        Ok(tried?)
    }

    fn next_step(&self) -> Option<Instant> {
        let retention = Some(self.retention.next_step());
        let gathered = [self.events.next_step(), self.activity.next_step()];
        retention
            .into_iter()
            .chain(gathered.into_iter().flatten())
            .min()
    }

    fn is_transaction_due(&self) -> bool {
        self.events.is_due() || self.activity.is_due()
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as _
    }

    fn hold(&self) -> Hold {
        Hold::always()
    }

    fn close(mut self, abandoned: &[(DeliveryId, Abandoned)]) -> Result<(), StoreError> {
        let tx = self.conn.unchecked_transaction()?;
        for (id, abandoned) in abandoned {
            rows::end_abandoned(&tx, *id, *abandoned)?;
        }
        self.events.write_all(&tx, self.last_id)?;
        self.activity.write_all(&tx)?;
        tx.commit()?;
        self.checkpointer.stop();
        // Truncates the write-ahead log: one file is easier to copy than two, and opens faster.
        self.conn
            .query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}
