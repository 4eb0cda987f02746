//! A representative dies: alone if nothing was done, else with all that it stood for.

use super::*;

const DEAD: &str = "why";

fn dead() -> Next {
    Next::Dead(DEAD.into())
}

pub(crate) async fn one_that_dies_without_an_effect_dies_alone_and_the_next_takes_over<B: Bench>() {
    let mut bench = still::<B>().reporting();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, dead()).await;
    bench
        .are(&ids[..1], State::Dead, Some(Reason::Failed))
        .await;
    let next = bench.representative().await;
    assert_eq!(next.id, ids[1]);
    assert_eq!(fact(&next, "storm.count"), "4");
    assert_eq!(bench.story(ids[1]).await.members.unwrap().ids, ids[2..]);
    assert_eq!(bench.story(ids[1]).await.delivery.coalesced_into, None);
    bench.settled(&next, Next::Done).await;
    bench
        .are(&ids[2..], State::Done, Some(Reason::Coalesced))
        .await;
    assert_eq!(bench.coalesced_into(ids[4]).await, Some(ids[1]));
    assert_eq!(bench.queue.counts().dead, 1);
}

pub(crate) async fn three_take_over_at_most_then_the_rest_is_dead_in_one_dead_letter<B: Bench>() {
    let mut bench = still::<B>().reporting();
    let (ids, mut leased) = bench.storm(0..8).await;
    for next in &ids[1..=3] {
        bench.settled(&leased, dead()).await;
        bench = bench.crash().reporting();
        leased = bench.representative().await;
        assert_eq!(leased.id, *next);
    }
    bench.settled(&leased, dead()).await;
    bench.are(&ids, State::Dead, Some(Reason::Failed)).await;
    assert_eq!(bench.queue.counts().dead, 8);
    let reported = bench.reported().await;
    let expected: Vec<_> = ids[..4].iter().map(|id| format!("one {id}")).collect();
    assert_eq!(reported, expected, "no member has a dead letter of its own");
    assert_eq!(bench.coalesced_into(ids[7]).await, Some(ids[3]));
}

pub(crate) async fn firing_and_resolved_generations_each_count_their_own_takeovers<B: Bench>() {
    let mut bench = still::<B>();
    let (told, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&told[..1], State::Done, Some(Reason::Handled))
        .await;
    bench.set_caps(Caps::all(0));
    let firing = bench.all_down(5..15).await;
    bench.go();
    let mut leased = bench.only_lease().await;
    for next in &firing[1..=2] {
        bench.settled(&leased, dead()).await;
        leased = bench.only_lease().await;
        assert_eq!(leased.id, *next);
    }
    // What has resolved forms a generation of its own meanwhile, and its representatives die too.
    bench.set_caps(Caps::all(0));
    let resolved = bench.all_up(0..5).await;
    bench.go();
    let mut ends = bench.only_lease().await;
    for next in &resolved[1..=2] {
        bench.settled(&ends, dead()).await;
        ends = bench.only_lease().await;
        assert_eq!(ends.id, *next);
    }
    // Each has one left.
    for (one, all) in [(leased, &firing), (ends, &resolved)] {
        bench.settled(&one, dead()).await;
        let last = bench.only_lease().await;
        assert_eq!(last.id, all[3]);
        bench.settled(&last, dead()).await;
        bench.are(all, State::Dead, Some(Reason::Failed)).await;
    }
    assert!(bench.is_idle().await);
}

pub(crate) async fn a_generation_that_a_person_sends_again_has_its_takeovers_anew<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, mut leased) = bench.storm(0..8).await;
    for _ in 0..3 {
        bench.settled(&leased, dead()).await;
        leased = bench.only_lease().await;
    }
    bench.settled(&leased, dead()).await;
    bench.are(&ids, State::Dead, Some(Reason::Failed)).await;
    bench.queue.retry(ids[3], Force::No).await.unwrap();
    let again = bench.only_lease().await;
    assert_eq!(again.id, ids[3]);
    bench.settled(&again, dead()).await;
    assert_eq!(bench.only_lease().await.id, ids[4]);
}

pub(crate) async fn a_dead_letter_says_how_many_died_with_it<B: Bench>() {
    for is_reported_later in [false, true] {
        let mut bench = still::<B>();
        if !is_reported_later {
            bench = bench.reporting();
        }
        let (_, leased) = bench.storm(0..5).await;
        bench.record_post(&leased).await;
        bench.settled(&leased, dead()).await;
        if is_reported_later {
            bench = bench.reporting();
            bench.advance(Duration::from_secs(60));
        }
        let notice = bench.lease().await;
        assert_eq!(notice.alert.annotations.get("with"), Some("4"));
    }
}

