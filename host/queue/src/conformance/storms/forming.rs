//! What runs as one, and what does not.

use super::*;

pub(crate) async fn what_is_alike_runs_as_one_if_more_came_than_it_may<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..OVER + 1).await;
    for id in &ids[1..] {
        let member = bench.story(*id).await;
        assert_eq!(member.delivery.coalesced_into, Some(ids[0]));
        assert_eq!(member.delivery.storm, Some(ids[0]));
        assert_eq!(member.delivery.state, State::Queued);
    }
    let story = bench.story(leased.id).await;
    assert_eq!(story.delivery.coalesced_into, None);
    assert_eq!(story.delivery.storm, Some(ids[0]));
    let members = story.members.unwrap();
    assert_eq!((members.count, &members.ids[..]), (3, &ids[1..]));
    assert_eq!(bench.queue.counts().depth, 4);
}

pub(crate) async fn as_many_as_may_come_each_run_alone<B: Bench>() {
    let mut bench = still::<B>();
    let ids = bench.all_down(0..OVER).await;
    bench.go();
    let leased = bench.all_leased().await;
    let leased_ids: Vec<_> = leased.iter().map(|leased| leased.id).collect();
    assert_eq!(leased_ids, ids);
    assert!(leased.iter().all(|leased| leased.progress.storm.is_none()));
}

pub(crate) async fn what_comes_more_slowly_runs_alone<B: Bench>() {
    let mut bench = still::<B>();
    for pod in 0..2 * OVER {
        bench.accept_new(down(pod)).await;
        bench.advance(Duration::from_secs(21));
    }
    bench.go();
    assert_eq!(bench.all_leased().await.len(), 2 * OVER);
}

pub(crate) async fn what_runs_already_goes_on_alone_and_the_rest_runs_as_one<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(3));
    let ids = bench.all_down(0..6).await;
    let first = bench.all_leased().await;
    assert_eq!(first.iter().map(|l| l.id).collect::<Vec<_>>(), ids[..2]);
    bench.settled(&first[0], Next::Done).await;
    let second = bench.only_lease().await;
    assert_eq!(second.id, ids[2]);
    assert_eq!(fact(&second, "storm.count"), "4");
    assert_eq!(bench.story(ids[2]).await.members.unwrap().ids, ids[3..]);
    assert_eq!(bench.coalesced_into(ids[1]).await, None);
}

pub(crate) async fn another_key_route_pipeline_or_priority_is_apart<B: Bench>() {
    let mut bench = still::<B>();
    let ids = bench.all_down(0..4).await;
    let mut others = Vec::new();
    let changes: [fn(&mut Submission); 5] = [
        |other| other.plans[0].storm = Some("other".into()),
        |other| other.plans[0].route = "other".into(),
        |other| other.plans[0].handlers.push(name("page")),
        |other| other.plans[0].priority = alert_manager_core::alert::Priority::Warning,
        |other| other.plans[0].storm = None,
    ];
    for (pod, change) in (10..).zip(changes) {
        let mut other = down(pod);
        change(&mut other);
        others.push(bench.accept_new(other).await);
    }
    bench.go();
    let leased = bench.all_leased().await;
    let mut leased: Vec<_> = leased.iter().map(|leased| leased.id).collect();
    leased.sort_unstable();
    let expected: Vec<_> = ids[..1].iter().chain(&others).copied().collect();
    assert_eq!(leased, expected);
}

pub(crate) async fn a_pipeline_that_runs_for_each_alert_does_so_in_a_storm<B: Bench>() {
    let mut bench = still::<B>();
    for pod in 0..6 {
        let mut each = down(pod);
        each.plans[0].storm = None;
        bench.accept_new(each).await;
    }
    bench.go();
    assert_eq!(bench.all_leased().await.len(), 6);
}

