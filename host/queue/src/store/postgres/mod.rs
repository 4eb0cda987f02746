//! A store in a `PostgreSQL` database. One server at a time has the term (`term.rs`), decides and runs; the others accept alerts for it
//! (`replica.rs`, `arrivals.rs`).

mod activity;
mod apply;
mod arrivals;
mod audit;
mod batch;
#[cfg(test)]
pub(crate) mod bench;
pub(super) mod database;
mod elsewhere;
mod errors;
mod events;
mod gates;
mod grants;
mod history;
mod journal;
mod kv;
mod lane;
mod layout;
mod list;
mod listed;
mod mail;
mod meta;
mod reader;
mod recovery;
mod refused;
mod replica;
mod retention;
mod roster;
mod rows;
mod session;
mod storms;
mod term;
#[cfg(test)]
mod tests;
mod timers;
mod tls;
mod txn;
mod unreported;
mod values;
mod watch;
pub(super) mod whole;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::clock::{Clock, from_millis};
use crate::model::{Abandoned, Durability, OpenError, Options, Row};

use super::{
    Committed, Found, Hold, Reader, Resolved, RetentionRun, Store, StoreError, Txn as _, codes,
};
use arrivals::Arriving;
use database::Database;
use lane::Lane;
use layout::LayoutError;
use reader::PostgresReader;
pub(crate) use replica::PostgresReplica;
use retention::Retention;
use session::{Call, Io, Purpose, Session, args};
use term::{Observer, Patience, Term, TermError};
use txn::PostgresTxn;
use values::Columns as _;

/// What only tests change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) patience: Patience,
    /// How far the clock of the database is ahead, in milliseconds, if the queue's clock is manual.
    pub(crate) clock_ahead_ms: Arc<AtomicI64>,
}

/// A store in a database, by the server that has the term.
#[derive(Debug)]
pub(crate) struct PostgresStore {
    database: Database,
    settings: Settings,
    clock: Clock,
    options: Options,
    term: Term,
    lane: Lane,
    arriving: Arc<Arriving>,
    retention: Retention,
    reader: Arc<PostgresReader>,
}

impl PostgresStore {
    /// Connects to a database, makes or migrates the tables, and takes the term.
    ///
    /// # Errors
    /// If the database does not answer, is too old or read-only, has tables of a newer version, or another server has the term.
    #[cfg(test)]
    pub(crate) fn open(
        database: &Database,
        settings: Settings,
        options: &Options,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let mut replica = PostgresReplica::open(database, settings, options, clock)?;
        let store = replica.wait_for_term();
        let store = store.map_err(|error| failed(database, &error))?;
        store.ok_or_else(|| OpenError::InUse(path(database)))
    }

    /// Returns the connection of a transaction that is open.
    fn session(&self) -> Result<&Session, StoreError> {
        self.lane.session()
    }

    /// Begins a transaction: raises the number of its lane, and locks the term. Returns the time of the database.
    fn begin_once(&mut self) -> Result<Timestamp, StoreError> {
        self.lane.ensure()?;
        let calls = [
            Call::new("BEGIN", args![]),
            self.lane.raise(),
            Call::new("SELECT epoch FROM term FOR SHARE", args![]),
        ];
        let rows = self.session()?.together(&calls)?;
        let (raised, term) = (rows[1].first(), rows[2].first());
        let epoch = term.ok_or(StoreError::Fenced)?.int(0)?;
        let now_ms = raised.ok_or(StoreError::Fenced)?.int(0)?;
        match epoch == self.term.epoch() {
            true => Ok(self.time(now_ms)),
            false => Err(StoreError::Fenced),
        }
    }

    /// Returns the time of the database; that of a manual clock, if the queue has one.
    fn time(&self, database_ms: i64) -> Timestamp {
        match self.clock.is_manual() {
            true => {
                let ahead_ms = self.settings.clock_ahead_ms.load(Ordering::SeqCst);
                from_millis(self.clock.now().as_millisecond() + ahead_ms)
            }
            false => from_millis(database_ms),
        }
    }
}

