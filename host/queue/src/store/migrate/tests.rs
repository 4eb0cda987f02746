//! Tests of moves between the two kinds of stores.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::conformance::prelude::*;
use crate::store::postgres::bench::PostgresBench;
use crate::store::sqlite::bench::SqliteBench;
use crate::store::tables::{Kind, POSTGRES_ALONE, SQLITE_ALONE, Value};
use crate::store::whole::Facts;

/// How many rows each table of a filled store has.
const ROWS: u64 = 4;

/// Both kinds of stores, each empty.
struct Stores {
    folder: TempDir,
    postgres: PostgresBench,
}

impl Stores {
    /// Returns nothing if `PostgreSQL` is not installed, which is reported.
    #[allow(clippy::print_stderr, reason = "the output of a test")]
    fn new() -> Option<Self> {
        if let Some(missing) = PostgresBench::missing() {
            eprintln!("SKIPPED: {missing}");
            return None;
        }
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
            postgres: PostgresBench::new(Sizes::Production),
        })
    }

    fn sqlite(&self, name: &str) -> StoreUrl {
        StoreUrl::Sqlite(self.folder.path().join(name))
    }

    fn database(&self) -> StoreUrl {
        StoreUrl::Postgres(Box::new(self.postgres.database().clone()))
    }

    fn settings(&self) -> Settings {
        self.postgres.settings().clone()
    }

    fn migrate(&self, from: &StoreUrl, to: &StoreUrl) -> Result<Vec<MovedTable>, MigrateError> {
        Move::new(from, to, self.settings(), 3).run(&mut |_| {})
    }

    /// Moves until `rows` are copied, and ends there as a kill would end it. Returns true if it was cut off.
    fn migrate_until(&self, from: &StoreUrl, to: &StoreUrl, rows: usize) -> bool {
        let mut left = rows;
        let moved = catch_unwind(AssertUnwindSafe(|| {
            Move::new(from, to, self.settings(), 1).run(&mut |progress| {
                if progress.is_copying {
                    left -= 1;
                    if left == 0 {
                        // Without the message of a panic.
                        resume_unwind(Box::new(()));
                    }
                }
            })
        }));
        match moved {
            Ok(moved) => {
                moved.unwrap();
                false
            }
            Err(_) => true,
        }
    }
}

fn connect(url: &StoreUrl) -> Connection {
    let StoreUrl::Sqlite(path) = url else {
        panic!("{url} is no file");
    };
    Connection::open(path).unwrap()
}

fn names(tables: &BTreeSet<(String, String)>) -> BTreeSet<&str> {
    tables.iter().map(|(table, _)| table.as_str()).collect()
}

/// Returns the tables and columns of a file.
fn sqlite_layout(conn: &Connection) -> BTreeSet<(String, String)> {
    let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Checks that each column is in the list of tables, or named as one that is not moved.
fn assert_all_are_moved(layout: &BTreeSet<(String, String)>, alone: &[&str]) {
    let moved: BTreeSet<(String, String)> = TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(move |(column, _)| (table, column)))
        .map(|(table, column)| (table.name.to_owned(), (*column).to_owned()))
        .collect();
    for (table, column) in layout {
        let is_alone = alone.contains(&table.as_str())
            || alone.contains(&format!("{table}.{column}").as_str());
        let is_moved = moved.contains(&(table.clone(), column.clone()));
        assert!(
            is_moved != is_alone,
            "{table}.{column}: add it to the tables in migrate/tables.rs, or to what one store has alone"
        );
    }
    for (table, column) in &moved {
        let is_there = layout.contains(&(table.clone(), column.clone()));
        assert!(is_there, "there is no {table}.{column}");
    }
    for known in alone {
        let table = known.split('.').next().unwrap();
        assert!(names(layout).contains(table), "there is no {known}");
    }
}

#[test]
fn each_column_of_both_layouts_is_moved_or_named_as_one_that_is_not() {
    let Some(stores) = Stores::new() else { return };
    let file = stores.sqlite("a.db");
    stores.migrate(&filled(&stores), &file).unwrap();
    assert_all_are_moved(&sqlite_layout(&connect(&file)), SQLITE_ALONE);
    stores.migrate(&file, &stores.database()).unwrap();
    let rows = stores.postgres.query(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
         WHERE table_schema = 'alert_manager'",
        &[],
    );
    let layout = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_all_are_moved(&layout, POSTGRES_ALONE);
}

