//! What people ask for: to send one again, or to cancel it.

use super::*;

pub(crate) async fn to_send_a_dead_representative_again_revives_all_with_journal_and_facts<
    B: Bench,
>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    let given = leased.progress.storm.clone();
    bench.record_post(&leased).await;
    bench.settled(&leased, Next::Dead("why".into())).await;
    assert_eq!(bench.queue.counts().dead, 5);
    assert_eq!(
        bench.queue.retry(ids[0], Force::No).await,
        Ok(Selected::Dead)
    );
    assert_eq!(bench.queue.counts().dead, 0);
    bench.are(&ids[1..], State::Queued, None).await;
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, &leased.progress.storm), (ids[0], &given));
    assert_eq!(bench.recorded(ids[0], 1).await, [entry(0)]);
    let mut bench = bench.crash();
    let leased = bench.only_lease().await;
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&ids[1..], State::Done, Some(Reason::Coalesced))
        .await;
}

pub(crate) async fn a_dead_member_that_is_sent_again_runs_alone<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.record_post(&leased).await;
    bench.settled(&leased, Next::Dead("why".into())).await;
    assert_eq!(
        bench.queue.retry(ids[2], Force::No).await,
        Ok(Selected::Dead)
    );
    let alone = bench.only_lease().await;
    assert_eq!((alone.id, &alone.progress.storm), (ids[2], &None));
    assert_eq!(bench.coalesced_into(ids[2]).await, None);
    bench
        .are(&ids[3..], State::Dead, Some(Reason::Failed))
        .await;
    bench.settled(&alone, Next::Done).await;
    // It has left: the others go on without it.
    assert_eq!(
        bench.queue.retry(ids[0], Force::No).await,
        Ok(Selected::Dead)
    );
    let leased = bench.only_lease().await;
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&ids[3..], State::Done, Some(Reason::Coalesced))
        .await;
    bench
        .are(&ids[2..3], State::Done, Some(Reason::Handled))
        .await;
    bench.accept_new(up(2)).await;
    assert_eq!(bench.only_lease().await.progress.storm, None);
}

pub(crate) async fn all_that_is_dead_is_sent_again_as_one<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.record_post(&leased).await;
    bench.settled(&leased, Next::Dead("why".into())).await;
    let retried = bench.retry_all(None).await;
    assert_eq!(retried.retried, ids);
    assert_eq!(retried.left, []);
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, ids[0]);
}

pub(crate) async fn generations_of_one_storm_that_are_sent_again_run_one_after_the_other<
    B: Bench,
>() {
    let mut bench = still::<B>();
    let (first, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Expired("why".into())).await;
    bench.set_caps(Caps::all(0));
    let second = bench.all_down(5..8).await;
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, second[0]);
    bench.settled(&leased, Next::Expired("why".into())).await;
    assert_eq!(bench.queue.counts().dead, 8);

    bench.set_caps(Caps::all(8));
    assert_eq!(bench.retry_all(None).await.retried.len(), 8);
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, first[0]);
    bench.settled(&leased, retry_in_a_minute(&bench)).await;
    assert!(bench.is_idle().await, "the first has not ended");
    bench.advance(Duration::from_secs(60));
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, first[0]);
    bench.settled(&leased, Next::Done).await;
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, second[0], "it updates the message of the first");
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&second[1..], State::Done, Some(Reason::Coalesced))
        .await;
    assert_eq!(bench.queue.counts().depth, 0);
}

pub(crate) async fn what_is_older_than_what_stood_for_it_is_sent_again_with_that<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = crate::conformance::gates::post();
    bench.fill_gate(&asks).await;
    let mut ids = Vec::new();
    for pod in 0..OVER + 1 {
        let mut each = down(pod);
        if pod == OVER {
            // It has its turn before the others.
            each.plans[0].storm = Some("other".into());
            each.plans[0].priority = alert_manager_core::alert::Priority::Warning;
        }
        ids.push(bench.parked(each, &asks).await);
    }
    bench.advance(Duration::from_secs(1));
    let turn = bench.only_lease().await;
    assert_eq!(turn.id, ids[OVER]);
    assert_eq!(bench.story(turn.id).await.members.unwrap().ids, ids[..OVER]);
    bench.record_post(&turn).await;
    bench.settled(&turn, Next::Dead("why".into())).await;
    assert_eq!(bench.queue.counts().dead, 4);
    let retried = bench.retry_all(None).await;
    assert_eq!(retried.retried, ids);
    let again = bench.only_lease().await;
    assert_eq!((again.id, fact(&again, "storm.count")), (turn.id, "4"));
}

