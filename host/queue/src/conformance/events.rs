//! Duplicates, stale firings and reminders.

use super::prelude::*;

pub(super) async fn the_same_event_again_is_a_duplicate_even_after_a_restart<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    bench.run(Next::Done).await;
    let bench = bench.restart().await;
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    assert_eq!(bench.story(id).await.duplicates, 2);
    let bench = bench.crash();
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

/// Events are written from memory to their table in the background, a few at a time and in another order.
pub(super) async fn an_event_is_known_wherever_a_crash_met_it<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(0));
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

pub(super) async fn a_duplicate_within_one_body_is_answered_with_its_original<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
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

pub(super) async fn another_start_is_another_event<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(firing("A")).await;
    let mut later = firing("A");
    later.alert.starts_at += Duration::from_nanos(1);
    bench.accept_new(later).await;
}

pub(super) async fn a_firing_after_its_resolved_is_stale<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(resolved("A")).await;
    assert_eq!(bench.accept(firing("A")).await, Verdict::Stale);
    assert_eq!(bench.accept(resolved("A")).await, DUPLICATE);
    let mut later = firing("A");
    later.alert.starts_at += Duration::from_secs(1);
    bench.accept_new(later).await;
}

pub(super) async fn a_re_send_long_after_the_last_run_is_a_reminder<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
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

pub(super) async fn there_is_no_reminder_of_what_has_not_ended<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(firing("A")).await;
    bench.lease().await;
    bench.clock.advance(Duration::from_secs(100 * 3_600));
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

pub(super) async fn each_route_has_its_own_repeat_after<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
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

pub(super) async fn what_no_route_wanted_runs_when_one_does<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
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

pub(super) async fn an_alert_without_a_start_belongs_to_the_firing_that_is_open<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let undated = |mut submission: Submission, at: i64| {
        submission.alert.starts_at = from_millis(START_MS + at * 1_000);
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
    let alert_of: Alert = serde_json::from_value(story.alert).unwrap();
    assert_eq!(alert_of.starts_at, alert("A", 120).starts_at);
}

pub(super) async fn the_memory_of_an_event_outlives_its_delivery<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let id = bench.accept_new(firing("A")).await;
    bench.run(Next::Done).await;
    bench.remove(id).await;
    assert!(bench.queue.story(id).await.unwrap().is_none());
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}