/// Returns the columns that may be null.
fn nullable(conn: &Connection, table: &Table) -> BTreeSet<String> {
    let sql = "SELECT name FROM pragma_table_info(?1) WHERE \"notnull\" = 0 AND pk = 0";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([table.name], |row| row.get(0));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Makes a file in which every column of every table has a value in some row, and null in another if it may be null.
fn filled(stores: &Stores) -> StoreUrl {
    let url = stores.sqlite("filled.db");
    let StoreUrl::Sqlite(path) = &url else {
        unreachable!()
    };
    fill(path);
    url
}

fn fill(path: &Path) {
    let mut whole = Box::new(sqlite::whole::open(path).unwrap());
    let conn = Connection::open(path).unwrap();
    for table in TABLES {
        let nullable = nullable(&conn, table);
        let rows: Vec<Values> = (0..ROWS as i64)
            .map(|n| {
                let value = |(at, (column, kind)): (usize, &(&str, Kind))| match kind {
                    _ if n % 2 == 1 && nullable.contains(*column) => Value::Null,
                    // None that runs.
                    Kind::Int if *column == "state" => Value::Int([0, 2, 3, 4][n as usize]),
                    Kind::Int => Value::Int(n * 100 + at as i64),
                    Kind::Flag => Value::Int(n % 2),
                    Kind::Text => Value::Text(format!("{column} {n} \0 \u{1a} ü")),
                    Kind::Bytes => Value::Bytes(vec![n as u8, 0, at as u8]),
                };
                table.columns.iter().enumerate().map(value).collect()
            })
            .collect();
        whole.add(table, &rows, b"mark").unwrap();
    }
    let facts = Facts {
        secret: vec![7; 32],
        last_id: 900,
        alarms: vec![1; 16],
        grants_used_since: 5,
    };
    whole.set_facts(&facts, b"mark").unwrap();
    whole.derive().unwrap();
    whole.close().unwrap();
}

#[test]
fn a_store_that_was_moved_to_a_database_and_back_is_the_same() {
    let Some(stores) = Stores::new() else { return };
    let (first, back) = (filled(&stores), stores.sqlite("back.db"));
    let there = stores.migrate(&first, &stores.database()).unwrap();
    assert_eq!(there.len(), TABLES.len());
    assert!(there.iter().all(|table| table.rows == ROWS), "{there:?}");
    let again = stores.migrate(&stores.database(), &back).unwrap();
    assert_eq!(there, again);
    let dump = |url: &StoreUrl| {
        let conn = connect(url);
        let mut all = Vec::new();
        for table in names(&sqlite_layout(&conn)) {
            let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| {
                let value = |at| row.get::<_, rusqlite::types::Value>(at);
                (0..columns)
                    .map(value)
                    .collect::<rusqlite::Result<Vec<_>>>()
            });
            let mut rows: Vec<String> = rows
                .unwrap()
                .map(|row| format!("{:?}", row.unwrap()))
                .collect();
            rows.sort();
            all.push((table.to_owned(), rows));
        }
        all
    };
    // With what each store makes anew.
    assert_eq!(dump(&first), dump(&back));
}

#[test]
fn a_move_that_is_killed_after_any_row_is_continued() {
    let Some(stores) = Stores::new() else { return };
    let first = filled(&stores);
    let rows = ROWS as usize * TABLES.len();
    for _ in 0..rows {
        assert!(stores.migrate_until(&first, &stores.database(), 1));
    }
    let moved = stores.migrate(&first, &stores.database()).unwrap();
    assert!(moved.iter().all(|table| table.rows == ROWS), "{moved:?}");
    let back = stores.sqlite("back.db");
    for at in 1..=7 {
        assert!(stores.migrate_until(&stores.database(), &back, at));
    }
    assert!(!stores.migrate_until(&stores.database(), &back, rows + 1));
    assert_eq!(
        stores.migrate(&back, &stores.sqlite("third.db")).unwrap(),
        moved
    );
}

#[test]
fn a_value_that_differs_is_noticed_and_no_server_opens_the_result() {
    let Some(stores) = Stores::new() else { return };
    let (first, to) = (filled(&stores), stores.sqlite("to.db"));
    let rows = ROWS as usize * TABLES.len();
    assert!(stores.migrate_until(&first, &to, rows));
    let conn = connect(&to);
    let changed = conn.execute("UPDATE journal SET reply = reply || '.' WHERE seq = 2", []);
    assert_eq!(changed, Ok(1));
    drop(conn);
    let error = stores.migrate(&first, &to).unwrap_err();
    let MigrateError::Differs {
        table,
        from_rows,
        to_rows,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*table, *from_rows, *to_rows), ("journal", ROWS, ROWS));
    let opened = Queue::open(&to, Options::default(), Caps::all(1));
    assert!(matches!(opened, Err(OpenError::Unfinished(_))));
    // Nor is it moved on, which would end the move into it.
    let error = stores.migrate(&to, &stores.sqlite("third.db")).unwrap_err();
    assert!(error.to_string().contains("is incomplete"), "{error}");

    assert!(stores.migrate_until(&first, &stores.database(), 5));
    let opened = Queue::open(&stores.database(), Options::default(), Caps::all(1));
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("run that again"), "{error}");
}

