//! The test bench of the `SQLite` store: in memory if the system has a file system for that, with another connection that reads the
//! tables and makes writes fail.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use tempfile::TempDir;

use alert_manager_core::alert::DeliveryId;

use crate::commit::{self, Committer, Started};
use crate::conformance::{
    Bench, Faults, Faulty, LostAnswer, Peek, PeekStorm, REFUSED, Sizes, Stopped, Unsupported, Write,
};
use crate::{Caps, Clock, Leases, Options, Queue};

use super::codes::{state_of, status_code};
use super::{Gathering, SqliteStore, retention};

/// A store in a folder of its own.
#[derive(Debug)]
pub(crate) struct SqliteBench {
    dir: TempDir,
    gathering: Gathering,
    faults: Faults,
    /// A connection that stays open over crashes, since `SQLite` would copy the log back when the last one is closed, unlike a kill.
    observer: OnceLock<Mutex<Connection>>,
}

impl SqliteBench {
    /// Creates a store on the disk.
    pub(super) fn on_disk() -> Self {
        Self::within(tempfile::tempdir().unwrap(), Gathering::default())
    }

    fn within(dir: TempDir, gathering: Gathering) -> Self {
        Self {
            dir,
            gathering,
            faults: Faults::default(),
            observer: OnceLock::new(),
        }
    }

    pub(in crate::store) fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Opens the store without starting its committer.
    pub(super) fn start(&self, clock: Clock) -> Started<Committer<SqliteStore>> {
        let (options, caps) = (Options::default(), Caps::all(8));
        commit::start(self.store(&options, &clock), options, caps, clock).unwrap()
    }

    fn store(&self, options: &Options, clock: &Clock) -> SqliteStore {
        SqliteStore::open(&self.path(), self.gathering, options, clock.clone()).unwrap()
    }

    fn observer(&self) -> MutexGuard<'_, Connection> {
        let conn = self.observer.get_or_init(|| {
            let conn = Connection::open(self.path()).unwrap();
            conn.busy_timeout(Duration::from_secs(60)).unwrap();
            conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
            Mutex::new(conn)
        });
        conn.lock()
    }

    /// Runs a statement on the other connection.
    pub(super) fn execute(&self, sql: &str, params: impl Params) {
        self.observer().execute(sql, params).unwrap();
    }

    fn query<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Vec<T> {
        let conn = self.observer();
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map(params, read).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Makes writes fail, by triggers.
    fn refuse(&self, triggers: &[(String, &str)]) {
        let mut conn = self.observer();
        let tx = conn.transaction().unwrap();
        for (n, (event, refusal)) in triggers.iter().enumerate() {
            let sql = format!(
                "CREATE TRIGGER bench_{n} BEFORE {event}
                 BEGIN SELECT RAISE({refusal}, '{REFUSED}'); END"
            );
            tx.execute_batch(&sql).unwrap();
        }
        tx.commit().unwrap();
    }
}

impl Bench for SqliteBench {
    // Events are gathered in memory.
    const FORGETS_DUPLICATES: bool = true;