pub(crate) async fn only_the_first_of_an_ordering_key_runs_with_the_others<B: Bench>() {
    let mut bench = still::<B>();
    let first = bench.accept_new(down(0)).await;
    let behind = bench.accept_new(started(down(0), 60)).await;
    let ids = bench.all_down(1..4).await;
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, first);
    assert_eq!(bench.story(first).await.members.unwrap().ids, ids);
    bench.settled(&leased, Next::Done).await;
    let leased = bench.only_lease().await;
    assert_eq!(
        leased.id, behind,
        "its turn has come, and its storm is open"
    );
    assert_eq!(fact(&leased, "storm.count"), "5");
}

pub(crate) async fn neither_what_was_sent_again_nor_what_has_begun_runs_with_the_others<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(1));
    let again = bench.accept_new(down(0)).await;
    assert_eq!(bench.run(Next::Dead("why".into())).await, again);
    let begun = bench.accept_new(down(1)).await;
    let handler = name("notify");
    bench.set_caps(Caps::all(0));
    assert_eq!(bench.run(Next::Yield { handler }).await, begun);
    assert_eq!(
        bench.queue.retry(again, Force::No).await,
        Ok(Selected::Dead)
    );
    let ids = bench.all_down(2..6).await;
    bench.go();
    let mut leased: Vec<_> = bench.all_leased().await.iter().map(|l| l.id).collect();
    leased.sort_unstable();
    assert_eq!(leased, [again, begun, ids[0]]);
    assert_eq!(bench.story(ids[0]).await.members.unwrap().ids, ids[1..]);
}

pub(crate) async fn a_representative_is_given_facts_that_stay_as_they_are<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    let given = leased.progress.storm.clone().unwrap();
    let expected = [
        ("storm.count", "5"),
        ("storm.first", &ids[0].to_string()),
        ("storm.id", &ids[0].to_string()),
        ("storm.names", "p0\np1\np2\np3\np4"),
        ("storm.resolved", "0"),
        ("storm.shared", "alertname=Down\ncluster=main"),
        ("storm.since", "2026-01-01T00:00:00Z"),
    ];
    assert_eq!(given.facts.iter().collect::<Vec<_>>(), expected);
    assert_eq!(given.blocks.len(), 1, "{:?}", given.blocks);
    bench.settled(&leased, retry_in_a_minute(&bench)).await;
    bench.all_down(5..9).await;
    let mut bench = bench.crash();
    bench.advance(Duration::from_secs(60));
    let again = bench.only_lease().await;
    assert_eq!(again.id, ids[0]);
    assert_eq!(again.progress.storm, Some(given));
}

pub(crate) async fn what_comes_while_a_generation_runs_is_the_next_of_the_same_storm<B: Bench>() {
    let mut bench = still::<B>();
    let (first, leased) = bench.storm(0..4).await;
    let second = bench.all_down(4..10).await;
    assert!(bench.is_idle().await, "one generation at a time");
    bench.settled(&leased, Next::Done).await;
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, second[0]);
    assert_eq!(fact(&leased, "storm.id"), first[0].to_string());
    assert_eq!(fact(&leased, "storm.first"), first[0].to_string());
    assert_eq!(fact(&leased, "storm.count"), "10");
    assert_eq!(bench.story(second[1]).await.delivery.storm, Some(first[0]));
    bench.settled(&leased, Next::Done).await;
    let one = bench.accept_new(down(10)).await;
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, one, "one alone belongs to it, too");
    assert_eq!(fact(&leased, "storm.count"), "11");
}

pub(crate) async fn after_ten_quiet_minutes_a_firing_runs_alone<B: Bench>() {
    for (minutes, count) in [(10, "5"), (11, "")] {
        let mut bench = still::<B>();
        let (_, leased) = bench.storm(0..4).await;
        bench.settled(&leased, Next::Done).await;
        bench.advance(Duration::from_secs(60 * minutes));
        bench.accept_new(down(4)).await;
        let leased = bench.only_lease().await;
        assert_eq!(fact(&leased, "storm.count"), count, "{minutes}");
    }
}

