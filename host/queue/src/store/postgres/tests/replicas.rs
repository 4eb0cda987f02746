//! Several servers on one database: all accept, one has the term and runs, and another one takes over.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::Status;
use alert_manager_core::journal::LedgerError;
use tokio::sync::Barrier;

use crate::conformance::prelude::{eventually, firing, name, resolved, settlement};
use crate::store::postgres::database::Database;
use crate::store::postgres::term::Patience;
use crate::store::postgres::values::Columns as _;
use crate::store::postgres::{PostgresReplica, Settings};
use crate::{AcceptError, Caps, Clock, Leased, Leases, Next, Options, Parcel, Queue, Verdict};

use super::bench;
use super::proxy::Proxy;
use crate::store::postgres::bench::PostgresBench;

/// A server whose holder counts as gone as soon as no process of the database serves it.
pub(super) fn server(database: &Database) -> (Queue, Leases) {
    let settings = Settings {
        patience: Patience {
            gone: Duration::ZERO,
            ..Patience::default()
        },
        ..Settings::default()
    };
    let (options, clock) = (Options::default(), Clock::system());
    let replica = PostgresReplica::open(database, settings, &options, clock.clone()).unwrap();
    Queue::on(replica, options, Caps::all(8), clock).unwrap()
}

/// Two servers, of which the first has the term.
pub(super) fn pair(bench: &PostgresBench) -> [(Queue, Leases); 2] {
    let first = server(bench.database());
    let second = server(bench.database());
    assert!(*first.0.leads().borrow() && !*second.0.leads().borrow());
    [first, second]
}

pub(super) fn parcel(alert: crate::Submission) -> Parcel {
    Parcel::new(vec![alert], Vec::new())
}

fn end(queue: &Queue, leased: Leased) {
    queue.release_permit(&leased.handler);
    queue.settle(settlement(&leased, Next::Done));
}

/// Runs what is leased to a server until it has run `count` deliveries; returns their alerts.
pub(super) async fn run(queue: &Queue, leases: &mut Leases, count: usize) -> Vec<(String, Status)> {
    let mut ran = Vec::with_capacity(count);
    while ran.len() < count {
        let leased = leases.next().await.unwrap();
        ran.push((leased.alert.name().to_owned(), leased.alert.status));
        end(queue, leased);
    }
    ran
}

fn stored(bench: &PostgresBench, sql: &str) -> i64 {
    bench.query(sql, &[])[0].int(0).unwrap()
}

const OPEN: &str =
    "SELECT (SELECT count(*) FROM deliveries WHERE state < 3) + (SELECT count(*) FROM arrivals)";

#[tokio::test]
async fn what_a_server_without_the_term_accepts_runs_where_the_term_is() {
    let Some(bench) = bench() else { return };
    let [(first, mut leases), (second, mut idle)] = pair(&bench);
    let receipt = second.accept(parcel(firing("A"))).await.unwrap();
    assert_eq!(receipt.verdicts, [Verdict::Accepted(Vec::new())]);
    let ran = run(&first, &mut leases, 1).await;
    assert_eq!(ran, [("A".to_owned(), Status::Firing)]);
    // The same again is a duplicate, wherever it is sent.
    second.accept(parcel(firing("A"))).await.unwrap();
    let again = first.accept(parcel(firing("A"))).await.unwrap();
    assert!(matches!(again.verdicts[..], [Verdict::Duplicate(_)]));
    second.accept(parcel(resolved("A"))).await.unwrap();
    let ran = run(&first, &mut leases, 1).await;
    assert_eq!(ran, [("A".to_owned(), Status::Resolved)]);
    eventually(async || stored(&bench, OPEN) == 0).await;
    assert_eq!(stored(&bench, "SELECT count(*) FROM deliveries"), 2);
    let nothing = tokio::time::timeout(Duration::ZERO, idle.next()).await;
    assert!(nothing.is_err(), "the other one runs nothing");
}

#[tokio::test]
async fn what_was_answered_elsewhere_comes_before_what_is_sent_later() {
    let Some(bench) = bench() else { return };
    let [(first, mut leases), (second, _idle)] = pair(&bench);
    for n in 0..50 {
        let alert = format!("A{n}");
        second.accept(parcel(firing(&alert))).await.unwrap();
        first.accept(parcel(resolved(&alert))).await.unwrap();
    }
    let ran = run(&first, &mut leases, 100).await;
    in_order(&ran, 50);
}

