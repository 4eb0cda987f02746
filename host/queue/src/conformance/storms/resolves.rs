//! What has resolved of a storm, and when a storm is over.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn what_has_resolved_of_a_storm_runs_as_one_and_counts<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..6).await;
    // Before its representative has ended, and after that.
    let mut ups = bench.all_up(0..3).await;
    bench.set_caps(Caps::all(0));
    bench.settled(&leased, Next::Done).await;
    ups.extend(bench.all_up(3..5).await);
    bench.go();
    let resolved = bench.only_lease().await;
    assert_eq!(resolved.id, ups[0]);
    assert_eq!(bench.story(ups[0]).await.members.unwrap().ids, ups[1..]);
    assert_eq!(fact(&resolved, "storm.id"), ids[0].to_string());
    assert_eq!(fact(&resolved, "storm.count"), "6");
    assert_eq!(fact(&resolved, "storm.resolved"), "5");
    bench.settled(&resolved, Next::Done).await;
    bench
        .are(&ups[1..], State::Done, Some(Reason::Coalesced))
        .await;
}

pub(crate) async fn even_one_that_has_resolved_alone_is_given_the_facts_of_its_storm<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    let bench_again = bench.crash();
    let mut bench = bench_again;
    let one = bench.accept_new(up(4)).await;
    let resolved = bench.only_lease().await;
    assert_eq!(resolved.id, one);
    assert_eq!(fact(&resolved, "storm.id"), ids[0].to_string());
    assert_eq!(fact(&resolved, "storm.resolved"), "1");
    assert_eq!(fact(&resolved, "storm.names"), "p4");
}

pub(crate) async fn what_resolves_before_its_firing_runs_belongs_to_the_storm_of_that<B: Bench>() {
    let mut bench = still::<B>();
    let downs = bench.all_down(0..5).await;
    let ups = bench.all_up(1..4).await;
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, downs[0]);
    for up in &ups {
        assert_eq!(bench.story(*up).await.delivery.storm, Some(downs[0]));
    }
    let mut bench = bench.crash();
    let leased = bench.only_lease().await;
    bench.settled(&leased, Next::Done).await;
    let resolved = bench.only_lease().await;
    assert_eq!(resolved.id, ups[0]);
    assert_eq!(fact(&resolved, "storm.resolved"), "3");
    assert_eq!(bench.story(ups[0]).await.members.unwrap().ids, ups[1..]);
}

pub(crate) async fn what_ran_alone_resolves_alone<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(1));
    let alone = bench.accept_new(down(9)).await;
    assert_eq!(bench.run(Next::Done).await, alone);
    bench.set_caps(Caps::all(0));
    let (_, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench.accept_new(up(9)).await;
    let resolved = bench.only_lease().await;
    assert_eq!(resolved.progress.storm, None);
}

pub(crate) async fn one_generation_of_what_has_resolved_runs_at_a_time<B: Bench>() {
    let mut bench = still::<B>();
    let (_, leased) = bench.storm(0..6).await;
    bench.settled(&leased, Next::Done).await;
    bench.accept_new(up(0)).await;
    let first = bench.only_lease().await;
    let later = bench.all_up(1..4).await;
    assert!(bench.is_idle().await);
    bench.settled(&first, Next::Done).await;
    let second = bench.only_lease().await;
    assert_eq!(second.id, later[0]);
    assert_eq!(fact(&second, "storm.resolved"), "4");
}

