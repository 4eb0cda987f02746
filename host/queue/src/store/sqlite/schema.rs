//! Opens the file of a store.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::failpoint::Failpoint;
use crate::model::OpenError;

use super::checkpoint::LOG_FRAMES_MAX;
use super::copy;
use super::errors::{damaged, failed, unwritable};
use super::layout::{APPLICATION_ID, EVENTS_FIRING, LAYOUT, create, upgrade};

/// How long the check for damage may take at startup. Damage that it does not find is found when the data is read.
const CHECK_TIME_MAX: Duration = Duration::from_millis(200);

/// An opened store, which is locked for this process.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) conn: Connection,
    /// Has the lock, which ends when this is dropped.
    pub(super) lock: File,
    /// The store's own random secret.
    pub(super) secret: [u8; 32],
}

/// Opens the store at `path`, and creates it if there is none.
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

/// Opens another connection to the store, which only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    cache_statements(&conn, 32)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch("PRAGMA cache_size = -4096;")?;
    Ok(conn)
}

/// Caches at most `capacity` prepared statements, each with the plan that it was prepared with. By default `SQLite` prepares a
/// statement anew whenever a value is bound that its planner has looked at: a cached one at every use, since its bindings are
/// cleared in between.
fn cache_statements(conn: &Connection, capacity: usize) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(capacity);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
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

/// Opens a file. If there is none, creates it with access for this user alone.
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
        // The application identifier at bytes 68 to 72 shows whether this is a store whose header was overwritten.
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
    cache_statements(conn, 128).map_err(fail)?;
    // `auto_vacuum` takes effect only before the first table is created. `checkpoint.rs` explains the bound of the log.
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
    // Joined before the connection is used again, since a late interrupt would stop another statement.
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
