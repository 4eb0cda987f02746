//! What retention removes, in which order, and what it keeps.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::model::clock::from_millis;
use crate::model::{ID_COUNTER_BITS, NewDelivery, OtherRoutes, split_handlers};
use crate::store::sqlite::codes::{QUEUED, state_of};
use crate::store::sqlite::schema;
use alert_manager_core::alert::{Fingerprint, Occurrence, Priority, Status};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn now() -> Timestamp {
    from_millis(100 * DAY_MS)
}

fn unsynced(dir: &tempfile::TempDir) -> Connection {
    let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    conn
}

fn put(conn: &Connection, accepted_ms: i64, state: i64, json: &str) -> i64 {
    put_for(conn, accepted_ms, state, ",a,", json)
}

fn put_for(conn: &Connection, accepted_ms: i64, state: i64, handlers: &str, json: &str) -> i64 {
    let at = from_millis(accepted_ms);
    let last: i64 = conn
        .query_one("SELECT coalesce(max(id), 0) FROM deliveries", [], |row| {
            row.get(0)
        })
        .unwrap();
    let id = (last + 1).max(accepted_ms << ID_COUNTER_BITS);
    let delivery = NewDelivery {
        storm_key: None,
        storm: None,
        id: DeliveryId::from_raw(id),
        state: state_of(state),
        leases: 1,
        priority: Priority::Normal,
        status: Some(Status::Firing),
        fingerprint: Some(Fingerprint(1)),
        starts_at: Some(at),
        occurrence: Occurrence::FIRST,
        sent_starts_at: None,
        accepted_at: at,
        settled_at: (state >= DONE).then_some(at),
        alertname: "A".into(),
        route: "route".into(),
        other_routes: OtherRoutes::None,
        pipeline: split_handlers(handlers).into(),
        reason: None,
        last_error: None,
        alert: None,
        json: json.into(),
        timer: None,
    };
    rows::insert(conn, &delivery).unwrap();
    rows::put_run(conn, delivery.id, 1, "{}", None).unwrap();
    if state == DEAD {
        rows::measure_dead(conn, delivery.id).unwrap();
    }
    id
}

/// Runs steps until there is nothing more to remove; returns what was removed.
fn round(conn: &Connection, options: &Options, needed_from: i64) -> RetentionRun {
    let mut retention = Retention::new();
    let mut all = RetentionRun::default();
    loop {
        let mut usage = kv::Usage::new();
        let limits = Limits {
            now: now(),
            options,
            last_id: 77,
            needed_from,
        };
        let (removed, more) = retention.remove(conn, limits, &mut usage).unwrap();
        all.by_time.add(removed.by_time);
        all.by_size.add(removed.by_size);
        if !more {
            return all;
        }
    }
}

fn up_to(bytes_max: u64) -> Options {
    Options {
        retention_bytes_max: bytes_max,
        ..Options::default()
    }
}

fn ids(conn: &Connection, sql: &str) -> Vec<i64> {
    let mut statement = conn.prepare(sql).unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

#[test]
fn what_settled_long_ago_goes_with_everything_that_hangs_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    for _ in 0..1_000 {
        put(&conn, 80 * DAY_MS, DONE, "{}");
    }
    put(&conn, 80 * DAY_MS, DEAD, "{}");
    let waiting = put(&conn, 80 * DAY_MS, QUEUED, "{}");
    let recent = put(&conn, 94 * DAY_MS, DONE, "{}");
    let removed = round(&conn, &Options::default(), i64::MAX);
    let expected = Removed {
        done: 1_000,
        dead: 1,
    };
    assert_eq!((removed.by_time, removed.by_size.sum()), (expected, 0));
    assert_eq!(ids(&conn, "SELECT id FROM deliveries"), [waiting, recent]);
    assert_eq!(ids(&conn, "SELECT id FROM alerts"), [waiting, recent]);
    assert_eq!(ids(&conn, "SELECT delivery FROM runs"), [waiting, recent]);
    assert_eq!(
        ids(&conn, "SELECT value FROM meta WHERE key = 'last_id'"),
        [77]
    );
}

