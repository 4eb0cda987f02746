//! A dead delivery is queued again: once by a re-send, unless it was cancelled; by a person as often as they like.

use super::prelude::*;

pub(super) async fn a_re_sent_dead_event_revives_the_same_delivery_with_its_record<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
    ledger.record(vec![entry(0)]).await.unwrap();
    bench.settle(&leased, Next::Dead("channel_not_found".into()));
    bench.flush().await;
    assert_eq!(bench.queue.counts().dead, 1);
    bench.clock.advance(Duration::from_secs(5 * 3_600));
    assert_eq!(bench.accept_new(firing("A")).await, id);
    assert_eq!(bench.queue.counts().dead, 0);
    let leased = bench.lease().await;
    assert_eq!((leased.id, leased.lease.number), (id, 2));
    let recorded = bench.queue.recorded(id, 0).await.unwrap();
    assert_eq!(recorded.entries, [entry(0)]);
    assert_eq!(leased.age, Duration::ZERO, "its age begins anew");
    assert_eq!(attempts(&leased.progress), 0);
    assert!(
        leased
            .progress
            .steps
            .iter()
            .all(|s| s.status == StepStatus::Pending)
    );
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    assert_eq!(bench.story(id).await.attempts.len(), 2);
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

pub(super) async fn a_re_send_revives_once_and_a_person_as_often_as_they_like<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run(Next::Dead("first".into())).await;
    let first_died_at = bench.story(id).await.delivery.first_died_at;
    assert_eq!(first_died_at, Some(bench.clock.now()));
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.accept_new(firing("A")).await, id);
    assert_eq!(bench.run(Next::Dead("second".into())).await, id);
    let mut bench = bench.crash();
    for _ in 0..2 {
        assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    }
    let delivery = bench.story(id).await.delivery;
    assert_eq!(delivery.state, State::Dead);
    assert_eq!(
        delivery.first_died_at, first_died_at,
        "the same dead letter"
    );
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.run(Next::Dead("third".into())).await, id);
    let delivery = bench.story(id).await.delivery;
    assert_eq!(delivery.first_died_at, delivery.settled_at, "another one");
    assert_eq!(bench.accept_new(firing("A")).await, id);
    assert_eq!(bench.run(Next::Dead("fourth".into())).await, id);
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    bench.clock.advance(firing("A").plans[0].repeat_after);
    let reminder = bench.accept_new(firing("A")).await;
    assert!(reminder > id);
}

pub(super) async fn a_dead_one_is_sent_again_on_request<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(
        bench.queue.retry(id, Force::No).await,
        Err(RetryError::NotDead)
    );
    bench.run(Next::Dead("why".into())).await;
    let mut bench = bench.crash();
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
    assert_eq!(bench.state(id).await, State::Done);
    let unknown = DeliveryId::from_raw(1);
    assert_eq!(
        bench.queue.retry(unknown, Force::No).await,
        Err(RetryError::NotFound)
    );
}

pub(super) async fn one_that_a_later_event_has_passed_is_sent_again_only_by_force<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run(Next::Dead("why".into())).await;
    bench.accept_new(resolved("A")).await;
    assert_eq!(
        bench.queue.retry(id, Force::No).await,
        Err(RetryError::Overtaken),
        "it runs"
    );
    bench.run(Next::Done).await;
    assert_eq!(
        bench.queue.retry(id, Force::No).await,
        Err(RetryError::Overtaken)
    );
    let alone = bench.accept_new(firing("B")).await;
    bench.run(Next::Dead("why".into())).await;
    let overtaken = bench.queue.overtaken(vec![alone, id]).await.unwrap();
    assert_eq!(overtaken.into_iter().collect::<Vec<_>>(), [id]);
    bench.queue.retry(id, Force::Yes).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
}

pub(super) async fn what_is_cancelled_ends_and_a_re_send_does_not_bring_it_back<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
    let running = bench.accept_new(firing("A")).await;
    let waiting = bench.accept_new(firing("B")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 0);
    assert_eq!(ledger.ready(), Ok(()));
    bench.queue.cancel(running).await.unwrap();
    bench.queue.cancel(waiting).await.unwrap();
    assert_eq!(ledger.ready(), Err(LedgerError::LeaseLost));
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    for id in [running, waiting] {
        let delivery = bench.story(id).await.delivery;
        assert_eq!(delivery.state, State::Dead);
        assert_eq!(delivery.last_error.as_deref(), Some("cancelled"));
        assert_eq!(bench.queue.cancel(id).await, Err(CancelError::Settled));
    }
    assert_eq!(
        bench.story(running).await.attempts.len(),
        1,
        "what it did is in the story"
    );
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    assert_eq!(bench.queue.counts().depth, 0);
    bench.queue.retry(waiting, Force::No).await.unwrap();
    assert_eq!(bench.lease().await.id, waiting);
}

pub(super) async fn what_killed_the_server_or_was_cancelled_does_not_run_again_once_it_was_removed<
    B: Bench,
>() {
    for cancels in [false, true] {
        let mut bench = Harness::<B>::new();
        let id = bench.accept_new(firing("A")).await;
        if cancels {
            bench.queue.cancel(id).await.unwrap();
        } else {
            for _ in 0..3 {
                assert_eq!(bench.lease().await.id, id);
                bench = bench.crash();
            }
        }
        assert_eq!(bench.state(id).await, State::Dead);
        assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
        bench.remove(id).await;
        let bench = bench.restart().await;
        bench.clock.advance(firing("A").plans[0].repeat_after);
        assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
        let mut edited = firing("A");
        edited.plans = vec![plan("edited", &["notify"])];
        assert_eq!(bench.accept(edited).await, DUPLICATE);
    }
}

pub(super) async fn what_a_person_sent_again_has_reminders_though_it_was_cancelled_before<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    bench.queue.cancel(id).await.unwrap();
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    bench.queue.retry(id, Force::No).await.unwrap();
    bench.set_caps(Caps::all(8));
    assert_eq!(bench.run(Next::Done).await, id);
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    bench.remove(id).await;
    bench.clock.advance(firing("A").plans[0].repeat_after);
    bench.accept_new(firing("A")).await;
}