    const NOT_SHOWN: &'static [&'static str] = &[
        // A file has one writer.
        "shared::a_resolved_on_one_server_does_not_overtake_its_firing_on_another",
        // It has no clock of its own.
        "shared::a_store_whose_clock_is_ahead_hurries_nothing",
        // It has no standby.
        "shared::what_a_fail_over_has_lost_is_accepted_again",
    ];

    fn new(sizes: Sizes) -> Self {
        let gathering = match sizes {
            Sizes::Production => Gathering::default(),
            Sizes::Small => Gathering {
                events: 3,
                a_step: 2,
                counts_for: Duration::ZERO,
            },
        };
        // Without syncs: thousands of starts would each wait for the disk, and only a power cut would show the difference.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::within(dir.unwrap(), gathering)
    }

    fn open(&mut self, options: Options, caps: Caps, clock: Clock) -> (Queue, Leases) {
        let store = Faulty::new(self.store(&options, &clock), self.faults.clone());
        let opened = Queue::over(commit::start(store, options, caps, clock).unwrap()).unwrap();
        drop(self.observer());
        opened
    }

    fn crash(&mut self, queue: Queue, leases: Leases) {
        drop((queue, leases));
    }

    fn fail_writes(&self, fail: bool) {
        let triggers = self.query(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'bench_%'",
            [],
            |row| row.get::<_, String>(0),
        );
        for trigger in triggers {
            self.execute(&format!("DROP TRIGGER {trigger}"), []);
        }
        if fail {
            let tables = self.query(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
                [],
                |row| row.get::<_, String>(0),
            );
            let events = ["INSERT", "UPDATE", "DELETE"];
            let each = tables.iter().flat_map(|table| {
                // Like a full disk: the whole transaction is rolled back.
                events.map(|event| (format!("{event} ON {table}"), "ROLLBACK"))
            });
            self.refuse(&each.collect::<Vec<_>>());
        }
    }

    fn fail_on(&self, write: Write<'_>) {
        let event = match write {
            Write::InsertOn(route) => {
                format!("INSERT ON deliveries WHEN NEW.route = '{route}'")
            }
            Write::Insert(status) => {
                let code = status_code(status);
                format!("INSERT ON deliveries WHEN NEW.status = {code}")
            }
            Write::Revive => "UPDATE OF revived_at ON deliveries".into(),
        };
        self.refuse(&[(event, "ABORT")]);
    }

    fn failures(&self) -> u64 {
        self.faults.failures()
    }

    fn lose_answer(&self, of: LostAnswer) -> Result<(), Unsupported> {
        self.faults.lose_answer(of);
        Ok(())
    }

    fn take_lease(&self, of: DeliveryId) -> Result<(), Unsupported> {
        self.faults.take_lease(of);
        Ok(())
    }

    fn open_second(&self, _: Options, _: Caps) -> Result<(Queue, Leases), Unsupported> {
        Err(Unsupported("a file has one server"))
    }

    fn stop_after_recall(&self) -> Result<Stopped, Unsupported> {
        Ok(self.faults.stop_after_recall())
    }

    fn lose_last_commit(&mut self) -> Result<(), Unsupported> {
        Err(Unsupported("a file has no standby"))
    }

    fn step_clock(&self, _: i64) -> Result<(), Unsupported> {
        Err(Unsupported("a file has no clock"))
    }

    fn peek(&self, id: DeliveryId) -> Option<Peek> {
        let sql = format!("{PEEK} WHERE id = ?1");
        let conn = self.observer();
        conn.query_row(&sql, [id.as_raw()], peek)
            .optional()
            .unwrap()
    }

    fn peek_open(&self) -> Vec<Peek> {
        self.query(&format!("{PEEK} WHERE state < 3 ORDER BY id"), [], peek)
    }

    fn peek_storms(&self) -> Vec<PeekStorm> {
        let sql = "SELECT id, count, resolved FROM storms WHERE closed_at IS NULL";
        self.query(sql, [], |row| {
            Ok(PeekStorm {
                id: DeliveryId::from_raw(row.get(0)?),
                count: row.get::<_, i64>(1)?.unsigned_abs(),
                resolved: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        })
    }

    fn peek_runs(&self, id: DeliveryId) -> Vec<u32> {
        let sql = "SELECT lease FROM earlier_runs WHERE delivery = ?1
                   UNION SELECT lease FROM runs WHERE delivery = ?1 ORDER BY lease";
        self.query(sql, [id.as_raw()], |row| row.get(0))
    }

    fn remove(&self, id: DeliveryId) {
        let mut conn = self.observer();
        let tx = conn.transaction().unwrap();
        retention::remove(&tx, id).unwrap();
        tx.commit().unwrap();
    }

    fn spoil(&self, id: DeliveryId, lease: u32) {
        let sql = "INSERT OR REPLACE INTO runs VALUES (?1, ?2, '{', NULL)";
        self.execute(sql, (id.as_raw(), lease));
    }
}

const PEEK: &str =
    "SELECT id, state, leases, deaths, suspected, occurrence, parked > 0 FROM deliveries";

fn peek(row: &Row<'_>) -> rusqlite::Result<Peek> {
    Ok(Peek {
        id: DeliveryId::from_raw(row.get(0)?),
        state: state_of(row.get(1)?),
        leases: row.get(2)?,
        deaths: row.get(3)?,
        suspected: row.get(4)?,
        occurrence: row.get(5)?,
        is_parked: row.get(6)?,
    })
}
