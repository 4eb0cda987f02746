//! A database that waits for a synchronous standby.

use std::time::Duration;

use crate::conformance::prelude::{eventually, firing};
use crate::model::Durability;
use crate::store::postgres::bench::Cluster;
use crate::store::postgres::durability;
use crate::store::postgres::session::Session;
use crate::store::postgres::values::Columns as _;

use super::replicas::{parcel, run, server};

/// Changes for which standbys commits wait.
fn wait_for(session: &Session, names: &str) {
    session
        .batch(&format!(
            "ALTER SYSTEM SET synchronous_standby_names = '{names}'"
        ))
        .unwrap();
    session.batch("SELECT pg_reload_conf()").unwrap();
    let shown = || {
        let row = session.one("SHOW synchronous_standby_names", &[]).unwrap();
        row.text(0).unwrap()
    };
    while shown() != names {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Cancels what waits for a standby; returns how many there were.
fn cancel_waits(session: &Session) -> i64 {
    let waits =
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    session.one(waits, &[]).unwrap().int(0).unwrap()
}

#[tokio::test]
async fn a_commit_whose_wait_for_a_standby_was_cancelled_is_not_answered_as_durable() {
    let settings = "-c max_wal_senders=2 -c wal_level=replica";
    let Some(cluster) = Cluster::start(settings) else {
        return;
    };
    let database = cluster.database("postgres");
    let observer = cluster.session("postgres").unwrap();
    observer.batch("SET synchronous_commit = local").unwrap();
    assert_eq!(durability(&database).unwrap(), Durability::Alone);
    let (queue, mut leases) = server(&database);
    queue.accept(parcel(firing("A"))).await.unwrap();
    assert_eq!(run(&queue, &mut leases, 1).await[0].0, "A");
    eventually(async || queue.counts().depth == 0).await;

    wait_for(&observer, "absent");
    assert_eq!(durability(&database).unwrap(), Durability::NoStandby);
    let accepted = {
        let queue = queue.clone();
        tokio::spawn(async move { queue.accept(parcel(firing("B"))).await })
    };
    // The first is the commit itself, later ones are those by which it is looked up, or beats.
    let stored = "SELECT count(*) FROM alert_manager.deliveries WHERE alertname = 'B'";
    eventually(async || {
        cancel_waits(&observer);
        observer.one(stored, &[]).unwrap().int(0).unwrap() == 1
    })
    .await;
    eventually(async || {
        cancel_waits(&observer);
        queue.unwritable().is_some()
    })
    .await;
    assert!(!accepted.is_finished(), "it may not outlive a fail-over");
    wait_for(&observer, "");
    accepted.await.unwrap().unwrap();
    let stored = observer.one(stored, &[]).unwrap();
    assert_eq!(stored.int(0).unwrap(), 1);
}
