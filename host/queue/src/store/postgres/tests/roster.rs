//! The list of the servers on a database.

use std::time::Duration;

use alert_manager_core::alert::HandlerName;

use crate::conformance::prelude::eventually;
use crate::store::postgres::bench::PostgresBench;
use crate::store::postgres::roster;
use crate::store::postgres::session::{Purpose, Session};
use crate::{ListedReplica, Queue, ReplicaAbout, ServedHandler};

use super::bench;
use super::proxy::Proxy;
use super::replicas::{pair, server};

pub(super) fn about(host: &str) -> ReplicaAbout {
    ReplicaAbout {
        host: host.to_owned(),
        version: "1.2.3".to_owned(),
        handlers: Some(vec![ServedHandler {
            name: HandlerName::new("notify"),
            version: format!("of {host}"),
            sha256: "0".repeat(64),
        }]),
    }
}

fn of<'l>(listed: &'l [ListedReplica], host: &str) -> Option<&'l ListedReplica> {
    listed.iter().find(|replica| replica.about.host == host)
}

/// Waits until a server lists as many others, and returns the list.
async fn lists(queue: &Queue, count: usize) -> Vec<ListedReplica> {
    let is_listed = || {
        let listed = queue.replicas();
        let said = listed.iter().filter(|one| !one.about.host.is_empty());
        listed.len() == count && said.count() == count
    };
    eventually(async || is_listed()).await;
    queue.replicas()
}

#[tokio::test]
async fn each_server_lists_all_with_what_they_say_and_which_has_the_term() {
    let Some(bench) = bench() else { return };
    let [(first, _leases), (second, _idle)] = pair(&bench);
    first.announce(about("a"));
    second.announce(about("b"));
    for (queue, own) in [(&first, "a"), (&second, "b")] {
        let listed = lists(queue, 2).await;
        for host in ["a", "b"] {
            let replica = of(&listed, host).unwrap();
            assert_eq!(replica.about, about(host));
            assert_eq!(replica.is_this, host == own);
            assert_eq!(replica.term_since.is_some(), host == "a");
            assert!(replica.is_alive());
        }
    }
    // What has changed is seen.
    first.announce(about("c"));
    eventually(async || of(&second.replicas(), "c").is_some()).await;
    // One that ends in order is taken off at once, and the next one has the term.
    first.shutdown().await;
    eventually(async || {
        let listed = second.replicas();
        listed.len() == 1 && listed[0].term_since.is_some()
    })
    .await;
}

#[tokio::test]
async fn one_that_is_cut_off_stops_beating_and_is_taken_off_the_list_after_a_time() {
    let Some(bench) = bench() else { return };
    let proxy = Proxy::before(&bench);
    let (first, _leases) = server(bench.database());
    let (second, _idle) = server(&proxy.database(&bench));
    first.announce(about("a"));
    second.announce(about("b"));
    lists(&first, 2).await;
    proxy.cut();
    eventually(async || of(&first.replicas(), "b").is_some_and(|one| !one.is_alive())).await;
    assert!(of(&first.replicas(), "a").unwrap().is_alive());
    // Those that are forgotten after a time are these.
    let ages = first.replicas().into_iter().map(|one| one.beat_age);
    assert!(ages.clone().max() > ages.min());
    let forgotten = forget(&bench, "b");
    assert_eq!(forgotten, 1);
    eventually(async || first.replicas().len() == 1).await;
    // It lists itself again when it is back.
    proxy.mend();
    lists(&first, 2).await;
}

/// Takes those off the list that have this host, unless they have beaten since they were listed.
fn forget(bench: &PostgresBench, host: &str) -> usize {
    let io = &bench.cluster().io;
    let session = Session::connect(io, bench.database(), Purpose::Read).unwrap();
    let listed = roster::list(&session).unwrap();
    let of_host = listed.iter().filter(|one| one.about.host == host);
    let silent: Vec<_> = of_host.map(|one| (one.id, one.beat)).collect();
    // One that has beaten since is not.
    let beaten: Vec<_> = silent.iter().map(|(id, beat)| (*id, beat - 1)).collect();
    roster::forget(&session, &beaten).unwrap();
    assert_eq!(roster::list(&session).unwrap().len(), listed.len());
    roster::forget(&session, &silent).unwrap();
    listed.len() - roster::list(&session).unwrap().len()
}

#[test]
fn a_server_counts_as_dead_after_six_seconds_without_a_beat() {
    let replica = |beat_age| ListedReplica {
        id: String::new(),
        about: about("a"),
        since: alert_manager_core::alert::Timestamp::UNIX_EPOCH,
        is_this: false,
        term_since: None,
        beat_age,
    };
    assert!(replica(Duration::from_millis(5_999)).is_alive());
    assert!(!replica(Duration::from_secs(6)).is_alive());
}
