//! A delivery that kills the server is dead after a few deaths, and those that ran with it are done.

use super::prelude::*;

/// Runs all deliveries to their end. The server dies when a delivery that `poison` selects begins to run; returns how often it did.
async fn run_all<B: Bench>(bench: &mut Option<Harness<B>>, poison: impl Fn(&str) -> bool) -> u32 {
    let mut crashes = 0;
    while bench.as_ref().unwrap().queue.counts().depth > 0 {
        let this = bench.as_mut().unwrap();
        this.flush().await;
        this.flush().await;
        let held = this.leased();
        if held.iter().any(|leased| poison(leased.alert.name())) {
            crashes += 1;
            assert!(crashes < 1_000);
            *bench = Some(bench.take().unwrap().crash());
            continue;
        }
        for leased in &held {
            this.settle(leased, Next::Done);
        }
        this.flush().await;
    }
    crashes
}

async fn check<B: Bench>(poisons: u32, innocents: u32) {
    let bench = Harness::<B>::with(Options::default(), Caps::all(8));
    let mut ids = Vec::new();
    for n in 0..poisons.max(innocents) {
        for (kind, count) in [("Innocent", innocents), ("Poison", poisons)] {
            if n < count {
                let id = bench.accept_new(firing(&format!("{kind}{n}"))).await;
                ids.push((id, kind));
            }
        }
    }
    let mut bench = Some(bench);
    let crashes = run_all(&mut bench, |name| name.starts_with("Poison")).await;
    let bench = bench.unwrap();
    assert!(
        crashes >= 3 * poisons && crashes <= 4 * poisons,
        "{crashes} crashes by {poisons}"
    );
    for (id, kind) in ids {
        let delivery = bench.story(id).await.delivery;
        let expected = match kind {
            "Poison" => State::Dead,
            _ => State::Done,
        };
        assert_eq!(delivery.state, expected, "{delivery:?}");
    }
}

pub(super) async fn one_that_kills_the_server_ends_dead_and_twenty_beside_it_end_done<B: Bench>() {
    check::<B>(1, 20).await;
}

pub(super) async fn twenty_that_kill_the_server_end_dead_and_twenty_among_them_end_done<
    B: Bench,
>() {
    check::<B>(20, 20).await;
}

pub(super) async fn what_killed_the_server_stays_dead_until_a_person_sends_it_again<B: Bench>() {
    let mut bench = Some(Harness::<B>::new());
    let id = bench.as_ref().unwrap().accept_new(firing("A")).await;
    for _ in 0..2 {
        assert_eq!(run_all(&mut bench, |_| true).await, 3);
        let this = bench.as_ref().unwrap();
        for _ in 0..3 {
            assert_eq!(this.accept(firing("A")).await, DUPLICATE);
            let mut edited = firing("A");
            edited.plans = vec![plan("edited", &["notify"])];
            assert_eq!(this.accept(edited).await, DUPLICATE);
            this.clock.advance(Duration::from_secs(5 * 3_600));
        }
        let delivery = this.story(id).await.delivery;
        assert_eq!(delivery.state, State::Dead);
        assert_eq!(delivery.reason, Some(Reason::Died));
        let why = delivery.last_error.unwrap();
        assert!(why.contains("died three times"), "{why}");
        this.queue.retry(id, Force::No).await.unwrap();
    }
    assert_eq!(run_all(&mut bench, |_| false).await, 0);
    assert_eq!(bench.unwrap().state(id).await, State::Done);
}

/// The suspect that is the cause comes after slow ones, which take all of the time in which suspects run alone.
pub(super) async fn slow_suspects_do_not_hide_the_one_that_is_to_blame<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut slow = Vec::new();
    for n in 0..3 {
        slow.push(bench.accept_new(firing(&format!("Slow{n}"))).await);
    }
    let poison = bench.accept_new(firing("Poison")).await;
    let mut crashes = 0;
    while bench.state(poison).await != State::Dead {
        let mut held = Vec::new();
        loop {
            bench.flush().await;
            bench.flush().await;
            held.extend(bench.leased());
            if held.iter().any(|leased| leased.id == poison) {
                break;
            }
            // Each takes half a minute.
            bench.advance(Duration::from_secs(15));
            bench.flush().await;
            bench.flush().await;
            held.extend(bench.leased());
            if held.iter().any(|leased| leased.id == poison) {
                break;
            }
            bench.advance(Duration::from_secs(15));
            for leased in held.drain(..) {
                let until = bench.clock.now();
                let handler = name("notify");
                bench.settle(&leased, Next::Retry { until, handler });
            }
        }
        crashes += 1;
        assert!(crashes < 20);
        bench = bench.crash();
    }
    for id in slow {
        assert_ne!(bench.state(id).await, State::Dead);
    }
}

/// No worker takes deliveries during the first scan of the modules.
pub(super) async fn a_server_that_is_killed_while_it_starts_blames_nothing<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(bench.accept_new(firing(&format!("A{n}"))).await);
    }
    bench.queue.shutdown().await;
    for kill in 0..4 {
        bench = bench.crash_unattended();
        if kill == 0 {
            ids.push(bench.accept_new(firing("New")).await);
        }
        bench.flush().await;
        bench.flush().await;
        for id in &ids {
            let delivery = bench.story(*id).await.delivery;
            assert_eq!(delivery.state, State::Queued, "{delivery:?}");
        }
    }
    let mut held = Vec::new();
    for _ in &ids {
        held.push(bench.lease().await);
    }
    for leased in &held {
        assert_eq!((leased.lease.number, leased.after_crash), (1, false));
    }
}

pub(super) async fn deaths_add_up_though_leases_between_them_ended_in_order<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    for _ in 0..2 {
        bench.lease().await;
        bench = bench.crash();
        assert_ne!(bench.state(id).await, State::Dead);
        let until = bench.clock.now();
        let handler = name("notify");
        bench.run(Next::Retry { until, handler }).await;
    }
    bench.lease().await;
    bench = bench.crash();
    assert_eq!(bench.state(id).await, State::Dead);
}