pub(crate) async fn more_than_five_thousand_are_several_generations<B: Bench>() {
    let mut bench = still::<B>();
    let all = (0..5_003).map(down).collect();
    let receipt = bench
        .queue
        .accept(Parcel::new(all, Vec::new()))
        .await
        .unwrap();
    assert_eq!(receipt.verdicts.len(), 5_003);
    bench.go();
    let leased = bench.only_lease().await;
    let members = bench.story(leased.id).await.members.unwrap();
    assert_eq!((members.count, members.ids.len()), (5_000, 1_000));
    bench.settled(&leased, Next::Done).await;
    assert_eq!(bench.queue.counts().losses.storm, 5_000);
    let rest = bench.only_lease().await;
    assert_eq!(bench.story(rest.id).await.members.unwrap().count, 1);
    assert_eq!(fact(&rest, "storm.count"), "5003");
}

pub(crate) async fn storms_can_be_switched_off_and_on<B: Bench>() {
    let mut bench = still::<B>();
    let off = StormOptions {
        over: 0,
        ..StormOptions::default()
    };
    bench.queue.set_storm(off);
    bench.all_down(0..6).await;
    bench.go();
    let leased = bench.all_leased().await;
    assert_eq!(leased.len(), 6);
    for leased in &leased {
        bench.settle(leased, Next::Done);
    }
    bench.queue.set_storm(options().storm);
    bench.set_caps(Caps::all(0));
    let ids = bench.all_down(6..10).await;
    bench.go();
    assert_eq!(bench.only_lease().await.id, ids[0]);
}

pub(crate) async fn reminders_of_what_was_notified_alone_run_alone_and_make_no_storm<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    for pod in 0..5 {
        bench.accept_new(down(pod)).await;
        let leased = bench.only_lease().await;
        assert_eq!(leased.progress.storm, None);
        bench.settled(&leased, Next::Done).await;
        bench.advance(Duration::from_secs(120));
    }
    // Alertmanager sends all of them again, in one body.
    bench.advance(Duration::from_secs(4 * 3_600));
    bench.set_caps(Caps::all(0));
    let again = bench.all_down(0..5).await;
    let mut bench = bench.crash();
    bench.go();
    let leased = bench.all_leased().await;
    let runs: Vec<_> = leased.iter().map(|leased| leased.id).collect();
    assert_eq!(runs, again);
    for leased in leased {
        assert_eq!(leased.progress.storm, None);
        bench.settled(&leased, Next::Done).await;
    }
    // They do not count either.
    let new = bench.accept_new(down(9)).await;
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, &leased.progress.storm), (new, &None));
}

pub(crate) async fn what_nobody_was_notified_of_may_be_a_storm_when_it_comes_again<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    for pod in 0..5 {
        bench.accept_new(down(pod)).await;
        let leased = bench.only_lease().await;
        bench.settled(&leased, Next::Dead("why".into())).await;
        // It is sent again once.
        bench.accept(down(pod)).await;
        let leased = bench.only_lease().await;
        bench.settled(&leased, Next::Dead("why".into())).await;
        bench.advance(Duration::from_secs(120));
    }
    bench.advance(Duration::from_secs(4 * 3_600));
    bench.set_caps(Caps::all(0));
    let again = bench.all_down(0..5).await;
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, fact(&leased, "storm.count")), (again[0], "5"));
}

pub(crate) async fn one_that_waits_for_the_end_of_a_generation_says_so<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    let later = bench.accept_new(down(9)).await;
    bench.flush().await;
    let waits = bench.queue.waiting(later).unwrap();
    assert_eq!(waits.what, WaitsFor::Generation(ids[0]));
    bench.set_caps(Caps::all(0));
    bench.settled(&leased, Next::Done).await;
    let waits = bench.queue.waiting(later).unwrap();
    assert_eq!(waits.what, WaitsFor::Permit(name("notify")));
}
