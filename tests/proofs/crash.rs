//! Killed at random moments and at barriers, again and again, under load: every alert is done, once.

use std::time::Instant;

use tests::fakes::Fault;
use tests::fakes::faults::ANY;

use crate::load::Load;
use crate::rig::Rig;
use crate::tally::Tally;

const POST: &str = "chat.postMessage";

/// How many times the server is killed.
fn kills() -> usize {
    if std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some() {
        500
    } else {
        24
    }
}

/// The moment of a kill.
#[derive(Clone, Copy, Debug)]
enum Barrier {
    /// After so many calls at the sink.
    Calls(usize),
    /// Right after so many alerts were acknowledged.
    Acknowledged(usize),
    /// Slack has read a message, and has not posted it.
    SlackHolds,
    /// Slack has posted a message, and has not answered.
    SlackPosted,
    /// The sink has taken a request, and has not answered.
    SinkTook,
    /// At the so manieth write of a commit, before or after its sync.
    Commit(&'static str, usize),
}

/// Random numbers, from a seed that is printed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = u64::from(since.subsec_nanos()) | 1;
        println!("seed {seed}");
        Self(seed)
    }

    /// Returns a number from `from` to below `to`.
    pub(crate) fn roll(&mut self, from: usize, to: usize) -> usize {
        // xorshift64: Marsaglia, "Xorshift RNGs".
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from + usize::try_from(self.0 % (to - from) as u64).unwrap()
    }

    fn barrier(&mut self, kill: usize) -> Barrier {
        // The shim counts commits from the start of the process, so it can only kill early.
        match self.roll(0, if is_early(kill) { 12 } else { 6 }) {
            0 => Barrier::Calls(self.roll(1, 30)),
            1 => Barrier::Acknowledged(self.roll(1, 30)),
            2 | 3 => Barrier::SlackPosted,
            4 => Barrier::SlackHolds,
            5 => Barrier::SinkTook,
            6 | 7 => Barrier::Commit("write", self.roll(40, 400)),
            8 | 9 => Barrier::Commit("before", self.roll(4, 40)),
            _ => Barrier::Commit("after", self.roll(4, 40)),
        }
    }
}

/// Three deaths under one delivery end it, by design. So every second kill comes early, over what the one
/// before it interrupted, and the others only when everything so far is done.
fn is_early(kill: usize) -> bool {
    kill % 2 == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_again_and_again_it_loses_nothing_and_doubles_only_what_it_says() {
    let began = Instant::now();
    let (tally, under_way) = kill_again_and_again(Rig::new().await, kills()).await;
    println!(
        "crash: {} kills with {under_way} deliveries under way; {tally}; {:.1?}",
        kills(),
        began.elapsed()
    );
    tally.assert_kept();
    assert!(
        tally.ambiguous.len() <= under_way,
        "more is called ambiguous than was under way at the kills: {tally}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_forgets_its_journal_is_caught() {
    // Where the kills fall is chance, and some fall where nothing had happened yet: killed until it shows.
    for _ in 0..6 {
        // The question finds nothing: every retry makes all of its effects anew.
        let rig = Rig::new().await.broken(
            "FROM journal WHERE delivery = ?1 AND step = ?2 ORDER",
            "FROM journal WHERE delivery =-?1 AND step = ?2 ORDER",
        );
        let (tally, _) = kill_again_and_again(rig, 6).await;
        println!(
            "crash, without the journal: {tally}; counters wrong {:?}",
            tally.miscounted
        );
        if !tally.miscounted.is_empty() && !tally.doubled.is_empty() {
            return;
        }
    }
    panic!("effects were repeated, and nothing was noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_forgets_the_order_is_caught() {
    for _ in 0..12 {
        // After a start every delivery has a line of its own, as if its fingerprint were like no other's.
        let rig = Rig::new().await.broken(
            "after_crash, priority, fingerprint,",
            "after_crash, priority, id         ,",
        );
        let (tally, _) = kill_again_and_again(rig, 10).await;
        println!("crash, without the order after a start: {tally}");
        if !tally.overtaking.is_empty() {
            return;
        }
    }
    panic!("a resolved overtook its firing, and nothing was noticed");
}

/// Kills the server under load, then lets it finish; returns the sums, and how much the kills interrupted.
async fn kill_again_and_again(mut rig: Rig, kills: usize) -> (Tally, usize) {
    let mut dice = Dice::new();
    let mut load = Load::start();
    let mut under_way = 0;
    for kill in 0..kills {
        let barrier = dice.barrier(kill);
        meet(&mut rig, &mut load, barrier, kill).await;
        under_way += rig.under_way();
    }
    let url = rig.start(None).expect("nothing kills it now");
    load.to(&url);
    let acknowledged = load.finish().await;
    (Tally::take(&mut rig, &acknowledged).await, under_way)
}

/// Starts the server and kills it at the barrier.
async fn meet(rig: &mut Rig, load: &mut Load, barrier: Barrier, kill: usize) {
    let die = match barrier {
        Barrier::Commit(kind, n) => Some(format!("{kind}:{n}")),
        _ => None,
    };
    let Some(url) = rig.start(die.as_deref()) else {
        return;
    };
    load.to(&url);
    if !is_early(kill) {
        load.wait_for_all().await;
        rig.wait_until_settled().await;
    }
    let acknowledged = load.count();
    load.more(20);
    let (calls, sunk) = (rig.slack.calls().len(), rig.sink.received().len());
    match barrier {
        Barrier::Calls(n) => {
            rig.sink.wait_for_count(sunk + n).await;
        }
        Barrier::Acknowledged(n) => load.wait_for(acknowledged + n).await,
        Barrier::SlackHolds | Barrier::SlackPosted => {
            let fault = match barrier {
                Barrier::SlackHolds => Fault::Hang,
                _ => Fault::DoneButHang,
            };
            rig.slack.faults().next(POST, fault);
            // The next call meets the fault; the others of the handler's slots go on.
            rig.slack.wait_for_calls(POST, calls + 3).await;
        }
        Barrier::SinkTook => {
            rig.sink.faults().next(ANY, Fault::DoneButHang);
            rig.sink.wait_for_count(sunk + 3).await;
        }
        Barrier::Commit(..) => rig.wait_for_death(),
    }
    rig.kill();
    rig.slack.faults().clear();
    rig.sink.faults().clear();
}
