//! An edited route has another name, and order, duplicates and revivals work as before.

use super::prelude::*;

/// An alert that takes these routes, each with one handler of the same name.
fn on(mut submission: Submission, routes: &[(&str, &str)]) -> Submission {
    let plans = routes
        .iter()
        .map(|(route, handler)| plan(route, &[handler]));
    submission.plans = plans.collect();
    submission
}

fn old(submission: Submission) -> Submission {
    on(submission, &[("old", "notify")])
}

fn new(submission: Submission) -> Submission {
    on(submission, &[("new", "notify")])
}

pub(super) async fn what_died_on_a_route_that_was_edited_is_revived_by_a_re_send<B: Bench>() {
    for crashes in [false, true] {
        let mut bench = Harness::<B>::small(Caps::all(8));
        let id = bench.accept_new(old(firing("A"))).await;
        assert_eq!(bench.accept(new(firing("A"))).await, DUPLICATE);
        bench.run(Next::Dead("why".into())).await;
        if crashes {
            bench = bench.crash();
        }
        assert_eq!(bench.accept_new(new(firing("A"))).await, id);
        assert_eq!(bench.accept(new(firing("A"))).await, DUPLICATE);
        assert_eq!(bench.run(Next::Done).await, id);
        if crashes {
            bench = bench.restart().await;
        }
        assert_eq!(bench.accept(new(firing("A"))).await, DUPLICATE);
        bench.clock.advance(firing("A").plans[0].repeat_after);
        let reminder = bench.accept_new(new(firing("A"))).await;
        assert_eq!(bench.story(reminder).await.delivery.route, "new");
    }
}

pub(super) async fn each_of_several_edited_routes_revives_its_own<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let both = on(firing("A"), &[("old a", "a"), ("old b", "b")]);
    let Verdict::Accepted(first) = bench.accept(both).await else {
        panic!("not accepted");
    };
    for _ in 0..2 {
        bench.run(Next::Dead("why".into())).await;
    }
    let edited = on(firing("A"), &[("new b", "b"), ("new a", "a")]);
    let Verdict::Accepted(again) = bench.accept(edited).await else {
        panic!("not accepted");
    };
    assert_eq!([again[0].id, again[1].id], [first[1].id, first[0].id]);
}

pub(super) async fn what_died_by_a_handler_that_was_taken_out_runs_on_the_new_route<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let id = bench
        .accept_new(on(firing("A"), &[("old", "broken")]))
        .await;
    bench.run(Next::Dead("why".into())).await;
    let again = bench.accept_new(new(firing("A"))).await;
    assert_ne!(again, id);
    assert_eq!(bench.story(again).await.delivery.route, "new");
    assert_eq!(bench.accept(new(firing("A"))).await, DUPLICATE);
    assert_eq!(bench.run(Next::Done).await, again);
    assert_eq!(bench.state(id).await, State::Dead);
    assert_eq!(
        bench.queue.retry(id, Force::No).await,
        Err(RetryError::Overtaken),
        "it ran as another"
    );
}

pub(super) async fn what_was_cancelled_stays_so_on_an_edited_route<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(0));
    let id = bench.accept_new(old(firing("A"))).await;
    bench.queue.cancel(id).await.unwrap();
    assert_eq!(bench.accept(new(firing("A"))).await, DUPLICATE);
}

pub(super) async fn a_resolved_on_an_edited_route_waits_for_its_firing_on_the_old_one<B: Bench>() {
    for crashes in [false, true] {
        let mut bench = Harness::<B>::small(Caps::all(0));
        let fired = bench.accept_new(old(firing("A"))).await;
        let ended = bench.accept_new(new(resolved("A"))).await;
        if crashes {
            bench.set_next_caps(Caps::all(8));
            bench = bench.crash();
        }
        bench.set_caps(Caps::all(8));
        let leased = bench.lease().await;
        assert_eq!(leased.id, fired);
        let until = bench.clock.now() + Duration::from_secs(60);
        let handler = name("notify");
        bench.settle(&leased, Next::Retry { until, handler });
        bench.flush().await;
        assert_eq!(bench.state(ended).await, State::Queued);
        bench.advance(Duration::from_secs(60));
        assert_eq!(bench.run(Next::Done).await, fired);
        assert_eq!(bench.run(Next::Done).await, ended);
    }
}

