//! Several servers on one store. These cases do not apply to a store for one server alone.

use super::prelude::*;

/// Two servers accept a firing and its resolved at the same time, and each has recalled the event before the other has stored
/// anything.
pub(super) async fn a_resolved_on_one_server_does_not_overtake_its_firing_on_another<B: Bench>()
-> Result<(), Unsupported> {
    let mut bench = Harness::<B>::new();
    let (other_queue, _leases) = bench.bench.open_second(Options::default(), Caps::all(8))?;
    let mut stopped = bench.bench.stop_after_recall()?;
    let first = Request::send(
        bench
            .queue
            .accept(Parcel::new(vec![firing("A")], Vec::new())),
    );
    stopped.wait_until_stopped().await;
    let second = Request::send(other_queue.accept(Parcel::new(vec![resolved("A")], Vec::new())));
    drop(stopped);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let Verdict::Accepted(ended) = &second.verdicts[0] else {
        panic!("not accepted: {second:?}");
    };
    match &first.verdicts[0] {
        // Either the resolved came first, or it waits.
        Verdict::Stale => assert_eq!(bench.run(Next::Done).await, ended[0].id),
        Verdict::Accepted(fired) => {
            assert_eq!(bench.run(Next::Done).await, fired[0].id);
            assert_eq!(bench.run(Next::Done).await, ended[0].id);
        }
        Verdict::Duplicate(_) => panic!("it is new: {first:?}"),
    }
    Ok(())
}

/// The store dates what is stored by its own clock. If that is far ahead of the server's, nothing becomes due, dead or forgotten.
pub(super) async fn a_store_whose_clock_is_ahead_hurries_nothing<B: Bench>()
-> Result<(), Unsupported> {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(bench.run_to_a_wait().await, id);
    bench.bench.step_clock(86_400_000)?;
    let other = bench.accept_new(firing("B")).await;
    assert_eq!(bench.lease().await.id, other, "the first is not due");
    assert_eq!(bench.state(id).await, State::Retrying);
    Ok(())
}

/// If a fail-over loses alerts whose senders were answered, the server stores them again by itself.
pub(super) async fn what_a_fail_over_has_lost_is_accepted_again<B: Bench>()
-> Result<(), Unsupported> {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(0));
    bench.accept_new(firing("A")).await;
    bench.bench.lose_last_commit()?;
    bench.flush().await;
    bench.set_caps(Caps::all(8));
    let leased = bench.lease().await;
    assert_eq!(leased.alert.name(), "A");
    Ok(())
}
