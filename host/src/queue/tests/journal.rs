//! Records of calls and the handlers' own state: durable together, bounded, only under a lease.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::journal::{CallKind, CallName, Entry, KvChange, KvQuota, KvReply, LedgerError};

const KV_QUOTA: KvQuota = KvQuota {
    bytes_max: 100,
    keys_max: 100,
};

pub(super) fn entry(seq: u32) -> Entry {
    Entry {
        clock: Timestamp::UNIX_EPOCH,
        seq,
        kind: CallKind::Slack,
        name: CallName::Digest(format!("{seq:032x}")),
        effect: true,
        in_doubt: false,
        request: "post #alerts".into(),
        result: "ok".into(),
        reply: r#"{"ts":"1.2"}"#.into(),
        at: clock::from_millis(START_MS),
    }
}

fn kv_entry(seq: u32) -> Entry {
    Entry {
        clock: Timestamp::UNIX_EPOCH,
        kind: CallKind::Kv,
        name: CallName::Key("mine".into()),
        result: String::new(),
        reply: String::new(),
        ..entry(seq)
    }
}

fn set(value: &str) -> KvChange {
    KvChange::Set {
        value: value.into(),
        ttl_seconds: None,
    }
}

#[tokio::test]
async fn a_record_is_there_after_a_crash_for_the_steps_that_have_not_ended() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    for step in 0..2 {
        let ledger = bench.queue.ledger(id, leased.token, step, &name("notify"));
        ledger.record(vec![entry(0), entry(1)]).await.unwrap();
    }
    let mut progress = leased.progress.clone();
    progress.steps[0].status = StepStatus::Done;
    bench.queue.progress(id, leased.token, &progress);
    bench.flush().await;
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    assert!(leased.after_crash);
    assert_eq!(leased.progress, progress);
    assert_eq!(leased.journal, [(1, entry(0)), (1, entry(1))]);
    assert_eq!(bench.story(id).await.journal.len(), 4);
}

#[tokio::test]
async fn a_lease_that_has_ended_records_nothing() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.queue.ledger(id, leased.token, 0, &name("notify"));
    bench.settle(&leased, Next::Done);
    let late = ledger.record(vec![entry(0)]).await;
    assert_eq!(late, Err(LedgerError::LeaseLost));
    assert_eq!(ledger.ready().await, Err(LedgerError::LeaseLost));
    let change = ledger.kv_change("k".into(), set("v"), KV_QUOTA, Vec::new(), kv_entry(1));
    assert_eq!(change.await, Err(LedgerError::LeaseLost));
    assert_eq!(bench.story(id).await.journal, []);
}

#[tokio::test]
async fn state_changes_together_with_its_record() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.queue.ledger(id, leased.token, 1, &name("notify"));
    let increment = |by, seq| {
        let change = KvChange::Increment {
            by,
            ttl_seconds: None,
        };
        ledger.kv_change("n".into(), change, KV_QUOTA, Vec::new(), kv_entry(seq))
    };
    assert_eq!(increment(2, 0).await, Ok(KvReply::Value(2)));
    assert_eq!(increment(-5, 1).await, Ok(KvReply::Value(-3)));
    let before = vec![entry(2)];
    let absent = KvChange::SetIfAbsent {
        value: b"x".to_vec(),
        ttl_seconds: None,
    };
    let taken = ledger.kv_change("n".into(), absent.clone(), KV_QUOTA, before, kv_entry(3));
    assert_eq!(taken.await, Ok(KvReply::WasAbsent(false)));
    let free = ledger.kv_change("m".into(), absent, KV_QUOTA, Vec::new(), kv_entry(4));
    assert_eq!(free.await, Ok(KvReply::WasAbsent(true)));
    drop(ledger);
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    let journal: Vec<_> = leased
        .journal
        .iter()
        .map(|(_, e)| (e.effect, e.reply.as_str()))
        .collect();
    let replies = [
        KvReply::Value(2),
        KvReply::Value(-3),
        KvReply::WasAbsent(false),
        KvReply::WasAbsent(true),
    ]
    .map(|reply| serde_json::to_string(&reply).unwrap());
    assert_eq!(
        journal,
        [
            (true, replies[0].as_str()),
            (true, replies[1].as_str()),
            (true, entry(2).reply.as_str()),
            (false, replies[2].as_str()),
            (true, replies[3].as_str()),
        ]
    );
    let ledger = bench.queue.ledger(id, leased.token, 1, &name("notify"));
    assert_eq!(ledger.kv_get("n".into()).await, Ok(Some(b"-3".to_vec())));
    let other = bench.queue.ledger(id, leased.token, 1, &name("other"));
    assert_eq!(
        other.kv_get("n".into()).await,
        Ok(None),
        "state is a handler's own"
    );
}

