//! A storm over restarts: the server is killed, or stops, at each step.

use super::*;

/// How far a storm has come when the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Accepted,
    Leased,
    Posted,
    Waits,
    TakenOver,
    Dead,
    Revived,
    Done,
}

async fn storm_to<B: Bench>(step: At) -> (Harness<B>, Vec<DeliveryId>) {
    let mut bench = still::<B>();
    if step == At::Accepted {
        let ids = bench.all_down(0..5).await;
        bench.set_next_caps(Caps::all(8));
        return (bench, ids);
    }
    let (ids, leased) = bench.storm(0..5).await;
    match step {
        At::Accepted | At::Leased => {}
        At::Posted => bench.record_post(&leased).await,
        At::Waits => bench.settled(&leased, retry_in_a_minute(&bench)).await,
        At::TakenOver => bench.settled(&leased, Next::Dead("why".into())).await,
        At::Dead | At::Revived => {
            bench.record_post(&leased).await;
            bench.settled(&leased, Next::Dead("why".into())).await;
            if step == At::Revived {
                bench.queue.retry(ids[0], Force::No).await.unwrap();
                let leased = bench.only_lease().await;
                bench.settled(&leased, retry_in_a_minute(&bench)).await;
            }
        }
        At::Done => bench.settled(&leased, Next::Done).await,
    }
    (bench, ids)
}

pub(crate) async fn a_storm_goes_on_after_a_kill_at_each_step<B: Bench>() {
    use At::{Accepted, Dead, Done, Leased, Posted, Revived, TakenOver, Waits};
    for step in [
        Accepted, Leased, Posted, Waits, TakenOver, Dead, Revived, Done,
    ] {
        for is_killed in [true, false] {
            let (bench, ids) = storm_to::<B>(step).await;
            let mut bench = match is_killed {
                true => bench.crash(),
                false => bench.restart().await,
            };
            bench.advance(Duration::from_secs(60));
            if step == Dead {
                assert_eq!(bench.queue.counts().dead, 5);
                bench.queue.retry(ids[0], Force::No).await.unwrap();
            }
            if step != Done {
                let leased = bench.only_lease().await;
                let expected = ids[usize::from(step == TakenOver)];
                assert_eq!(leased.id, expected, "{step:?}");
                assert_eq!(fact(&leased, "storm.id"), ids[0].to_string(), "{step:?}");
                bench.settled(&leased, Next::Done).await;
            }
            bench
                .are(&ids[2..], State::Done, Some(Reason::Coalesced))
                .await;
            let counts = bench.queue.counts();
            let dead = u64::from(step == TakenOver);
            assert_eq!((counts.depth, counts.dead), (0, dead), "{step:?}");
            // The next generation is of the same storm.
            let next = bench.accept_new(down(7)).await;
            let leased = bench.only_lease().await;
            assert_eq!(leased.id, next);
            assert_eq!(fact(&leased, "storm.id"), ids[0].to_string(), "{step:?}");
        }
    }
}

pub(crate) async fn what_came_before_a_kill_counts_after_it<B: Bench>() {
    let bench = still::<B>();
    let mut ids = bench.all_down(0..2).await;
    let mut bench = bench.crash();
    ids.extend(bench.all_down(2..4).await);
    bench.go();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, ids[0]);
    assert_eq!(fact(&leased, "storm.count"), "4");
}

pub(crate) async fn what_has_resolved_goes_on_after_a_kill_as_one<B: Bench>() {
    let mut bench = still::<B>();
    let (ids, leased) = bench.storm(0..5).await;
    bench.set_caps(Caps::all(0));
    bench.settled(&leased, Next::Done).await;
    let ups = bench.all_up(0..4).await;
    bench.set_next_caps(Caps::all(8));
    let mut bench = bench.crash();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, ups[0]);
    assert_eq!(fact(&leased, "storm.resolved"), "4");
    let mut bench = bench.crash();
    let leased = bench.only_lease().await;
    assert_eq!(leased.id, ups[0]);
    assert_eq!(fact(&leased, "storm.id"), ids[0].to_string());
    assert_eq!(fact(&leased, "storm.resolved"), "4");
    bench.settled(&leased, Next::Done).await;
    bench
        .are(&ups[1..], State::Done, Some(Reason::Coalesced))
        .await;
}

pub(crate) async fn what_counts_in_a_storm_counts_once_over_a_kill<B: Bench>() {
    let mut bench = still::<B>();
    let asks = crate::conformance::gates::post();
    let (ids, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    // A generation of one, which waits for its turn.
    let next = bench.accept_new(down(7)).await;
    let leased = bench.only_lease().await;
    assert_eq!(fact(&leased, "storm.count"), "6");
    let minute = Duration::from_secs(60);
    bench.ledger(&leased, 1).close_gate(&asks[0], minute);
    assert!(!bench.post(&leased, &asks).await);
    let mut bench = bench.crash();
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, fact(&leased, "storm.count")), (next, "6"));
    bench.settled(&leased, Next::Done).await;
    assert_eq!(fact(&leased, "storm.id"), ids[0].to_string());
    // A reminder, which has not run.
    bench.advance(Duration::from_secs(4 * 3_600));
    bench.set_caps(Caps::all(0));
    let reminder = bench.accept_new(down(0)).await;
    bench.set_next_caps(Caps::all(8));
    let mut bench = bench.crash();
    let leased = bench.only_lease().await;
    assert_eq!((leased.id, fact(&leased, "storm.count")), (reminder, "6"));
    assert_eq!(fact(&leased, "storm.id"), ids[0].to_string());
}

pub(crate) async fn what_waits_at_a_gate_counts_once_however_often_the_server_is_killed<
    B: Bench,
>() {
    let mut bench = Harness::<B>::with(options(), Caps::all(8));
    let asks = crate::conformance::gates::post();
    bench.fill_gate(&asks).await;
    bench.set_caps(Caps::all(0));
    let (_, leased) = bench.storm(0..5).await;
    bench.settled(&leased, Next::Done).await;
    bench.accept_new(up(4)).await;
    let resolved = bench.only_lease().await;
    assert!(!bench.post(&resolved, &asks).await);
    bench.flush().await;
    for kill in 0..3 {
        bench = bench.crash();
        let resolved = bench.only_lease().await;
        assert_eq!(fact(&resolved, "storm.resolved"), "1");
        // The gate starts empty: one passes, and then it waits once more.
        bench.accept_new(firing(&format!("Fills{kill}"))).await;
        let fills = bench.lease().await;
        assert!(bench.post(&fills, &asks).await);
        assert!(!bench.post(&resolved, &asks).await);
        bench.flush().await;
    }
}