/// Connects to a database, checks that it can hold a store, and makes or migrates the tables.
fn connect(database: &Database) -> Result<(Arc<Io>, Session), OpenError> {
    let failed = |error: StoreError| failed(database, &error);
    let io = Io::start().map_err(failed)?;
    let session = checked(&io, database).map_err(failed)?;
    layout::prepare(&session).map_err(|error| match error {
        LayoutError::Newer(found) => OpenError::Newer {
            path: path(database),
            found,
            known: layout::LAYOUT,
        },
        LayoutError::Store(error) => failed(error),
    })?;
    Ok((io, session))
}

/// Connects to a database, and checks that it can hold a store.
fn checked(io: &Arc<Io>, database: &Database) -> Result<Session, StoreError> {
    let session = Session::connect(io, database, Purpose::Write)?;
    check_pooling(io, database, &session)?;
    check_server(&session)?;
    Ok(session)
}

/// Returns whether what a database commits outlives a fail-over.
///
/// # Errors
/// If the database does not answer, or cannot hold a store.
pub(crate) fn durability(database: &Database) -> Result<Durability, OpenError> {
    let asked = || {
        let io = Io::start()?;
        let row = checked(&io, database)?.one(
            "SELECT current_setting('synchronous_standby_names'), count(*),
                 count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), count(sync_state)
             FROM pg_stat_replication",
            &[],
        )?;
        let (all, synchronous, seen) = (row.int(1)?, row.int(2)?, row.int(3)?);
        Ok(match (row.text(0)?.is_empty(), synchronous) {
            (true, _) => Durability::Alone,
            // The user may not see what kind they are.
            (false, 0) if all > seen => Durability::Synchronous,
            (false, 0) => Durability::NoStandby,
            (false, _) => Durability::Synchronous,
        })
    };
    asked().map_err(|error| failed(database, &error))
}

/// Takes the term, unless a server that lives has it.
fn take_term(
    io: &Arc<Io>,
    database: &Database,
    session: &Session,
    settings: &Settings,
) -> Result<Term, OpenError> {
    let failed = |error: StoreError| failed(database, &error);
    let seen = Observer::default().wait(session, settings.patience);
    let vacant = seen.map_err(failed)?;
    let vacant = vacant.ok_or_else(|| OpenError::InUse(path(database)))?;
    let term = Term::take(io, database, session, vacant, &Arc::default());
    term.map_err(|error| match error {
        TermError::Held => OpenError::InUse(path(database)),
        TermError::Store(error) => failed(error),
    })
}

/// Returns where a store is, as errors name it.
fn path(database: &Database) -> PathBuf {
    database.to_string().into()
}

fn failed(database: &Database, error: &StoreError) -> OpenError {
    OpenError::Failed {
        path: path(database),
        reason: error.to_string(),
    }
}

/// Checks that the server is new enough, can be written, and stores any text.
fn check_server(session: &Session) -> Result<(), StoreError> {
    const VERSION_MIN: i64 = 150_000;
    let row = session.one(
        "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'),
             pg_is_in_recovery(), current_setting('server_encoding')",
        &[],
    )?;
    let (version, encoding) = (row.text(1)?, row.text(3)?);
    if row.int(0)? < VERSION_MIN {
        return Err(StoreError::Fatal(format!(
            "its version is {version}, and PostgreSQL 15 or newer is needed"
        )));
    }
    if row.column(2)? {
        return Err(StoreError::ReadOnly(
            "it is a standby, which cannot be written; name the primary, or several hosts with target_session_attrs=read-write"
                .into(),
        ));
    }
    if encoding != "UTF8" {
        return Err(StoreError::Fatal(format!(
            "its encoding is {encoding}; create the database with ENCODING 'UTF8'"
        )));
    }
    Ok(())
}