pub(super) async fn what_is_sent_again_on_the_old_route_goes_before_what_waits_on_the_new_one<
    B: Bench,
>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let fired = bench.accept_new(old(firing("A"))).await;
    bench.run(Next::Dead("why".into())).await;
    bench.set_caps(Caps::all(0));
    let ended = bench.accept_new(new(resolved("A"))).await;
    bench.queue.retry(fired, Force::No).await.unwrap();
    let mut bench = bench.crash();
    bench.set_caps(Caps::all(8));
    assert_eq!(bench.run(Next::Done).await, fired);
    assert_eq!(bench.run(Next::Done).await, ended);
}

pub(super) async fn one_on_the_old_route_that_a_later_one_on_the_new_has_passed_is_not_sent_again<
    B: Bench,
>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let fired = bench.accept_new(old(firing("A"))).await;
    bench.run(Next::Dead("why".into())).await;
    bench.accept_new(new(resolved("A"))).await;
    bench.run(Next::Done).await;
    let overtaken = bench.queue.retry(fired, Force::No).await;
    assert_eq!(overtaken, Err(RetryError::Overtaken));
    let all = bench
        .queue
        .retry_all(Selection::default(), None)
        .await
        .unwrap();
    assert_eq!(all.left, [(fired, RetryError::Overtaken)]);
    bench.queue.retry(fired, Force::Yes).await.unwrap();
}

pub(super) async fn routes_of_one_alert_neither_wait_for_nor_pass_each_other<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let both = |submission| on(submission, &[("a", "a"), ("b", "b")]);
    let Verdict::Accepted(fired) = bench.accept(both(firing("A"))).await else {
        panic!("not accepted");
    };
    let a = bench.lease().await;
    assert_eq!(a.id, fired[0].id);
    assert_eq!(bench.run(Next::Done).await, fired[1].id);
    let Verdict::Accepted(ended) = bench.accept(both(resolved("A"))).await else {
        panic!("not accepted");
    };
    assert_eq!(
        bench.run(Next::Done).await,
        ended[1].id,
        "a's firing still runs"
    );
    bench.settle(&a, Next::Dead("why".into()));
    bench.flush().await;
    bench.queue.cancel(ended[0].id).await.unwrap();
    bench.queue.retry(fired[0].id, Force::No).await.unwrap();
}

pub(super) async fn a_route_that_is_added_neither_waits_nor_is_sent_everything_again<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(on(firing("A"), &[("a", "a")])).await;
    let both = |submission| on(submission, &[("a", "a"), ("b", "b")]);
    assert_eq!(bench.accept(both(firing("A"))).await, DUPLICATE);
    let running = bench.lease().await;
    let Verdict::Accepted(ended) = bench.accept(both(resolved("A"))).await else {
        panic!("not accepted");
    };
    assert_eq!(bench.run(Next::Done).await, ended[1].id);
    bench.settle(&running, Next::Done);
    assert_eq!(bench.run(Next::Done).await, ended[0].id);
}

pub(super) async fn of_two_routes_that_are_merged_the_dead_one_is_revived<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let both = on(firing("A"), &[("old a", "a"), ("old b", "b")]);
    let Verdict::Accepted(first) = bench.accept(both).await else {
        panic!("not accepted");
    };
    for _ in 0..2 {
        let leased = bench.lease().await;
        let next = match leased.id == first[0].id {
            true => Next::Dead("why".into()),
            false => Next::Done,
        };
        bench.settle(&leased, next);
    }
    bench.flush().await;
    let merged = || Submission {
        plans: vec![plan("new", &["a", "b"])],
        ..firing("A")
    };
    assert_eq!(bench.accept_new(merged()).await, first[0].id);
    assert_eq!(bench.run(Next::Done).await, first[0].id);
    assert_eq!(bench.accept(merged()).await, DUPLICATE);
}

pub(super) async fn what_died_on_a_route_that_another_has_replaced_is_not_revived<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    bench
        .accept_new(on(firing("A"), &[("old", "broken")]))
        .await;
    bench.run(Next::Dead("why".into())).await;
    let again = bench.accept_new(new(firing("A"))).await;
    assert_eq!(bench.run(Next::Done).await, again);
    let third = Submission {
        plans: vec![plan("third", &["notify", "broken"])],
        ..firing("A")
    };
    assert_eq!(bench.accept(third).await, DUPLICATE);
}
