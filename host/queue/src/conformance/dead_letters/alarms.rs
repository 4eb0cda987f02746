//! Alarms are raised once, and end.

use super::*;

pub(in crate::conformance) async fn an_alarm_is_raised_once_over_restarts_and_ends<B: Bench>() {
    let alarm = || {
        let mut alarm = alert("Held", 0);
        alarm.labels = alarm
            .labels
            .merged(&Labels::from_iter([("channel", "alerts")]));
        alarm.fingerprint = Fingerprint::of(&alarm.labels);
        alarm
    };
    let bench = Harness::<B>::new();
    assert_eq!(
        bench.queue.raise(alarm(), IfBlocked::Leave).await.unwrap(),
        Raised::Nowhere
    );
    let mut blocked = three();
    for way in &mut blocked.0 {
        way.is_blocked = true;
    }
    let bench = bench.by_ways(blocked);
    assert_eq!(
        bench.queue.raise(alarm(), IfBlocked::Leave).await.unwrap(),
        Raised::Nowhere
    );
    let mut bench = bench.by_ways(three());
    assert_eq!(
        bench.queue.raise(alarm(), IfBlocked::Leave).await.unwrap(),
        Raised::Stored
    );
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    let mut bench = bench.restart().await.by_ways(three());
    let mut later = alarm();
    later.starts_at = bench.clock.now();
    assert_eq!(
        bench.queue.raise(later, IfBlocked::Leave).await.unwrap(),
        Raised::Known
    );
    bench.queue.end(alarm().fingerprint).await.unwrap();
    let end = bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(end.alert.status, Status::Resolved);
    bench.queue.end(alarm().fingerprint).await.unwrap();
    assert_eq!(bench.notices().await.len(), 2);
}

pub(in crate::conformance) async fn the_end_of_an_alarm_waits_for_room<B: Bench>() {
    let mut bench = narrow::<B>(three());
    let alarm = alert("Held", 0);
    assert_eq!(bench.raise(&alarm).await, Raised::Stored);
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    let busy = bench.fill("report").await;
    let end = async |bench: &Harness<B>| bench.queue.end(alarm.fingerprint).await.unwrap();
    assert!(!end(&bench).await);
    assert_eq!(bench.notices().await.len(), 1);
    bench.drain(&busy).await;
    assert!(end(&bench).await);
    assert_eq!(bench.notices().await[1..], [end_on(ROUTES[0])]);
}

pub(in crate::conformance) async fn an_alarm_that_ends_while_its_next_way_has_no_room_does_not_take_it<
    B: Bench,
>() {
    let mut bench = narrow::<B>(two());
    let alarm = alert("Held", 0);
    let busy = bench.fill("other").await;
    assert_eq!(bench.raise(&alarm).await, Raised::Stored);
    bench.end("dead-letter@b", dead()).await;
    assert!(bench.queue.end(alarm.fingerprint).await.unwrap());
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    assert_eq!(bench.notices().await, firing_on(&["dead-letter@b"]));
}

pub(in crate::conformance) async fn an_alarm_that_was_reported_on_two_ways_ends_on_both_when_there_is_room<
    B: Bench,
>() {
    let mut bench = narrow::<B>(two());
    let alarm = alert("Held", 0);
    assert_eq!(bench.raise(&alarm).await, Raised::Stored);
    let first = bench.end("dead-letter@b", dead()).await;
    bench.end_after_a_message("dead-letter:c", Next::Done).await;
    bench.queue.retry(first.id, Force::Yes).await.unwrap();
    bench.end_after_a_message("dead-letter@b", Next::Done).await;
    let busy = bench.fill("other").await;
    assert!(!bench.queue.end(alarm.fingerprint).await.unwrap());
    bench.end("dead-letter@b", Next::Done).await;
    assert!(bench.queue.end(alarm.fingerprint).await.unwrap());
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    let end = bench.end("dead-letter:c", Next::Done).await;
    assert_eq!(end.alert.status, Status::Resolved);
    bench.advance(WINDOW);
    bench.flush().await;
    let ends = bench.notices().await.split_off(2);
    assert_eq!(ends, [end_on("dead-letter@b"), end_on("dead-letter:c")]);
}

pub(in crate::conformance) async fn an_alarm_that_has_ended_may_fire_again_under_the_same_start<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let alarm = alert("Held", 0);
    for _ in 0..3 {
        assert_eq!(bench.raise(&alarm).await, Raised::Stored);
        assert_eq!(bench.raise(&alarm).await, Raised::Known);
        bench.end_after_a_message(ROUTES[0], Next::Done).await;
        assert!(bench.queue.end(alarm.fingerprint).await.unwrap());
        let end = bench.end(ROUTES[0], Next::Done).await;
        assert_eq!(end.alert.status, Status::Resolved);
    }
    assert_eq!(bench.notices().await.len(), 6);
}

pub(in crate::conformance) async fn the_alarms_that_fire_are_known_after_a_restart_even_if_a_sender_sends_the_same_alert<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().by_ways(three());
    let alarm = alert("Held", 1);
    bench.accept_new(firing("Held")).await;
    bench.run(Next::Done).await;
    let alarms = async |bench: &Harness<B>| bench.queue.alarms().await.unwrap();
    assert_eq!(alarms(&bench).await, []);
    assert_eq!(bench.raise(&alarm).await, Raised::Stored, "it is another");
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    // Another one comes and goes.
    for n in 0..120 {
        let other = alert("Other", n);
        assert_eq!(bench.raise(&other).await, Raised::Stored);
        bench.queue.end(other.fingerprint).await.unwrap();
        while bench.queue.counts().depth > 0 {
            bench.run(Next::Done).await;
        }
    }
    let mut bench = bench.crash().by_ways(three());
    assert_eq!(alarms(&bench).await, std::slice::from_ref(&alarm));
    bench.queue.end(alarm.fingerprint).await.unwrap();
    bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(alarms(&bench).await, []);
}