pub(crate) async fn a_storm_is_closed_after_ten_quiet_minutes_once_all_have_resolved<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..4).await;
    bench.settled(&leased, Next::Done).await;
    bench.set_caps(Caps::all(0));
    bench.all_up(0..4).await;
    bench.go();
    let resolved = bench.only_lease().await;
    assert_eq!(fact(&resolved, "storm.resolved"), "4");
    bench.settled(&resolved, Next::Done).await;
    bench.advance(9 * MINUTE);
    let last = bench.accept_new(started(down(0), 60)).await;
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, last);
    assert_eq!(fact(&leased, "storm.id"), ids[0].to_string(), "it is open");
    bench.settled(&leased, Next::Done).await;
    bench.accept_new(started(up(0), 60)).await;
    let resolved = bench.only_lease().await;
    bench.settled(&resolved, Next::Done).await;
    bench.advance(11 * MINUTE);
    bench.flush().await;
    bench.set_caps(Caps::all(0));
    let (ids, leased) = bench.storm(10..14).await;
    assert_eq!(fact(&leased, "storm.id"), ids[0].to_string(), "another");
    assert_eq!(fact(&leased, "storm.count"), "4");
}

pub(crate) async fn a_storm_of_which_something_fires_stays_open_for_a_day<B: Bench>() {
    for (hours, resolved) in [(23, "1"), (25, "")] {
        let mut bench = still::<B>();
        let (_, leased) = bench.storm(0..4).await;
        bench.settled(&leased, Next::Done).await;
        bench.advance(hours * 60 * MINUTE);
        let mut bench = bench.crash();
        bench.advance(Duration::ZERO);
        bench.flush().await;
        bench.accept_new(up(1)).await;
        let leased = bench.only_lease().await;
        assert_eq!(fact(&leased, "storm.resolved"), resolved, "{hours}");
    }
}

pub(crate) async fn a_firing_that_waited_for_two_minutes_runs_with_its_resolved<B: Bench>() {
    let bench = still::<B>();
    let firing = bench.accept_new(down(0)).await;
    bench.advance(2 * MINUTE + Duration::from_millis(1));
    let resolved = bench.accept_new(up(0)).await;
    assert_eq!(bench.coalesced_into(firing).await, Some(resolved));
    let mut bench = bench.crash();
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, &leased.progress.storm), (resolved, &None));
    bench.are(&[firing], State::Queued, None).await;
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&[firing], State::Done, Some(Reason::Coalesced))
        .await;
    assert_eq!(bench.story(resolved).await.members.unwrap().ids, [firing]);
    assert_eq!(bench.queue.counts().losses.storm, 1);
}

pub(crate) async fn one_that_waited_less_or_has_run_does_not<B: Bench>() {
    let mut bench = still::<B>();
    let firing = bench.accept_new(down(0)).await;
    bench.advance(2 * MINUTE);
    bench.accept_new(up(0)).await;
    bench.go();
    assert_eq!(bench.only_lease().await.id, firing, "it waited less");

    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    bench.accept_new(down(0)).await;
    let firing = bench.run_to_a_wait().await;
    bench.advance(3 * MINUTE);
    bench.accept_new(up(0)).await;
    assert!(bench.is_idle().await, "it waits behind what has begun");
    assert_eq!(bench.coalesced_into(firing).await, None);

    let mut bench = still::<B>();
    let mut each = down(0);
    each.plans[0].storm = None;
    let firing = bench.accept_new(each).await;
    bench.advance(3 * MINUTE);
    bench.accept_new(up(0)).await;
    bench.go();
    assert_eq!(
        bench.only_lease().await.id,
        firing,
        "it runs for each alert"
    );
}

pub(crate) async fn a_resolved_that_dies_takes_the_firing_with_it_and_one_that_is_cancelled_does_not<
    B: Bench,
>() {
    let mut bench = still::<B>();
    let firing = bench.accept_new(down(0)).await;
    bench.advance(3 * MINUTE);
    let resolved = bench.accept_new(up(0)).await;
    bench.queue.cancel(resolved).await.unwrap();
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, firing);

    let mut bench = still::<B>();
    let firing = bench.accept_new(down(0)).await;
    bench.advance(3 * MINUTE);
    let resolved = bench.accept_new(up(0)).await;
    bench.go();
    let leased = bench.only_lease().await;
    bench.settled(&leased, Next::Dead("why".into())).await;
    bench
        .are(&[firing, resolved], State::Dead, Some(Reason::Failed))
        .await;
    bench.set_caps(Caps::all(0));
    assert_eq!(
        bench.queue.retry(resolved, Force::No).await,
        Ok(Selected::Dead)
    );
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, resolved);
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&[firing], State::Done, Some(Reason::Coalesced))
        .await;
}

