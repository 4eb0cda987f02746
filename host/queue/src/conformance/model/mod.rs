//! Compares the queue with a model of it, under random sequences of operations.
//!
//! As many random sequences as the bench says ([`Bench::SEQUENCES`]), twenty times as many with `ALERT_MANAGER_TEST_LONG=1`, or as
//! many as `PROPTEST_CASES` says.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::prelude::*;

mod pair;
mod state;
mod storms;

use pair::Pair;
use state::ALERTS;

#[derive(Clone, Debug)]
enum Op {
    /// Of an alert, its start and whether it is resolved.
    Accept(u8, i64, bool),
    /// The lease with this index, modulo their number.
    Settle(usize, End),
    /// The lease at this place has a message for the one channel: it is done, or parked.
    Post(usize),
    /// Slack says to wait so long.
    Close(u64),
    Advance(u64),
    Crash,
    Restart,
    Retry(usize),
    Cancel(usize),
    /// The route gets another name.
    EditRoute,
}

#[derive(Clone, Debug)]
enum End {
    Done,
    Dead,
    RetryIn(u64),
    Yield,
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        3 => Just(End::Done),
        2 => Just(End::Dead),
        2 => (0..60_u64).prop_map(End::RetryIn),
        1 => Just(End::Yield),
    ];
    prop_oneof![
        10 => (0..ALERTS, 0..2_i64, any::<bool>()).prop_map(|(a, s, r)| Op::Accept(a, s, r)),
        8 => (any::<usize>(), end).prop_map(|(place, end)| Op::Settle(place, end)),
        6 => any::<usize>().prop_map(Op::Post),
        1 => (0..60_u64).prop_map(Op::Close),
        2 => (0..12_u64).prop_map(Op::Advance),
        2 => (0..150_u64).prop_map(Op::Advance),
        1 => Just(Op::Crash),
        1 => Just(Op::Restart),
        2 => any::<usize>().prop_map(Op::Retry),
        1 => any::<usize>().prop_map(Op::Cancel),
        1 => Just(Op::EditRoute),
    ]
}

fn cases<B: Bench>() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let is_long = std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some();
    asked.and_then(|n| n.parse().ok()).unwrap_or(if is_long {
        20 * B::SEQUENCES
    } else {
        B::SEQUENCES
    })
}

pub(super) async fn the_queue_does_what_its_model_does<B: Bench>() {
    on_a_thread(check::<B>);
}

pub(super) async fn a_storm_keeps_its_promises_in_any_order<B: Bench>() {
    on_a_thread(storms::check::<B>);
}

/// Runs what blocks on a runtime of its own.
fn on_a_thread(check: fn()) {
    let checked = std::thread::scope(|scope| scope.spawn(check).join());
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
}

fn check<B: Bench>() {
    for_sequences(cases::<B>(), op(), async |ops| {
        let mut pair = Pair::<B>::new();
        for op in ops {
            pair = pair.step(op).await;
        }
        pair.compare_all().await;
    });
}

/// Runs so many sequences of operations, and shows the shortest one that fails.
fn for_sequences<O: std::fmt::Debug>(
    cases: u32,
    op: impl Strategy<Value = O>,
    run: impl AsyncFn(Vec<O>),
) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let sequences = prop::collection::vec(op, 1..60);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let checked = TestRunner::new(config).run(&sequences, |ops| {
        runtime.block_on(run(ops));
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}
