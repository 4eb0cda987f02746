//! Servers are killed and suspended at random, the one with the term above all, and the database is killed and restarted, under load.

use std::time::{Duration, Instant};

use tests::dice::{self, Dice};
use tests::fakes::Fault as Failing;
use tests::fakes::faults::ANY;

use super::fleet::Fleet;
use super::senders::Senders;

const REPLICAS: usize = 3;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The server with the term is killed.
    HolderDies,
    /// The server with the term is suspended until another one has the term.
    HolderSleeps,
    /// A server without the term is killed.
    OtherDies,
    /// A server without the term is suspended for a while.
    OtherSleeps,
    /// All processes of the database are killed.
    DatabaseDies,
    /// The database is restarted.
    DatabaseRestarts,
}

const ALL: [Fault; 6] = [
    Fault::HolderDies,
    Fault::DatabaseDies,
    Fault::HolderSleeps,
    Fault::OtherDies,
    Fault::DatabaseRestarts,
    Fault::OtherSleeps,
];

/// How many faults there are.
fn faults() -> usize {
    match std::env::var_os("ALERT_MANAGER_TEST_LONG") {
        Some(_) => 500,
        None => ALL.len(),
    }
}

/// Returns what happens: of six in a row, each once.
fn script(dice: &mut Dice) -> Vec<Fault> {
    let mut script = Vec::new();
    while script.len() < faults() {
        let mut left = ALL.to_vec();
        while !left.is_empty() {
            script.push(left.swap_remove(dice.roll(0, left.len())));
        }
    }
    script.truncate(faults());
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_and_the_database_die_sleep_and_return_and_nothing_is_lost_or_doubled_unexplained()
{
    let Some(mut fleet) = Fleet::new(REPLICAS).await else {
        return;
    };
    let (began, seed) = (Instant::now(), dice::seed());
    println!("seed {seed}");
    let mut dice = Dice::from_seed(seed);
    // Some effects have happened, and their answers are on their way, at each moment.
    let slow = Failing::Slow(Duration::from_millis(30)).but_done();
    let places = [
        (fleet.slack.faults(), "chat.postMessage"),
        (fleet.sink.faults(), ANY),
    ];
    for (faults, path) in places {
        faults.share(path, 30, slow.clone(), dice.split());
    }
    fleet.start_all();
    let mut senders = Senders::start(&fleet.targets());
    for (n, fault) in script(&mut dice).into_iter().enumerate() {
        if n % 2 == 0 {
            // Three deaths under one delivery end it, by design.
            senders.wait_for_all().await;
            fleet.wait_until_settled().await;
        }
        let acknowledged = senders.count();
        senders.more(15);
        senders.wait_for(acknowledged + dice.roll(3, 25)).await;
        happen(&mut fleet, &mut senders, &mut dice, fault).await;
    }
    let history = fleet.history(senders.finish().await).await;
    let (doubled, ambiguous) = (history.doubled(), history.ambiguous());
    println!(
        "replicas: {} faults; acknowledged {}, doubled {} (unexplained {}), ambiguous {}; {:.1?}",
        faults(),
        history.acknowledged.len(),
        doubled.len(),
        doubled.difference(&ambiguous).count(),
        ambiguous.len(),
        began.elapsed()
    );
    assert_eq!(history.complaints(), []);
}

/// Has something happen, and waits until all servers run again.
async fn happen(fleet: &mut Fleet, senders: &mut Senders, dice: &mut Dice, fault: Fault) {
    let holder = fleet.holder().await;
    let other = (holder + dice.roll(1, REPLICAS)) % REPLICAS;
    match fault {
        Fault::HolderDies => {
            fleet.kill(holder);
            senders.more(5);
            fleet.wait_for_successor(holder).await;
            fleet.start(holder);
        }
        Fault::HolderSleeps => {
            fleet.pause(holder);
            senders.more(5);
            fleet.wait_for_successor(holder).await;
            fleet.resume(holder);
        }
        Fault::OtherDies => {
            fleet.kill(other);
            fleet.start(other);
        }
        Fault::OtherSleeps => {
            fleet.pause(other);
            let acknowledged = senders.count();
            senders.more(15);
            senders.wait_for(acknowledged + dice.roll(3, 12)).await;
            fleet.resume(other);
        }
        Fault::DatabaseDies => {
            tokio::task::block_in_place(|| {
                fleet.database.kill();
                fleet.database.run();
            });
            fleet.holder().await;
        }
        Fault::DatabaseRestarts => {
            tokio::task::block_in_place(|| {
                fleet.database.stop();
                fleet.database.run();
            });
            fleet.holder().await;
        }
    }
}
