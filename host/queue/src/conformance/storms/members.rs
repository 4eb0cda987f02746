//! Members: written once, open until their representative ends, settled with it.

use super::*;

pub(crate) async fn members_are_done_with_their_representative_and_say_so<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&ids[..1], State::Done, Some(Reason::Handled))
        .await;
    bench
        .are(&ids[1..], State::Done, Some(Reason::Coalesced))
        .await;
    for id in &ids[1..] {
        let story = bench.story(*id).await;
        let text = format!("coalesced into {}", ids[0]);
        assert_eq!(story.delivery.last_error, Some(text));
        assert_eq!(story.delivery.coalesced_into, Some(ids[0]));
        assert_eq!(story.delivery.settled_at, Some(bench.clock.now()));
        assert_eq!(story.attempts.len(), 0);
        assert_eq!(
            bench.bench.peek_runs(*id),
            [] as [u32; 0],
            "nothing is written"
        );
    }
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.dead, counts.losses.storm), (0, 0, 4));
}

pub(crate) async fn no_member_is_done_while_its_representative_is_not<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, mut leased) = bench.storm(0..5).await;
    for _ in 0..3 {
        bench.are(&ids[1..], State::Queued, None).await;
        bench.settled(&leased, retry_in_a_minute(&bench)).await;
        assert!(bench.is_idle().await);
        bench.are(&ids[1..], State::Queued, None).await;
        bench.advance(Duration::from_secs(60));
        leased = bench.only_lease().await;
        assert_eq!(leased.id, ids[0]);
    }
}

pub(crate) async fn a_member_holds_its_ordering_key_until_its_representative_ends<B: Bench>() {
    let mut bench = still::<B>();
    let (_, leased) = bench.storm(0..5).await;
    let resolved = bench.accept_new(up(3)).await;
    let again = bench.accept_new(started(down(2), 60)).await;
    assert!(bench.is_idle().await, "nothing overtakes a member");
    bench.settled(&leased, Next::Done).await;
    let mut ran: Vec<_> = bench.all_leased().await.iter().map(|l| l.id).collect();
    ran.sort_unstable();
    assert_eq!(ran, [resolved, again]);
}

pub(crate) async fn members_end_in_the_transaction_of_their_representative<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.fail_writes(true);
    let failures = bench.bench.failures();
    bench.settle(&leased, Next::Done);
    eventually(async || bench.bench.failures() > failures).await;
    bench.are(&ids[1..], State::Queued, None).await;
    bench.fail_writes(false);
    bench.flush().await;
    bench
        .are(&ids[1..], State::Done, Some(Reason::Coalesced))
        .await;
    assert_eq!(bench.queue.counts().losses.storm, 4);
}

pub(crate) async fn a_generation_that_cannot_be_stored_is_formed_when_it_can<B: Bench>() {
    let mut bench = still::<B>();
    let ids = bench.all_down(0..5).await;
    bench.fail_writes(true);
    let failures = bench.bench.failures();
    bench.go();
    eventually(async || bench.bench.failures() > failures).await;
    for id in &ids {
        assert_eq!(bench.coalesced_into(*id).await, None);
    }
    bench.fail_writes(false);
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, ids[0]);
    assert_eq!(fact(&leased, "storm.count"), "5");
    assert_eq!(bench.story(ids[0]).await.members.unwrap().ids, ids[1..]);
}

pub(crate) async fn a_member_says_where_it_went_though_that_was_removed<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench.remove(ids[0]).await;
    assert!(bench.queue.story(ids[0]).await.unwrap().is_none());
    let member = bench.story(ids[1]).await.delivery;
    assert_eq!(member.coalesced_into, Some(ids[0]));
    assert_eq!(member.state, State::Done);
}

pub(crate) async fn a_lease_of_a_representative_that_another_server_took_ends_no_member<
    B: Bench,
>() -> Result<(), Unsupported> {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.bench.take_lease(leased.id)?;
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    for id in &ids[1..] {
        assert_eq!(bench.bench.peek(*id).unwrap().state, State::Queued);
    }
    Ok(())
}

pub(crate) async fn a_representative_is_as_urgent_as_what_waits_for_its_members<B: Bench>() {
    use alert_manager_core::alert::Priority;
    let asks = crate::conformance::gates::post();
    for is_killed in [false, true] {
        let mut bench = still::<B>();
        let (ids, leased) = bench.storm(0..5).await;
        let minute = Duration::from_secs(60);
        bench.ledger(&leased, 1).close_gate(&asks[0], minute);
        assert!(!bench.post(&leased, &asks).await);
        let mut warning = of("Other", 9);
        warning.plans[0].priority = Priority::Warning;
        bench.parked(warning, &asks).await;
        let first = ids[0];
        let rank = |bench: &Harness<B>| bench.queue.waiting(first).unwrap().priority;
        assert_eq!(rank(&bench), Priority::Normal);
        let mut ends = up(2);
        ends.plans[0].priority = Priority::Critical;
        let ends = bench.accept_new(ends).await;
        assert_eq!(rank(&bench), Priority::Critical, "it waits for a member");
        if is_killed {
            bench = bench.crash();
            for leased in bench.all_leased().await {
                assert!(!bench.post(&leased, &asks).await);
            }
            assert_eq!(rank(&bench), Priority::Critical);
        }
        // What is more urgent is cancelled, and comes again.
        bench.queue.cancel(ends).await.unwrap();
        assert_eq!(rank(&bench), Priority::Normal);
        let mut ends = down(3);
        ends.alert.starts_at += Duration::from_secs(1);
        ends.plans[0].priority = Priority::Critical;
        bench.accept_new(ends).await;
        assert_eq!(rank(&bench), Priority::Critical);
        bench.advance(minute);
        let turn = bench.only_lease().await;
        assert_eq!((turn.id, turn.priority), (first, Priority::Normal));
    }
}
