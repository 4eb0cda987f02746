//! Errors of the file: it is damaged, in use, of another program, or cannot be written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn open_file(path: &Path, cap: u32) -> Result<(Queue, Leases), OpenError> {
    let store = StoreUrl::Sqlite(path.into());
    Queue::open(&store, Options::default(), Caps::all(cap))
}

#[tokio::test]
async fn a_second_server_on_the_same_store_is_refused() {
    let bench = Harness::new();
    let second = open_file(&bench.bench.path(), 1);
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn a_damaged_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let (queue, leases) = open_file(&path, 0).unwrap();
    let body = (0..100).map(|i| firing(&format!("A{i}"))).collect();
    queue.accept(Parcel::new(body, Vec::new())).await.unwrap();
    queue.shutdown().await;
    drop((queue, leases));
    let whole = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        open_file(&path, 0).err().map(|e| e.to_string())
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
    let error = open_file(&path, 1).unwrap_err();
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
    let error = open_file(&path, 1).unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)));
}

/// The disk is full, until another file on it is deleted.
#[tokio::test]
async fn a_full_disk_refuses_alerts_keeps_settlements_and_heals_by_itself() {
    let bench = SqliteBench::new(Sizes::Production);
    let started = bench.start(Clock::manual(from_millis(START_MS)));
    let ballast = "CREATE TABLE ballast AS SELECT zeroblob(1000000) AS bytes";
    bench.execute(ballast, []);
    // No page more than the file has now.
    let conn = &started.committer.store().conn;
    conn.query_one("PRAGMA max_page_count = 1", [], |_| Ok(()))
        .unwrap();
    let (queue, mut leases) = Queue::over(started).unwrap();
    let mut large = firing("Large");
    let text = ("text".to_owned(), "x".repeat(50_000));
    large.alert.annotations = [text].into_iter().collect();
    let accept = async |submission: Submission| {
        let parcel = Parcel::new(vec![submission], Vec::new());
        queue.accept(parcel).await
    };
    accept(firing("A")).await.unwrap();
    let leased = leases.next().await.unwrap();
    let ledger = queue.ledger(leased.lease, 0, &leased.handler);
    let full = "the disk is full".to_owned();
    loop {
        large.alert.starts_at += Duration::from_secs(1);
        if let Err(refused) = accept(large.clone()).await {
            assert_eq!(refused, AcceptError::Unavailable(full.clone()));
            break;
        }
    }
    assert_eq!(queue.unwritable(), Some(full));
    assert!(matches!(ledger.ready(), Err(LedgerError::Unavailable(_))));
    let mut settlement = settlement(&leased, Next::Done);
    settlement.story = Some(format!("\"{}\"", "x".repeat(100_000)));
    queue.release_permit(&leased.handler);
    queue.settle(settlement);
    bench.execute("DROP TABLE ballast", []);
    queue.alarms().await.unwrap();
    assert_eq!(queue.unwritable(), None);
    let story = queue.story(leased.id).await.unwrap().unwrap();
    assert_eq!(story.delivery.state, State::Done);
    // The failed request has left nothing, so the alert is new.
    let receipt = accept(large).await.unwrap();
    assert!(matches!(receipt.verdicts[..], [Verdict::Accepted(_)]));
}

#[tokio::test]
async fn its_files_are_for_its_user_alone() {
    let bench = Harness::new();
    bench.accept_new(firing("A")).await;
    for file in std::fs::read_dir(bench.bench.folder()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[tokio::test]
async fn the_log_does_not_grow_with_what_is_written() {
    let bench = Harness::on(SqliteBench::on_disk(), Options::default(), Caps::all(0));
    for body in 0..70 {
        let body = (0..1_000)
            .map(|i| firing(&format!("A{body}-{i}")))
            .collect();
        bench
            .queue
            .accept(Parcel::new(body, Vec::new()))
            .await
            .unwrap();
    }
    let log = bench.bench.path().with_extension("db-wal");
    let (log, store) = (
        log.metadata().unwrap(),
        bench.bench.path().metadata().unwrap(),
    );
    assert!(
        log.len() < 50 << 20,
        "{} bytes of log, {} of store",
        log.len(),
        store.len()
    );
}