#[tokio::test]
async fn keys_are_counted_as_they_come_and_go() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.queue.ledger(id, leased.token, 0, &name("notify"));
    let two = KvQuota {
        keys_max: 2,
        ..KV_QUOTA
    };
    let change = |key: &str, change: KvChange| {
        ledger.kv_change(key.into(), change, two, Vec::new(), kv_entry(0))
    };
    assert_eq!(change("a", set("1")).await, Ok(KvReply::Done));
    assert_eq!(change("b", set("1")).await, Ok(KvReply::Done));
    assert_eq!(change("c", set("1")).await, Ok(KvReply::TooManyKeys));
    assert_eq!(change("b", set("2")).await, Ok(KvReply::Done));
    assert_eq!(change("none", KvChange::Remove).await, Ok(KvReply::Done));
    assert_eq!(change("c", set("1")).await, Ok(KvReply::TooManyKeys));
    assert_eq!(change("a", KvChange::Remove).await, Ok(KvReply::Done));
    assert_eq!(change("c", set("1")).await, Ok(KvReply::Done));
}

#[tokio::test]
async fn what_is_there_can_be_changed_although_the_quota_was_lowered() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.queue.ledger(id, leased.token, 0, &name("notify"));
    let change = |key: &str, change: KvChange, quota: KvQuota| {
        ledger.kv_change(key.into(), change, quota, Vec::new(), kv_entry(0))
    };
    for key in ["a", "b", "c"] {
        let made = change(key, set("123"), KV_QUOTA).await;
        assert_eq!(made, Ok(KvReply::Done));
    }
    let fewer = KvQuota {
        keys_max: 2,
        ..KV_QUOTA
    };
    assert_eq!(change("a", set("1234"), fewer).await, Ok(KvReply::Done));
    assert_eq!(change("d", set("1"), fewer).await, Ok(KvReply::TooManyKeys));
    let smaller = KvQuota {
        bytes_max: 5,
        ..KV_QUOTA
    };
    assert_eq!(change("a", set("4321"), smaller).await, Ok(KvReply::Done));
    assert_eq!(change("a", set("1"), smaller).await, Ok(KvReply::Done));
    for (key, value) in [("a", "12"), ("d", "")] {
        let grown = change(key, set(value), smaller).await;
        assert_eq!(grown, Ok(KvReply::QuotaExceeded), "{key}");
    }
}

#[tokio::test]
async fn state_is_bounded_and_expires() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.queue.ledger(id, leased.token, 0, &name("notify"));
    let small = KvQuota {
        bytes_max: 20,
        ..KV_QUOTA
    };
    let change = |key: &str, change: KvChange| {
        ledger.kv_change(key.into(), change, small, Vec::new(), kv_entry(0))
    };
    let short = KvChange::Set {
        value: b"123456789".to_vec(),
        ttl_seconds: Some(10),
    };
    assert_eq!(change("a", short).await, Ok(KvReply::Done));
    assert_eq!(change("b", set("123456789")).await, Ok(KvReply::Done));
    assert_eq!(change("c", set("")).await, Ok(KvReply::QuotaExceeded));
    assert_eq!(
        change("b", set("1234567890")).await,
        Ok(KvReply::QuotaExceeded)
    );
    assert_eq!(change("b", set("x")).await, Ok(KvReply::Done));
    let increment = KvChange::Increment {
        by: 1,
        ttl_seconds: None,
    };
    assert_eq!(change("b", increment).await, Ok(KvReply::NotANumber));
    assert_eq!(change("b", KvChange::Remove).await, Ok(KvReply::Done));
    assert_eq!(ledger.kv_get("b".into()).await, Ok(None));
    assert!(ledger.kv_get("a".into()).await.unwrap().is_some());
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(ledger.kv_get("a".into()).await, Ok(None));
    assert_eq!(
        change("d", set("1234567890123456789")).await,
        Ok(KvReply::Done),
        "what expired gives its place"
    );
}