#[tokio::test]
async fn a_server_without_the_term_counts_what_another_one_decides_and_notifies_of_it() {
    let Some(bench) = bench() else { return };
    let [(first, mut leases), (second, _idle)] = pair(&bench);
    let counted = || second.overview(8).elsewhere.unwrap();
    let standing = |counted: &crate::Elsewhere| (counted.queued, counted.running, counted.dead);
    let mut commits = second.commits();
    commits.mark_unchanged();
    first.accept(parcel(firing("A"))).await.unwrap();
    commits.changed().await.unwrap();
    let leased = leases.next().await.unwrap();
    eventually(async || standing(&counted()) == (0, 1, 0)).await;
    first.release_permit(&leased.handler);
    first.settle(settlement(&leased, Next::Dead("no".to_owned())));
    eventually(async || standing(&counted()) == (0, 0, 1)).await;
    assert_eq!(counted().depth(), 0);
    assert_eq!(second.counts().dead, 0, "it is a dead letter of the other");
    assert!(first.overview(8).elsewhere.is_none());
    // What is done changes no count.
    commits.mark_unchanged();
    first.accept(parcel(firing("B"))).await.unwrap();
    run(&first, &mut leases, 1).await;
    commits.changed().await.unwrap();
}

/// Checks that each alert fired before it resolved.
fn in_order(ran: &[(String, Status)], alerts: usize) {
    for n in 0..alerts {
        let alert = format!("A{n}");
        let of: Vec<_> = ran.iter().filter(|(name, _)| *name == alert).collect();
        let statuses: Vec<_> = of.iter().map(|(_, status)| *status).collect();
        assert_eq!(statuses, [Status::Firing, Status::Resolved], "{alert}");
    }
}

#[tokio::test]
async fn a_firing_and_its_resolved_at_the_same_moment_keep_the_order() {
    const ALERTS: usize = 50;
    let Some(bench) = bench() else { return };
    let [(first, mut leases), (second, _idle)] = pair(&bench);
    for n in 0..ALERTS {
        let alert = format!("A{n}");
        let barrier = Arc::new(Barrier::new(2));
        let (fires, resolves) = match n % 2 {
            0 => (&first, &second),
            _ => (&second, &first),
        };
        let send = |queue: &Queue, what| {
            let (queue, barrier) = (queue.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                queue.accept(parcel(what)).await.unwrap()
            })
        };
        let sent = (
            send(fires, firing(&alert)),
            send(resolves, resolved(&alert)),
        );
        sent.0.await.unwrap();
        sent.1.await.unwrap();
    }
    eventually(async || stored(&bench, "SELECT count(*) FROM arrivals") == 0).await;
    let open = usize::try_from(stored(&bench, "SELECT count(*) FROM deliveries")).unwrap();
    let ran = run(&first, &mut leases, open).await;
    for n in 0..ALERTS {
        let alert = format!("A{n}");
        let of: Vec<_> = ran.iter().filter(|(name, _)| *name == alert).collect();
        let statuses: Vec<_> = of.iter().map(|(_, status)| *status).collect();
        let is_in_order = matches!(
            statuses[..],
            [Status::Firing, Status::Resolved] | [Status::Resolved]
        );
        assert!(is_in_order, "{alert}: {statuses:?}");
    }
}

#[tokio::test]
async fn another_server_takes_over_from_one_that_was_killed_and_loses_nothing() {
    let Some(bench) = bench() else { return };
    let [(first, mut leases), (second, mut others)] = pair(&bench);
    first.accept(parcel(firing("A"))).await.unwrap();
    second.accept(parcel(firing("B"))).await.unwrap();
    // One of them is under way when the server dies, and its end is not stored.
    let begun = leases.next().await.unwrap();
    drop((first, leases));
    // Until another one has taken over, alerts are accepted.
    second.accept(parcel(firing("C"))).await.unwrap();
    let mut ran = Vec::new();
    let mut after_crash = Vec::new();
    while ran.len() < 3 {
        let leased = others.next().await.unwrap();
        let name = leased.alert.name().to_owned();
        after_crash.extend(leased.after_crash.then_some((leased.id, name.clone())));
        ran.push(name);
        end(&second, leased);
    }
    ran.sort_unstable();
    assert_eq!(ran, ["A", "B", "C"]);
    // B may have been leased there too. C was accepted later.
    assert!(
        after_crash.iter().any(|(id, _)| *id == begun.id),
        "it may have had an effect"
    );
    assert!(
        after_crash.iter().all(|(_, name)| name != "C"),
        "{after_crash:?}"
    );
    assert!(*second.leads().borrow());
    eventually(async || stored(&bench, OPEN) == 0).await;
}

