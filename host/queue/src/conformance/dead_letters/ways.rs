//! A notice that fails takes the next way.

use super::*;

pub(in crate::conformance) async fn a_notice_that_dies_takes_each_other_way_once_and_then_the_log<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    bench.die("A").await;
    for (place, route) in ROUTES.iter().enumerate() {
        assert_eq!(bench.unreported(), 0);
        let leased = bench.lease().await;
        assert_eq!(&*leased.route, *route);
        let is_last = place == ROUTES.len() - 1;
        assert_eq!(bench.has_another_way(&leased).await, !is_last, "{route}");
        bench.settle(&leased, dead());
        bench.flush().await;
    }
    assert_eq!(bench.unreported(), 1);
    assert_eq!(bench.notices().await, firing_on(&ROUTES));
    // It is not reported again, neither after a crash nor later.
    let bench = bench.crash().by_ways(three());
    bench.advance(WINDOW);
    bench.flush().await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES));
}

pub(in crate::conformance) async fn a_notice_dies_and_takes_its_next_way_in_one_transaction<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    bench.bench.fail_on(Write::InsertOn("dead-letter@b"));
    bench.die("A").await;
    let notice = bench.lease().await;
    bench.settle(&notice, dead());
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert_eq!(bench.state(notice.id).await, State::Running);
    bench.fail_writes(false);
    eventually(async || bench.state(notice.id).await == State::Dead).await;
    let mut bench = bench.crash().by_ways(three());
    assert_eq!(bench.notices().await, firing_on(&ROUTES[..2]));
    bench.end(ROUTES[1], Next::Done).await;
}

pub(in crate::conformance) async fn a_notice_under_which_the_server_died_takes_its_next_way<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    bench.die("A").await;
    bench.flush().await;
    for _ in 0..3 {
        assert_eq!(&*bench.lease().await.route, ROUTES[0]);
        bench = bench.crash();
    }
    let mut bench = bench.by_ways(three());
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES[..2]));
}

pub(in crate::conformance) async fn a_blocked_way_is_left_out_unless_all_are_blocked<B: Bench>() {
    let mut blocked = three();
    blocked.0[0].is_blocked = true;
    let mut bench = Harness::<B>::new().by_ways(blocked);
    bench.die("A").await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    let mut all = three();
    for way in &mut all.0 {
        way.is_blocked = true;
    }
    let mut bench = bench.by_ways(all);
    bench.die("B").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&[ROUTES[1], ROUTES[0]]));
}

pub(in crate::conformance) async fn who_was_notified_by_one_of_two_handlers_is_not_notified_again<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], dead()).await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES[..1]));
    assert_eq!(bench.unreported(), 0);
}

pub(in crate::conformance) async fn a_handler_that_does_nothing_on_another_way_has_notified_nobody<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    bench.die("A").await;
    bench.end(ROUTES[0], dead()).await;
    bench.end(ROUTES[1], Next::Done).await;
    bench.end(ROUTES[2], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES));
    assert_eq!(bench.unreported(), 1);
}

pub(in crate::conformance) async fn nothing_is_forwarded_that_a_person_cancelled_or_has_retried_in_vain<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    bench.die("A").await;
    let first = bench.end(ROUTES[0], dead()).await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    // A person was notified by another way, so that further deaths on the first one do not matter.
    bench.queue.retry(first.id, Force::Yes).await.unwrap();
    bench.end(ROUTES[0], dead()).await;
    bench.die("B").await;
    let waits = bench.lease().await;
    bench.queue.cancel(waits.id).await.unwrap();
    bench.settle(&waits, dead());
    bench.flush().await;
    let expected = firing_on(&[ROUTES[0], ROUTES[1], ROUTES[0]]);
    assert_eq!(bench.notices().await, expected);
    assert_eq!(bench.unreported(), 0);
}

