//! Hostile modules, services, files and clients, each a test with a name.
//!
//! A case is data (`case.rs`). The catalogue is sorted by topic, and `world.rs` checks each case in the same way, on one
//! server that all of them share and that serves an honest handler meanwhile. The attacks in `attacks/` measure the real
//! binary, one after the other.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod attacks;
mod case;
mod computing;
mod contracts;
mod files;
mod floods;
mod memory;
mod neighbours;
mod network;
mod output;
mod watch;
mod world;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use case::Case;
use world::World;

/// How many cases are under way at one time, unless `--test-threads` says otherwise: most of them wait.
const AT_ONCE: usize = 12;

/// Every case by its topic.
type Topics = [(&'static str, Vec<Case>)];

/// What the cases share: the server that knows the handlers of all of them, started for the first one that runs.
struct Shared {
    runtime: Runtime,
    world: OnceCell<World>,
}

fn catalogue() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("computing", computing::cases()),
        ("memory", memory::cases()),
        ("output", output::cases()),
        ("floods", floods::cases()),
        ("network", network::cases()),
        ("neighbours", neighbours::cases()),
        ("files", files::cases()),
        ("contracts", contracts::cases()),
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    let shared = Arc::new(Shared {
        runtime,
        world: OnceCell::new(),
    });
    let topics: Arc<Topics> = catalogue().into();
    let mut trials = cases(&shared, &topics);
    // Last: each of them waits for the one before it.
    trials.extend(attacks(&shared));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(world) = shared.world.get() {
        let untouched = catch_unwind(AssertUnwindSafe(|| world.assert_untouched()));
        if untouched.is_err() {
            // No trial fails for it, so that it is said beside libtest's "ok".
            let _ = writeln!(
                std::io::stderr(),
                "hostile: a guest reached what it was not granted"
            );
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}

/// Returns a test for each case of the catalogue, named `topic::case`.
fn cases(shared: &Arc<Shared>, topics: &Arc<Topics>) -> Vec<Trial> {
    let mut names = BTreeSet::new();
    let mut trials = Vec::new();
    for (topic, (name, cases)) in topics.iter().enumerate() {
        for (n, case) in cases.iter().enumerate() {
            assert!(names.insert(case.name), "two cases are named {}", case.name);
            let (shared, topics) = (Arc::clone(shared), Arc::clone(topics));
            let run = move || {
                shared.runtime.block_on(async {
                    let start = || World::start(topics.iter().flat_map(|(_, cases)| cases));
                    let world = shared.world.get_or_init(start).await;
                    world.check(&topics[topic].1[n]).await;
                });
                Ok(())
            };
            trials.push(Trial::test(format!("{name}::{}", case.name), run));
        }
    }
    trials
}

/// Returns a test for each attack, named `attacks::topic::attack`.
fn attacks(shared: &Arc<Shared>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (topic, attacks) in attacks::all() {
        for (name, attack) in attacks {
            let shared = Arc::clone(shared);
            let run = move || {
                attack(&shared.runtime);
                Ok(())
            };
            trials.push(Trial::test(format!("attacks::{topic}::{name}"), run));
        }
    }
    trials
}
