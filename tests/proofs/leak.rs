//! Invocations by the thousand, half of them trapping, on a pool that is too small: nothing grows, nothing is left over.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests, which print their figures"
)]

use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::{DeliveryId, StepKind};
use alert_manager::runtime::{Invocation, StepFailure};
use tests::harness::{Harness, facts};

/// One at a time: what the one holds is counted by the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The slots of the pool. Twice as many invocations run at a time.
const SLOTS: u32 = 4;
const AT_ONCE: usize = 8;

/// What may come and go: the allocator's own pools, of which each thread has one.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

fn is_long() -> bool {
    std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some()
}

/// Returns the resident memory of this process in bytes, and its open files.
fn usage() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (kib.parse::<u64>().unwrap() << 10, files)
}

/// Runs `count` invocations, `AT_ONCE` at a time: alternately one that marks memory and traps, and one that scans memory and succeeds.
async fn storm(harness: &Arc<Harness>, count: usize) -> (usize, usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..AT_ONCE {
        let harness = Arc::clone(harness);
        tasks.spawn(async move {
            let (mut trapped, mut clean) = (0, 0);
            for n in (first..count).step_by(AT_ONCE) {
                // Not by `n` alone: a task would only ever do the one or the other.
                let marks = (n / AT_ONCE + n).is_multiple_of(2);
                let call = harness.greedy(if marks { "mark" } else { "scan" }).await;
                let call = call.with(|invocation| roomy(invocation, n));
                let invoked = call.run().await;
                match &invoked.outcome {
                    Err(StepFailure::Trap(why)) if marks => {
                        assert!(why.contains("with its memory full"), "{why}");
                        trapped += 1;
                    }
                    Ok(_) if !marks => {
                        assert_eq!(facts(&invoked), ["0"], "marks of another guest");
                        clean += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            (trapped, clean)
        });
    }
    let mut sum = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let (trapped, clean) = done.unwrap();
        sum = (sum.0 + trapped, sum.1 + clean);
    }
    sum
}

fn roomy(invocation: &mut Invocation, n: usize) {
    invocation.step = StepKind::Act;
    invocation.delivery = DeliveryId::from_raw(1 + i64::try_from(n).unwrap());
    // Debug builds of the guest on a busy machine.
    invocation.limits.cpu_max = Duration::from_secs(20);
    invocation.limits.wall_max = Duration::from_secs(60);
    invocation.time_left = Duration::from_secs(60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_from_one_invocation_into_the_next() {
    let _alone = ALONE.lock().await;
    let count = if is_long() { 100_000 } else { 3_000 };
    let harness = Arc::new(Harness::with_slots(SLOTS));
    // Until every slot, thread and allocator pool has reached its peak.
    storm(&harness, 400).await;
    let before = usage();
    let (trapped, clean) = storm(&harness, count).await;
    let after = usage();
    assert_eq!((trapped, clean), (count / 2, count / 2));
    assert_eq!(after.1, before.1, "open files");
    let grown = after.0.saturating_sub(before.0);
    assert!(
        grown <= GROWTH_BYTES_MAX,
        "resident memory went from {} to {} bytes",
        before.0,
        after.0
    );
    println!(
        "leak: {count} invocations, {trapped} of them trapped with their memory full; resident {} MiB before, {} MiB after, {} open files; no mark was found in any fresh memory",
        before.0 >> 20,
        after.0 >> 20,
        after.1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_finds_what_is_there() {
    let _alone = ALONE.lock().await;
    let harness = Harness::with_slots(SLOTS);
    // The counter-test: the same scan finds what the guest left in its own memory.
    let call = harness.greedy("mark-and-scan").await;
    let invoked = call.with(|invocation| roomy(invocation, 0)).run().await;
    let found: usize = facts(&invoked)[0].parse().unwrap();
    assert!(found >= (3 << 20) / 8, "{found}");
}
