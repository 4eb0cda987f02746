//! Each death is reported by a notice that is stored with it, and many deaths by a few notices.

use super::*;

pub(in crate::conformance) async fn a_death_and_its_notice_are_stored_together_or_not_at_all<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().reporting();
    bench.bench.fail_on(Write::InsertOn(DEAD_LETTER_ROUTE));
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.settle(&leased, Next::Dead("why".into()));
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert_eq!(
        bench.state(id).await,
        State::Running,
        "no death without its notice"
    );
    bench.fail_writes(false);
    eventually(async || bench.state(id).await == State::Dead).await;
    let bench = bench.crash();
    assert_eq!(bench.reported().await, [format!("one {id}")]);
}

pub(in crate::conformance) async fn a_notice_is_made_once_whatever_comes_after_it<B: Bench>() {
    let mut bench = Harness::<B>::new().reporting();
    let id = bench.die("A").await;
    assert_eq!(bench.reported().await.len(), 1);
    let bench = bench.crash().reporting();
    bench.advance(WINDOW);
    let bench = bench.restart().await.reporting();
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, [format!("one {id}")]);
}

pub(in crate::conformance) async fn neither_a_cancelled_one_nor_a_dead_notice_is_reported<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().reporting();
    let cancelled = bench.accept_new(firing("A")).await;
    bench.queue.cancel(cancelled).await.unwrap();
    let id = bench.die("B").await;
    let notice = bench.lease().await;
    assert_eq!(&*notice.route, DEAD_LETTER_ROUTE);
    bench.settle(&notice, Next::Dead("why".into()));
    bench.flush().await;
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, [format!("one {id}")]);
    assert_eq!(bench.queue.counts().dead, 2, "all but the cancelled one");
    assert_eq!(
        bench.queue.counts().losses.unreported,
        1,
        "there is no other way"
    );
}

pub(in crate::conformance) async fn a_storm_of_deaths_is_a_few_notices_and_all_are_counted<
    B: Bench,
>() {
    let options = Options {
        queue_depth_max: 200,
        ..Options::default()
    };
    let bench = Harness::<B>::with(options, Caps::all(0)).reporting();
    let body: Vec<_> = (0..1_100).map(|i| firing(&format!("A{i}"))).collect();
    let parcel = Parcel::new(body, vec![no_alert(7)]);
    bench.queue.accept(parcel).await.unwrap();
    assert_eq!(bench.queue.counts().dead, 1_001);
    assert_eq!(
        bench.reported().await.len(),
        5 + 1,
        "the first of each kind"
    );
    // What was not reported survives a crash.
    let bench = bench.crash().reporting();
    bench.advance(WINDOW);
    let reported = bench.reported().await;
    assert_eq!(reported[6..], ["995 backlog notify"]);
    assert_eq!(bench.queue.counts().losses.reported_together, 995);
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await.len(), 7);
}

pub(in crate::conformance) async fn what_died_while_nobody_was_to_be_notified_is_reported_once_somebody_is<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let failed = bench.die("A").await;
    // The server dies three times. Nobody can be notified of the last death before the start has ended.
    let under = bench.accept_new(firing("B")).await;
    for _ in 0..3 {
        assert_eq!(bench.lease().await.id, under);
        bench = bench.crash();
    }
    assert_eq!(bench.state(under).await, State::Dead);
    assert_eq!(bench.reported().await, [""; 0]);
    let bench = bench.reporting();
    let mut reported = bench.reported().await;
    reported.sort_unstable();
    assert_eq!(reported, [format!("one {failed}"), format!("one {under}")]);
}

pub(in crate::conformance) async fn a_notice_waits_until_there_is_room_for_it<B: Bench>() {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    let mut bench = Harness::<B>::with(options, Caps::all(1)).reporting();
    for waits in ["R1", "R2"] {
        let mut own = firing(waits);
        own.plans = vec![plan("own", &["report"])];
        bench.accept_new(own).await;
    }
    let holder = bench.lease().await;
    let id = bench.die("A").await;
    assert_eq!(bench.reported().await, [""; 0], "nor is it dead by backlog");
    assert_eq!(bench.queue.counts().dead, 1);
    bench.settle(&holder, Next::Done);
    bench.flush().await;
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, [format!("one {id}")]);
}