#[test]
fn what_cannot_be_moved_is_refused_and_stays_as_it_is() {
    let Some(stores) = Stores::new() else { return };
    let first = filled(&stores);
    let refused =
        |from: &StoreUrl, to: &StoreUrl| stores.migrate(from, to).unwrap_err().to_string();
    assert!(refused(&first, &first).contains("the same store"));
    let missing = stores.sqlite("missing.db");
    assert!(refused(&missing, &first).contains("there is no store"));
    assert!(!stores.folder.path().join("missing.db").exists());

    // Another store is there already.
    let other = stores.sqlite("other.db");
    stores.migrate(&first, &other).unwrap();
    let error = refused(&first, &other);
    assert!(
        error.contains("not empty (4 rows in deliveries)"),
        "{error}"
    );
    // What another store is being moved to.
    assert!(stores.migrate_until(&first, &stores.database(), 3));
    connect(&other)
        .execute(
            "UPDATE meta SET value = zeroblob(32) WHERE key = 'secret'",
            [],
        )
        .unwrap();
    let error = refused(&other, &stores.database());
    assert!(error.contains("a move from another store"), "{error}");
    stores.migrate(&first, &stores.database()).unwrap();

    // A delivery was cut off: a server has to say what became of it.
    let running = "UPDATE deliveries SET state = 1 WHERE id = 0";
    assert_eq!(connect(&other).execute(running, []), Ok(1));
    let error = refused(&other, &stores.sqlite("new.db"));
    assert!(error.contains("1 deliveries were running"), "{error}");
    assert!(error.contains("stop it with SIGTERM"), "{error}");
    assert!(!stores.folder.path().join("new.db").exists());
    stores.postgres.execute(running, &[]);
    let error = refused(&stores.database(), &stores.sqlite("new.db"));
    assert!(error.contains("1 deliveries were running"), "{error}");
}

#[tokio::test]
async fn a_store_in_use_is_refused() {
    let Some(stores) = Stores::new() else { return };
    let first = filled(&stores);
    let used = stores.sqlite("used.db");
    let open = Queue::open(&used, Options::default(), Caps::all(1)).unwrap();
    let move_between = |from: StoreUrl, to: StoreUrl| stores.migrate(&from, &to).unwrap_err();
    for error in [
        move_between(used.clone(), stores.database()),
        move_between(first.clone(), used.clone()),
    ] {
        assert!(
            error.to_string().contains("is in use by another"),
            "{error}"
        );
    }
    open.0.shutdown().await;
    drop(open);
    let open = Queue::open(&stores.database(), Options::default(), Caps::all(1)).unwrap();
    for error in [
        move_between(stores.database(), stores.sqlite("new.db")),
        move_between(first, stores.database()),
    ] {
        assert!(
            error.to_string().contains("is in use by another"),
            "{error}"
        );
    }
    drop(open);
}

#[tokio::test]
async fn a_server_on_the_moved_store_continues_what_was_open() {
    let Some(stores) = Stores::new() else { return };
    let mut before = crate::conformance::prelude::Harness::<SqliteBench>::new();
    let done = before.accept_new(firing("Done")).await;
    let leased = before.lease().await;
    before.settle(&leased, Next::Done);
    before.flush().await;
    let open = before.accept_new(firing("Open")).await;
    before.queue.shutdown().await;
    let (bench, clock) = before.ended();
    let file = StoreUrl::Sqlite(bench.path());
    stores.migrate(&file, &stores.database()).unwrap();

    let Stores { postgres, .. } = stores;
    let mut after = Harness::at(postgres, clock, Options::default(), Caps::all(1));
    assert_eq!(after.state(done).await, State::Done);
    assert_eq!(after.accept(firing("Done")).await, DUPLICATE);
    let leased = after.lease().await;
    assert_eq!(leased.id, open);
    after.settle(&leased, Next::Done);
    after.flush().await;
    assert_eq!(after.state(open).await, State::Done);
    let new = after.accept_new(firing("New")).await;
    assert!(new > open, "identifiers go on");
}
