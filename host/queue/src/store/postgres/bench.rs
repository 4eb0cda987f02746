//! The test bench of the `PostgreSQL` store: a cluster of its own, which all tests of the process share, and a database for each test.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tokio_postgres::types::ToSql;

use alert_manager_core::alert::DeliveryId;

use crate::commit;
use crate::conformance::{
    Bench, Faults, Faulty, LostAnswer, Peek, PeekStorm, REFUSED, Sizes, Stopped, Unsupported, Write,
};
use crate::store::StoreError;
use crate::store::codes::{state_of, status_code};
use crate::{Caps, Clock, Leases, Options, Queue};

use super::database::Database;
use super::session::{Io, Purpose, Session};
use super::term::Patience;
use super::values::Columns as _;
use super::{PostgresStore, Settings, history, rows};

/// Where Debian and its kin put the programs of each version.
const INSTALLED: &str = "/usr/lib/postgresql";

/// The cluster of the tests of this process; absent if `PostgreSQL` is not installed.
static CLUSTER: LazyLock<Option<Cluster>> =
    LazyLock::new(|| Cluster::start("-c max_wal_senders=0 -c wal_level=minimal"));

/// Databases that no test uses any more. They are emptied before the next one does, since a new one takes longer.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A running server. It ends, and its folder is removed, when this process ends, however that is.
pub(super) struct Cluster {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    /// The shell that has started the server waits for the end of its input.
    _alive: Mutex<Child>,
    /// Drives the connections of the benches themselves.
    pub(super) io: Arc<Io>,
    made: AtomicU64,
}

/// Returns the folder of the newest installed version of the server.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(INSTALLED).ok()?.filter_map(Result::ok);
    let folders = versions.map(|version| version.path().join("bin"));
    let with_server = folders.filter(|folder| folder.join("initdb").exists());
    with_server.max_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name);
        let version = version.and_then(|name| name.to_str());
        version.and_then(|name| name.parse::<u32>().ok())
    })
}

/// Returns the user that the server runs as: it refuses to run as root.
pub(super) fn user() -> Option<u32> {
    const NOBODY: u32 = 65_534;
    rustix::process::geteuid().is_root().then_some(NOBODY)
}

/// Who may connect, and how: by a socket of this machine without a password; by TCP `locked` with one, `certified` with a certificate of
/// that name, and everybody else without either.
const ACCESS: &str = "local all all trust
host all locked 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
host all all 127.0.0.1/32 trust
";

/// Writes an authority, the server's certificate for `localhost`, and the client's for `certified`.
fn certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    write_for_server(&folder.join("ca.crt"), &authority.pem());
    for (file, name) in [("server", "localhost"), ("client", "certified")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        write_for_server(&folder.join(format!("{file}.crt")), &certificate.pem());
        write_for_server(&folder.join(format!("{file}.key")), &key.serialize_pem());
    }
}

/// Writes a file that the server's user alone may read, as the server demands.
fn write_for_server(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some(user) = user() {
        chown(path, Some(user), Some(user)).unwrap();
    }
}

