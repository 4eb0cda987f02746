//! Deliveries are leased in order, wait for their time and their handler, and leave nothing behind.

use super::prelude::*;

pub(super) async fn its_resolved_never_overtakes_its_firing<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let first = bench.accept_new(firing("A")).await;
    let second = bench.accept_new(resolved("A")).await;
    let third = bench.accept_new(firing("B")).await;
    let (a, b) = (bench.lease().await, bench.lease().await);
    assert_eq!([a.id, b.id], [first, third]);
    let until = bench.clock.now() + Duration::from_secs(60);
    bench.settle(
        &a,
        Next::Retry {
            until,
            handler: name("notify"),
        },
    );
    bench.settle(&b, Next::Done);
    bench.flush().await;
    assert_eq!(bench.state(first).await, State::Retrying);
    assert_eq!(bench.state(second).await, State::Queued);
    bench.advance(Duration::from_secs(60));
    let again = bench.lease().await;
    assert_eq!((again.id, again.lease.number), (first, 2));
    bench.settle(&again, Next::Dead("no use".into()));
    let resolved = bench.lease().await;
    assert_eq!(resolved.id, second, "a dead one releases its ordering key");
}

pub(super) async fn a_retry_waits_for_its_time_over_a_restart<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let until = bench.clock.now() + Duration::from_secs(30);
    let mut settlement = settlement(
        &leased,
        Next::Retry {
            until,
            handler: name("notify"),
        },
    );
    settlement.last_error = Some("Slack answers 500".into());
    bench.queue.release_permit(&leased.handler);
    bench.queue.settle(settlement);
    let mut bench = bench.restart().await;
    let story = bench.story(id).await;
    assert_eq!(story.delivery.state, State::Retrying);
    assert_eq!(story.not_before, Some(until));
    assert_eq!(
        story.delivery.last_error.as_deref(),
        Some("Slack answers 500")
    );
    bench.advance(Duration::from_secs(29));
    let other = bench.accept_new(firing("B")).await;
    assert_eq!(bench.lease().await.id, other, "the other is not due yet");
    bench.advance(Duration::from_secs(1));
    let leased = bench.lease().await;
    assert_eq!(
        (leased.id, leased.lease.number, leased.after_crash),
        (id, 2, false)
    );
    assert_eq!(attempts(&leased.progress), 1);
}

pub(super) async fn a_step_of_the_next_handler_waits_for_its_permit_and_resumes_there<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
    let mut submission = firing("A");
    submission.plans = vec![plan("route", &["first", "second"])];
    bench.accept_new(submission).await;
    let leased = bench.lease().await;
    assert!(bench.queue.try_take_permit(leased.lease, &name("second")));
    bench.queue.release_permit(&name("first"));
    assert!(!bench.queue.try_take_permit(leased.lease, &name("second")));
    let mut progress = leased.progress.clone();
    progress.steps[0].status = StepStatus::Done;
    bench.queue.settle(Settlement {
        lease: leased.lease,
        next: Next::Yield {
            handler: name("second"),
        },
        progress,
        alert: None,
        story: None,
        last_error: None,
    });
    bench.flush().await;
    assert_eq!(bench.state(leased.id).await, State::Queued);
    bench.queue.release_permit(&name("second"));
    let leased = bench.lease().await;
    assert_eq!((leased.handler, leased.lease.number), (name("second"), 2));
    assert_eq!(leased.progress.steps[0].status, StepStatus::Done);
}

pub(super) async fn what_is_cancelled_before_a_worker_takes_it_out_ends_and_is_not_run<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
    let cancelled = bench.accept_new(firing("A")).await;
    let waiting = bench.accept_new(firing("B")).await;
    assert_eq!(bench.state(cancelled).await, State::Running);
    bench.queue.cancel(cancelled).await.unwrap();
    assert_eq!(bench.lease().await.id, waiting, "the permit is free again");
    bench.flush().await;
    let story = bench.story(cancelled).await;
    assert_eq!(story.delivery.state, State::Dead);
    assert_eq!(story.attempts.len(), 0);
    assert_eq!(bench.queue.counts().depth, 1);
}

pub(super) async fn leases_without_a_story_leave_nothing_behind<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    for _ in 0..5 {
        let leased = bench.lease().await;
        let handler = name("notify");
        let mut settlement = settlement(&leased, Next::Yield { handler });
        settlement.story = None;
        bench.queue.release_permit(&leased.handler);
        bench.queue.settle(settlement);
    }
    bench.lease().await;
    assert_eq!(bench.bench.peek_runs(id), [5]);
    assert_eq!(attempts(&bench.story(id).await.progress), 5);
}

pub(super) async fn the_story_of_a_cancelled_one_that_was_removed_is_not_stored<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.queue.cancel(id).await.unwrap();
    bench.remove(id).await;
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    assert!(bench.bench.peek_runs(id).is_empty());
}

pub(super) async fn a_lease_of_an_earlier_start_records_and_ends_nothing<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let earlier = bench.lease().await;
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    assert_eq!((earlier.id, leased.id), (id, id));
    let late = bench.ledger(&earlier, 0);
    assert_eq!(late.ready(), Err(LedgerError::LeaseLost));
    let recorded = late.record(vec![entry(0)]).await;
    assert_eq!(recorded, Err(LedgerError::LeaseLost));
    bench.queue.settle(settlement(&earlier, Next::Done));
    bench.flush().await;
    assert_eq!(bench.state(id).await, State::Running);
    let ledger = bench.ledger(&leased, 0);
    assert_eq!(ledger.record(vec![entry(1)]).await, Ok(()));
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    let story = bench.story(id).await;
    assert_eq!(story.delivery.state, State::Done);
    assert_eq!((story.attempts.len(), story.journal.len()), (1, 1));
}
