//! Storms at a gate: what is parked without an effect runs as one, too, and so does whatever waits there if it is too much.

use alert_manager_core::alert::Priority;
use alert_manager_core::gate::{GateAsk, GateName, Pass};

use super::*;
use crate::conformance::gates::{ask, post};

const SECOND: Duration = Duration::from_secs(1);

impl<B: Bench> Harness<B> {
    /// Has a delivery wait at a gate that has no token.
    async fn wait_at_gate(&mut self, submission: Submission, asks: &[GateAsk]) -> DeliveryId {
        self.parked(submission, asks).await
    }

    /// Returns what has its turn in the next second.
    async fn turn(&mut self) -> Leased {
        self.advance(SECOND);
        self.only_lease().await
    }
}

pub(crate) async fn what_is_parked_without_an_effect_runs_as_one<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = post();
    bench.fill_gate(&asks).await;
    let mut ids = Vec::new();
    for pod in 0..OVER + 1 {
        ids.push(bench.wait_at_gate(down(pod), &asks).await);
    }
    let turn = bench.turn().await;
    assert_eq!(turn.id, ids[0]);
    assert_eq!(turn.lease.number, 2);
    assert_eq!(fact(&turn, "storm.count"), "4");
    assert_eq!(bench.story(ids[0]).await.members.unwrap().ids, ids[1..]);
    assert!(bench.post(&turn, &asks).await, "its token was kept for it");
    bench
        .are(&ids[1..], State::Done, Some(Reason::Coalesced))
        .await;
    bench.advance(10 * SECOND);
    assert!(bench.is_idle().await);
}

pub(crate) async fn what_is_parked_with_an_effect_or_a_doubt_runs_alone<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = post();
    bench.fill_gate(&asks).await;
    let begun = bench.accept_new(down(0)).await;
    let leased = bench.lease().await;
    let Pass::Parked(parked) = bench.pass(&leased, &asks) else {
        panic!("it has no token");
    };
    bench.park(&leased, parked, false);
    bench.flush().await;
    let mut ids = Vec::new();
    for pod in 1..OVER + 1 {
        ids.push(bench.wait_at_gate(down(pod), &asks).await);
    }
    let turn = bench.turn().await;
    assert_eq!((turn.id, &turn.progress.storm), (begun, &None));
    assert!(bench.post(&turn, &asks).await);
    let turn = bench.turn().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0], "3"));
}

pub(crate) async fn over_a_restart_only_what_was_parked_without_an_effect_runs_as_one<B: Bench>() {
    for is_killed in [false, true] {
        let mut bench = Harness::<B>::with(options(), Caps::all(8));
        let asks = post();
        bench.fill_gate(&asks).await;
        let begun = bench.accept_new(down(0)).await;
        let leased = bench.lease().await;
        let Pass::Parked(parked) = bench.pass(&leased, &asks) else {
            panic!("it has no token");
        };
        bench.park(&leased, parked, false);
        bench.flush().await;
        let mut ids = Vec::new();
        for pod in 1..OVER + 1 {
            ids.push(bench.wait_at_gate(down(pod), &asks).await);
        }
        let mut bench = match is_killed {
            true => bench.crash(),
            false => bench.restart().await,
        };
        let mut leased = bench.all_leased().await;
        leased.sort_by_key(|leased| leased.id);
        let told: Vec<_> = leased
            .iter()
            .map(|l| (l.id, fact(l, "storm.count"), l.after_crash))
            .collect();
        assert_eq!(told, [(begun, "", false), (ids[0], "3", false)]);
        // Gates start empty, and one of the two passes.
        assert!(bench.post(&leased[0], &asks).await);
        assert!(!bench.post(&leased[1], &asks).await);
        let turn = bench.turn().await;
        assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0], "3"));
        assert!(bench.post(&turn, &asks).await);
        bench
            .are(&ids[1..], State::Done, Some(Reason::Coalesced))
            .await;
    }
}

pub(crate) async fn a_representative_that_is_parked_keeps_what_it_stands_for<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(0));
    let asks = post();
    bench.go();
    bench.fill_gate(&asks).await;
    bench.set_caps(Caps::all(0));
    let (ids, leased) = bench.storm(0..5).await;
    assert!(!bench.post(&leased, &asks).await);
    bench.are(&ids, State::Queued, None).await;
    let later = bench.all_down(5..8).await;
    assert!(bench.is_idle().await, "one generation at a time");
    let turn = bench.turn().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0], "5"));
    assert!(bench.post(&turn, &asks).await);
    let next = bench.only_lease().await;
    assert_eq!((next.id, fact(&next, "storm.count")), (later[0], "8"));
    // It waits once more, over a kill.
    assert!(!bench.post(&next, &asks).await);
    let mut bench = bench.crash();
    let next = bench.only_lease().await;
    assert_eq!((next.id, fact(&next, "storm.count")), (later[0], "8"));
    assert_eq!(bench.story(later[0]).await.members.unwrap().ids, later[1..]);
}

