//! Messages in one transaction see each other's changes, and one that fails does not affect the others.

use super::prelude::*;

pub(super) async fn a_resolved_that_is_sent_again_together_with_its_firing_runs_after_it<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let first = bench.accept_new(firing("A")).await;
    let second = bench.accept_new(resolved("A")).await;
    for id in [first, second] {
        bench.queue.cancel(id).await.unwrap();
    }
    let held = bench.hold().await;
    let retry_second = Request::send(bench.queue.retry(second, Force::No));
    let retry_second = retry_second.reads().await;
    let retry_first = Request::send(bench.queue.retry(first, Force::No));
    let retry_first = retry_first.reads().await;
    let before = bench.commits();
    drop(held);
    assert_eq!(retry_second.await, Ok(Selected::Dead));
    assert_eq!(retry_first.await, Ok(Selected::Dead));
    assert_eq!(
        bench.commits() - before,
        2,
        "what was held, and both of them"
    );
    bench.set_caps(Caps::all(8));
    for id in [first, second] {
        assert_eq!(bench.run(Next::Done).await, id);
    }
}

pub(super) async fn what_is_sent_again_this_very_moment_cannot_be_cancelled_yet<B: Bench>() {
    let bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    bench.queue.cancel(id).await.unwrap();
    let held = bench.hold().await;
    let retry = Request::send(bench.queue.retry(id, Force::No));
    let retry = retry.reads().await;
    let cancel = Request::send(bench.queue.cancel(id));
    drop(held);
    assert_eq!(retry.await, Ok(Selected::Dead));
    let cancelled = cancel.await;
    // Only in one transaction with the retry.
    assert!(
        matches!(cancelled, Err(CancelError::Unavailable(_))),
        "{cancelled:?}"
    );
    assert_eq!(bench.state(id).await, State::Queued);
    assert_eq!(bench.queue.cancel(id).await, Ok(()));
}

pub(super) async fn what_a_person_makes_due_as_it_is_leased_is_due_in_every_step<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let at = |seconds: i64| from_millis(START_MS + seconds * 1_000);
    let handler = name("notify");
    let next = Next::Retry {
        until: at(60),
        handler,
    };
    let mut settlement = settlement(&leased, next);
    settlement.progress.steps[0].not_before = Some(at(600));
    bench.queue.release_permit(&leased.handler);
    bench.queue.settle(settlement);
    bench.flush().await;
    // Its time comes in the transaction in which a person retries it.
    let held = bench.hold().await;
    let retry = Request::send(bench.queue.retry(id, Force::No));
    let retry = retry.reads().await;
    bench.clock.advance(Duration::from_secs(61));
    drop(held);
    assert_eq!(retry.await, Ok(Selected::Retrying));
    let leased = bench.lease().await;
    assert_eq!(leased.id, id);
    assert_eq!(leased.progress.steps[0].not_before, None);
}

pub(super) async fn one_that_cannot_be_read_is_its_own_error_and_nobody_else_s<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run_to_a_wait().await;
    bench.bench.spoil(id, 1);
    let held = bench.hold().await;
    let retry = Request::send(bench.queue.retry(id, Force::No));
    let retry = retry.reads().await;
    let neighbour = Request::send(bench.queue.alarms());
    let before = bench.commits();
    drop(held);
    let refused = retry.await;
    assert!(
        matches!(&refused, Err(RetryError::Unavailable(why)) if why.contains("cannot be read")),
        "{refused:?}"
    );
    assert_eq!(neighbour.await, Ok(Vec::new()));
    assert_eq!(
        bench.commits() - before,
        2,
        "what was held, and both of them"
    );
    let waiting = Selection {
        state: Selected::Retrying,
        ..Selection::default()
    };
    let answer = bench.queue.retry_all(waiting, None).await.unwrap();
    assert_eq!((answer.retried, answer.left.len()), (vec![], 1));

    let other = bench.accept_new(firing("B")).await;
    let leased = bench.lease().await;
    assert_eq!(leased.id, other);
    let ledger = bench.ledger(&leased, 0);
    bench.flush().await;
    bench.bench.spoil(other, 1);
    let call = NamedCall {
        kind: CallKind::Http,
        name: CallName::Key("k".into()),
        request: "POST".into(),
    };
    let begun = Begun {
        attempt: 1,
        call,
        since_seq: 0,
    };
    let note = Note {
        doubts: Doubts::default(),
        begun,
    };
    let noted = ledger.note(note).await;
    assert!(
        matches!(&noted, Err(LedgerError::Unavailable(why)) if why.contains("cannot be read")),
        "{noted:?}"
    );
    bench.accept_new(firing("C")).await;
}

pub(super) async fn a_lease_that_another_server_has_taken_stores_nothing_and_spoils_no_neighbour<
    B: Bench,
>() -> Result<(), Unsupported> {
    let mut bench = Harness::<B>::new();
    bench.accept_new(firing("A")).await;
    bench.accept_new(firing("B")).await;
    let (lost, kept) = (bench.lease().await, bench.lease().await);
    bench.flush().await;
    bench.bench.take_lease(lost.id)?;
    let held = bench.hold().await;
    let (of_lost, of_kept) = (bench.ledger(&lost, 0), bench.ledger(&kept, 0));
    let late = Request::send(of_lost.record(vec![entry(0)]));
    let neighbour = Request::send(of_kept.record(vec![entry(0)]));
    let before = bench.commits();
    drop(held);
    assert_eq!(late.await, Err(LedgerError::LeaseLost));
    assert_eq!(neighbour.await, Ok(()));
    assert_eq!(
        bench.commits() - before,
        2,
        "what was held, and both of them"
    );
    bench.settle(&lost, Next::Done);
    bench.settle(&kept, Next::Done);
    bench.flush().await;
    let lost = bench.story(lost.id).await;
    assert_eq!(
        (lost.delivery.state, lost.journal.len()),
        (State::Running, 0)
    );
    let kept = bench.story(kept.id).await;
    assert_eq!((kept.delivery.state, kept.journal.len()), (State::Done, 1));
    Ok(())
}
