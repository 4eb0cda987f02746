//! A store that cannot be written is reported, and recovers when the cause is gone. Nothing depends on a clock that is set.

use super::prelude::*;

pub(super) async fn a_store_that_cannot_be_written_refuses_alerts_keeps_settlements_and_heals_by_itself<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
    bench.flush().await;
    bench.fail_writes(true);
    let parcel = Parcel::new(vec![firing("B")], Vec::new());
    let refused = bench.queue.accept(parcel).await;
    let why = bench.queue.unwritable().unwrap();
    assert_eq!(refused, Err(AcceptError::Unavailable(why)));
    assert!(matches!(ledger.ready(), Err(LedgerError::Unavailable(_))));
    bench.settle(&leased, Next::Done);
    let record = Request::send(ledger.record(vec![entry(0)]));
    assert_eq!(bench.bench.peek(id).unwrap().state, State::Running);
    bench.fail_writes(false);
    bench.flush().await;
    assert_eq!(bench.queue.unwritable(), None);
    assert_eq!(bench.state(id).await, State::Done);
    assert_eq!(
        record.await,
        Err(LedgerError::LeaseLost),
        "it came after the end"
    );
    // The failed request has left nothing, so the alert is new.
    bench.accept_new(firing("B")).await;
}

pub(super) async fn what_cannot_be_leased_now_is_leased_when_the_store_can_be_written_again<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    bench.fail_writes(true);
    bench.set_caps(Caps::all(1));
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert!(bench.leased().is_empty(), "its lease is not stored");
    assert_eq!(bench.state(id).await, State::Queued);
    bench.fail_writes(false);
    let leased = bench.lease().await;
    assert_eq!((leased.id, leased.lease.number), (id, 1));
}

pub(super) async fn a_record_waits_until_the_store_can_be_written_again<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
    bench.flush().await;
    bench.fail_writes(true);
    let record = Request::send(ledger.record(vec![entry(0)]));
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert_eq!(bench.queue.recorded(id, 0).await.unwrap().entries, []);
    bench.fail_writes(false);
    assert_eq!(record.await, Ok(()));
    assert_eq!(
        bench.queue.recorded(id, 0).await.unwrap().entries,
        [entry(0)]
    );
}

pub(super) async fn of_a_body_that_fails_in_the_middle_nothing_is_remembered<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let both = || {
        let mut last = firing("B");
        last.plans = vec![plan("refused", &["notify"])];
        Parcel::new(vec![firing("A"), last], Vec::new())
    };
    bench.bench.fail_on(Write::InsertOn("refused"));
    let refused = bench.queue.accept(both()).await;
    assert!(
        matches!(&refused, Err(AcceptError::Unavailable(why)) if why.contains(REFUSED)),
        "{refused:?}"
    );
    assert_eq!(bench.bench.peek_open(), []);
    assert_eq!(bench.queue.counts().depth, 0);
    bench.fail_writes(false);
    eventually(async || bench.queue.unwritable().is_none()).await;
    let receipt = bench.queue.accept(both()).await.unwrap();
    for verdict in receipt.verdicts {
        let Verdict::Accepted(accepted) = verdict else {
            panic!("it is new: {verdict:?}");
        };
        assert_eq!(bench.run(Next::Done).await, accepted[0].id);
    }
}

pub(super) async fn questions_are_answered_while_the_writer_is_in_a_transaction<B: Bench>()
-> Result<(), Unsupported> {
    let bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    let mut stopped = bench.bench.stop_after_recall()?;
    let accepted = Request::send(bench.accept(firing("B")));
    stopped.wait_until_stopped().await;
    assert_eq!(bench.state(id).await, State::Queued);
    let filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    let listed = bench.queue.list(filter).await.unwrap().deliveries;
    assert_eq!(listed.len(), 1, "what is not committed is not there");
    assert_eq!(bench.queue.counts().depth, 1);
    drop(stopped);
    assert!(matches!(accepted.await, Verdict::Accepted(_)));
    Ok(())
}

pub(super) async fn a_retry_waits_no_longer_because_the_time_of_day_was_set_back<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(bench.run_to_a_wait().await, id);
    bench
        .clock
        .set_time_of_day(from_millis(START_MS - 86_400_000));
    bench.advance(Duration::from_secs(600));
    let leased = bench.lease().await;
    assert_eq!((leased.id, leased.lease.number), (id, 2));
    assert_eq!(leased.age, Duration::from_secs(600));
}
