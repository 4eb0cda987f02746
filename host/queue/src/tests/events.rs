//! Duplicates, stale firings, reminders, and second chances for dead deliveries.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[tokio::test]
async fn the_same_event_again_is_a_duplicate_even_after_a_restart() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    bench.run(Next::Done).await;
    let bench = bench.restart().await;
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    assert_eq!(bench.story(id).await.duplicates, 2);
    let bench = bench.crash();
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

/// Events go from memory into their table in the background: a few at a time, in another order.
#[tokio::test]
async fn an_event_is_known_wherever_a_crash_met_it() {
    let mut bench = Bench::with(Options::default(), Caps::all(0));
    for i in 0..40 {
        let mut submission = firing(&format!("A{i}"));
        submission.alert.starts_at += Duration::from_secs(i * 7 % 5);
        submission.plans.push(plan("other", &["notify"]));
        if i % 3 == 0 {
            submission.alert.status = Status::Resolved;
            submission.plans.clear();
        }
        bench.accept(submission).await;
        if i % 5 == 0 {
            bench = bench.crash();
        } else if i % 13 == 0 {
            bench = bench.restart().await;
        }
        for known in 0..=i {
            let mut again = firing(&format!("A{known}"));
            again.alert.starts_at += Duration::from_secs(known * 7 % 5);
            again.plans.push(plan("other", &["notify"]));
            let expected = if known % 3 == 0 {
                Verdict::Stale
            } else {
                DUPLICATE
            };
            assert_eq!(bench.accept(again).await, expected, "A{known} after A{i}");
        }
    }
}

#[tokio::test]
async fn a_duplicate_within_one_body_is_answered_with_its_original() {
    let bench = Bench::new();
    let receipt = bench
        .queue
        .accept(Parcel::new(
            vec![firing("A"), firing("A"), firing("B")],
            Vec::new(),
        ))
        .await
        .unwrap();
    let Verdict::Accepted(accepted) = &receipt.verdicts[0] else {
        panic!("new: {receipt:?}");
    };
    let original = Verdict::Duplicate(vec![accepted[0].id]);
    assert_eq!(receipt.verdicts[1], original);
    assert!(matches!(receipt.verdicts[2], Verdict::Accepted(_)));
}

#[tokio::test]
async fn another_start_is_another_event() {
    let bench = Bench::new();
    bench.accept_new(firing("A")).await;
    let mut later = firing("A");
    later.alert.starts_at += Duration::from_nanos(1);
    bench.accept_new(later).await;
}

#[tokio::test]
async fn a_firing_after_its_resolved_is_stale() {
    let bench = Bench::new();
    bench.accept_new(resolved("A")).await;
    assert_eq!(bench.accept(firing("A")).await, Verdict::Stale);
    assert_eq!(bench.accept(resolved("A")).await, DUPLICATE);
    let mut later = firing("A");
    later.alert.starts_at += Duration::from_secs(1);
    bench.accept_new(later).await;
}

