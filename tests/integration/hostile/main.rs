//! Everything that means harm, on one server at once: each ends with its reason, while another handler is served.
//!
//! A case is data (`case.rs`), the catalogue is by topic, and `world.rs` checks each in the same way. To run some
//! of them: `ALERT_MANAGER_HOSTILE=part-of-a-name cargo test -p tests --test hostile`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod case;
mod computing;
mod contracts;
mod files;
mod floods;
mod memory;
mod neighbours;
mod network;
mod output;
mod raw;
mod watch;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};

use case::Case;
use world::World;

/// Fewer cases are no proof.
const CASES_MIN: usize = 60;
/// So many are under way at one time.
const AT_ONCE: usize = 12;

fn catalogue() -> Vec<Case> {
    [
        computing::cases(),
        memory::cases(),
        output::cases(),
        floods::cases(),
        network::cases(),
        neighbours::cases(),
        files::cases(),
        contracts::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_means_harm_ends_with_a_reason_while_another_handler_is_served() {
    let cases = catalogue();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases share a name");
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());

    let chosen = std::env::var("ALERT_MANAGER_HOSTILE").unwrap_or_default();
    let began = Instant::now();
    let world = Arc::new(World::start(&cases).await);
    let results: Vec<_> =
        stream::iter(cases.into_iter().filter(|case| case.name.contains(&chosen)))
            .map(|case| {
                let world = Arc::clone(&world);
                async move {
                    let name = case.name;
                    // A task of its own, so that one that fails does not end the others.
                    (
                        name,
                        tokio::spawn(async move { world.check(&case).await }).await,
                    )
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
    let failed: Vec<_> = results
        .iter()
        .filter(|(_, result)| result.is_err())
        .map(|(name, _)| *name)
        .collect();
    tests::skipped(&format!(
        "{} hostile cases in {:.1?}, {} failed",
        results.len(),
        began.elapsed(),
        failed.len()
    ));
    world.untouched();
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