#[tokio::test]
async fn a_server_that_was_cut_off_stores_nothing_afterwards_and_accepts_for_the_next_one() {
    let Some(bench) = bench() else { return };
    let proxy = Proxy::before(&bench);
    let (first, mut leases) = server(&proxy.database(&bench));
    let (second, mut others) = server(bench.database());
    first.accept(parcel(firing("A"))).await.unwrap();
    let leased = leases.next().await.unwrap();
    let ledger = first.ledger(leased.lease, 0, &name("notify"));
    assert_eq!(ledger.ready(), Ok(()));
    proxy.cut();
    let again = others.next().await.unwrap();
    assert_eq!((again.id, again.after_crash), (leased.id, true));
    proxy.mend();
    let mut leads = first.leads();
    leads.wait_for(|leads| !leads).await.unwrap();
    assert_eq!(ledger.ready(), Err(LedgerError::LeaseLost));
    assert_eq!(ledger.record(Vec::new()).await, Err(LedgerError::LeaseLost));
    end(&first, leased);
    end(&second, again);
    // Without a restart it accepts again.
    loop {
        match first.accept(parcel(firing("B"))).await {
            Ok(_) => break,
            Err(AcceptError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
    let ran = run(&second, &mut others, 1).await;
    assert_eq!(ran, [("B".to_owned(), Status::Firing)]);
    eventually(async || stored(&bench, OPEN) == 0).await;
    let attempts = "SELECT sum(attempts)::bigint FROM deliveries";
    assert_eq!(stored(&bench, attempts), 2, "each ended once");
    // And it takes over in its turn.
    drop((second, others));
    first.leads().wait_for(|leads| *leads).await.unwrap();
    first.accept(parcel(firing("C"))).await.unwrap();
    let ran = run(&first, &mut leases, 1).await;
    assert_eq!(ran, [("C".to_owned(), Status::Firing)]);
}

#[tokio::test]
async fn a_body_whose_commit_is_not_answered_is_stored_once() {
    let Some(bench) = bench() else { return };
    let (first, mut leases) = server(bench.database());
    let proxy = Proxy::before(&bench);
    let (second, _idle) = server(&proxy.database(&bench));
    second.accept(parcel(firing("A"))).await.unwrap();
    assert_eq!(run(&first, &mut leases, 1).await.len(), 1);
    proxy.swallow();
    // It is found to be committed, or the sender is asked to send it again.
    while second.accept(parcel(firing("B"))).await.is_err() {
        tokio::task::yield_now().await;
    }
    let ran = run(&first, &mut leases, 1).await;
    assert_eq!(ran, [("B".to_owned(), Status::Firing)]);
    eventually(async || stored(&bench, OPEN) == 0).await;
    let of_b = "SELECT count(*) FROM deliveries WHERE alertname = 'B'";
    assert_eq!(stored(&bench, of_b), 1);
}

#[tokio::test]
async fn a_full_queue_is_full_at_every_server() {
    let Some(bench) = bench() else { return };
    let options = Options {
        queue_depth_max: 2,
        ..Options::default()
    };
    let join = || {
        let settings = bench.settings().clone();
        let clock = Clock::system();
        let database = bench.database();
        let replica = PostgresReplica::open(database, settings, &options, clock.clone()).unwrap();
        Queue::on(replica, options.clone(), Caps::all(8), clock).unwrap()
    };
    let ((first, _leases), (second, _idle)) = (join(), join());
    first.accept(parcel(firing("A"))).await.unwrap();
    first.accept(parcel(firing("B"))).await.unwrap();
    let mut n = 0;
    loop {
        n += 1;
        match second.accept(parcel(firing(&format!("C{n}")))).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(AcceptError::QueueFull(depth)) => break assert!(depth >= 2),
            Err(other) => panic!("{other}"),
        }
    }
}
