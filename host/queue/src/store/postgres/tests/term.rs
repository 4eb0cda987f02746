//! One server has the term. Another is refused while it lives, and takes over when it does not.

use std::time::Duration;

use alert_manager_core::alert::{DeliveryId, Fingerprint};

use crate::model::{LastEnd, OpenError};
use crate::store::postgres::term::Patience;
use crate::store::postgres::{PostgresStore, Settings};
use crate::store::{Applied, Change, Committed, Resolved, Store as _, StoreError, Txn as _};
use crate::{Clock, Options};

use super::bench;
use crate::store::postgres::bench::PostgresBench;

fn open(bench: &PostgresBench, patience: Patience) -> Result<PostgresStore, OpenError> {
    let settings = Settings {
        patience,
        ..Settings::default()
    };
    PostgresStore::open(
        bench.database(),
        settings,
        &Options::default(),
        Clock::system(),
    )
}

/// A change that the next transaction can see.
fn change() -> Change<'static> {
    Change::Alarms([Fingerprint(7)].into())
}

fn write(store: &mut PostgresStore) -> Result<(), StoreError> {
    let mut txn = store.begin()?;
    txn.apply(&[change()], &mut Vec::new())?;
    match txn.commit() {
        Committed::Yes => Ok(()),
        Committed::RolledBack(error) => Err(error),
        Committed::Unknown => Err(StoreError::Away("unknown".into())),
    }
}

#[test]
fn a_second_server_is_refused_while_the_first_shows_that_it_lives() {
    let Some(bench) = bench() else { return };
    let mut first = open(&bench, Patience::default()).unwrap();
    let refused = open(&bench, Patience::default()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    assert!(
        refused.to_string().contains("in use by another"),
        "{refused}"
    );
    write(&mut first).unwrap();
}

#[test]
fn a_server_that_was_killed_is_succeeded_and_one_that_ended_in_order_at_once() {
    let Some(bench) = bench() else { return };
    let found = |store: &mut PostgresStore| store.recover(|_, _| {}).unwrap();
    let mut first = open(&bench, Patience::default()).unwrap();
    let (owner, last_end) = {
        let found = found(&mut first);
        (found.owner, found.last_end)
    };
    assert_eq!(last_end, LastEnd::None);
    // Its connections end with it, and nothing is given back.
    drop(first);
    let mut second = open(&bench, Patience::default()).unwrap();
    let next = found(&mut second);
    assert_eq!(next.last_end, LastEnd::Crash);
    assert_ne!(next.owner, owner, "each start is another owner of leases");
    second.close(&[]).unwrap();
    let at_once = Patience {
        gone: Duration::MAX,
        still: Duration::MAX,
    };
    let mut third = open(&bench, at_once).unwrap();
    assert_eq!(found(&mut third).last_end, LastEnd::Clean);
}

#[test]
fn a_server_that_is_suspended_in_a_transaction_stores_nothing_after_another_took_over() {
    let Some(bench) = bench() else { return };
    let mut first = open(&bench, Patience::default()).unwrap();
    let hold = first.hold();
    let mut txn = first.begin().unwrap();
    txn.apply(&[change()], &mut Vec::new()).unwrap();
    // It has not shown yet that it lives: its first beat is a second after its start.
    let soon = Patience {
        gone: Duration::ZERO,
        still: Duration::from_millis(50),
    };
    let mut second = open(&bench, soon).unwrap();
    assert_ne!(txn.commit(), Committed::Yes);
    assert_eq!(first.resolve(), Ok(Resolved::RolledBack));
    assert_eq!(first.begin().unwrap_err(), StoreError::Fenced);
    assert_eq!(first.probe(), Err(StoreError::Fenced));
    assert!(second.begin().unwrap().alarms().unwrap().is_empty());
    write(&mut second).unwrap();
    while hold.check().is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(hold.check(), Err(StoreError::Fenced.to_string()));
    assert_eq!(second.hold().check(), Ok(()));
    // The one that has lost the term does not give it back.
    let _ = first.close(&[(DeliveryId::from_raw(1), crate::model::Abandoned::Started)]);
    write(&mut second).unwrap();
}

#[test]
fn a_lost_lease_spoils_no_other_change_of_the_transaction() {
    let Some(bench) = bench() else { return };
    let mut store = open(&bench, Patience::default()).unwrap();
    let lease = crate::model::Lease {
        id: DeliveryId::from_raw(1),
        number: 1,
        owner: crate::model::Owner(1),
    };
    let lost = Change::Progress {
        lease,
        progress: "{}".into(),
    };
    let mut answers = Vec::new();
    let mut txn = store.begin().unwrap();
    txn.apply(&[lost, change()], &mut answers).unwrap();
    assert_eq!(answers, [Applied::Fenced, Applied::Done]);
    assert_eq!(txn.commit(), Committed::Yes);
    assert_eq!(store.begin().unwrap().alarms().unwrap().len(), 1);
}

#[test]
fn a_lease_that_is_granted_and_used_in_one_transaction_is_valid() {
    let Some(bench) = bench() else { return };
    let mut store = open(&bench, Patience::default()).unwrap();
    let lease = crate::model::Lease {
        id: DeliveryId::from_raw(1),
        number: 1,
        owner: crate::model::Owner(1),
    };
    let progress = Change::Progress {
        lease,
        progress: "{}".into(),
    };
    let mut answers = Vec::new();
    let mut txn = store.begin().unwrap();
    txn.apply(&[Change::Grant(lease), progress], &mut answers)
        .unwrap();
    assert_eq!(answers, [Applied::Done, Applied::Done]);
    assert_eq!(txn.commit(), Committed::Yes);
}
