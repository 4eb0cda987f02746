//! The servers' clocks differ by minutes: nothing is ordered, due or too old by the clock of another server.

use super::fleet::Fleet;
use super::senders::Senders;
use crate::shim;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clocks_that_are_a_minute_apart_change_nothing() {
    let Some(mut fleet) = Fleet::new(3).await else {
        return;
    };
    for (n, offset_seconds) in [60_i64, -60, 0].into_iter().enumerate() {
        let clock = fleet.folder().join(format!("clock-{n}"));
        std::fs::write(&clock, offset_seconds.to_ne_bytes()).unwrap();
        fleet.set_variable(n, "PROOFS_CLOCK", clock);
        fleet.set_variable(n, "LD_PRELOAD", shim::path());
    }
    fleet.start_all();
    let mut senders = Senders::start(&fleet.targets());
    senders.more(30);
    senders.wait_for_all().await;
    // One with another clock goes on with what the first one has begun.
    for _ in 0..2 {
        senders.more(10);
        let holder = fleet.holder().await;
        fleet.kill(holder);
        senders.wait_for_all().await;
        fleet.wait_for_successor(holder).await;
        fleet.wait_until_settled().await;
        fleet.start(holder);
    }
    let history = fleet.history(senders.finish().await).await;
    assert_eq!(history.complaints(), []);
}
