//! Connections that are lost, and what the server checks about a database before it uses it.

use std::sync::Arc;

use alert_manager_core::alert::Fingerprint;

use crate::commit;
use crate::conformance::Bench as _;
use crate::conformance::prelude::{eventually, firing, settlement};
use crate::model::OpenError;
use crate::store::postgres::session::{Io, Purpose, Session};
use crate::store::postgres::values::Columns as _;
use crate::store::postgres::{PostgresStore, layout};
use crate::store::{Change, Committed, Resolved, Store as _, Txn as _};
use crate::{AcceptError, Caps, Clock, Next, Options, Parcel, Queue, State, Verdict};

use super::bench;
use super::proxy::Proxy;
use super::replicas::{parcel, run, server};
use crate::store::postgres::bench::PostgresBench;

fn through(proxy: &Proxy, bench: &PostgresBench) -> PostgresStore {
    let settings = bench.settings().clone();
    let database = proxy.database(bench);
    PostgresStore::open(&database, settings, &Options::default(), Clock::system()).unwrap()
}

fn alarm(n: u64) -> Change<'static> {
    Change::Alarms([Fingerprint(n)].into())
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_to_be_committed_or_not() {
    let Some(bench) = bench() else { return };
    let proxy = Proxy::before(&bench);
    let mut store = through(&proxy, &bench);
    // Prepares the statements.
    let mut txn = store.begin().unwrap();
    txn.apply(&[alarm(1)], &mut Vec::new()).unwrap();
    assert_eq!(txn.commit(), Committed::Yes);

    let mut txn = store.begin().unwrap();
    txn.apply(&[alarm(2)], &mut Vec::new()).unwrap();
    proxy.swallow();
    assert_eq!(txn.commit(), Committed::Unknown);
    assert_eq!(store.resolve(), Ok(Resolved::Committed));
    let stored = store.begin().unwrap().alarms().unwrap();
    assert!(stored.contains(&Fingerprint(2)));

    let mut txn = store.begin().unwrap();
    txn.apply(&[alarm(3)], &mut Vec::new()).unwrap();
    proxy.cut();
    assert_eq!(txn.commit(), Committed::Unknown);
    assert!(store.resolve().is_err(), "the database does not answer");
    proxy.mend();
    assert_eq!(store.resolve(), Ok(Resolved::RolledBack));
    let stored = store.begin().unwrap().alarms().unwrap();
    assert!(stored.contains(&Fingerprint(2)) && !stored.contains(&Fingerprint(3)));
}

#[test]
fn an_idle_connection_that_was_closed_is_replaced_without_an_error() {
    let Some(bench) = bench() else { return };
    let proxy = Proxy::before(&bench);
    let mut store = through(&proxy, &bench);
    store.probe().unwrap();
    proxy.cut();
    proxy.mend();
    store.probe().unwrap();
}

#[tokio::test]
async fn while_the_database_is_away_alerts_are_refused_and_work_waits_with_its_answer_in_hand() {
    let Some(bench) = bench() else { return };
    let proxy = Proxy::before(&bench);
    let store = through(&proxy, &bench);
    let clock = Clock::system();
    let started = commit::start(store, Options::default(), Caps::all(8), clock).unwrap();
    let (queue, mut leases) = Queue::over(started).unwrap();
    leases.attach();
    let accept = |name: &str| queue.accept(Parcel::new(vec![firing(name)], Vec::new()));
    accept("A").await.unwrap();
    let leased = leases.next().await.unwrap();
    proxy.cut();
    let refused = accept("B").await;
    assert!(
        matches!(refused, Err(AcceptError::Unavailable(_))),
        "{refused:?}"
    );
    queue.release_permit(&leased.handler);
    queue.settle(settlement(&leased, Next::Done));
    assert!(queue.unwritable().is_some());
    proxy.mend();
    eventually(async || {
        let peek = bench.peek(leased.id).unwrap();
        peek.state == State::Done
    })
    .await;
    eventually(async || queue.unwritable().is_none()).await;
    let receipt = accept("B").await.unwrap();
    assert!(matches!(receipt.verdicts[0], Verdict::Accepted(_)));
    queue.shutdown().await;
}