#[tokio::test]
async fn a_re_send_long_after_the_last_run_is_a_reminder() {
    let mut bench = Bench::new();
    let first = bench.accept_new(firing("A")).await;
    let repeat_after = firing("A").plans[0].repeat_after;
    bench.clock.advance(Duration::from_secs(600));
    bench.run(Next::Done).await;
    bench
        .clock
        .advance(repeat_after.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(
        bench.accept(firing("A")).await,
        DUPLICATE,
        "counted from its end"
    );
    bench.clock.advance(Duration::from_millis(1));
    let reminder = bench.accept_new(firing("A")).await;
    assert!(reminder > first);
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    assert_eq!(bench.run(Next::Done).await, reminder);
}

#[tokio::test]
async fn there_is_no_reminder_of_what_has_not_ended() {
    let mut bench = Bench::new();
    bench.accept_new(firing("A")).await;
    bench.lease().await;
    bench.clock.advance(Duration::from_secs(100 * 3_600));
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

#[tokio::test]
async fn each_route_has_its_own_repeat_after() {
    let mut bench = Bench::new();
    let both = || {
        let mut both = firing("A");
        both.plans = vec![plan("often", &["notify"]), plan("seldom", &["notify"])];
        both.plans[0].repeat_after = Duration::from_secs(3_600);
        both
    };
    assert!(matches!(bench.accept(both()).await, Verdict::Accepted(ids) if ids.len() == 2));
    bench.run(Next::Done).await;
    bench.run(Next::Done).await;
    for _ in 0..3 {
        bench.clock.advance(Duration::from_secs(3_600));
        let id = bench.accept_new(both()).await;
        assert_eq!(bench.story(id).await.delivery.route, "often");
        bench.run(Next::Done).await;
    }
    bench.clock.advance(Duration::from_secs(3_600));
    assert!(matches!(bench.accept(both()).await, Verdict::Accepted(ids) if ids.len() == 2));
}

#[tokio::test]
async fn what_no_route_wanted_runs_when_one_does() {
    let mut bench = Bench::new();
    let mut unrouted = firing("A");
    unrouted.plans.clear();
    bench.accept_new(unrouted.clone()).await;
    assert_eq!(bench.accept(unrouted).await, DUPLICATE);
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(bench.run(Next::Done).await, id);
    let mut renamed = firing("A");
    renamed.plans = vec![plan("renamed", &["notify"])];
    assert_eq!(bench.accept(renamed).await, DUPLICATE);
}

#[tokio::test]
async fn a_re_sent_dead_event_revives_the_same_delivery_with_its_record() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let ledger = bench.queue.ledger(id, leased.token, 0, &name("notify"));
    ledger.record(vec![journal::entry(0)]).await.unwrap();
    bench.settle(&leased, Next::Dead("channel_not_found".into()));
    bench.flush().await;
    assert_eq!(bench.queue.counts().dead, 1);
    bench.clock.advance(Duration::from_secs(5 * 3_600));
    assert_eq!(bench.accept_new(firing("A")).await, id);
    assert_eq!(bench.queue.counts().dead, 0);
    let leased = bench.lease().await;
    assert_eq!((leased.id, leased.lease), (id, 2));
    let recorded = bench.queue.recorded(id, 0).await.unwrap();
    assert_eq!(recorded.entries, [journal::entry(0)]);
    assert_eq!(leased.age, Duration::ZERO, "its age begins anew");
    assert_eq!(leased.progress.attempts(), 0);
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

#[tokio::test]
async fn a_re_send_revives_once_and_a_person_as_often_as_they_like() {
    let mut bench = Bench::new();
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

#[tokio::test]
async fn an_alert_without_a_start_belongs_to_the_firing_that_is_open() {
    let mut bench = Bench::new();
    let undated = |mut submission: Submission, at: i64| {
        submission.alert.starts_at = clock::from_millis(START_MS + at * 1_000);
        submission.starts_at_missing = true;
        submission
    };
    bench.accept_new(firing("A")).await;
    assert_eq!(bench.accept(undated(firing("A"), 60)).await, DUPLICATE);
    bench.run(Next::Done).await;
    bench.accept_new(undated(resolved("A"), 90)).await;
    let ends = bench.lease().await;
    assert_eq!(ends.alert.starts_at, alert("A", 0).starts_at);
    bench.settle(&ends, Next::Done);
    bench.flush().await;
    let again = bench.accept_new(undated(firing("A"), 120)).await;
    let story = bench.story(again).await;
    let told: Alert = serde_json::from_value(story.alert).unwrap();
    assert_eq!(told.starts_at, alert("A", 120).starts_at);
}

#[tokio::test]
async fn the_memory_of_an_event_outlives_its_delivery() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run(Next::Done).await;
    bench.sql("DELETE FROM deliveries").await;
    assert!(bench.queue.story(id).await.unwrap().is_none());
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

#[tokio::test]
async fn a_dead_one_is_sent_again_on_request() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(
        bench.queue.retry(id, Force::No).await,
        Err(RetryError::NotDead)
    );
    bench.run(Next::Dead("why".into())).await;
    let bench = bench.crash();
    let mut bench = bench;
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
    assert_eq!(bench.state(id).await, State::Done);
    let unknown = DeliveryId::from_raw(1);
    assert_eq!(
        bench.queue.retry(unknown, Force::No).await,
        Err(RetryError::NotFound)
    );
}

#[tokio::test]
async fn one_that_a_later_event_has_passed_is_sent_again_only_by_force() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run(Next::Dead("why".into())).await;
    bench.accept_new(resolved("A")).await;
    assert_eq!(
        bench.queue.retry(id, Force::No).await,
        Err(RetryError::Passed),
        "it runs"
    );
    bench.run(Next::Done).await;
    assert_eq!(
        bench.queue.retry(id, Force::No).await,
        Err(RetryError::Passed)
    );
    bench.queue.retry(id, Force::Yes).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
}

#[tokio::test]
async fn all_dead_ones_are_sent_again_in_their_order() {
    let mut bench = Bench::with(Options::default(), Caps::all(1));
    let mut other = firing("Other");
    other.plans = vec![plan("other", &["other"])];
    let other = bench.accept_new(other).await;
    bench.run(Next::Dead("why".into())).await;
    let mut dead = Vec::new();
    for submission in [firing("A"), resolved("A"), firing("B")] {
        dead.push(bench.accept_new(submission).await);
        bench.run(Next::Dead("why".into())).await;
    }
    let retried = bench.retry_all(None).await;
    assert_eq!(retried.retried, dead);
    assert_eq!(retried.left, []);
    let mut ran = Vec::new();
    for _ in &dead {
        ran.push(bench.run(Next::Done).await);
    }
    let place = |id: DeliveryId| ran.iter().position(|other| *other == id).unwrap();
    assert!(
        place(dead[0]) < place(dead[1]),
        "the firing before its resolved"
    );
    assert!(ran.contains(&dead[2]));
    assert_eq!(bench.state(other).await, State::Dead);
}

#[tokio::test]
async fn what_is_cancelled_ends_and_a_re_send_does_not_bring_it_back() {
    let mut bench = Bench::with(Options::default(), Caps::all(1));
    let running = bench.accept_new(firing("A")).await;
    let waiting = bench.accept_new(firing("B")).await;
    let leased = bench.lease().await;
    let ledger = bench
        .queue
        .ledger(running, leased.token, 0, &name("notify"));
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
        "what it did is told"
    );
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    assert_eq!(bench.queue.counts().depth, 0);
    bench.queue.retry(waiting, Force::No).await.unwrap();
    assert_eq!(bench.lease().await.id, waiting);
}

use alert_manager_core::journal::LedgerError;

#[tokio::test]
async fn what_killed_the_server_or_was_cancelled_does_not_run_again_once_it_was_removed() {
    for cancels in [false, true] {
        let mut bench = Bench::new();
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

#[tokio::test]
async fn what_a_person_sent_again_has_reminders_though_it_was_cancelled_before() {
    let mut bench = Bench::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    bench.queue.cancel(id).await.unwrap();
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    bench.queue.retry(id, Force::No).await.unwrap();
    bench.queue.set_caps(Caps::all(8));
    assert_eq!(bench.run(Next::Done).await, id);
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    bench.remove(id).await;
    bench.clock.advance(firing("A").plans[0].repeat_after);
    bench.accept_new(firing("A")).await;
}