#[test]
fn what_the_memory_of_events_is_read_from_stays() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    put(&conn, 80 * DAY_MS, DONE, "{}");
    let needed = put(&conn, 80 * DAY_MS, DONE, "{}");
    let later = put(&conn, 81 * DAY_MS, DONE, "{}");
    let full = up_to(0);
    for options in [&full, &Options::default()] {
        round(&conn, options, needed);
        assert_eq!(ids(&conn, "SELECT id FROM deliveries"), [needed, later]);
    }
}

#[test]
fn a_store_that_is_too_large_loses_its_oldest_and_its_file_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let json = "x".repeat(20_000);
    let all: Vec<i64> = (0..1_500)
        .map(|_| put(&conn, 99 * DAY_MS, DONE, &json))
        .collect();
    let before = pragma(&conn, "page_count").unwrap();
    let options = up_to(10 << 20);
    let removed = round(&conn, &options, i64::MAX);
    let left = ids(&conn, "SELECT id FROM deliveries");
    assert!(live_bytes(&conn).unwrap() <= options.retention_bytes_max);
    assert!(
        !left.is_empty() && all.ends_with(&left),
        "the oldest go, and no more than needed"
    );
    let gone = (all.len() - left.len()) as u64;
    assert_eq!(
        removed.by_size,
        Removed {
            done: gone,
            dead: 0
        }
    );
    assert!(live_bytes(&conn).unwrap() > options.retention_bytes_max * 9 / 10);
    assert!(pragma(&conn, "page_count").unwrap() < before * 2 / 3);
}

#[test]
fn an_event_is_remembered_for_seven_days_after_it_was_last_seen() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let put = |fingerprint: i64, seen: i64| {
        conn.execute(
            "INSERT INTO events VALUES (0, ?1, 1, 0, 0, ?2, 0, NULL, x'')",
            [fingerprint, seen * DAY_MS],
        )
        .unwrap();
    };
    for fingerprint in 0..1_200 {
        put(fingerprint, if fingerprint == 7 { 94 } else { 92 });
    }
    round(&conn, &Options::default(), i64::MAX);
    assert_eq!(ids(&conn, "SELECT fingerprint FROM events"), [7]);
}

#[test]
fn one_that_came_while_the_clock_was_ahead_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let early = put(&conn, 80 * DAY_MS, DONE, "{}");
    let ahead = put(&conn, 5_000 * DAY_MS, DONE, "{}");
    // Their identifiers come after it, years from now.
    let old = [DONE, DEAD].map(|state| put(&conn, 81 * DAY_MS, state, "{}"));
    let recent = put(&conn, 99 * DAY_MS, DONE, "{}");
    assert!(early < ahead && old.iter().all(|id| *id > ahead));
    let removed = round(&conn, &Options::default(), i64::MAX);
    assert_eq!(ids(&conn, "SELECT id FROM deliveries"), [ahead, recent]);
    assert_eq!(removed.by_time, Removed { done: 2, dead: 1 });
}

#[test]
fn dead_letters_stay_while_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let json = "x".repeat(20_000);
    let dead: Vec<i64> = (0..50)
        .map(|_| put(&conn, 95 * DAY_MS, DEAD, &json))
        .collect();
    for _ in 0..500 {
        put_for(&conn, 96 * DAY_MS, DONE, ",b,", &json);
    }
    let removed = round(&conn, &up_to(4 << 20), i64::MAX);
    assert!(removed.by_size.done > 300);
    assert_eq!(removed.by_size.dead, 0, "though they are the oldest");
    let left = ids(&conn, "SELECT id FROM deliveries WHERE state = 4");
    assert_eq!(left, dead);
}

