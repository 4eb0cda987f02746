//! Records of calls: durable, bounded, and only under a lease.

use super::kv::{KV_QUOTA, kv_entry, replied, set};
use super::prelude::*;

pub(super) async fn a_record_is_there_after_a_crash_for_the_steps_that_have_not_ended<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    for step in 0..2 {
        let ledger = bench.ledger(&leased, step);
        ledger.record(vec![entry(0), entry(1)]).await.unwrap();
    }
    let mut progress = leased.progress.clone();
    progress.steps[0].status = StepStatus::Done;
    bench.queue.progress(leased.lease, &progress);
    bench.flush().await;
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    assert!(leased.after_crash);
    assert_eq!(leased.progress, progress);
    assert_eq!(bench.recorded(id, 1).await, [entry(0), entry(1)]);
    let journal = bench.story(id).await.journal;
    assert_eq!(journal.len(), 4);
    assert!(journal.iter().all(|(_, entry)| entry.reply.is_empty()));
}

pub(super) async fn a_lease_that_has_ended_records_nothing<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
    bench.settle(&leased, Next::Done);
    let late = ledger.record(vec![entry(0)]).await;
    assert_eq!(late, Err(LedgerError::LeaseLost));
    assert_eq!(ledger.ready(), Err(LedgerError::LeaseLost));
    let change = ledger.kv_change("k".into(), set("v"), KV_QUOTA, Vec::new(), kv_entry(1));
    assert_eq!(replied(change).await, Err(LedgerError::LeaseLost));
    assert_eq!(bench.story(id).await.journal, []);
}

pub(super) async fn what_a_retry_needs_ends_with_the_last_effect_and_the_rest_is_counted<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let read = |seq| Entry {
        effect: false,
        ..entry(seq)
    };
    let record = async |step, entries| {
        let ledger = bench.ledger(&leased, step);
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
    let entries = bench.recorded(id, 0).await;
    assert_eq!(entries, [read(0), entry(1), entry(2)]);
}

pub(super) async fn of_many_attempts_the_first_and_the_last_are_kept_and_the_rest_counted<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    for _ in 0..60 {
        let leased = bench.lease().await;
        let handler = leased.handler.clone();
        bench.settle(&leased, Next::Yield { handler });
    }
    bench.flush().await;
    let story = bench.story(id).await;
    let kept: Vec<_> = story
        .attempts
        .iter()
        .map(|attempt| attempt["lease"].as_u64().unwrap())
        .collect();
    let expected: Vec<_> = (1..=3).chain(41..=60).collect();
    assert_eq!(kept, expected);
    assert_eq!(story.attempts_omitted, 37);
    assert_eq!(kept.len() + 37, 60);
}
