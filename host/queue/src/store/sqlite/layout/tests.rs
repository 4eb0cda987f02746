//! Migrations from earlier layouts.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use rusqlite::{Connection, StatementStatus};

use super::LAYOUT;
use crate::model::Reason;
use crate::store::sqlite::codes;
use crate::store::sqlite::schema::{open, open_reader};

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

#[test]
fn a_cached_statement_is_not_prepared_again_for_other_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let writer = open(&path).unwrap().conn;
    let reader = open_reader(&path).unwrap();
    for conn in [&writer, &reader] {
        let select = |limit: i64| {
            let mut statement = conn
                .prepare_cached("SELECT id FROM deliveries WHERE state = ?1 LIMIT ?2")
                .unwrap();
            assert!(
                statement
                    .query((3, limit))
                    .unwrap()
                    .next()
                    .unwrap()
                    .is_none()
            );
            statement.get_status(StatementStatus::RePrepare)
        };
        assert_eq!((select(5), select(6)), (0, 0));
    }
}

/// The tables of the seventh layout that later ones have changed.
macro_rules! layout_7 {
    () => {
        "
    DROP INDEX deliveries_alertname;
    ALTER TABLE deliveries DROP COLUMN labels;
    ALTER TABLE deliveries DROP COLUMN ends_at;
    DELETE FROM meta WHERE key IN ('history_rows', 'grants_used_since');
    DROP TABLE grants_used;
    DROP TABLE activity;
    DROP TABLE audit;
    PRAGMA user_version = 7;"
    };
}

#[test]
fn a_store_of_the_seventh_layout_counts_its_history_and_finds_deliveries_by_alertname() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let conn = open(&path).unwrap().conn;
    conn.execute_batch(layout_7!()).unwrap();
    conn.execute_batch(
        "INSERT INTO deliveries (id, state, accepted_at, alertname, route, handlers)
             VALUES (8, 0, 1, 'A', 'r', ',h,');
         INSERT INTO history (id, alertname, starts_at, fingerprint, occurrence, accepted_at, route, handlers, labels)
             VALUES (7, 'A', 1, 1, 1, 1, 'r', ',h,', x''), (8, 'A', 2, 1, 1, 2, 'r', ',h,', x'');",
    )
    .unwrap();
    drop(conn);
    let conn = open(&path).unwrap().conn;
    let found = "SELECT concat_ws(' ', id, labels IS NULL, (SELECT value FROM meta WHERE key = 'history_rows'))
        FROM deliveries INDEXED BY deliveries_alertname WHERE alertname = 'A'";
    assert_eq!(text(&conn, found), "8 1 2");
    drop(conn);
    assert!(open(&path).is_ok());
}

/// The tables of the sixth layout that later ones have changed.
macro_rules! layout_6 {
    () => {
        concat!(
            layout_7!(),
            "
    ALTER TABLE deliveries DROP COLUMN timer_key;
    ALTER TABLE deliveries DROP COLUMN set_by;
    DROP TABLE history;
    DROP TABLE timers;
    PRAGMA user_version = 6;"
        )
    };
}

#[test]
fn a_store_of_the_sixth_layout_knows_no_history_and_no_timer_yet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let conn = open(&path).unwrap().conn;
    conn.execute_batch(layout_6!()).unwrap();
    conn.execute_batch(
        "INSERT INTO deliveries (id, state, accepted_at, alertname, route, handlers)
             VALUES (8, 0, 1, 'A', 'r', ',h,');",
    )
    .unwrap();
    drop(conn);
    let conn = open(&path).unwrap().conn;
    assert_eq!(
        text(
            &conn,
            "SELECT concat_ws(' ', id, timer_key IS NULL, set_by IS NULL) FROM deliveries"
        ),
        "8 1 1"
    );
    assert_eq!(
        text(
            &conn,
            "SELECT concat_ws(' ', (SELECT count(*) FROM history), (SELECT count(*) FROM timers))"
        ),
        "0 0"
    );
    drop(conn);
    assert!(open(&path).is_ok());
}

/// The tables of the fifth layout that later ones have changed.
macro_rules! layout_5 {
    () => {
        concat!(
            layout_6!(),
            "
    DROP INDEX deliveries_members;
    ALTER TABLE deliveries DROP COLUMN parked;
    ALTER TABLE deliveries DROP COLUMN storm_key;
    ALTER TABLE deliveries DROP COLUMN storm;
    ALTER TABLE deliveries DROP COLUMN representative;
    DROP TABLE storms;
    DROP TABLE gates;
    PRAGMA user_version = 5;"
        )
    };
}

#[test]
fn a_store_of_the_fifth_layout_knows_no_gate_and_no_storm_yet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let conn = open(&path).unwrap().conn;
    conn.execute_batch(layout_5!()).unwrap();
    conn.execute_batch(
        "INSERT INTO deliveries (id, state, accepted_at, alertname, route, handlers)
             VALUES (8, 0, 1, 'A', 'r', ',h,');",
    )
    .unwrap();
    drop(conn);
    let conn = open(&path).unwrap().conn;
    assert_eq!(
        text(
            &conn,
            "SELECT concat_ws(' ', id, parked, storm_key IS NULL, storm IS NULL, representative IS NULL)
             FROM deliveries"
        ),
        "8 0 1 1 1"
    );
    assert_eq!(
        text(
            &conn,
            "SELECT concat_ws(' ', (SELECT count(*) FROM storms), (SELECT count(*) FROM gates))"
        ),
        "0 0"
    );
    drop(conn);
    assert!(open(&path).is_ok());
}

/// The tables of the fourth layout that later ones have changed.
const LAYOUT_4: &str = concat!(
    layout_5!(),
    "
    DROP INDEX deliveries_dead;
    ALTER TABLE deliveries DROP COLUMN reason;
    CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 4;
    PRAGMA user_version = 4;"
);

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
        .map(|code| codes::reason_of(code.unwrap()))
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
const LAYOUT_3: &str = concat!(
    layout_5!(),
    "
    DROP INDEX deliveries_dead;
    ALTER TABLE deliveries DROP COLUMN reason;
    CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 4;
    ALTER TABLE deliveries DROP COLUMN waits_for;
    PRAGMA user_version = 3;"
);

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
const LAYOUT_2: &str = concat!(
    layout_5!(),
    "
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
    PRAGMA user_version = 2;"
);

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
    // Restored and migrated again: the copy is that of the last migration.
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