#[test]
fn whose_dead_letters_fill_the_store_loses_them_before_others_do() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let (small, large) = ("x".repeat(2_000), "x".repeat(40_000));
    // More of them, and older.
    let others: Vec<i64> = (0..300)
        .map(|_| put_for(&conn, 95 * DAY_MS, DEAD, ",b,", &small))
        .collect();
    let own: Vec<i64> = (0..200)
        .map(|_| put_for(&conn, 96 * DAY_MS, DEAD, ",a,", &large))
        .collect();
    let options = up_to(4 << 20);
    let removed = round(&conn, &options, i64::MAX);
    let left = |handlers: &str| {
        let sql = format!("SELECT id FROM deliveries WHERE handlers = '{handlers}'");
        ids(&conn, &sql)
    };
    assert_eq!(left(",b,"), others);
    let kept = left(",a,");
    assert!(!kept.is_empty() && own.ends_with(&kept), "the oldest go");
    assert_eq!(removed.by_size.dead, (own.len() - kept.len()) as u64);
    assert!(live_bytes(&conn).unwrap() <= options.retention_bytes_max);
}

#[test]
fn no_dead_letter_goes_for_what_is_not_settled() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let json = "x".repeat(20_000);
    let dead = put(&conn, 95 * DAY_MS, DEAD, &json);
    for _ in 0..100 {
        put_for(&conn, 96 * DAY_MS, QUEUED, ",b,", &json);
    }
    let removed = round(&conn, &up_to(1 << 20), i64::MAX);
    assert_eq!(removed, RetentionRun::default());
    assert_eq!(
        ids(&conn, "SELECT id FROM deliveries WHERE state = 4"),
        [dead]
    );
}

#[test]
fn a_file_that_is_too_large_with_its_free_pages_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let json = "x".repeat(20_000);
    for _ in 0..400 {
        put(&conn, 99 * DAY_MS, DONE, &json);
    }
    // Less than a quarter of the file is free then.
    let all = live_bytes(&conn).unwrap();
    let options = up_to(all * 9 / 10);
    round(&conn, &options, i64::MAX);
    let file = pragma(&conn, "page_count").unwrap() * pragma(&conn, "page_size").unwrap();
    let slack = u64::from(PAGES_A_STEP) * pragma(&conn, "page_size").unwrap();
    assert!(file <= options.retention_bytes_max + slack, "{file} bytes");
}

#[test]
fn dead_letters_stay_while_what_is_done_cannot_go_yet() {
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let json = "x".repeat(20_000);
    for _ in 0..50 {
        put(&conn, 95 * DAY_MS, DEAD, &json);
    }
    put(&conn, 95 * DAY_MS, DONE, &json);
    let needed = put_for(&conn, 96 * DAY_MS, DONE, ",b,", &json);
    let removed = round(&conn, &up_to(1), needed);
    assert_eq!(removed.by_size, Removed { done: 1, dead: 0 });
}

#[test]
fn what_was_removed_is_counted_though_the_file_cannot_shrink() {
    const PAGE: u64 = 4_096;
    let dir = tempfile::tempdir().unwrap();
    let conn = unsynced(&dir);
    let json = "x".repeat(20_000);
    for _ in 0..50 {
        put(&conn, 80 * DAY_MS, DONE, &json);
    }
    for _ in 0..20 {
        put(&conn, 99 * DAY_MS, DONE, &json);
    }
    let pages = pragma(&conn, "page_count").unwrap();
    assert_eq!(pragma(&conn, "page_size").unwrap(), PAGE);
    drop(conn);
    // To move the last pages, SQLite must know who refers to them: that is on page 2, five bytes for each page.
    let path = dir.path().join("store.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let of_page = |page: u64| usize::try_from(PAGE + 5 * (page - 3)).unwrap();
    bytes[of_page(pages - 4)..of_page(pages + 1)].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let conn = Connection::open(&path).unwrap();
    let options = up_to(pages * PAGE * 3 / 4);
    assert!(pages * PAGE > options.retention_bytes_max);
    let mut usage = kv::Usage::new();
    let limits = Limits {
        now: now(),
        options: &options,
        last_id: 77,
        needed_from: i64::MAX,
    };
    let removed = Retention::new().remove(&conn, limits, &mut usage);
    assert!(shrink(&conn, 0).is_err());
    assert_eq!(removed.unwrap().0.by_time.done, 50);
}
