//! The key-value state of handlers: durable together with its record, bounded, and deleted when it has expired.

use super::prelude::*;

pub(super) const KV_QUOTA: KvQuota = KvQuota {
    bytes_max: 100,
    keys_max: 100,
};

pub(super) fn kv_entry(seq: u32) -> Entry {
    Entry {
        clock: Timestamp::UNIX_EPOCH,
        kind: CallKind::Kv,
        name: CallName::Key("mine".into()),
        result: String::new(),
        reply: String::new(),
        ..entry(seq)
    }
}

pub(super) async fn replied(
    change: BoxFuture<'_, Result<KvOutcome, LedgerError>>,
) -> Result<KvReply, LedgerError> {
    change.await.map(|outcome| outcome.reply)
}

pub(super) fn set(value: &str) -> KvChange {
    KvChange::Set {
        value: value.into(),
        ttl_seconds: None,
    }
}

pub(super) async fn state_changes_together_with_its_record<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 1);
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
    let journal: Vec<_> = bench
        .recorded(id, 1)
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
    let ledger = bench.ledger(&leased, 1);
    assert_eq!(ledger.kv_get("n".into()).await, Ok(Some(b"-3".to_vec())));
    let other = bench.ledger_of(&leased, 1, "other");
    assert_eq!(
        other.kv_get("n".into()).await,
        Ok(None),
        "state is a handler's own"
    );
}

pub(super) async fn keys_are_counted_as_they_come_and_go<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
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

pub(super) async fn what_is_there_can_be_changed_although_the_quota_was_lowered<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
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

pub(super) async fn state_is_bounded_and_expires<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
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

pub(super) async fn what_a_handler_uses_is_read_without_its_values<B: Bench>() {
    let mut bench = Harness::<B>::new();
    bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 1);
    for (seq, key) in [(0, "one"), (1, "two")] {
        let change = ledger.kv_change(
            key.into(),
            set("12345"),
            KV_QUOTA,
            Vec::new(),
            kv_entry(seq),
        );
        replied(change).await.unwrap();
    }
    let used = async |handler| bench.queue.kv_used(name(handler)).await.unwrap();
    assert_eq!(used("notify").await, (2, 16));
    assert_eq!(used("other").await, (0, 0));
}
