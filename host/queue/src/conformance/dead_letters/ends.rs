//! A notice that is out of date is resolved on the ways by which it was reported.

use super::*;

pub(in crate::conformance) async fn what_was_reported_and_is_done_after_all_is_resolved_where_it_was_reported<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let id = bench.die("A").await;
    bench.end(ROUTES[0], dead()).await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    bench.clock.advance(Duration::from_secs(1));
    bench.queue.retry(id, Force::No).await.unwrap();
    // The revival is known after a crash, too.
    let mut bench = bench.crash().by_ways(three());
    bench.fail(id).await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    assert_eq!(
        bench.notices().await,
        firing_on(&[ROUTES[0], ROUTES[1], ROUTES[0]])
    );
    bench.clock.advance(Duration::from_secs(1));
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
    let mut ends = bench.notices().await.split_off(3);
    ends.sort();
    let resolved = |route: &str| ("resolved".to_owned(), route.to_owned());
    assert_eq!(ends, [resolved(ROUTES[0]), resolved(ROUTES[1])]);
    for _ in 0..2 {
        let end = bench.lease().await;
        assert_eq!(end.alert.status, Status::Resolved);
        bench.settle(&end, dead());
    }
    bench.flush().await;
    assert_eq!(bench.notices().await.len(), 5, "an end takes no other way");
}

pub(in crate::conformance) async fn a_death_and_the_end_of_its_notice_are_one_transaction_with_what_ends_it<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let id = bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    bench.bench.fail_on(Write::Insert(Status::Resolved));
    let leased = bench.lease().await;
    bench.settle(&leased, Next::Done);
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert_eq!(bench.state(id).await, State::Running);
    bench.fail_writes(false);
    eventually(async || bench.state(id).await == State::Done).await;
    let bench = bench.crash();
    assert_eq!(bench.notices().await.len(), 2);
}

pub(in crate::conformance) async fn what_is_cancelled_after_a_retry_is_resolved_too<B: Bench>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let id = bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    bench.queue.cancel(id).await.unwrap();
    let resolved = ("resolved".to_owned(), ROUTES[0].to_owned());
    assert_eq!(bench.notices().await[1..], [resolved]);
}

pub(in crate::conformance) async fn a_notice_that_waits_is_out_of_date_once_its_delivery_was_sent_again<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let id = bench.die("A").await;
    let notice = bench.lease().await;
    let is_out_of_date = async |bench: &Harness<B>| {
        let answer = bench.queue.is_out_of_date(&notice.alert).await;
        answer.unwrap()
    };
    assert!(!is_out_of_date(&bench).await);
    bench.clock.advance(Duration::from_secs(1));
    bench.queue.retry(id, Force::No).await.unwrap();
    assert!(is_out_of_date(&bench).await, "it may be done soon");
    bench.fail(id).await;
    bench.flush().await;
    assert!(is_out_of_date(&bench).await, "another notice says so");
    bench.queue.release_permit(&notice.handler);
    let left_out = notice.id;
    bench.queue.leave_out(notice);
    bench.flush().await;
    let left_out = bench.story(left_out).await.delivery;
    assert_eq!(left_out.reason, Some(Reason::Outdated));
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&[ROUTES[0], ROUTES[0]]));
    bench.queue.retry(id, Force::No).await.unwrap();
    bench.run(Next::Done).await;
    assert_eq!(
        bench.notices().await.len(),
        3,
        "only what was sent is resolved"
    );
}

pub(in crate::conformance) async fn a_re_send_leaves_a_notice_in_force_until_it_is_done<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let id = bench.die("A").await;
    let notice = bench.lease().await;
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.accept_new(firing("A")).await, id);
    let answer = bench.queue.is_out_of_date(&notice.alert).await;
    assert!(!answer.unwrap(), "another death would not be reported");
    assert_eq!(bench.run(Next::Done).await, id);
    // It was under way, so its resolved is stored once it has been sent.
    assert_eq!(bench.notices().await.len(), 1);
    bench.settle(&notice, Next::Done);
    bench.queue.release_permit(&notice.handler);
    bench.flush().await;
    let resolved = ("resolved".to_owned(), ROUTES[0].to_owned());
    assert_eq!(bench.notices().await[1..], [resolved]);
}

pub(in crate::conformance) async fn the_end_of_a_notice_waits_for_room<B: Bench>() {
    let mut bench = narrow::<B>(three());
    let id = bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    let subject = bench.lease().await;
    let busy = bench.fill("report").await;
    bench.settle(&subject, Next::Done);
    bench.flush().await;
    assert_eq!(
        bench.notices().await,
        firing_on(&ROUTES[..1]),
        "it is not dead by backlog"
    );
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    let end = bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(end.alert.status, Status::Resolved);
    bench.advance(WINDOW);
    bench.flush().await;
    assert_eq!(bench.notices().await.len(), 2, "once");
}

pub(in crate::conformance) async fn each_of_many_notices_about_one_delivery_is_resolved<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let id = bench.die("A").await;
    for _ in 0..3 {
        bench.end_after_a_message(ROUTES[0], Next::Done).await;
        bench.clock.advance(Duration::from_secs(1));
        bench.queue.retry(id, Force::No).await.unwrap();
        bench.fail(id).await;
    }
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
    let ends = bench.notices().await.split_off(4);
    assert_eq!(ends, vec![end_on(ROUTES[0]); 4]);
}
