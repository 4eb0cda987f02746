#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use alert_manager_core::alert::{Occurrence, Status};

use super::*;
use crate::conformance::prelude::{alert, from_millis};
use crate::model::{NewDelivery, OtherRoutes};
use crate::store::sqlite::{retention, schema};

fn filled(count: i64) -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    for n in 0..count {
        let alert = alert("A", n);
        let delivery = NewDelivery {
            id: DeliveryId::from_raw(n),
            state: State::Done,
            leases: 1,
            priority: alert_manager_core::alert::Priority::Normal,
            status: Some(Status::Firing),
            fingerprint: Some(alert.fingerprint),
            starts_at: Some(alert.starts_at),
            occurrence: Occurrence::FIRST,
            sent_starts_at: None,
            accepted_at: from_millis(n),
            settled_at: Some(from_millis(n)),
            alertname: "A".into(),
            route: "route".into(),
            other_routes: OtherRoutes::None,
            pipeline: [HandlerName::new("notify")].into(),
            reason: None,
            last_error: None,
            storm_key: None,
            storm: None,
            alert: Some(Arc::new(alert)),
            json: "{}".into(),
            timer: None,
        };
        rows::insert(&conn, &delivery).unwrap();
    }
    (dir, conn)
}

/// The same, with the deliveries removed.
fn only_history(count: i64) -> (tempfile::TempDir, Connection) {
    let (dir, conn) = filled(count);
    for n in 0..count {
        retention::remove(&conn, DeliveryId::from_raw(n)).unwrap();
    }
    (dir, conn)
}

#[test]
fn no_more_than_the_newest_of_a_name_are_read_whether_or_not_their_deliveries_are_removed() {
    let asked = Earlier {
        same: Vec::new(),
        since: Timestamp::UNIX_EPOCH,
    };
    let on = ("route", &HandlerName::new("notify"));
    for (_dir, conn) in [filled(10), only_history(10)] {
        let counted = |rows_max| like(&conn, &alert("A", 9), on, &asked, rows_max).unwrap();
        assert_eq!(counted(100).count, 9, "its own does not count");
        let few = counted(4);
        let ids: Vec<_> = few
            .occurrences
            .iter()
            .map(|one| one.delivery.as_raw())
            .collect();
        assert_eq!((few.count, ids), (3, vec![8, 7, 6]));
    }
}

fn ids(conn: &Connection) -> Vec<i64> {
    let mut statement = conn.prepare("SELECT id FROM history ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    let ids: Vec<i64> = rows.map(Result::unwrap).collect();
    let counted = meta::number(conn, ROWS).unwrap();
    assert_eq!(
        counted,
        Some(ids.len().try_into().unwrap()),
        "the count is kept"
    );
    ids
}

#[test]
fn old_occurrences_go_in_steps() {
    let step = i64::from(HISTORY_A_STEP);
    let (_dir, conn) = only_history(step + 5);
    assert!(forget(&conn, step + 1).unwrap(), "there is more");
    assert!(!forget(&conn, step + 1).unwrap());
    assert_eq!(ids(&conn), [step + 2, step + 3, step + 4]);
}

#[test]
fn of_a_store_that_is_too_large_the_oldest_occurrences_beyond_their_share_go() {
    let (_dir, conn) = only_history(10);
    let bytes_for = |rows: u64| rows * ROW_BYTES * SHARE;
    assert!(!remove_beyond_share(&conn, bytes_for(20)).unwrap());
    assert_eq!(ids(&conn).len(), 10);
    assert!(!remove_beyond_share(&conn, bytes_for(4)).unwrap());
    assert_eq!(ids(&conn), [6, 7, 8, 9]);
}

#[test]
fn an_end_is_noted_where_the_occurrence_is_and_goes_with_it_into_history() {
    let (_dir, conn) = filled(2);
    let ended = |n: i64| {
        let of_history: Option<Option<i64>> = conn
            .query_row("SELECT ends_at FROM history WHERE id = ?1", [n], |row| {
                row.get(0)
            })
            .ok();
        of_history
    };
    for n in 0..2 {
        let (id, at) = (DeliveryId::from_raw(n), from_millis(100 + n));
        if n == 0 {
            end(&conn, &alert("A", n), &[id], at).unwrap();
            retention::remove(&conn, id).unwrap();
        } else {
            retention::remove(&conn, id).unwrap();
            assert_eq!(ended(n), Some(None));
            end(&conn, &alert("A", n), &[id], at).unwrap();
        }
        assert_eq!(ended(n), Some(Some(nanos(at))), "{n}");
    }
}