pub(crate) async fn if_too_much_waits_at_one_gate_it_runs_as_one_whatever_its_labels<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = post();
    bench.fill_gate(&asks).await;
    let mut ids = Vec::new();
    for n in 0..OVER + 2 {
        let other = of(&format!("Other{n}"), n);
        ids.push(bench.wait_at_gate(other, &asks).await);
    }
    let turn = bench.turn().await;
    assert_eq!(turn.id, ids[0]);
    assert_eq!(fact(&turn, "storm.id"), ids[0].to_string());
    assert_eq!(fact(&turn, "storm.count"), "5");
    assert_eq!(fact(&turn, "storm.shared"), "cluster=main");
    assert_eq!(
        fact(&turn, "storm.names"),
        "Other0 p0\nOther1 p1\nOther2 p2\nOther3 p3\nOther4 p4"
    );
    assert!(bench.post(&turn, &asks).await);
    bench
        .are(&ids[1..], State::Done, Some(Reason::Coalesced))
        .await;
    let mut ended = of("Other3", 3);
    ended.alert.status = Status::Resolved;
    let ended = bench.accept_new(ended).await;
    let resolved = bench.only_lease().await;
    assert_eq!(
        (resolved.id, fact(&resolved, "storm.resolved")),
        (ended, "1")
    );
    assert_eq!(fact(&resolved, "storm.id"), ids[0].to_string());
}

pub(crate) async fn as_much_as_may_wait_at_a_gate_passes_one_by_one<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = post();
    bench.fill_gate(&asks).await;
    for n in 0..OVER {
        bench.wait_at_gate(of(&format!("Other{n}"), n), &asks).await;
    }
    for _ in 0..OVER {
        let turn = bench.turn().await;
        assert_eq!(turn.progress.storm, None);
        assert!(bench.post(&turn, &asks).await);
    }
}

pub(crate) async fn what_waits_to_update_a_message_does_so_by_itself<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = [ask(GateName::SlackUpdates, 1.0, 1)];
    bench.fill_gate(&asks).await;
    for n in 0..OVER + 2 {
        bench.wait_at_gate(of(&format!("Other{n}"), n), &asks).await;
    }
    for _ in 0..OVER + 2 {
        let turn = bench.turn().await;
        assert_eq!(turn.progress.storm, None);
        assert!(bench.post(&turn, &asks).await);
    }
}

pub(crate) async fn at_a_gate_critical_ones_are_apart<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = post();
    bench.fill_gate(&asks).await;
    let mut criticals = Vec::new();
    for n in 0..2 * (OVER + 1) {
        let mut other = of(&format!("Other{n}"), n);
        if n % 2 == 0 {
            other.plans[0].priority = Priority::Critical;
        }
        let id = bench.wait_at_gate(other, &asks).await;
        criticals.extend((n % 2 == 0).then_some(id));
    }
    let turn = bench.turn().await;
    assert_eq!(turn.id, criticals[0]);
    assert_eq!(
        bench.story(turn.id).await.members.unwrap().ids,
        criticals[1..]
    );
    assert!(bench.post(&turn, &asks).await);
    let turn = bench.turn().await;
    assert_eq!(fact(&turn, "storm.count"), "4", "the others");
}

/// Has several generations wait at one gate; returns their deliveries.
async fn generations_at_a_gate<B: Bench>(
    bench: &mut Harness<B>,
    asks: &[GateAsk],
) -> Vec<Vec<DeliveryId>> {
    bench.fill_gate(asks).await;
    let mut ids = Vec::new();
    for n in 0..OVER + 1 {
        bench.set_caps(Caps::all(0));
        let mut own = Vec::new();
        for pod in 0..OVER + 1 {
            own.push(bench.accept_new(of(&format!("Other{n}"), pod)).await);
        }
        bench.go();
        let leased = bench.only_lease().await;
        assert_eq!(leased.id, own[0]);
        assert!(!bench.post(&leased, asks).await);
        ids.push(own);
    }
    ids
}

pub(crate) async fn a_member_that_is_cancelled_when_its_gate_has_a_turn_is_not_part_of_that<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let ids = generations_at_a_gate(&mut bench, &post()).await;
    // The next transaction cancels it, and has the turn.
    bench.clock.advance(SECOND);
    let member = ids[2][2];
    bench.queue.cancel(member).await.unwrap();
    let turn = bench.only_lease().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0][0], "15"));
    assert_eq!(bench.story(turn.id).await.members.unwrap().count, 14);
    assert_eq!(bench.coalesced_into(member).await, None);
    bench.settled(&turn, Next::Dead("why".into())).await;
    let next = bench.only_lease().await;
    assert_eq!((next.id, fact(&next, "storm.count")), (ids[0][1], "14"));
    bench.settled(&next, Next::Done).await;
    bench
        .are(&[member], State::Dead, Some(Reason::Cancelled))
        .await;
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.losses.storm), (0, 13));
}