pub(crate) async fn a_firing_that_is_coalesced_into_its_resolved_is_so_only_if_that_is_stored<
    B: Bench,
>() {
    let mut bench = still::<B>();
    let firing = bench.accept_new(down(0)).await;
    bench.advance(3 * MINUTE);
    bench.bench.fail_on(Write::Insert(Status::Resolved));
    let refused = bench
        .queue
        .accept(Parcel::new(vec![up(0)], Vec::new()))
        .await;
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))));
    bench.fail_writes(false);
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!(
        (leased.id, bench.coalesced_into(firing).await),
        (firing, None)
    );
}

pub(crate) async fn a_reminder_of_what_fired_in_a_storm_belongs_to_it_and_counts_once<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench.advance(4 * 60 * MINUTE);
    let again = bench.accept_new(down(3)).await;
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, again);
    assert_eq!(fact(&leased, "storm.id"), ids[0].to_string());
    assert_eq!(fact(&leased, "storm.count"), "5");
}

pub(crate) async fn what_fires_in_a_storm_runs_as_one_however_late_its_resolved_comes<B: Bench>() {
    let mut bench = still::<B>();
    let ids = bench.all_down(0..5).await;
    bench.advance(3 * MINUTE);
    let ups = bench.all_up(0..5).await;
    assert_eq!(bench.coalesced_into(ids[1]).await, None);
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, fact(&leased, "storm.count")), (ids[0], "5"));
    bench.settled(&leased, Next::Done).await;
    let resolved = bench.only_lease().await;
    assert_eq!(
        (resolved.id, fact(&resolved, "storm.resolved")),
        (ups[0], "5")
    );
}

pub(crate) async fn what_waits_with_many_at_a_gate_runs_as_one_however_late_its_resolved_comes<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = crate::conformance::gates::post();
    bench.fill_gate(&asks).await;
    let mut ids = Vec::new();
    for n in 0..OVER + 1 {
        ids.push(bench.parked(of(&format!("Other{n}"), n), &asks).await);
    }
    bench.set_caps(Caps::all(0));
    bench.advance(3 * MINUTE);
    for n in 0..OVER + 1 {
        let mut ended = of(&format!("Other{n}"), n);
        ended.alert.status = Status::Resolved;
        bench.accept_new(ended).await;
    }
    bench.go();
    let turn = bench.only_lease().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0], "4"));
}

pub(crate) async fn a_storm_is_not_closed_while_what_belongs_to_it_waits_or_runs<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..4).await;
    bench.settled(&leased, Next::Done).await;
    bench.advance(24 * 60 * MINUTE - Duration::from_millis(1));
    bench.set_caps(Caps::all(0));
    let again = bench.all_down(0..2).await;
    // The next transaction is after the end of the storm, and has permits.
    bench.clock.advance(Duration::from_millis(1));
    bench.go();
    let leased = bench.only_lease().await;
    let storm = ids[0].to_string();
    assert_eq!((leased.id, fact(&leased, "storm.id")), (again[0], &*storm));
    bench.settled(&leased, retry_in_a_minute(&bench)).await;
    let later = bench.accept_new(down(2)).await;
    assert!(bench.is_idle().await, "one generation at a time");
    bench.advance(MINUTE);
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, again[0]);
    bench.settled(&leased, Next::Done).await;
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, fact(&leased, "storm.id")), (later, &*storm));
}

