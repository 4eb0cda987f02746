//! The tables, and opening a file that has them.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::failpoint::Failpoint;
use crate::model::OpenError;

use super::checkpoint::LOG_FRAMES_MAX;
use super::copy;
use super::rows::DEAD_BYTES;

/// `AlMg`, so that `file` and this program tell a store from any other database.
const APPLICATION_ID: i64 = 0x416c_4d67;

/// Raised with every change of the tables.
const LAYOUT: i64 = 5;

/// A large store is not read through at every start: what this time does not cover is found when it is read.
const CHECK_TIME_MAX: Duration = Duration::from_millis(200);

/// States of a delivery as they are stored. Below [`DONE`] it is not settled.
///
/// [`PREFETCHED`] is of earlier versions, which leased deliveries before a permit was free: no effect had begun under such a
/// lease. Only `recovery.rs` reads it, and nothing writes it.
pub(super) const PREFETCHED: i64 = -1;
pub(super) const QUEUED: i64 = 0;
pub(super) const RUNNING: i64 = 1;
pub(super) const RETRYING: i64 = 2;
pub(super) const DONE: i64 = 3;
pub(super) const DEAD: i64 = 4;

// `runs` has the latest lease of each delivery: a row that is found by its number may fill a page, but one
// found by a composed key is cut at a quarter of it, and its rest takes a page alone.
// `events` begins with the time: those that come together lie together.
// An event has a row for each occurrence, so that what is remembered of one goes with it. `ends` is the start of the firing
// that a resolved has ended, if it named another one.
// `occurrence` and `sent_starts_at` (the start that the sender gave, if the event has another) are what the events of
// deliveries are read from after a crash. `beside` has the other routes that the same alert took (`rows.rs`). `suspected`
// counts the times that the server died while this and others ran. `resent` is 1 from the revival by a re-send to the
// retry by a person; `first_died_at` is the first death since that retry. Neither counts a death before the first run: by
// backlog, or of what was refused.
// `effect` is 1 for an effect, 2 for one that a crash may have made happen twice.
// `handlers` is `,a,b,`, so that one of them is found with `instr`.
// `reason` is why a delivery has ended (`rows.rs`), null before that.
// `dead_bytes` is what a dead delivery takes of the store, with everything that belongs to it.
// `unreported` has the deaths that no notice was made of yet, by why they died and their handlers (`deaths.rs`).
// Retention goes by when deliveries were settled, never by their ids: those follow the order of acceptance, also while the
// clock is wrong.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    leases INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    suspected INTEGER NOT NULL DEFAULT 0,
    after_crash INTEGER NOT NULL DEFAULT 0,
    resent INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 2,
    status INTEGER,
    fingerprint INTEGER,
    starts_at INTEGER,
    occurrence INTEGER NOT NULL DEFAULT 1,
    sent_starts_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    accepted_at INTEGER NOT NULL,
    revived_at INTEGER,
    settled_at INTEGER,
    first_died_at INTEGER,
    not_before INTEGER,
    waits_for TEXT,
    alertname TEXT NOT NULL,
    route TEXT NOT NULL,
    beside TEXT,
    handlers TEXT NOT NULL,
    next_handler TEXT,
    last_error TEXT,
    dead_bytes INTEGER,
    reason INTEGER
) STRICT;
CREATE INDEX deliveries_unsettled ON deliveries (id) WHERE state < 3;
CREATE INDEX deliveries_dead ON deliveries (id, reason) WHERE state = 4;
CREATE INDEX deliveries_settled ON deliveries (state, settled_at) WHERE state >= 3;
CREATE INDEX deliveries_dead_by_handlers ON deliveries (handlers, settled_at, dead_bytes) WHERE state = 4;
CREATE TABLE alerts (id INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;
CREATE TABLE journal (
    delivery INTEGER NOT NULL,
    step INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    keyed INTEGER NOT NULL,
    name TEXT NOT NULL,
    effect INTEGER NOT NULL,
    request TEXT NOT NULL,
    result TEXT NOT NULL,
    reply TEXT NOT NULL,
    at INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    PRIMARY KEY (delivery, step, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE kv (
    handler TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (handler, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kv_expiry ON kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE unreported (
    class TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    since INTEGER NOT NULL,
    ids TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

const EVENTS: &str = "
CREATE TABLE events (
    starts_at INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    status INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    duplicates INTEGER NOT NULL DEFAULT 0,
    ends INTEGER,
    runs BLOB NOT NULL,
    PRIMARY KEY (starts_at, fingerprint, occurrence, status)
) STRICT, WITHOUT ROWID;
";

/// For what names no start, as the end of a notice. Made when a store is opened that lacks it: made at need, it would hold up
/// everybody.
const EVENTS_FIRING: &str =
    "CREATE INDEX IF NOT EXISTS events_firing ON events (fingerprint) WHERE status = 0";

const RUNS: &str = "
CREATE TABLE runs (
    delivery INTEGER PRIMARY KEY,
    lease INTEGER NOT NULL,
    progress TEXT NOT NULL,
    story TEXT
) STRICT;
CREATE TABLE earlier_runs (
    delivery INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    story TEXT NOT NULL,
    PRIMARY KEY (delivery, lease)
) STRICT, WITHOUT ROWID;
";

/// From the first layout, which had every lease in one table and knew no start of a delivery's event.
const FROM_1: &str = "
ALTER TABLE deliveries ADD COLUMN starts_at INTEGER;
INSERT INTO meta SELECT 'events_before', coalesce(max(id), 0) + 1 FROM deliveries;
INSERT INTO runs SELECT delivery, max(lease), coalesce(progress, '{\"steps\":[]}'), story
    FROM runs_1 GROUP BY delivery;
INSERT INTO earlier_runs SELECT delivery, lease, story FROM runs_1
    WHERE story IS NOT NULL
        AND lease < (SELECT lease FROM runs WHERE runs.delivery = runs_1.delivery);
DROP TABLE runs_1;
";

/// Refused parts of bodies by the digest of their JSON, so that one that is sent again is neither kept nor reported anew.
const REFUSED_PARTS: &str = "
CREATE TABLE refused_parts (digest BLOB PRIMARY KEY, delivery INTEGER NOT NULL, last_seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX refused_parts_age ON refused_parts (last_seen);
";

/// From the second layout, which knew one occurrence of each event, and no routes but a delivery's own: which others its
/// alert took is written as "any". When its resolved events were accepted is not known, so none makes a firing stale. Its
/// retention went by identifiers, and did not know what a dead letter takes.
const FROM_2: &str = "
ALTER TABLE deliveries ADD COLUMN occurrence INTEGER NOT NULL DEFAULT 1;
ALTER TABLE deliveries ADD COLUMN sent_starts_at INTEGER;
ALTER TABLE deliveries ADD COLUMN beside TEXT DEFAULT '*';
ALTER TABLE deliveries ADD COLUMN suspected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN resent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN first_died_at INTEGER;
UPDATE deliveries SET first_died_at = settled_at WHERE state = 4;
INSERT INTO events SELECT starts_at, fingerprint, 1, status, 0, last_seen, duplicates, NULL, runs FROM events_2;
DROP TABLE events_2;
ALTER TABLE deliveries ADD COLUMN dead_bytes INTEGER;
CREATE INDEX deliveries_settled ON deliveries (state, settled_at) WHERE state >= 3;
CREATE INDEX deliveries_dead_by_handlers ON deliveries (handlers, settled_at, dead_bytes) WHERE state = 4;
CREATE TABLE unreported (class TEXT PRIMARY KEY, count INTEGER NOT NULL, since INTEGER NOT NULL, ids TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('earlier_deaths_until', CAST(unixepoch('subsec') * 1000 AS INTEGER));
";

/// From the third layout, which did not know what a delivery waits for besides its time.
const FROM_3: &str = "ALTER TABLE deliveries ADD COLUMN waits_for TEXT;";

/// From the fourth layout, in which a text alone said why a delivery had ended. Reasons have the numbers of `rows.rs`.
const FROM_4: &str = "
ALTER TABLE deliveries ADD COLUMN reason INTEGER;
UPDATE deliveries SET reason = CASE
        WHEN handlers = '' THEN 1
        WHEN last_error = 'not sent: the delivery that it is about is no longer dead' THEN 3
        ELSE 0 END
    WHERE state = 3;
UPDATE deliveries SET reason = CASE
        WHEN last_error = 'cancelled' THEN 11
        WHEN fingerprint IS NULL THEN 13
        WHEN last_error GLOB 'backlog:*' THEN 12
        WHEN deaths >= 3 THEN 14
        ELSE 10 END
    WHERE state = 4;
UPDATE unreported SET class = 'died' || substr(class, length('server-died') + 1) WHERE class GLOB 'server-died,*';
DROP INDEX deliveries_dead;
CREATE INDEX deliveries_dead ON deliveries (id, reason) WHERE state = 4;
";

/// A store that this process alone may write.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) conn: Connection,
    /// Held as long as the store is: the lock goes with it.
    pub(super) lock: File,
    /// This store's own, for what must be random and yet the same on every attempt.
    pub(super) secret: [u8; 32],
}

/// Opens the store at `path`, and makes it if there is none.
pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let lock = lock(path)?;
    let file = private(path).map_err(|e| unwritable(path, &e))?;
    check_header(path, file)?;
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|e| failed(path, &e))?;
    let secret = prepare(&conn, path)?;
    Ok(Opened { conn, lock, secret })
}

/// Opens the store once more, for reading beside its writer.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch("PRAGMA cache_size = -4096;")?;
    Ok(conn)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = private(&PathBuf::from(name)).map_err(|e| unwritable(path, &e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.into())),
        Err(std::fs::TryLockError::Error(e)) => Err(unwritable(path, &e)),
    }
}

/// Opens a file, and makes it for this user alone if there is none.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn check_header(path: &Path, file: File) -> Result<(), OpenError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut head = Vec::new();
    file.take(100)
        .read_to_end(&mut head)
        .map_err(|e| unwritable(path, &e))?;
    if head.is_empty() {
        return Ok(());
    }
    if !head.starts_with(MAGIC) {
        // What is at bytes 68 to 72 tells a store whose head was overwritten from a stranger's file.
        let ours = head.get(68..72) == Some(&0x416c_4d67_u32.to_be_bytes());
        return Err(if ours {
            damaged(path, "its header is overwritten")
        } else {
            OpenError::Foreign(path.into())
        });
    }
    if head.len() < 100 {
        return Err(damaged(path, "it is cut off within its header"));
    }
    Ok(())
}

fn prepare(conn: &Connection, path: &Path) -> Result<[u8; 32], OpenError> {
    let fail = |e: rusqlite::Error| failed(path, &e);
    conn.set_prepared_statement_cache_capacity(128);
    // The page size and the kind of vacuum count only before the first table is made. How long the
    // log gets is for `checkpoint.rs` to say.
    conn.execute_batch(&format!(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = {LOG_FRAMES_MAX};
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA busy_timeout = 5000;"
    ))
    .map_err(fail)?;
    if Failpoint::Unsynced.is_set() {
        conn.execute_batch("PRAGMA synchronous = NORMAL;")
            .map_err(fail)?;
    }
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(fail)?;
    let layout = pragma("user_version").map_err(fail)?;
    let tables: i64 = conn
        .query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    if tables == 0 {
        create(conn).map_err(fail)?;
    } else if application != APPLICATION_ID {
        return Err(OpenError::Foreign(path.into()));
    } else if layout > LAYOUT {
        return Err(OpenError::Newer {
            path: path.into(),
            found: layout,
            known: LAYOUT,
        });
    } else {
        quick_check(conn, path)?;
        if layout < LAYOUT {
            copy::keep(conn, path, layout)?;
            upgrade(conn, layout).map_err(fail)?;
        }
    }
    conn.execute_batch(EVENTS_FIRING).map_err(fail)?;
    conn.query_one("SELECT value FROM meta WHERE key = 'secret'", [], |row| {
        row.get(0)
    })
    .map_err(fail)
}

fn create(conn: &Connection) -> rusqlite::Result<()> {
    let secret: [u8; 32] = rand::random();
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(EVENTS)?;
    tx.execute_batch(RUNS)?;
    tx.execute_batch(REFUSED_PARTS)?;
    tx.execute("INSERT INTO meta VALUES ('secret', ?1)", [&secret[..]])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    tx.commit()
}

fn upgrade(conn: &Connection, from: i64) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    if from < 2 {
        tx.execute_batch("ALTER TABLE runs RENAME TO runs_1")?;
        tx.execute_batch(RUNS)?;
        tx.execute_batch(FROM_1)?;
    }
    if from < 3 {
        tx.execute_batch(
            "DROP INDEX IF EXISTS events_firing;
             ALTER TABLE events RENAME TO events_2;",
        )?;
        tx.execute_batch(EVENTS)?;
        tx.execute_batch(REFUSED_PARTS)?;
        tx.execute_batch(FROM_2)?;
        tx.execute(
            &format!("UPDATE deliveries SET dead_bytes = {DEAD_BYTES} WHERE state = 4"),
            [],
        )?;
    }
    if from < 4 {
        tx.execute_batch(FROM_3)?;
    }
    tx.execute_batch(FROM_4)?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    tx.commit()
}

fn quick_check(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let interrupt = conn.get_interrupt_handle();
    let (done, over) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if over.recv_timeout(CHECK_TIME_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let found = conn.query_one("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    // Joined before the connection is used again: a late interrupt would hit somebody else's statement.
    if watch.join().is_err() {
        tracing::warn!("the thread that bounds the time of the store's check has panicked");
    }
    match found {
        Ok(text) if text == "ok" => Ok(()),
        Ok(text) => Err(damaged(path, &text)),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(()),
        Err(e) => Err(failed(path, &e)),
    }
}

fn damaged(path: &Path, reason: &str) -> OpenError {
    OpenError::Damaged {
        path: path.into(),
        reason: reason.replace('\n', "; "),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Unwritable {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// Sorts an error of the store by what is to be done about it.
pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(path, &error.to_string())
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            OpenError::Unwritable {
                path: path.into(),
                reason: error.to_string(),
            }
        }
        _ => OpenError::Failed {
            path: path.into(),
            reason: reason(error),
        },
    }
}

/// Returns why the store fails, for the person who has to mend it.
pub(super) fn reason(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".into(),
        Some(ErrorCode::SystemIoFailure) => format!("the disk fails ({error})"),
        Some(ErrorCode::DatabaseCorrupt) => format!("the store is damaged ({error})"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::Reason;
    use crate::store::sqlite::rows;

    #[test]
    fn every_commit_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let opened = open(&dir.path().join("store.db")).unwrap();
        let pragma = |name| {
            opened
                .conn
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        // 2 is FULL. With NORMAL the log is synced only when it is copied back.
        assert_eq!(pragma("synchronous"), 2.into());
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("auto_vacuum"), 2.into());
    }

    /// The tables of the fourth layout that later ones have changed.
    const LAYOUT_4: &str = "
        DROP INDEX deliveries_dead;
        ALTER TABLE deliveries DROP COLUMN reason;
        CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 4;
        PRAGMA user_version = 4;";

    #[test]
    fn a_store_of_the_fourth_layout_gets_the_reasons_of_what_has_ended_from_its_texts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let conn = open(&path).unwrap().conn;
        conn.execute_batch(LAYOUT_4).unwrap();
        conn.execute_batch(
            "INSERT INTO deliveries (id, state, fingerprint, deaths, accepted_at, alertname, route, handlers, last_error)
                 VALUES (1, 3, 1, 0, 1, 'A', 'r', ',h,', NULL), (2, 3, 1, 0, 1, 'A', '', '', 'unrouted'),
                     (3, 3, 1, 0, 1, 'A', 'r', ',h,', 'not sent: the delivery that it is about is no longer dead'),
                     (4, 4, 1, 2, 1, 'A', 'r', ',h,', 'gave up'), (5, 4, 1, 0, 1, 'A', 'r', ',h,', 'cancelled'),
                     (6, 4, 1, 0, 1, 'A', 'r', ',h,', 'backlog: half of the queue'),
                     (7, 4, NULL, 0, 1, 'A', '', '', 'labels.n: a number'),
                     (8, 4, 1, 3, 1, 'A', 'r', ',h,', 'the server died'), (9, 2, 1, 0, 1, 'A', 'r', ',h,', '503');
             INSERT INTO unreported VALUES ('server-died,h,', 2, 1, '4,5'), ('failed,h,', 1, 1, '6');",
        )
        .unwrap();
        drop(conn);
        let conn = open(&path).unwrap().conn;
        let reasons = conn
            .prepare("SELECT reason FROM deliveries ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(|code| rows::reason_of(code.unwrap()))
            .collect::<Vec<_>>();
        let known = [
            Reason::Handled,
            Reason::Unrouted,
            Reason::Outdated,
            Reason::Failed,
            Reason::Cancelled,
            Reason::Backlog,
            Reason::Refused,
            Reason::Died,
        ];
        assert_eq!(reasons[..8], known.map(Some));
        assert_eq!(reasons[8], None);
        assert_eq!(
            text(
                &conn,
                "SELECT group_concat(class, ' ' ORDER BY class) FROM unreported"
            ),
            "died,h, failed,h,"
        );
        drop(conn);
        assert!(open(&path).is_ok());
    }

    /// The tables of the third layout that later ones have changed.
    const LAYOUT_3: &str = "
        DROP INDEX deliveries_dead;
        ALTER TABLE deliveries DROP COLUMN reason;
        CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 4;
        ALTER TABLE deliveries DROP COLUMN waits_for;
        PRAGMA user_version = 3;";

    #[test]
    fn a_store_of_the_third_layout_keeps_what_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let conn = open(&path).unwrap().conn;
        conn.execute_batch(LAYOUT_3).unwrap();
        conn.execute_batch(
            "INSERT INTO deliveries (id, state, accepted_at, not_before, alertname, route, handlers)
                 VALUES (8, 2, 1, 99, 'A', 'r', ',h,');",
        )
        .unwrap();
        drop(conn);
        let conn = open(&path).unwrap().conn;
        assert_eq!(
            text(
                &conn,
                "SELECT concat_ws(' ', id, state, not_before, waits_for IS NULL) FROM deliveries"
            ),
            "8 2 99 1"
        );
        drop(conn);
        assert!(open(&path).is_ok());
    }

    /// The tables of the second layout that later ones have changed.
    const LAYOUT_2: &str = "
        DROP TABLE events;
        CREATE TABLE events (starts_at INTEGER NOT NULL, fingerprint INTEGER NOT NULL,
            status INTEGER NOT NULL, last_seen INTEGER NOT NULL,
            duplicates INTEGER NOT NULL DEFAULT 0, runs BLOB NOT NULL,
            PRIMARY KEY (starts_at, fingerprint, status)) STRICT, WITHOUT ROWID;
        ALTER TABLE deliveries DROP COLUMN occurrence;
        ALTER TABLE deliveries DROP COLUMN sent_starts_at;
        ALTER TABLE deliveries DROP COLUMN beside;
        ALTER TABLE deliveries DROP COLUMN suspected;
        ALTER TABLE deliveries DROP COLUMN resent;
        ALTER TABLE deliveries DROP COLUMN first_died_at;
        DROP TABLE refused_parts;
        DROP TABLE unreported;
        DROP INDEX deliveries_settled;
        DROP INDEX deliveries_dead_by_handlers;
        ALTER TABLE deliveries DROP COLUMN dead_bytes;
        ALTER TABLE deliveries DROP COLUMN waits_for;
        DROP INDEX deliveries_dead;
        ALTER TABLE deliveries DROP COLUMN reason;
        CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 4;
        PRAGMA user_version = 2;";

    fn text(conn: &Connection, sql: &str) -> String {
        conn.query_one(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_store_of_the_second_layout_keeps_its_events_and_deliveries() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let conn = open(&path).unwrap().conn;
        conn.execute_batch(LAYOUT_2).unwrap();
        conn.execute_batch(
            "CREATE INDEX events_firing ON events (fingerprint) WHERE status = 0;
             INSERT INTO events VALUES (5, 6, 0, 7, 8, x'09'), (5, 6, 1, 7, 0, x'');
             INSERT INTO runs VALUES (8, 1, 'p', 'a');
             INSERT INTO deliveries (id, state, accepted_at, settled_at, alertname, route, handlers)
                 VALUES (8, 3, 1, 2, 'A', 'r', ',h,'), (9, 4, 1, 2, 'A', 'r', ',h,');",
        )
        .unwrap();
        drop(conn);
        let conn = open(&path).unwrap().conn;
        assert_eq!(
            text(
                &conn,
                "SELECT group_concat(concat_ws(' ', starts_at, fingerprint, occurrence, status,
                     accepted_at, last_seen, duplicates, hex(runs)), ', ') FROM events"
            ),
            "5 6 1 0 0 7 8 09, 5 6 1 1 0 7 0 "
        );
        assert_eq!(
            text(
                &conn,
                "SELECT group_concat(concat_ws(' ', id, occurrence, beside, suspected, resent,
                     first_died_at), ', ') FROM deliveries"
            ),
            "8 1 * 0 0, 9 1 * 0 0 2"
        );
        assert_eq!(
            text(
                &conn,
                "SELECT concat_ws(' ', (SELECT count(*) FROM runs), (SELECT count(*) FROM refused_parts))"
            ),
            "1 0"
        );
        drop(conn);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn a_store_of_the_first_layout_is_taken_over_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let conn = open(&path).unwrap().conn;
        conn.execute_batch(LAYOUT_2).unwrap();
        conn.execute_batch(
            "DROP TABLE runs;
             DROP TABLE earlier_runs;
             ALTER TABLE deliveries DROP COLUMN starts_at;
             CREATE TABLE runs (delivery INTEGER NOT NULL, lease INTEGER NOT NULL, progress TEXT,
                 story TEXT, PRIMARY KEY (delivery, lease)) STRICT, WITHOUT ROWID;
             INSERT INTO runs VALUES (7, 1, NULL, 'a'), (7, 2, NULL, 'b'), (7, 4, 'p', 'c'),
                 (8, 1, 'q', NULL);
             INSERT INTO deliveries (id, state, accepted_at, alertname, route, handlers)
                 VALUES (8, 3, 1, 'A', 'r', ',h,');
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(conn);
        let conn = open(&path).unwrap().conn;
        assert_eq!(
            text(
                &conn,
                "SELECT group_concat(delivery || ' ' || lease || ' ' || progress || ' '
                     || coalesce(story, '-'), ', ') FROM runs"
            ),
            "7 4 p c, 8 1 q -"
        );
        assert_eq!(
            text(
                &conn,
                "SELECT group_concat(lease || ' ' || story, ', ') FROM earlier_runs"
            ),
            "1 a, 2 b"
        );
        assert_eq!(
            text(
                &conn,
                "SELECT CAST(value AS TEXT) FROM meta WHERE key = 'events_before'"
            ),
            "9"
        );
        drop(conn);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn the_index_that_the_hour_of_trouble_needs_is_there_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let has_index = |conn: &Connection| {
            text(
                conn,
                "SELECT CAST(count(*) AS TEXT) FROM sqlite_schema WHERE name = 'events_firing'",
            )
        };
        let conn = open(&path).unwrap().conn;
        assert_eq!(has_index(&conn), "1");
        conn.execute_batch("DROP INDEX events_firing").unwrap();
        drop(conn);
        assert_eq!(has_index(&open(&path).unwrap().conn), "1");
    }

    #[test]
    fn a_copy_is_kept_before_a_migration_and_nothing_is_migrated_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let old = |conn: &Connection| conn.execute_batch(LAYOUT_3).unwrap();
        let conn = open(&path).unwrap().conn;
        old(&conn);
        drop(conn);
        let copy = dir.path().join("store.db.layout-3");
        let in_the_way = dir.path().join("store.db.layout-3.new");
        std::fs::create_dir(&in_the_way).unwrap();
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.contains("store.db.layout-3 "), "{refused}");
        let layout = |path: &Path| {
            let conn = open_reader(path).unwrap();
            conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert_eq!((layout(&path), copy.exists()), (3, false));

        std::fs::remove_dir(&in_the_way).unwrap();
        drop(open(&path).unwrap());
        assert_eq!((layout(&path), layout(&copy)), (LAYOUT, 3));
        let mode = std::os::unix::fs::PermissionsExt::mode(&copy.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // Back, and forth again: the copy is that of the last migration.
        std::fs::copy(&copy, &path).unwrap();
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("store.db{end}")));
        }
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("INSERT INTO meta VALUES ('went', 'back')")
            .unwrap();
        drop(conn);
        drop(open(&path).unwrap());
        let went = "SELECT value FROM meta WHERE key = 'went'";
        assert_eq!(text(&open_reader(&copy).unwrap(), went), "back");
    }

    #[test]
    fn a_store_of_the_second_layout_knows_what_its_dead_letters_take() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let conn = open(&path).unwrap().conn;
        conn.execute_batch(LAYOUT_2).unwrap();
        conn.execute_batch(
            "INSERT INTO deliveries (id, state, accepted_at, settled_at, alertname, route, handlers)
                 VALUES (7, 3, 1, 2, 'A', 'r', ',h,'), (8, 4, 1, 2, 'A', 'r', ',h,');
             INSERT INTO alerts VALUES (7, '{}'), (8, 'four');
             INSERT INTO runs VALUES (8, 2, '{}', 'story');
             INSERT INTO earlier_runs VALUES (8, 1, 'earlier');",
        )
        .unwrap();
        drop(conn);
        let conn = open(&path).unwrap().conn;
        let bytes = |id: i64| {
            let sql = "SELECT dead_bytes FROM deliveries WHERE id = ?1";
            conn.query_one(sql, [id], |row| row.get::<_, Option<i64>>(0))
                .unwrap()
        };
        assert_eq!((bytes(7), bytes(8)), (None, Some(512 + 4 + 2 + 5 + 7)));
        drop(conn);
        assert!(open(&path).is_ok());
    }
}
