//! The store as what is moved to another one, or moved into.

use std::fs::File;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params, params_from_iter};

use crate::model::OpenError;
use crate::store::StoreError;
use crate::store::codes::{QUEUED, RETRYING};
use crate::store::tables::{Table, Value, Values};
use crate::store::whole::{Facts, MARK, Whole};

use super::events::{Events, Gathering};
use super::rows::STORED_BYTES_SQL;
use super::{errors, recovery, schema};

/// A store that this process alone has opened.
pub(crate) struct SqliteWhole {
    conn: Connection,
    _lock: File,
}

/// Opens the store at `path`, and creates it if there is none.
pub(crate) fn open(path: &Path) -> Result<SqliteWhole, OpenError> {
    let opened = schema::open(path)?;
    // What a crash has left in the log shows the next server that there was one. `close` empties it.
    opened
        .conn
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|e| errors::failed(path, &e))?;
    Ok(SqliteWhole {
        conn: opened.conn,
        _lock: opened.lock,
    })
}

/// Returns true if a move into the store has not finished.
pub(super) fn is_unfinished(conn: &Connection) -> rusqlite::Result<bool> {
    Ok(value::<Vec<u8>>(conn, MARK)?.is_some())
}

fn value<T: rusqlite::types::FromSql>(conn: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

fn set(conn: &Connection, key: &str, value: impl ToSql) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
        .execute(params![key, value])?;
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn read(row: &rusqlite::Row<'_>, columns: usize) -> rusqlite::Result<Values> {
    let value = |at| {
        Ok(match row.get_ref(at)? {
            ValueRef::Integer(n) => Value::Int(n),
            ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            text @ ValueRef::Text(_) => Value::Text(text.as_str()?.to_owned()),
            // No column has a number with a fraction.
            ValueRef::Null | ValueRef::Real(_) => Value::Null,
        })
    };
    (0..columns).map(value).collect()
}

/// Returns `?1, ?2, …`.
fn places(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|n| format!("?{n}")).collect();
    places.join(", ")
}

impl Whole for SqliteWhole {
    fn make_complete(&mut self) -> Result<Option<String>, StoreError> {
        let cut_off: i64 = self.conn.query_one(
            "SELECT count(*) FROM deliveries INDEXED BY deliveries_unsettled
             WHERE state < 3 AND state NOT IN (?1, ?2)",
            [QUEUED, RETRYING],
            |row| row.get(0),
        )?;
        if cut_off > 0 {
            return Ok(Some(format!(
                "{cut_off} deliveries were running when its server ended"
            )));
        }
        if value::<i64>(&self.conn, "earlier_deaths_until")?.is_some() {
            return Ok(Some("it is from an earlier version".into()));
        }
        let last_id = recovery::last_id(&self.conn)?;
        let mut events = Events::load(&self.conn, Gathering::default())?;
        let tx = self.conn.unchecked_transaction()?;
        events.write_all(&tx, last_id)?;
        tx.commit()?;
        Ok(None)
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(value(&self.conn, MARK)?)
    }

    fn key(&self, table: &Table) -> &'static [&'static str] {
        table.sqlite_key
    }

    fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count: i64 = self.conn.query_one(&sql, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    fn page(
        &self,
        table: &Table,
        after: Option<&Values>,
        rows_max: u32,
    ) -> Result<Vec<Values>, StoreError> {
        let key = table.sqlite_key.join(", ");
        let after = after.map_or(&[][..], Vec::as_slice);
        let from = match after {
            [] => String::new(),
            values => format!("WHERE ({key}) > ({})", places(values.len())),
        };
        let (names, name) = (table.names(), table.name);
        let sql = format!("SELECT {names} FROM {name} {from} ORDER BY {key} LIMIT {rows_max}");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(after), |row| {
            read(row, table.columns.len())
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn add(&mut self, table: &Table, rows: &[Values], mark: &[u8]) -> Result<(), StoreError> {
        let places = places(table.columns.len());
        let (names, name) = (table.names(), table.name);
        let tx = self.conn.unchecked_transaction()?;
        for row in rows {
            tx.prepare_cached(&format!("INSERT INTO {name} ({names}) VALUES ({places})"))?
                .execute(params_from_iter(row))?;
        }
        set(&tx, MARK, mark)?;
        Ok(tx.commit()?)
    }

    fn facts(&self) -> Result<Facts, StoreError> {
        let conn = &self.conn;
        Ok(Facts {
            secret: value(conn, "secret")?.unwrap_or_default(),
            last_id: recovery::last_id(conn)?,
            alarms: value(conn, "alarms")?.unwrap_or_default(),
            grants_used_since: value(conn, "grants_used_since")?.unwrap_or_default(),
        })
    }

    fn set_facts(&mut self, facts: &Facts, mark: &[u8]) -> Result<(), StoreError> {
        let tx = self.conn.unchecked_transaction()?;
        set(&tx, "secret", &facts.secret)?;
        set(&tx, "last_id", facts.last_id)?;
        set(&tx, "alarms", &facts.alarms)?;
        set(&tx, "grants_used_since", facts.grants_used_since)?;
        // The events of all deliveries are in the table.
        set(&tx, "events_before", facts.last_id + 1)?;
        set(&tx, MARK, mark)?;
        Ok(tx.commit()?)
    }

    fn derive(&mut self) -> Result<(), StoreError> {
        self.conn.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             UPDATE deliveries SET dead_bytes = {STORED_BYTES_SQL} WHERE state = 4;
             INSERT OR REPLACE INTO meta SELECT 'history_rows', count(*) FROM history;
             COMMIT;"
        ))?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.conn
            .execute("DELETE FROM meta WHERE key = ?1", [MARK])?;
        self.conn
            .query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn let_go(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}
