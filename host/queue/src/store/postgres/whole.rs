//! The store as what is moved to another one, or moved into.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{LastEnd, OpenError};
use crate::store::StoreError;
use crate::store::codes::RUNNING;
use crate::store::tables::{Kind, Table, Value, Values};
use crate::store::whole::{Facts, MARK, Whole};

use super::database::Database;
use super::rows;
use super::session::{Args, Call, Io, Session, args};
use super::term::Term;
use super::values::{Columns as _, Stored};
use super::{Settings, meta};

/// How many deliveries are measured in one transaction.
const MEASURED_A_STEP: i64 = 1_000;

/// A store of which this process has the term.
pub(crate) struct PostgresWhole {
    session: Session,
    term: Term,
    _io: Arc<Io>,
}

/// Connects to a database, makes or migrates the tables, and takes the term.
pub(crate) fn open(database: &Database, settings: &Settings) -> Result<PostgresWhole, OpenError> {
    let (io, session) = super::connect(database)?;
    let term = super::take_term(&io, database, &session, settings)?;
    let whole = PostgresWhole {
        session,
        term,
        _io: io,
    };
    let failed = |error: StoreError| super::failed(database, &error);
    if whole.is_shared(settings.patience.still).map_err(failed)? {
        Box::new(whole).let_go().map_err(failed)?;
        return Err(OpenError::InUse(super::path(database)));
    }
    Ok(whole)
}

/// Returns true if a move into the store has not finished.
pub(super) fn is_unfinished(session: &Session) -> Result<bool, StoreError> {
    Ok(bytes(session, MARK)?.is_some())
}

fn bytes(session: &Session, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let found = session.first("SELECT bytes FROM meta WHERE key = $1", &[&key])?;
    found.map(|row| row.column(0)).transpose()
}

fn set_bytes<'a>(key: &'a str, bytes: &'a [u8]) -> Call<'a> {
    Call::new(
        "INSERT INTO meta (key, bytes) VALUES ($1, $2)
         ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes",
        args![key, bytes],
    )
}

fn set_number(key: &str, number: i64) -> Call<'_> {
    Call::new(
        "INSERT INTO meta (key, number) VALUES ($1, $2)
         ON CONFLICT (key) DO UPDATE SET number = excluded.number",
        args![key, number],
    )
}

/// Adds a value as the argument of a column of this type.
fn push<'a>(to: &mut Args<'a>, kind: Kind, value: &'a Value) {
    let int = match value {
        Value::Int(n) => Some(*n),
        _ => None,
    };
    match kind {
        Kind::Int => to.push(Box::new(int)),
        Kind::Flag => to.push(Box::new(int.map(|n| n != 0))),
        Kind::Text => to.push(Box::new(match value {
            Value::Text(text) => Some(Stored(text)),
            _ => None,
        })),
        Kind::Bytes => to.push(Box::new(match value {
            Value::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        })),
    }
}

fn read(row: &tokio_postgres::Row, at: usize, kind: Kind) -> Result<Value, StoreError> {
    let value = match kind {
        Kind::Int => row.maybe_int(at)?.map(Value::Int),
        Kind::Flag => {
            let flag: Option<bool> = row.column(at)?;
            flag.map(|flag| Value::Int(flag.into()))
        }
        Kind::Text => row.maybe_text(at)?.map(Value::Text),
        Kind::Bytes => {
            let bytes: Option<Vec<u8>> = row.column(at)?;
            bytes.map(Value::Bytes)
        }
    };
    Ok(value.unwrap_or(Value::Null))
}

/// Returns `$1, $2, …`.
fn places(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    places.join(", ")
}