pub(crate) async fn one_that_dies_with_an_effect_takes_all_with_it<B: Bench>() {
    let mut bench = still::<B>().reporting();
    let (ids, leased) = bench.storm(0..5).await;
    bench.record_post(&leased).await;
    bench.settled(&leased, dead()).await;
    bench.are(&ids, State::Dead, Some(Reason::Failed)).await;
    assert_eq!(bench.reported().await, [format!("one {}", ids[0])]);
    let counts = bench.queue.counts();
    assert_eq!((counts.dead, counts.losses.storm), (5, 0));
}

pub(crate) async fn one_that_dies_in_doubt_takes_all_with_it<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    let mut settlement = settlement(&leased, dead());
    settlement.progress.steps[1].interrupted = true;
    bench.queue.release_permit(&leased.handler);
    bench.queue.settle(settlement);
    bench.flush().await;
    bench.are(&ids, State::Dead, Some(Reason::Failed)).await;
}

pub(crate) async fn one_that_dies_of_its_age_takes_all_with_it<B: Bench>() {
    let mut bench = still::<B>().reporting();
    let (ids, leased) = bench.storm(0..5).await;
    bench
        .settled(&leased, Next::Expired("too old".into()))
        .await;
    bench.are(&ids, State::Dead, Some(Reason::Expired)).await;
    let why = bench.story(ids[1]).await.delivery.last_error.unwrap();
    assert_eq!(why, format!("coalesced into {}: too old", ids[0]));
    assert_eq!(bench.reported().await, [] as [String; 0]);
    bench.advance(Duration::from_secs(60));
    assert_eq!(bench.reported().await, ["5 expired notify"]);
}

pub(crate) async fn one_under_which_the_server_died_three_times_takes_all_with_it<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, _) = bench.storm(0..5).await;
    for _ in 0..2 {
        bench = bench.crash();
        assert_eq!(bench.lease().await.id, ids[0]);
    }
    let bench = bench.crash();
    bench.are(&ids, State::Dead, Some(Reason::Died)).await;
    assert_eq!(bench.queue.counts().dead, 5);
    assert_eq!(bench.queue.counts().depth, 0);
    let bench = bench.reporting();
    assert_eq!(bench.reported().await, [format!("one {}", ids[0])]);
    assert_eq!(bench.crash().queue.counts().dead, 5);
}

pub(crate) async fn what_ends_the_alert_of_one_that_died_alone_runs_alone<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, dead()).await;
    let next = bench.only_lease().await;
    bench.settled(&next, Next::Done).await;
    assert_eq!(bench.story(ids[0]).await.delivery.storm, None);
    bench.accept_new(up(0)).await;
    let resolved = bench.only_lease().await;
    assert_eq!(resolved.progress.storm, None);
}

pub(crate) async fn what_passes_its_age_is_reported_by_what_it_waited_for<B: Bench>() {
    let mut bench = Harness::<B>::new().reporting();
    for (pod, gate) in [
        (0, Some("slack channel #a")),
        (1, Some("slack channel #b")),
        (2, None),
    ] {
        bench.accept_new(down(pod)).await;
        let leased = bench.lease().await;
        let mut settlement = settlement(&leased, Next::Expired("too old".into()));
        settlement.progress.steps[1].parked = gate.map(|gate| (bench.clock.now(), gate.into()));
        bench.queue.release_permit(&leased.handler);
        bench.queue.settle(settlement);
    }
    assert_eq!(bench.reported().await, [] as [String; 0], "none by itself");
    bench.advance(Duration::from_secs(60));
    let mut reported = bench.reported().await;
    reported.sort();
    let expected = [
        "1 expired notify",
        "1 expired notify slack channel #a",
        "1 expired notify slack channel #b",
    ];
    assert_eq!(reported, expected);
    let story = bench.queue.list(Filter {
        limit: 9,
        reason: Some(Reason::Expired),
        ..Filter::default()
    });
    let expired = story.await.unwrap().deliveries;
    assert_eq!(expired.len(), 3);
    for delivery in expired {
        assert_eq!(
            bench.queue.retry(delivery.id, Force::No).await,
            Ok(Selected::Dead)
        );
    }
}

impl<B: Bench> Harness<B> {
    /// Returns the next of the storm that is leased; notices of deaths are done.
    pub(super) async fn representative(&mut self) -> Leased {
        loop {
            let leased = self.lease().await;
            if leased.alert.name() == "Down" {
                return leased;
            }
            self.settled(&leased, Next::Done).await;
        }
    }
}