pub(crate) async fn representatives_that_wait_at_a_gate_bring_what_they_stand_for<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let ids = generations_at_a_gate(&mut bench, &post()).await;
    let turn = bench.turn().await;
    assert_eq!(turn.id, ids[0][0]);
    assert_eq!(fact(&turn, "storm.count"), "16");
    assert_eq!(bench.story(turn.id).await.members.unwrap().count, 15);
    assert_eq!(bench.coalesced_into(ids[3][3]).await, Some(turn.id));
    // Over a kill, and when another takes over.
    let mut bench = bench.crash();
    let turn = bench.only_lease().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0][0], "16"));
    // What crashed runs alone, so that only the next start shows what waits for it.
    bench.settled(&turn, retry_in_a_minute(&bench)).await;
    let mut bench = bench.restart().await;
    let later = bench.accept_new(of("Other1", 9)).await;
    assert!(bench.is_idle().await, "one generation at a time");
    bench.queue.cancel(later).await.unwrap();
    bench.advance(60 * SECOND);
    let turn = bench.only_lease().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0][0], "16"));
    bench.settled(&turn, Next::Dead("why".into())).await;
    let next = bench.only_lease().await;
    assert_eq!((next.id, fact(&next, "storm.count")), (ids[0][1], "15"));
    assert_eq!(fact(&next, "storm.id"), ids[0][0].to_string());
    bench.settled(&next, Next::Done).await;
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.losses.storm), (0, 14));
}

pub(crate) async fn what_waits_at_a_gate_runs_as_one_only_if_that_is_stored<B: Bench>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = post();
    bench.fill_gate(&asks).await;
    let mut ids = Vec::new();
    for n in 0..OVER + 2 {
        let other = of(&format!("Other{}", n / 2), n);
        ids.push(bench.wait_at_gate(other, &asks).await);
    }
    bench.fail_writes(true);
    let failures = bench.bench.failures();
    bench.advance(SECOND);
    eventually(async || bench.bench.failures() > failures).await;
    bench.fail_writes(false);
    let turn = bench.only_lease().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0], "5"));
    assert_eq!(bench.story(turn.id).await.members.unwrap().ids, ids[1..]);
    assert!(bench.post(&turn, &asks).await);
    assert_eq!(bench.queue.counts().depth, 0);
}

pub(crate) async fn what_waits_behind_a_generation_at_a_gate_does_so_if_a_turn_cannot_be_stored<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let ids = generations_at_a_gate(&mut bench, &post()).await;
    let later = bench.accept_new(of("Other1", 9)).await;
    assert!(bench.is_idle().await, "one generation at a time");
    bench.fail_writes(true);
    let failures = bench.bench.failures();
    bench.advance(SECOND);
    eventually(async || bench.bench.failures() > failures).await;
    bench.fail_writes(false);
    let turn = bench.only_lease().await;
    assert_eq!((turn.id, fact(&turn, "storm.count")), (ids[0][0], "16"));
    bench.settled(&turn, Next::Done).await;
    assert_eq!(bench.only_lease().await.id, later);
}

pub(crate) async fn an_earlier_generation_does_not_update_a_message_after_a_later_one<B: Bench>() {
    for is_killed in [false, true] {
        let mut bench = still::<B>();
        let (_, leased) = bench.storm(0..5).await;
        bench.settled(&leased, Next::Done).await;
        bench.accept_new(down(5)).await;
        let earlier = bench.only_lease().await;
        assert_eq!(fact(&earlier, "storm.count"), "6");
        bench.accept_new(up(0)).await;
        let later = bench.only_lease().await;
        assert_eq!(fact(&later, "storm.resolved"), "1");
        // The later one is the first to ask, and waits.
        let message = [GateAsk::new(GateName::SlackMessage("C1 1.5".into()), None)];
        let minute = Duration::from_secs(60);
        bench.ledger(&later, 1).close_gate(&message[0], minute);
        assert!(!bench.post(&later, &message).await);
        if is_killed {
            let mut again = bench.crash();
            again.advance(minute);
            let mut both = again.all_leased().await;
            both.extend(again.all_leased().await);
            both.sort_by_key(|leased| leased.id);
            let [earlier, later] = &both[..] else {
                panic!("{both:?}");
            };
            assert_eq!(again.pass(earlier, &message), Pass::Superseded);
            assert_eq!(again.pass(later, &message), Pass::Granted);
            continue;
        }
        assert_eq!(bench.pass(&earlier, &message), Pass::Superseded);
        bench.settled(&earlier, Next::Done).await;
        bench.advance(minute);
        let later = bench.only_lease().await;
        assert_eq!(bench.pass(&later, &message), Pass::Granted);
    }
}