pub(in crate::conformance) async fn what_is_done_without_an_effect_counts_only_if_all_that_were_named_are<
    B: Bench,
>() {
    let mut left_out = three();
    left_out.0[0].handlers = vec![name("enriches")];
    let mut bench = Harness::<B>::new().by_ways(left_out);
    bench.die("A").await;
    let notice = bench.lease().await;
    assert_eq!(notice.handler, name("enriches"));
    // Meanwhile there is somebody to notify again.
    let mut bench = bench.by_ways(three());
    bench.settle(&notice, Next::Done);
    bench.flush().await;
    // It was left out, so its pipeline is another way.
    let whole = bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(whole.handler, name("report"));
    assert_eq!(
        bench.notices().await,
        firing_on(&[ROUTES[0], ROUTES[0]]),
        "all that were named are done"
    );
}

pub(in crate::conformance) async fn of_ways_that_are_all_blocked_one_is_taken_until_another_is_free<
    B: Bench,
>() {
    let blocked = || {
        let mut ways = three();
        for way in &mut ways.0 {
            way.is_blocked = true;
        }
        ways
    };
    let mut bench = Harness::<B>::new().by_ways(blocked());
    bench.die("A").await;
    let notice = bench.lease().await;
    assert!(!bench.has_another_way(&notice).await, "it waits here");
    bench.wait_for_slack(&notice).await;
    bench.queue.look_again();
    bench.flush().await;
    assert_eq!(bench.state(notice.id).await, State::Retrying);

    let mut free = blocked();
    free.0[2].is_blocked = false;
    let mut bench = bench.by_ways(free);
    let notice = bench.lease().await;
    assert_eq!(notice.lease.number, 2, "it was woken");
    assert!(bench.has_another_way(&notice).await);
    bench.settle(&notice, dead());
    bench.flush().await;
    bench.end_after_a_message(ROUTES[2], Next::Done).await;
    assert_eq!(
        bench.notices().await,
        firing_on(&[ROUTES[0], ROUTES[2]]),
        "no death on what is blocked"
    );
}

pub(in crate::conformance) async fn other_handlers_are_another_way_also_under_the_same_route<
    B: Bench,
>() {
    let one = |handler: &str| Notices(vec![way(DEAD_LETTER_ROUTE, handler)]);
    let mut bench = Harness::<B>::new().by_ways(one("report"));
    bench.die("A").await;
    let notice = bench.lease().await;
    bench.wait_for_slack(&notice).await;
    let mut bench = bench.by_ways(one("pager"));
    bench.end(DEAD_LETTER_ROUTE, dead()).await;
    let paged = bench
        .end_after_a_message(DEAD_LETTER_ROUTE, Next::Done)
        .await;
    assert_eq!(paged.handler, name("pager"));
    assert_eq!(bench.unreported(), 0);
}

pub(in crate::conformance) async fn a_notice_that_did_nothing_waits_for_room_on_its_next_way<
    B: Bench,
>() {
    let mut bench = narrow::<B>(Notices(vec![
        way("dead-letter@b", "report"),
        way("dead-letter:c", "other"),
    ]));
    let busy = bench.fill("other").await;
    bench.die("A").await;
    bench.end("dead-letter@b", Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&["dead-letter@b"]));
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    bench.end_after_a_message("dead-letter:c", Next::Done).await;
}

pub(in crate::conformance) async fn a_retry_of_many_leaves_notices_out<B: Bench>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let id = bench.die("A").await;
    let notice = bench.end(ROUTES[0], dead()).await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    let selection = Selection {
        handler: Some(name("report")),
        ..Selection::default()
    };
    let retried = bench.queue.retry_all(selection, None).await.unwrap();
    assert_eq!(retried.retried, []);
    let all = bench.queue.retry_all(Selection::default(), None).await;
    assert_eq!(all.unwrap().retried, [id]);
    bench.queue.retry(notice.id, Force::Yes).await.unwrap();
}