impl PostgresWhole {
    /// Returns true if another server is connected, and stays so: one without the term accepts alerts too. The connections of one that
    /// has just ended take a moment to go.
    fn is_shared(&self, patience: Duration) -> Result<bool, StoreError> {
        let began = Instant::now();
        loop {
            let others = self.session.one(
                "SELECT count(*) FROM lanes l JOIN pg_stat_activity a
                     ON a.pid = l.pid AND a.backend_start IS NOT DISTINCT FROM l.backend_start
                 WHERE l.server <> $1",
                &[&self.term.server()],
            )?;
            if others.int(0)? == 0 {
                return Ok(false);
            }
            if began.elapsed() >= patience {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs statements in one transaction, if this process still has the term.
    fn transact(&self, calls: Vec<Call<'_>>) -> Result<(), StoreError> {
        let term = Call::new(
            "SELECT epoch FROM term WHERE epoch = $1 FOR SHARE",
            args![self.term.epoch()],
        );
        let mut all = vec![Call::new("BEGIN", args![]), term];
        all.extend(calls);
        let written = self.session.together(&all).and_then(|rows| {
            let is_ours = rows.get(1).is_some_and(|rows| !rows.is_empty());
            is_ours.then_some(()).ok_or(StoreError::Fenced)
        });
        match written {
            Ok(()) => self.session.batch("COMMIT"),
            Err(error) => {
                // The error before is the one to report.
                let _ = self.session.batch("ROLLBACK");
                Err(error)
            }
        }
    }

    /// Computes the sizes of settled deliveries, some at a time: a statement has a time limit.
    fn measure(&self) -> Result<(), StoreError> {
        let mut last = i64::MIN;
        loop {
            let found = self.session.query(
                "SELECT id FROM deliveries WHERE id > $1 ORDER BY id LIMIT $2",
                &[&last, &MEASURED_A_STEP],
            )?;
            let ids = found.iter().map(|row| row.int(0));
            let ids = ids.collect::<Result<Vec<_>, _>>()?;
            let Some(newest) = ids.last() else {
                return Ok(());
            };
            last = *newest;
            self.transact(vec![rows::measure(ids)])?;
        }
    }
}

impl Whole for PostgresWhole {
    fn make_complete(&mut self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT count(*) FROM deliveries WHERE state < 3 AND state = $1";
        let cut_off = self.session.one(sql, &[&RUNNING])?.int(0)?;
        let arrived = "SELECT count(*) FROM arrivals";
        let arrived = self.session.one(arrived, &[])?.int(0)?;
        Ok(match (cut_off, arrived) {
            (0, 0) => None,
            (0, _) => Some(format!(
                "{arrived} alerts that its servers have accepted are not scheduled yet"
            )),
            _ => Some(format!(
                "{cut_off} deliveries were running when its server ended"
            )),
        })
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        bytes(&self.session, MARK)
    }

    fn key(&self, table: &Table) -> &'static [&'static str] {
        table.postgres_key
    }

    fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        Ok(self.session.one(sql, &[])?.int(0)?.unsigned_abs())
    }

    fn page(
        &self,
        table: &Table,
        after: Option<&Values>,
        rows_max: u32,
    ) -> Result<Vec<Values>, StoreError> {
        let key = table.postgres_key;
        let mut args: Args<'_> = Vec::new();
        for (name, value) in key.iter().zip(after.into_iter().flatten()) {
            push(&mut args, table.column(name).1, value);
        }
        let key = key.join(", ");
        let from = match args.len() {
            0 => String::new(),
            count => format!("WHERE ({key}) > ({})", places(count)),
        };
        let (names, name) = (table.names(), table.name);
        let sql = format!("SELECT {names} FROM {name} {from} ORDER BY {key} LIMIT {rows_max}");
        let found = self.session.together(&[Call::new(sql, args)])?;
        let kinds = table.columns.iter().map(|(_, kind)| *kind).enumerate();
        let row = |row: &tokio_postgres::Row| {
            let values = kinds.clone().map(|(at, kind)| read(row, at, kind));
            values.collect()
        };
        found.iter().flatten().map(row).collect()
    }

    fn add(&mut self, table: &Table, rows: &[Values], mark: &[u8]) -> Result<(), StoreError> {
        let places = places(table.columns.len());
        let (names, name) = (table.names(), table.name);
        // The identifiers of timers are kept, though the database assigns those of new ones.
        let sql = format!("INSERT INTO {name} ({names}) OVERRIDING SYSTEM VALUE VALUES ({places})");
        let call = |row| {
            let mut args: Args<'_> = Vec::new();
            for ((_, kind), value) in table.columns.iter().zip(row) {
                push(&mut args, *kind, value);
            }
            Call::new(sql.clone(), args)
        };
        let mut calls: Vec<Call<'_>> = rows.iter().map(call).collect();
        calls.push(set_bytes(MARK, mark));
        self.transact(calls)
    }

    fn facts(&self) -> Result<Facts, StoreError> {
        let session = &self.session;
        let since = "SELECT coalesce((SELECT number FROM meta WHERE key = 'grants_used_since'), 0)";
        Ok(Facts {
            secret: bytes(session, "secret")?.unwrap_or_default(),
            last_id: meta::last_id(session)?,
            alarms: bytes(session, "alarms")?.unwrap_or_default(),
            grants_used_since: session.one(since, &[])?.int(0)?,
        })
    }

    fn set_facts(&mut self, facts: &Facts, mark: &[u8]) -> Result<(), StoreError> {
        self.transact(vec![
            set_bytes("secret", &facts.secret),
            set_number("last_id", facts.last_id),
            set_bytes("alarms", &facts.alarms),
            set_number("grants_used_since", facts.grants_used_since),
            set_bytes(MARK, mark),
        ])
    }

    fn derive(&mut self) -> Result<(), StoreError> {
        self.transact(vec![
            Call::new("DELETE FROM kv_usage", args![]),
            Call::new(
                "INSERT INTO kv_usage (handler, bytes, keys)
                 SELECT handler, sum(octet_length(key) + octet_length(value)), count(*)
                 FROM kv GROUP BY handler",
                args![],
            ),
            Call::new(
                "SELECT setval(pg_get_serial_sequence('timers', 'id'), greatest(max(id), 1), count(*) > 0)
                 FROM timers",
                args![],
            ),
            Call::new(
                "SELECT setval(pg_get_serial_sequence('audit', 'id'), greatest(max(id), 1), count(*) > 0)
                 FROM audit",
                args![],
            ),
        ])?;
        self.measure()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.transact(vec![
            Call::new("DELETE FROM meta WHERE key = $1", args![MARK]),
            self.term.give_back(),
        ])
    }

    fn let_go(self: Box<Self>) -> Result<(), StoreError> {
        match self.term.last_end() {
            // The next server has to see it.
            LastEnd::Crash => Ok(()),
            LastEnd::None | LastEnd::Clean => self.transact(vec![self.term.give_back()]),
        }
    }
}