pub(in crate::conformance) async fn what_is_reported_together_survives_a_transaction_that_fails<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    for n in 0..7 {
        bench.die(&format!("A{n}")).await;
    }
    bench.flush().await;
    bench.bench.fail_on(Write::InsertOn(DEAD_LETTER_ROUTE));
    let bench = bench.reporting();
    bench.advance(WINDOW);
    // The store can be written again at once. The report was due before, and is due again after a window.
    eventually(async || bench.bench.failures() > 0).await;
    bench.fail_writes(false);
    eventually(async || bench.queue.unwritable().is_none()).await;
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, ["7 failed notify"]);
}

pub(in crate::conformance) async fn one_that_is_sent_again_before_its_report_is_reported_when_it_dies_again<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new().reporting();
    for n in 0..5 {
        bench.die(&format!("A{n}")).await;
    }
    let id = bench.die("A5").await;
    bench.flush().await;
    assert_eq!(bench.accept_new(firing("A5")).await, id);
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await.len(), 5, "it is not dead now");
    bench.fail(id).await;
    assert_eq!(bench.reported().await[5..], [format!("one {id}")]);
}

pub(in crate::conformance) async fn a_failure_after_a_death_by_backlog_is_reported_and_may_be_sent_again<
    B: Bench,
>() {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    let mut bench = Harness::<B>::with(options, Caps::all(0)).reporting();
    for waits in ["A", "B"] {
        bench.accept_new(firing(waits)).await;
    }
    let id = bench.accept_new(firing("C")).await;
    assert_eq!(bench.state(id).await, State::Dead);
    bench.set_caps(Caps::all(8));
    for _ in 0..3 {
        bench.run(Next::Done).await;
    }
    let one = format!("one {id}");
    assert_eq!(bench.reported().await, [one.as_str()]);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.accept_new(firing("C")).await, id);
    bench.fail(id).await;
    assert_eq!(bench.reported().await, [one.as_str(), &one]);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.accept_new(firing("C")).await, id, "it ran only once");
    bench.fail(id).await;
    assert_eq!(bench.reported().await, [one.as_str(), &one]);
    assert_eq!(bench.accept(firing("C")).await, DUPLICATE);
}

pub(in crate::conformance) async fn a_notice_has_the_priority_of_the_delivery_that_it_is_about<
    B: Bench,
>() {
    use alert_manager_core::alert::Priority;
    let mut bench = Harness::<B>::new().reporting();
    for priority in [Priority::Normal, Priority::Warning, Priority::Critical] {
        let mut submission = firing(&format!("{priority:?}"));
        submission.plans[0].priority = priority;
        bench.accept_new(submission).await;
        bench.run(dead()).await;
        let notice = bench.lease().await;
        assert_eq!(
            (&*notice.route, notice.priority),
            (DEAD_LETTER_ROUTE, priority)
        );
        bench.settle(&notice, Next::Done);
    }
}

pub(in crate::conformance) async fn a_notice_about_many_is_as_urgent_as_the_most_urgent_of_them<
    B: Bench,
>() {
    use alert_manager_core::alert::Priority;
    let mut bench = Harness::<B>::new().reporting();
    for priorities in [
        [Priority::Normal, Priority::Normal],
        [Priority::Warning, Priority::Normal],
        [Priority::Normal, Priority::Critical],
    ] {
        for priority in priorities {
            let mut submission = firing(&format!("{priorities:?} {priority:?}"));
            submission.plans[0].priority = priority;
            submission.alert.labels = submission
                .alert
                .labels
                .merged(&Labels::from_iter([("at", bench.clock.now().to_string())]));
            submission.alert.fingerprint = Fingerprint::of(&submission.alert.labels);
            bench.clock.advance(Duration::from_millis(1));
            bench.accept_new(submission).await;
            bench.run(Next::Expired("too old".into())).await;
        }
        bench.advance(WINDOW);
        let notice = bench.lease().await;
        let most_urgent = priorities.into_iter().min().unwrap();
        assert_eq!(
            (&*notice.route, notice.priority),
            (DEAD_LETTER_ROUTE, most_urgent)
        );
        bench.settle(&notice, Next::Done);
        bench.flush().await;
    }
}
