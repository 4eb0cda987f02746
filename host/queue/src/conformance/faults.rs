//! A store that cannot be written: said clearly, and over when its cause is. A clock that is set: nothing waits for it.

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
    // What was refused is not remembered: sent again, it is new.
    bench.accept_new(firing("B")).await;
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