pub(crate) async fn what_resolves_with_other_handlers_runs_with_those<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench.set_caps(Caps::all(0));
    let first = bench.all_up(0..2).await;
    let mut others = Vec::new();
    for pod in 2..4 {
        let mut other = up(pod);
        other.plans[0].handlers = vec![name("notify"), name("pager")];
        others.push(bench.accept_new(other).await);
    }
    bench.go();
    let leased = bench.all_leased().await;
    let runs: Vec<_> = leased.iter().map(|leased| leased.id).collect();
    assert_eq!(runs, [first[0], others[0]]);
    for (leased, resolved) in leased.iter().zip(["2", "4"]) {
        assert_eq!(fact(leased, "storm.id"), ids[0].to_string());
        assert_eq!(fact(leased, "storm.resolved"), resolved);
    }
    assert_eq!(bench.coalesced_into(others[1]).await, Some(others[0]));
}

pub(crate) async fn a_late_firing_does_not_run_with_a_resolved_that_has_other_handlers<B: Bench>() {
    let mut bench = still::<B>();
    let mut both = down(0);
    both.plans[0].handlers = vec![name("notify"), name("pager")];
    let firing = bench.accept_new(both).await;
    bench.advance(3 * MINUTE);
    bench.accept_new(up(0)).await;
    assert_eq!(bench.coalesced_into(firing).await, None);
    bench.go();
    assert_eq!(bench.only_lease().await.id, firing);
}

pub(crate) async fn what_fired_in_a_storm_resolves_there_though_its_configuration_has_changed<
    B: Bench,
>() {
    let changes: [fn(&mut Submission); 3] = [
        // Storms are switched off, or an actor no longer says that one message may stand for many.
        |one| one.plans[0].storm = None,
        |one| one.plans[0].route = "edited".into(),
        |one| {
            one.plans[0].storm = None;
            one.plans[0].route = "edited".into();
        },
    ];
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench.queue.set_storm(StormOptions {
        over: 0,
        ..options().storm
    });
    for (pod, change) in changes.into_iter().enumerate() {
        let mut one = up(pod);
        change(&mut one);
        bench.accept_new(one).await;
        let resolved = bench.only_lease().await;
        assert_eq!(fact(&resolved, "storm.id"), ids[0].to_string(), "{pod}");
        assert_eq!(fact(&resolved, "storm.resolved"), (pod + 1).to_string());
        bench.settled(&resolved, Next::Done).await;
        bench = bench.crash();
    }
    // With other handlers, of which one runs for each alert, it runs alone.
    let mut other = up(4);
    other.plans[0].storm = None;
    other.plans[0].handlers = vec![name("notify"), name("restart")];
    bench.accept_new(other).await;
    assert_eq!(bench.only_lease().await.progress.storm, None);
}

pub(crate) async fn what_has_resolved_counts_once_though_it_dies_and_is_sent_again<B: Bench>() {
    for is_killed in [false, true] {
        let mut bench = still::<B>();
        let (_, leased) = bench.storm(0..5).await;
        bench.settled(&leased, Next::Done).await;
        bench.set_caps(Caps::all(0));
        let ups = bench.all_up(0..3).await;
        bench.go();
        let resolved = bench.only_lease().await;
        bench.settled(&resolved, Next::Expired("age".into())).await;
        bench.queue.retry(ups[0], Force::No).await.unwrap();
        let resolved = bench.only_lease().await;
        if is_killed {
            bench.settled(&resolved, retry_in_a_minute(&bench)).await;
            bench = bench.crash();
            bench.advance(MINUTE);
        }
        let resolved = match is_killed {
            true => bench.only_lease().await,
            false => resolved,
        };
        bench.settled(&resolved, Next::Dead("why".into())).await;
        let next = bench.only_lease().await;
        assert_eq!(next.id, ups[1], "it takes over");
        assert_eq!(fact(&next, "storm.count"), "5", "all have fired");
        assert_eq!(fact(&next, "storm.resolved"), "3");
    }
}
