//! A full disk, a damaged file, a second server: said clearly, and over when its cause is.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use alert_manager_core::journal::LedgerError;

#[tokio::test]
async fn a_full_disk_refuses_alerts_keeps_settlements_and_heals_by_itself() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.queue.ledger(id, leased.token, 0, &name("notify"));
    // No page more than the file has now.
    bench.sql("PRAGMA max_page_count = 1").await;
    let mut large;
    let refused = loop {
        large = firing(&format!("Large{}", bench.queue.counts().depth));
        let text = ("text".to_owned(), "x".repeat(50_000));
        large.alert.annotations = [text].into_iter().collect();
        if let Err(error) = bench
            .queue
            .accept(Parcel::new(vec![large.clone()], Vec::new()))
            .await
        {
            break error;
        }
    };
    assert_eq!(refused, AcceptError::Unavailable("the disk is full".into()));
    assert_eq!(
        bench.queue.unwritable().as_deref(),
        Some("the disk is full")
    );
    assert!(matches!(ledger.ready(), Err(LedgerError::Unavailable(_))));
    let mut settlement = settlement(&leased, Next::Done);
    settlement.story = Some(format!("\"{}\"", "x".repeat(100_000)));
    bench.queue.release_slot(&leased.handler);
    bench.queue.settle(settlement);
    let room = Urgent::SqlFirst("PRAGMA max_page_count = 1073741823".into());
    bench.queue.inner.shared.inbox.push(room);
    bench.flush().await;
    assert_eq!(bench.queue.unwritable(), None);
    assert_eq!(bench.state(id).await, State::Done);
    // What was refused is not remembered: sent again, it is new.
    bench.accept_new(large).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_store_is_refused() {
    let bench = Bench::new();
    let second = Queue::open(&bench.path(), Options::default(), Caps::all(1));
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn a_damaged_store_says_so() {
    let bench = Bench::with(Options::default(), Caps::all(0));
    let body = (0..100).map(|i| firing(&format!("A{i}"))).collect();
    bench
        .queue
        .accept(Parcel::new(body, Vec::new()))
        .await
        .unwrap();
    bench.queue.shutdown().await;
    let path = bench.path();
    drop(bench.queue);
    drop(bench.leases);
    let whole = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Queue::open(&path, Options::default(), Caps::all(0))
            .err()
            .map(|e| e.to_string())
    };
    let mut torn = whole.clone();
    torn[4_096..].fill(0x5a);
    assert!(open(&torn).unwrap().contains("is damaged"));
    assert!(open(&whole[..50]).unwrap().contains("is damaged"));
    let mut overwritten = whole.clone();
    overwritten[..16].fill(0);
    assert!(open(&overwritten).unwrap().contains("is damaged"));
    assert!(open(b"#!/bin/sh\n").unwrap().contains("is not a store"));
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    assert!(open(&newer).unwrap().contains("layout 99"));
    assert_eq!(open(&whole), None);
}

#[test]
fn a_place_that_cannot_be_written_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").join("store.db");
    let error = Queue::open(&path, Options::default(), Caps::all(1)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("missing/store.db") && text.contains("set `store`"),
        "{text}"
    );
    assert!(!text.contains('\n'));
}

#[test]
fn another_program_s_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(other);
    let error = Queue::open(&path, Options::default(), Caps::all(1)).unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)));
}

#[tokio::test]
async fn its_files_are_for_its_user_alone() {
    let bench = Bench::new();
    bench.accept_new(firing("A")).await;
    for file in std::fs::read_dir(bench.dir.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}