/// Checks that a connection keeps its process of the database: a pooler in transaction mode gives it to others in between, with what
/// was set and prepared on it.
fn check_pooling(io: &Arc<Io>, database: &Database, session: &Session) -> Result<(), StoreError> {
    let before = session.backend()?;
    let other = Session::connect(io, database, Purpose::Read)?;
    other.batch("BEGIN")?;
    let holds = other.backend()?;
    let after = session.backend()?;
    other.batch("ROLLBACK")?;
    match before == after && holds != after {
        true => Ok(()),
        false => Err(StoreError::Fatal(
            "a pooler in transaction mode is between; set pool_mode = session for this database, or connect without it".into(),
        )),
    }
}

impl Store for PostgresStore {
    type Txn<'s> = PostgresTxn<'s>;

    fn recover(&mut self, each: impl FnMut(Row, Option<Abandoned>)) -> Result<Found, OpenError> {
        let found = self
            .session()
            .and_then(|session| recovery::recover(session, &self.term, each));
        found.map_err(|error| failed(&self.database, &error))
    }

    fn refused(&self, error: StoreError) -> OpenError {
        failed(&self.database, &error)
    }

    fn begin(&mut self) -> Result<PostgresTxn<'_>, StoreError> {
        let mut begun = self.begin_once();
        if begun.is_err() && self.lane.is_lost() {
            // The database may have closed the connection while it was idle.
            begun = self.begin_once();
        }
        match begun {
            Ok(now) => Ok(PostgresTxn::new(self, now)),
            Err(error) => {
                self.lane.roll_back();
                Err(error)
            }
        }
    }

    fn resolve(&mut self) -> Result<Resolved, StoreError> {
        self.lane.resolve()
    }

    fn run_retention(&mut self, _: Timestamp) -> Result<RetentionRun, StoreError> {
        if !self.retention.is_due() {
            return Ok(RetentionRun::default());
        }
        let mut retention = std::mem::replace(&mut self.retention, Retention::new());
        let step = retention.step(self);
        self.retention = retention;
        step
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        let txn = self.begin()?;
        txn.store.session()?.query(
            "INSERT INTO meta (key, number) VALUES ('probe', 0)
             ON CONFLICT (key) DO UPDATE SET number = excluded.number",
            &[],
        )?;
        match txn.commit() {
            Committed::Yes => Ok(()),
            Committed::RolledBack(error) => Err(error),
            // Nothing depends on it.
            Committed::Unknown => Err(StoreError::Away("the commit was not answered".into())),
        }
    }

    fn next_step(&self) -> Option<Instant> {
        match self.arriving.is_due() {
            true => Some(Instant::now()),
            false => Some(self.retention.next_step()),
        }
    }

    fn is_transaction_due(&self) -> bool {
        self.arriving.is_due()
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as _
    }

    fn hold(&self) -> Hold {
        self.term.hold()
    }

    fn close(mut self, abandoned: &[(DeliveryId, Abandoned)]) -> Result<(), StoreError> {
        let give_back = self.term.give_back();
        let of = |which: Abandoned| {
            let ended = abandoned.iter().filter(|(_, how)| *how == which);
            ended.map(|(id, _)| id.as_raw()).collect::<Vec<_>>()
        };
        let calls = [
            Call::new(
                "UPDATE deliveries SET state = $2, leases = leases - 1 WHERE id = ANY($1)",
                args![of(Abandoned::NotStarted), codes::QUEUED],
            ),
            Call::new(
                "UPDATE deliveries SET state = $2, after_crash = true, parked = 0 WHERE id = ANY($1)",
                args![of(Abandoned::Started), codes::QUEUED],
            ),
            give_back,
        ];
        let txn = self.begin()?;
        txn.store.session()?.together(&calls)?;
        match txn.commit() {
            Committed::Yes => Ok(()),
            Committed::RolledBack(error) => Err(error),
            Committed::Unknown => Err(StoreError::Away("the commit was not answered".into())),
        }
    }
}