pub(crate) async fn what_is_sent_again_as_one_has_room_for_all_of_it<B: Bench>() {
    let small = Options {
        queue_depth_max: 16,
        ..options()
    };
    let mut bench = Harness::<B>::with(small, Caps::all(0));
    let (ids, leased) = bench.storm(0..5).await;
    bench.record_post(&leased).await;
    bench.settled(&leased, Next::Dead("why".into())).await;
    bench.set_caps(Caps::all(0));
    for n in 0..4 {
        bench.accept_new(of(&format!("Other{n}"), n)).await;
    }
    let full = bench.queue.retry(ids[0], Force::No).await;
    assert!(matches!(full, Err(RetryError::Unavailable(_))), "{full:?}");
    assert_eq!(bench.accept(down(3)).await, DUPLICATE);
    assert_eq!(bench.retry_all(None).await.retried, []);
    bench.go();
    for leased in bench.all_leased().await {
        bench.settle(&leased, Next::Done);
    }
    bench.flush().await;
    let retried = bench.retry_all(None).await;
    assert_eq!(
        retried.retried, ids,
        "more than its share fits if there is nothing else"
    );
    assert_eq!(bench.only_lease().await.id, ids[0]);
}

pub(crate) async fn a_dead_member_that_its_sender_sends_again_revives_all<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.record_post(&leased).await;
    bench.settled(&leased, Next::Dead("why".into())).await;
    assert_eq!(bench.accept_new(down(3)).await, ids[3]);
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, ids[0], "each of them alone would be a storm");
    for pod in 0..5 {
        assert_eq!(bench.accept(down(pod)).await, DUPLICATE);
    }
    bench.settled(&leased, Next::Dead("why".into())).await;
    for pod in 0..5 {
        assert_eq!(
            bench.accept(down(pod)).await,
            DUPLICATE,
            "it had its second chance"
        );
    }
}

pub(crate) async fn to_cancel_a_representative_passes_its_role_on<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.queue.cancel(ids[0]).await.unwrap();
    bench.settled(&leased, Next::Done).await;
    let next = bench.only_lease().await;
    assert_eq!((next.id, fact(&next, "storm.count")), (ids[1], "4"));
    bench.settled(&next, retry_in_a_minute(&bench)).await;
    bench.queue.cancel(ids[1]).await.unwrap();
    let last = bench.only_lease().await;
    assert_eq!(last.id, ids[2]);
    bench.settled(&last, Next::Done).await;
    bench
        .are(&ids[..2], State::Dead, Some(Reason::Cancelled))
        .await;
    bench
        .are(&ids[3..], State::Done, Some(Reason::Coalesced))
        .await;
    assert_eq!(bench.queue.counts().depth, 0);
}

pub(crate) async fn to_cancel_one_with_an_effect_ends_what_it_stands_for<B: Bench>() {
    for is_leased in [true, false] {
        let mut bench = still::<B>();
        let (ids, leased) = bench.storm(0..5).await;
        bench.record_post(&leased).await;
        if !is_leased {
            bench.settled(&leased, retry_in_a_minute(&bench)).await;
        }
        bench.queue.cancel(ids[0]).await.unwrap();
        bench
            .are(&ids[..1], State::Dead, Some(Reason::Cancelled))
            .await;
        bench
            .are(&ids[1..], State::Done, Some(Reason::Coalesced))
            .await;
        if is_leased {
            bench.settled(&leased, Next::Done).await;
        }
        let counts = bench.queue.counts();
        assert_eq!((counts.depth, counts.losses.storm), (0, 4));
        bench.set_caps(Caps::all(0));
        bench.all_up(1..3).await;
        bench.go();
        let resolved = bench.only_lease().await;
        assert_eq!(fact(&resolved, "storm.resolved"), "2");
    }
}