#[tokio::test]
async fn when_the_first_of_two_hosts_fails_the_server_goes_on_at_the_second_without_a_restart() {
    let Some(bench) = bench() else { return };
    let (a, b) = (Proxy::before(&bench), Proxy::before(&bench));
    let (queue, mut leases) = server(&Proxy::either(&a, &b, &bench));
    queue.accept(parcel(firing("A"))).await.unwrap();
    assert_eq!(run(&queue, &mut leases, 1).await[0].0, "A");
    a.cut();
    // What was idle is replaced at once, and what was under way is looked up there.
    while queue.accept(parcel(firing("B"))).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(run(&queue, &mut leases, 1).await[0].0, "B");
    // And back, if that fails in its turn.
    a.mend();
    b.cut();
    while queue.accept(parcel(firing("C"))).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(run(&queue, &mut leases, 1).await[0].0, "C");
}

#[test]
fn tables_of_a_newer_version_are_refused_in_words() {
    let Some(bench) = bench() else { return };
    let open = || {
        let settings = bench.settings().clone();
        let options = Options::default();
        PostgresStore::open(bench.database(), settings, &options, Clock::system())
    };
    open().unwrap().close(&[]).unwrap();
    bench.execute("UPDATE layout SET version = version + 1", &[]);
    let refused = open().unwrap_err();
    bench.execute("UPDATE layout SET version = version - 1", &[]);
    let newer = layout::LAYOUT + 1;
    assert!(
        matches!(refused, OpenError::Newer { found, known, .. } if (found, known) == (newer, layout::LAYOUT)),
        "{refused}"
    );
    open().unwrap();
}

#[test]
fn servers_that_start_at_the_same_time_make_the_tables_once() {
    let Some(bench) = bench() else { return };
    let (io, database) = (&bench.cluster().io, bench.database());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let session = Session::connect(io, database, Purpose::Write).unwrap();
                layout::prepare(&session).unwrap();
            });
        }
    });
    let version = &bench.query("SELECT version FROM layout", &[])[0];
    assert_eq!(version.int(0).unwrap(), layout::LAYOUT);
}

#[test]
fn durability_that_a_role_has_turned_off_is_turned_on_for_what_is_written() {
    let Some(bench) = bench() else { return };
    let name = bench.name();
    let setting = |sql: &str| bench.execute(&format!("ALTER DATABASE {name} {sql}"), &[]);
    let shown = || {
        let io: &Arc<Io> = &bench.cluster().io;
        let session = Session::connect(io, bench.database(), Purpose::Write).unwrap();
        let row = session.one("SHOW synchronous_commit", &[]).unwrap();
        row.text(0).unwrap()
    };
    setting("SET synchronous_commit = off");
    assert_eq!(shown(), "on");
    setting("SET synchronous_commit = remote_apply");
    assert_eq!(shown(), "remote_apply", "what is stricter stays");
    setting("RESET synchronous_commit");
}

#[test]
fn an_error_names_the_database_and_says_no_password() {
    let Some(bench) = bench() else { return };
    let (host, port) = (bench.cluster().folder.display(), bench.cluster().port);
    for url in [
        format!("postgres://tester:hunter2@/absent_db?host={host}&port={port}"),
        "postgres://tester:hunter2@127.0.0.1:1/db".to_owned(),
    ] {
        let database = url.parse().unwrap();
        let settings = bench.settings().clone();
        let options = Options::default();
        let opened = PostgresStore::open(&database, settings, &options, Clock::system());
        let refused = opened.unwrap_err().to_string();
        assert!(refused.contains("postgres://tester@"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
        assert!(!format!("{database:?}").contains("hunter2"));
    }
}
