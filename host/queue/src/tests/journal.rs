//! Records of calls and the handlers' own state: durable together, bounded, only under a lease.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use alert_manager_core::journal::{
    BoxFuture, CallKind, CallName, Entry, KvChange, KvOutcome, KvQuota, KvReply, LedgerError,
};

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

async fn replied(
    change: BoxFuture<'_, Result<KvOutcome, LedgerError>>,
) -> Result<KvReply, LedgerError> {
    change.await.map(|outcome| outcome.reply)
}

/// Returns what a step has on record.
async fn recorded(bench: &Bench, id: DeliveryId, step: u32) -> Vec<Entry> {
    bench.queue.recorded(id, step).await.unwrap().entries
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
    assert_eq!(recorded(&bench, id, 1).await, [entry(0), entry(1)]);
    let told = bench.story(id).await.journal;
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|(_, entry)| entry.reply.is_empty()));
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
    assert_eq!(ledger.ready(), Err(LedgerError::LeaseLost));
    let change = ledger.kv_change("k".into(), set("v"), KV_QUOTA, Vec::new(), kv_entry(1));
    assert_eq!(replied(change).await, Err(LedgerError::LeaseLost));
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
        replied(ledger.kv_change("n".into(), change, KV_QUOTA, Vec::new(), kv_entry(seq)))
    };
    assert_eq!(increment(2, 0).await, Ok(KvReply::Value(2)));
    assert_eq!(increment(-5, 1).await, Ok(KvReply::Value(-3)));
    let absent = KvChange::SetIfAbsent {
        value: b"x".to_vec(),
        ttl_seconds: None,
    };
    let unchanged = |reply| {
        Ok(KvOutcome {
            reply,
            changed: false,
        })
    };
    let (before, change) = (vec![entry(2)], absent.clone());
    let taken = ledger.kv_change("n".into(), change, KV_QUOTA, before, kv_entry(3));
    assert_eq!(taken.await, unchanged(KvReply::WasAbsent(false)));
    let gone = ledger.kv_change("o".into(), KvChange::Remove, KV_QUOTA, vec![], kv_entry(3));
    assert_eq!(gone.await, unchanged(KvReply::Done));
    let before = vec![entry(4)];
    let free = ledger.kv_change("m".into(), absent, KV_QUOTA, before, kv_entry(5));
    assert_eq!(replied(free).await, Ok(KvReply::WasAbsent(true)));
    drop(ledger);
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    let journal: Vec<_> = recorded(&bench, id, 1)
        .await
        .into_iter()
        .map(|e| (e.seq, e.reply))
        .collect();
    let json = |reply: KvReply| serde_json::to_string(&reply).unwrap();
    assert_eq!(
        journal,
        [
            (0, json(KvReply::Value(2))),
            (1, json(KvReply::Value(-3))),
            (4, entry(4).reply),
            (5, json(KvReply::WasAbsent(true))),
        ],
        "what changed nothing is not recorded"
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
async fn what_a_retry_needs_ends_with_the_last_effect_and_the_rest_is_counted() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let read = |seq| Entry {
        effect: false,
        ..entry(seq)
    };
    let record = async |step, entries| {
        let ledger = bench.queue.ledger(id, leased.token, step, &name("notify"));
        ledger.record(entries).await.unwrap();
    };
    record(0, vec![read(0), entry(1), read(2)]).await;
    record(1, vec![entry(0)]).await;
    record(2, vec![entry(0), read(1)]).await;
    let of_step = bench.queue.recorded(id, 0).await.unwrap();
    assert_eq!(of_step.entries, [read(0), entry(1)]);
    let others = [entry(0), entry(0), read(1)];
    assert_eq!(
        of_step.elsewhere,
        alert_manager_core::journal::RecordUse::of(&others)
    );
    record(0, vec![entry(2)]).await;
    let entries = recorded(&bench, id, 0).await;
    assert_eq!(entries, [read(0), entry(1), entry(2)]);
}

#[tokio::test]
async fn of_many_attempts_the_first_and_the_last_are_told_and_the_rest_counted() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    for _ in 0..60 {
        let leased = bench.lease().await;
        let handler = leased.handler.clone();
        bench.settle(&leased, Next::Yield { handler });
    }
    bench.flush().await;
    let story = bench.story(id).await;
    let told: Vec<_> = story
        .attempts
        .iter()
        .map(|attempt| attempt["lease"].as_u64().unwrap())
        .collect();
    let expected: Vec<_> = (1..=3).chain(41..=60).collect();
    assert_eq!(told, expected);
    assert_eq!(story.attempts_omitted, 37);
    assert_eq!(told.len() + 37, 60);
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
        replied(ledger.kv_change(key.into(), change, two, Vec::new(), kv_entry(0)))
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
        replied(ledger.kv_change(key.into(), change, quota, Vec::new(), kv_entry(0)))
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
        replied(ledger.kv_change(key.into(), change, small, Vec::new(), kv_entry(0)))
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