pub(crate) async fn to_cancel_one_in_doubt_leaves_one_dead_letter_for_what_it_stood_for<
    B: Bench,
>() {
    for is_leased in [true, false] {
        let mut bench = still::<B>().reporting();
        let (ids, leased) = bench.storm(0..5).await;
        let next = match is_leased {
            true => Next::Done,
            false => retry_in_a_minute(&bench),
        };
        let mut doubtful = settlement(&leased, next);
        doubtful.progress.steps[1].interrupted = true;
        if is_leased {
            bench.queue.cancel(ids[0]).await.unwrap();
            bench.are(&ids[1..], State::Queued, None).await;
        }
        bench.queue.release_permit(&leased.handler);
        bench.queue.settle(doubtful);
        bench.flush().await;
        if !is_leased {
            bench.queue.cancel(ids[0]).await.unwrap();
        }
        bench
            .are(&ids[..1], State::Dead, Some(Reason::Cancelled))
            .await;
        bench
            .are(&ids[1..], State::Dead, Some(Reason::Failed))
            .await;
        assert_eq!(bench.reported().await, [format!("one {}", ids[1])]);
        let counts = bench.queue.counts();
        assert_eq!((counts.dead, counts.losses.storm), (4, 0));
        assert_eq!(
            bench.queue.retry(ids[1], Force::No).await,
            Ok(Selected::Dead)
        );
        let again = bench.representative().await;
        assert_eq!((again.id, fact(&again, "storm.count")), (ids[1], "4"));
        bench.settled(&again, Next::Done).await;
        bench
            .are(&ids[2..], State::Done, Some(Reason::Coalesced))
            .await;
        assert_eq!(bench.queue.counts().dead, 0);
    }
}

pub(crate) async fn what_a_lookup_has_changed_tells_nobody<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    let ledger = bench.ledger(&leased, 0);
    ledger.record(vec![entry(0)]).await.unwrap();
    bench.settled(&leased, retry_in_a_minute(&bench)).await;
    bench.queue.cancel(ids[0]).await.unwrap();
    let next = bench.only_lease().await;
    assert_eq!((next.id, fact(&next, "storm.count")), (ids[1], "4"));
}

pub(crate) async fn one_that_was_cancelled_as_the_server_died_leaves_what_it_stood_for_dead<
    B: Bench,
>() {
    let mut bench = still::<B>();
    let (ids, _) = bench.storm(0..5).await;
    bench.queue.cancel(ids[0]).await.unwrap();
    let mut bench = bench.crash();
    bench
        .are(&ids[1..], State::Dead, Some(Reason::Failed))
        .await;
    assert_eq!(
        (bench.queue.counts().dead, bench.queue.counts().depth),
        (4, 0)
    );
    assert!(bench.is_idle().await);
    // Its storm is closed meanwhile.
    bench.advance(Duration::from_secs(25 * 60 * 60));
    bench.flush().await;
    bench.queue.retry(ids[1], Force::No).await.unwrap();
    let again = bench.only_lease().await;
    assert_eq!((again.id, fact(&again, "storm.count")), (ids[1], "4"));
    assert_eq!(bench.coalesced_into(ids[4]).await, Some(ids[1]));
}

pub(crate) async fn a_member_that_is_cancelled_leaves_the_others<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.queue.cancel(ids[2]).await.unwrap();
    assert_eq!(bench.queue.cancel(ids[2]).await, Err(CancelError::Settled));
    bench
        .are(&ids[2..3], State::Dead, Some(Reason::Cancelled))
        .await;
    assert_eq!(bench.queue.counts().depth, 4);
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&ids[3..], State::Done, Some(Reason::Coalesced))
        .await;
    bench
        .are(&ids[2..3], State::Dead, Some(Reason::Cancelled))
        .await;
    assert_eq!(bench.queue.counts().losses.storm, 3);
}

