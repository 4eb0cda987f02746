//! One request retries many deliveries, without delaying anything else.

use super::prelude::*;

/// Opens a queue with this many dead deliveries on different ordering keys, and none that waits.
async fn with_dead<B: Bench>(count: usize, options: Options) -> (Harness<B>, Vec<DeliveryId>) {
    let full = Options {
        queue_depth_max: 2,
        ..Options::default()
    };
    let mut bench = Harness::<B>::with(full, Caps::all(1));
    let body = (0..=count).map(|i| firing(&format!("A{i}"))).collect();
    let parcel = Parcel::new(body, Vec::new());
    let receipt = bench.queue.accept(parcel).await.unwrap();
    let mut ids = receipt.verdicts.iter().map(|verdict| match verdict {
        Verdict::Accepted(accepted) => accepted[0].id,
        other => panic!("not accepted: {other:?}"),
    });
    // The first has taken all the room that there is.
    let first = ids.next().unwrap();
    let dead = ids.collect();
    assert_eq!(bench.run(Next::Done).await, first);
    bench.set_next_caps(Caps::all(0));
    (bench.crash_into(options), dead)
}

pub(super) async fn all_dead_ones_are_sent_again_in_their_order<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
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

pub(super) async fn many_are_sent_again_in_slices_with_other_work_between_them<B: Bench>() {
    let (bench, dead) = with_dead::<B>(2_000, Options::default()).await;
    let before = *bench.queue.commits().borrow();
    let retried = bench.retry_all(None).await;
    assert_eq!((retried.retried, retried.rest), (dead, None));
    let commits = *bench.queue.commits().borrow() - before;
    assert!(commits >= 2_000 / 256, "{commits} transactions");
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.dead), (2_000, 0));
    let bench = bench.crash();
    assert_eq!(bench.queue.counts().depth, 2_000);
}

pub(super) async fn many_leave_room_for_what_is_new_and_the_rest_is_sent_when_there_is_some<
    B: Bench,
>() {
    let options = Options {
        queue_depth_max: 16,
        ..Options::default()
    };
    let (mut bench, dead) = with_dead::<B>(10, options).await;
    let first = bench.retry_all(None).await;
    assert_eq!(first.retried, dead[..4], "a quarter of the queue");
    let rest = first.rest.unwrap();
    assert_eq!(
        (rest.after, rest.count, &rest.why),
        (dead[3], 6, &RestReason::Room)
    );
    let left: Vec<_> = first.left.iter().map(|(id, _)| *id).collect();
    assert_eq!(left, dead[4..]);
    assert!(
        first.left[0].1.to_string().contains("queue_depth_max"),
        "{:?}",
        first.left[0]
    );
    assert_eq!(first.left_counts, []);
    for started in 0..4 {
        let id = bench.accept_new(firing(&format!("New{started}"))).await;
        assert_eq!(bench.state(id).await, State::Queued, "no backlog");
    }

    bench.set_caps(Caps::all(8));
    for _ in 0..8 {
        let leased = bench.lease().await;
        bench.settle(&leased, Next::Done);
    }
    bench.flush().await;
    let second = bench.retry_all(Some(rest.after)).await;
    assert_eq!(second.retried[..4], dead[4..8]);
}

pub(super) async fn those_that_a_later_event_has_passed_are_left_and_counted<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut dead = Vec::new();
    for alert in ["A", "B", "C"] {
        dead.push(bench.accept_new(firing(alert)).await);
        let leased = bench.lease().await;
        bench.settle(&leased, Next::Dead("why".into()));
    }
    // Of A a later one has run, of B one runs.
    bench.accept_new(resolved("A")).await;
    let leased = bench.lease().await;
    bench.settle(&leased, Next::Done);
    bench.accept_new(resolved("B")).await;
    let _running = bench.lease().await;
    let retried = bench.retry_all(None).await;
    assert_eq!(retried.retried, dead[2..]);
    let overtaken = |id| (id, RetryError::Overtaken);
    assert_eq!(retried.left, [overtaken(dead[0]), overtaken(dead[1])]);
    assert_eq!(retried.left_counts, [(RetryError::Overtaken, 2)]);
    assert_eq!(retried.rest, None);
}

pub(super) async fn one_that_fails_to_be_stored_is_left_with_the_reason<B: Bench>() {
    let (bench, dead) = with_dead::<B>(3, Options::default()).await;
    bench.bench.fail_on(Write::Revive);
    let answer = bench.retry_all(None).await;
    assert_eq!(answer.retried, []);
    let rest = answer.rest.unwrap();
    assert_eq!(rest.count, 3);
    assert!(
        matches!(&rest.why, RestReason::Store(why) if why.contains(REFUSED)),
        "{rest:?}"
    );
    assert_eq!(bench.state(dead[0]).await, State::Dead);
}

pub(super) async fn what_a_person_has_cancelled_is_not_among_the_many<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let cancelled = bench.accept_new(firing("A")).await;
    bench.queue.cancel(cancelled).await.unwrap();
    let dead = bench.accept_new(firing("B")).await;
    bench.run(Next::Dead("why".into())).await;
    let all = bench
        .queue
        .retry_all(Selection::default(), None)
        .await
        .unwrap();
    assert_eq!(all.retried, [dead]);
    assert!(all.left.is_empty(), "{:?}", all.left);
    bench.queue.retry(cancelled, Force::No).await.unwrap();
}

pub(super) async fn what_waited_when_it_was_selected_and_has_died_since_is_left<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let first = bench.accept_new(firing("A")).await;
    assert_eq!(bench.run_to_a_wait().await, first);
    let waiting = Selection {
        state: Selected::Retrying,
        ..Selection::default()
    };
    let queue = bench.queue.clone();
    let request = Request::send(queue.retry_all(waiting, None));
    request.is_answered().await;
    bench.advance(Duration::from_secs(600));
    assert_eq!(bench.run(Next::Dead("why".into())).await, first);
    bench.accept_new(resolved("A")).await;
    bench.run(Next::Done).await;

    let answer = request.await.unwrap();
    assert_eq!(answer.retried, []);
    assert_eq!(answer.left, [(first, RetryError::NotDead)]);
    assert_eq!(
        bench.state(first).await,
        State::Dead,
        "its resolved has run"
    );
}

pub(super) async fn many_of_which_few_have_the_labels_are_looked_at_to_the_end<B: Bench>() {
    let mut options = Options::default();
    options.bounds.retried_max = 2;
    let mut bench = Harness::<B>::with(options, Caps::all(8));
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(bench.accept_new(firing(&format!("A{n}"))).await);
        bench.run(Next::Dead("why".into())).await;
    }
    let wanted = |labels: &Labels| matches!(labels.get("alertname"), Some("A3" | "A8"));
    let selection = Selection {
        labels: Some(LabelTest::new(wanted)),
        ..Selection::default()
    };
    let (mut after, mut retried) = (None, Vec::new());
    loop {
        let answer = bench
            .queue
            .retry_all(selection.clone(), after)
            .await
            .unwrap();
        retried.extend(answer.retried);
        let Some(rest) = answer.rest else {
            break;
        };
        assert!(Some(rest.after) > after, "it gets on");
        after = Some(rest.after);
    }
    assert_eq!(retried, [ids[3], ids[8]]);
}
