//! Power loss: data that was not synced is lost, and no acknowledged alert is among it.

use alert_manager::queue::failpoint::Failpoint;
use tests::dice::{self, Dice};

use crate::load::Load;
use crate::rig::Rig;
use crate::tally::Tally;

/// The number of power losses.
fn cuts() -> usize {
    if std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some() {
        100
    } else {
        6
    }
}

/// Cuts the power again and again under load, then lets the server finish.
async fn cut_again_and_again(rig: Rig) -> Tally {
    let mut rig = rig.with_shadow();
    let seed = dice::seed();
    println!("seed {seed}");
    let mut dice = Dice::from_seed(seed);
    let mut load = Load::start();
    for cut in 0..cuts() {
        let url = rig.start(None).expect("nothing else kills it");
        load.to(&url);
        if cut % 2 == 0 {
            // Three deaths under one delivery end it, by design.
            load.wait_for_all().await;
            rig.wait_until_settled().await;
        }
        let acknowledged = load.count();
        load.more(20);
        // The power is cut at an acknowledgement, so that what was acknowledged last is seconds old at most.
        let more = dice.roll(10, 30);
        load.wait_for(acknowledged + more).await;
        rig.cut_power();
    }
    let url = rig.start(None).expect("nothing kills it now");
    load.to(&url);
    let acknowledged = load.finish().await;
    Tally::take(&mut rig, &acknowledged).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_lost_with_what_was_not_synced() {
    let tally = cut_again_and_again(Rig::new().await).await;
    println!("power: {} cuts; {tally}", cuts());
    tally.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_syncs_less_is_caught() {
    let mut rig = Rig::new().await;
    // SQLite then syncs its log when it copies it back, not at each commit.
    rig.set_broken(&[Failpoint::Unsynced]);
    let tally = cut_again_and_again(rig).await;
    println!("power, with synchronous=NORMAL: {} cuts; {tally}", cuts());
    assert!(
        tally.lost > 0,
        "the log was not synced at the commits, and nothing was missed: the proof proves nothing"
    );
}