pub(crate) async fn an_open_member_is_not_sent_again<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, _) = bench.storm(0..5).await;
    assert_eq!(
        bench.queue.retry(ids[1], Force::No).await,
        Err(RetryError::NotDead)
    );
}

/// Has a generation die with an effect, and what has resolved of it wait for its retry.
async fn dead_behind_its_resolved<B: Bench>(pods: &[usize]) -> (Harness<B>, Vec<DeliveryId>) {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.record_post(&leased).await;
    bench.settled(&leased, Next::Dead("why".into())).await;
    bench.set_caps(Caps::all(0));
    for pod in pods {
        bench.accept_new(up(*pod)).await;
    }
    bench.go();
    let resolved = bench.only_lease().await;
    bench.settled(&resolved, retry_in_a_minute(&bench)).await;
    (bench, ids)
}

/// Runs whatever can, for an hour.
async fn all_end<B: Bench>(bench: &mut Harness<B>) {
    for _ in 0..12 {
        bench.advance(Duration::from_secs(300));
        for leased in bench.all_leased().await {
            bench.settled(&leased, Next::Done).await;
        }
    }
    assert_eq!(bench.queue.counts().depth, 0, "they wait for each other");
}

pub(crate) async fn what_is_sent_again_as_one_and_what_waits_as_one_do_not_wait_for_each_other<
    B: Bench,
>() {
    // Its sender sends again what still fires.
    let (mut bench, _) = dead_behind_its_resolved::<B>(&[1, 0, 2, 3]).await;
    bench.accept(down(4)).await;
    all_end(&mut bench).await;
    // A person sends it again.
    for is_killed in [false, true] {
        let (mut bench, ids) = dead_behind_its_resolved::<B>(&[1, 0, 2, 3, 4]).await;
        assert_eq!(
            bench.queue.retry(ids[0], Force::Yes).await,
            Ok(Selected::Dead)
        );
        if is_killed {
            bench = bench.crash();
        }
        all_end(&mut bench).await;
    }
}

pub(crate) async fn what_ends_the_alert_of_a_member_that_was_cancelled_leaves_with_it<B: Bench>() {
    for is_killed in [false, true] {
        let mut bench = still::<B>();
        let ids = bench.all_down(0..5).await;
        let ended = bench.accept_new(up(1)).await;
        bench.go();
        let leased = bench.only_lease().await;
        bench.queue.cancel(ids[1]).await.unwrap();
        assert_eq!(bench.story(ended).await.delivery.storm, None);
        bench.settled(&leased, Next::Done).await;
        let alone = bench.only_lease().await;
        assert_eq!((alone.id, &alone.progress.storm), (ended, &None));
        bench.settled(&alone, Next::Done).await;
        if is_killed {
            bench = bench.crash();
        }
        bench.set_caps(Caps::all(0));
        bench.all_up(0..1).await;
        bench.all_up(2..4).await;
        bench.go();
        let resolved = bench.only_lease().await;
        assert_eq!(fact(&resolved, "storm.count"), "4");
        assert_eq!(fact(&resolved, "storm.resolved"), "3", "one fires still");
    }
}

pub(crate) async fn what_left_its_storm_is_back_there_if_that_is_not_stored<B: Bench>() {
    let mut bench = still::<B>();
    let ids = bench.all_down(0..5).await;
    bench.accept_new(up(1)).await;
    bench.go();
    let leased = bench.only_lease().await;
    bench.fail_writes(true);
    let refused = bench.queue.cancel(ids[1]).await;
    assert!(matches!(refused, Err(CancelError::Unavailable(_))));
    bench.fail_writes(false);
    bench.flush().await;
    bench.settled(&leased, Next::Done).await;
    let resolved = bench.only_lease().await;
    assert_eq!(fact(&resolved, "storm.count"), "5");
    assert_eq!(fact(&resolved, "storm.resolved"), "1");
}