impl Cluster {
    /// Starts a server with these settings; returns nothing if it is not installed.
    pub(super) fn start(settings: &str) -> Option<Self> {
        let programs = programs()?;
        let within = Path::new("/dev/shm");
        let within = if within.exists() {
            within
        } else {
            Path::new("/tmp")
        };
        let folder = tempfile::Builder::new()
            .prefix("am-pg-")
            .tempdir_in(within)
            .unwrap()
            .keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        if let Some(user) = user() {
            chown(&folder, Some(user), Some(user)).unwrap();
        }
        certificates(&folder);
        write_for_server(&folder.join("hba.conf"), ACCESS);
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        // Without syncs: a kill of the server's processes loses nothing then, only a power cut would.
        let script = r#"
            set -e
            "$1/initdb" -D "$2/data" -U tester -A trust -E UTF8 --locale=C --no-sync >"$2/initdb.log" 2>&1
            "$1/postgres" -D "$2/data" -k "$2" -c listen_addresses=127.0.0.1 -p "$3" -c hba_file="$2/hba.conf" \
                -c ssl=on -c ssl_cert_file="$2/server.crt" -c ssl_key_file="$2/server.key" -c ssl_ca_file="$2/ca.crt" \
                -c fsync=off -c full_page_writes=off \
                -c max_connections=300 -c shared_buffers=64MB $4 \
                -c autovacuum_naptime=10s -c jit=off >"$2/server.log" 2>&1 &
            server=$!
            trap '' INT TERM HUP
            read -r _ || true
            kill -INT "$server"
            wait "$server" || true
            rm -rf "$2"
        "#;
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .arg(&programs)
            .arg(&folder)
            .arg(port.to_string())
            .arg(settings)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if let Some(user) = user() {
            command.uid(user).gid(user);
        }
        let child = command.spawn().unwrap();
        let cluster = Self {
            folder,
            port,
            _alive: Mutex::new(child),
            io: Io::start().unwrap(),
            made: AtomicU64::new(0),
        };
        let patience = Instant::now() + Duration::from_secs(60);
        while let Err(error) = cluster.session("postgres") {
            let log = fs::read_to_string(cluster.folder.join("server.log")).unwrap_or_default();
            assert!(Instant::now() < patience, "{error}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(cluster)
    }

    /// Returns the database of this name.
    pub(super) fn database(&self, name: &str) -> Database {
        let (host, port) = (self.folder.display(), self.port);
        format!("postgres:///{name}?host={host}&port={port}&user=tester")
            .parse()
            .unwrap()
    }

    pub(super) fn session(&self, name: &str) -> Result<Session, StoreError> {
        Session::connect(&self.io, &self.database(name), Purpose::Read)
    }

    /// Returns an empty database.
    fn empty(&self) -> String {
        let free = FREE.lock().pop();
        if let Some(name) = free {
            self.clear(&name);
            return name;
        }
        let name = format!("test_{}", self.made.fetch_add(1, Ordering::SeqCst));
        let session = self.session("postgres").unwrap();
        session.batch(&format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    /// Empties a database, as if it had just been made. What an earlier test has left is ended first.
    fn clear(&self, name: &str) {
        let session = self.session(name).unwrap();
        let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        while session.one(others, &[]).unwrap().int(0).unwrap() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let made = "SELECT to_regclass('layout') IS NOT NULL";
        if !session.one(made, &[]).unwrap().column::<bool>(0).unwrap() {
            return;
        }
        drop_triggers(&session);
        let tables = tables(&session);
        let deletes = tables.iter().map(|table| format!("DELETE FROM {table};"));
        let deletes: String = deletes.collect();
        let secret = "INSERT INTO meta (key, number, bytes) VALUES ('grants_used_since', 0, NULL),
                          ('secret', NULL, sha256(random()::text::bytea || clock_timestamp()::text::bytea))";
        session
            .batch(&format!(
                "BEGIN; {deletes} {secret}; DELETE FROM lanes; DELETE FROM servers;
                 UPDATE term SET epoch = 0, server = NULL, ended_in_order = true; COMMIT;
                 ALTER SEQUENCE timers_id_seq RESTART;"
            ))
            .unwrap();
    }
}

/// Returns the tables of the store, without those of the term and the layout.
fn tables(session: &Session) -> Vec<String> {
    let rows = session.query(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema::regnamespace
             AND relname NOT IN ('layout', 'term', 'servers', 'lanes')",
        &[],
    );
    let rows = rows.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

fn drop_triggers(session: &Session) {
    let triggers = session.query(
        "SELECT tgname::text, tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'bench_%'",
        &[],
    );
    for row in triggers.unwrap() {
        let (name, table) = (row.text(0).unwrap(), row.text(1).unwrap());
        session
            .batch(&format!("DROP TRIGGER {name} ON {table}"))
            .unwrap();
    }
}

/// A store in a database of its own.
pub(crate) struct PostgresBench {
    name: String,
    database: Database,
    settings: Settings,
    faults: Faults,
    /// A connection that reads the tables and makes writes fail.
    observer: Mutex<Session>,
}

impl Drop for PostgresBench {
    fn drop(&mut self) {
        FREE.lock().push(std::mem::take(&mut self.name));
    }
}

impl PostgresBench {
    /// Returns a bench with an empty database; nothing if `PostgreSQL` is not installed, which is reported once.
    pub(super) fn new_if_installed() -> Option<Self> {
        let cluster = CLUSTER.as_ref()?;
        let name = cluster.empty();
        Some(Self {
            database: cluster.database(&name),
            settings: Settings {
                patience: Patience {
                    gone: Duration::ZERO,
                    ..Patience::default()
                },
                ..Settings::default()
            },
            faults: Faults::default(),
            observer: Mutex::new(cluster.session(&name).unwrap()),
            name,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn cluster(&self) -> &'static Cluster {
        CLUSTER.as_ref().unwrap()
    }

    pub(in crate::store) fn database(&self) -> &Database {
        &self.database
    }

    pub(in crate::store) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Runs a statement on the other connection.
    pub(in crate::store) fn execute(&self, sql: &str, args: &[&(dyn ToSql + Sync)]) {
        self.observer.lock().query(sql.to_owned(), args).unwrap();
    }

    /// Runs a query on the other connection.
    pub(in crate::store) fn query(
        &self,
        sql: &str,
        args: &[&(dyn ToSql + Sync)],
    ) -> Vec<tokio_postgres::Row> {
        self.observer.lock().query(sql.to_owned(), args).unwrap()
    }

    /// Makes a role of the cluster, with these attributes.
    pub(super) fn make_role(&self, name: &str, attributes: &str) {
        let session = self.observer.lock();
        session
            .batch(&format!(
                "DROP ROLE IF EXISTS {name}; CREATE ROLE {name} {attributes}"
            ))
            .unwrap();
    }

    pub(super) fn store(&self, options: &Options, clock: &Clock) -> PostgresStore {
        let settings = self.settings.clone();
        PostgresStore::open(&self.database, settings, options, clock.clone()).unwrap()
    }

    /// Makes writes fail, by triggers. Each is made alone: a lock on several tables could meet that of a transaction.
    fn refuse(&self, triggers: &[(String, String)]) {
        let session = self.observer.lock();
        session
            .batch(&format!(
                "CREATE OR REPLACE FUNCTION bench_refuse() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION '{REFUSED}'; END $$"
            ))
            .unwrap();
        for (n, (event, condition)) in triggers.iter().enumerate() {
            session
                .batch(&format!(
                    "CREATE TRIGGER bench_{n} BEFORE {event} FOR EACH {condition} EXECUTE FUNCTION bench_refuse()"
                ))
                .unwrap();
        }
    }
}

impl Bench for PostgresBench {
    const NOT_SHOWN: &'static [&'static str] = &[
        // A server without the term answers before it is decided what its alert is. `tests/replicas.rs` has such a case.
        "shared::a_resolved_on_one_server_does_not_overtake_its_firing_on_another",
        // The bench has no standby.
        "shared::what_a_fail_over_has_lost_is_accepted_again",
    ];

    const SEQUENCES: u32 = 100;

    fn missing() -> Option<String> {
        CLUSTER.is_none().then(|| {
            format!("PostgreSQL's server is not below {INSTALLED}: install Debian's package postgresql-15, or a newer one")
        })
    }

    fn new(_: Sizes) -> Self {
        // Nothing of this store is gathered in memory.
        Self::new_if_installed().unwrap()
    }

    fn open(&mut self, options: Options, caps: Caps, clock: Clock) -> (Queue, Leases) {
        let store = Faulty::new(self.store(&options, &clock), self.faults.clone());
        Queue::over(commit::start(store, options, caps, clock).unwrap()).unwrap()
    }

    fn crash(&mut self, queue: Queue, leases: Leases) {
        drop((queue, leases));
    }

    fn fail_writes(&self, fail: bool) {
        let tables = {
            let session = self.observer.lock();
            drop_triggers(&session);
            tables(&session)
        };
        if fail {
            let on = |table: &String| {
                let event = format!("INSERT OR UPDATE OR DELETE ON {table}");
                (event, "STATEMENT".to_owned())
            };
            self.refuse(&tables.iter().map(on).collect::<Vec<_>>());
        }
    }

    fn fail_on(&self, write: Write<'_>) {
        let (event, condition) = match write {
            Write::InsertOn(route) => ("INSERT", format!("NEW.route = '{route}'")),
            Write::Insert(status) => ("INSERT", format!("NEW.status = {}", status_code(status))),
            Write::Revive => (
                "UPDATE",
                "OLD.revived_at IS DISTINCT FROM NEW.revived_at".to_owned(),
            ),
        };
        let event = format!("{event} ON deliveries");
        self.refuse(&[(event, format!("ROW WHEN ({condition})"))]);
    }

    fn failures(&self) -> u64 {
        self.faults.failures()
    }

    fn lose_answer(&self, of: LostAnswer) -> Result<(), Unsupported> {
        self.faults.lose_answer(of);
        Ok(())
    }

    fn take_lease(&self, of: DeliveryId) -> Result<(), Unsupported> {
        let sql = "UPDATE deliveries SET leases = leases + 1 WHERE id = $1";
        self.execute(sql, &[&of.as_raw()]);
        Ok(())
    }

    fn open_second(&self, _: Options, _: Caps) -> Result<(Queue, Leases), Unsupported> {
        Err(Unsupported("one server has the term"))
    }

    fn stop_after_recall(&self) -> Result<Stopped, Unsupported> {
        Ok(self.faults.stop_after_recall())
    }

    fn lose_last_commit(&mut self) -> Result<(), Unsupported> {
        Err(Unsupported("there is no standby"))
    }

    fn step_clock(&self, by_ms: i64) -> Result<(), Unsupported> {
        let ahead_ms = &self.settings.clock_ahead_ms;
        ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
        Ok(())
    }

    fn peek(&self, id: DeliveryId) -> Option<Peek> {
        let rows = self.query(&format!("{PEEK} WHERE id = $1"), &[&id.as_raw()]);
        rows.first().map(peek)
    }

    fn peek_open(&self) -> Vec<Peek> {
        let rows = self.query(&format!("{PEEK} WHERE state < 3 ORDER BY id"), &[]);
        rows.iter().map(peek).collect()
    }

    fn peek_storms(&self) -> Vec<PeekStorm> {
        let sql = "SELECT id, count, resolved FROM storms WHERE closed_at IS NULL ORDER BY id";
        let storm = |row: &tokio_postgres::Row| PeekStorm {
            id: DeliveryId::from_raw(row.int(0).unwrap()),
            count: row.int(1).unwrap().unsigned_abs(),
            resolved: row.int(2).unwrap().unsigned_abs(),
        };
        self.query(sql, &[]).iter().map(storm).collect()
    }

    fn peek_runs(&self, id: DeliveryId) -> Vec<u32> {
        let sql = "SELECT lease FROM earlier_runs WHERE delivery = $1
                   UNION SELECT lease FROM runs WHERE delivery = $1 ORDER BY lease";
        let rows = self.query(sql, &[&id.as_raw()]);
        rows.iter().map(|row| row.count(0).unwrap()).collect()
    }

    fn remove(&self, id: DeliveryId) {
        let session = self.observer.lock();
        let ids = [id.as_raw()];
        let mut calls: Vec<_> = history::keep(&ids).into();
        calls.extend(rows::delete(&ids));
        session.batch("BEGIN").unwrap();
        session.together(&calls).unwrap();
        session.batch("COMMIT").unwrap();
    }

    fn spoil(&self, id: DeliveryId, lease: u32) {
        let sql = "INSERT INTO runs VALUES ($1, $2, '{', NULL) ON CONFLICT (delivery) DO UPDATE
                   SET lease = excluded.lease, progress = excluded.progress, story = NULL";
        self.execute(sql, &[&id.as_raw(), &i64::from(lease)]);
    }
}

const PEEK: &str =
    "SELECT id, state, leases, deaths, suspected, occurrence, parked > 0 FROM deliveries";

fn peek(row: &tokio_postgres::Row) -> Peek {
    Peek {
        id: DeliveryId::from_raw(row.int(0).unwrap()),
        state: state_of(row.int(1).unwrap()),
        leases: row.count(2).unwrap(),
        deaths: row.count(3).unwrap(),
        suspected: row.count(4).unwrap(),
        occurrence: row.count(5).unwrap(),
        is_parked: row.column(6).unwrap(),
    }
}
