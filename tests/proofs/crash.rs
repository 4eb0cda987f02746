//! Killed at random moments and at barriers, again and again, under load, while Slack and the sink fail: every alert is
//! done, and what happened twice is called ambiguous.

use std::collections::BTreeSet;
use std::time::Instant;

use tests::dice::{self, Dice};
use tests::fakes::Fault;
use tests::fakes::faults::ANY;

use crate::load::Load;
use crate::rig::Rig;
use crate::tally::Tally;

const POST: &str = "chat.postMessage";

/// One call of Slack, and one of the sink, in so many fails.
const FAULTY_ONE_IN: usize = 12;

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
    /// After so many calls of what the kill before interrupted, with nothing new beside it.
    Again(usize),
}

fn barrier(dice: &mut Dice, kill: usize) -> Barrier {
    // The shim counts commits from the start of the process, so it can only kill early.
    match dice.roll(0, if is_early(kill) { 18 } else { 6 }) {
        0 => Barrier::Calls(dice.roll(1, 30)),
        1 => Barrier::Acknowledged(dice.roll(1, 30)),
        2 | 3 => Barrier::SlackPosted,
        4 => Barrier::SlackHolds,
        5 => Barrier::SinkTook,
        6 | 7 => Barrier::Commit("write", dice.roll(40, 400)),
        8 | 9 => Barrier::Commit("before", dice.roll(4, 40)),
        10 | 11 => Barrier::Commit("after", dice.roll(4, 40)),
        _ => Barrier::Again(dice.roll(1, 8)),
    }
}

/// What Slack answers in the place of its usual answer: the message is posted or not.
fn slack_faults() -> Vec<Fault> {
    let unclear = [
        Fault::status(504),
        Fault::status(500),
        Fault::slack_error("internal_error"),
        Fault::slack_error("fatal_error"),
        Fault::CloseMidBody,
        Fault::Cut,
    ];
    let done = unclear.clone().map(Fault::but_done);
    let refused = [Fault::slack_error("request_timeout")];
    [unclear.to_vec(), done.to_vec(), refused.to_vec()].concat()
}

/// What the sink answers in the place of its usual answer: what was asked is done or not.
fn sink_faults() -> Vec<Fault> {
    let unclear = [
        Fault::status(504),
        Fault::status(502),
        Fault::status(500),
        Fault::Cut,
    ];
    let done = unclear.clone().map(Fault::but_done);
    // Its head has said that it is done.
    let half = [Fault::CloseMidBody.but_done()];
    let refused = [Fault::status(429)];
    [
        unclear.to_vec(),
        done.to_vec(),
        half.to_vec(),
        refused.to_vec(),
    ]
    .concat()
}

/// Three deaths under one delivery end it, by design. So every second kill comes early, over what the one
/// before it interrupted, and the others only when everything so far is done.
fn is_early(kill: usize) -> bool {
    kill % 2 == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_again_and_again_it_loses_nothing_and_doubles_only_what_it_says() {
    let began = Instant::now();
    let (tally, interrupted) = kill_again_and_again(Rig::new().await, kills()).await;
    let groundless = tally.groundless(&interrupted.deliveries);
    println!(
        "crash: {} kills with {} deliveries under way, {} of them for the second time; {tally}; \
         ambiguous without a reason {}; {:.1?}",
        kills(),
        interrupted.times,
        interrupted.second_times,
        groundless.len(),
        began.elapsed()
    );
    assert!(interrupted.second_times > 0, "no second crash hit anything");
    tally.assert_kept();
    assert_eq!(groundless, []);
}

/// What the kills interrupted.
#[derive(Debug, Default)]
struct Interrupted {
    /// The deliveries' identifiers.
    deliveries: BTreeSet<String>,
    /// How often one was.
    times: usize,
    /// How often one was that another kill had interrupted before.
    second_times: usize,
}

/// Kills the server under load, then lets it finish; returns the sums, and what the kills interrupted.
async fn kill_again_and_again(mut rig: Rig, kills: usize) -> (Tally, Interrupted) {
    let seed = dice::seed();
    println!("seed {seed}");
    let mut dice = Dice::from_seed(seed);
    let mut load = Load::start();
    let mut interrupted = Interrupted::default();
    for kill in 0..kills {
        misbehave(&rig, &mut dice);
        let barrier = barrier(&mut dice, kill);
        meet(&mut rig, &mut load, barrier, kill).await;
        for delivery in rig.under_way() {
            interrupted.times += 1;
            let is_first = interrupted.deliveries.insert(delivery);
            interrupted.second_times += usize::from(!is_first);
        }
    }
    misbehave(&rig, &mut dice);
    let url = rig.start(None).expect("nothing kills it now");
    load.to(&url);
    let acknowledged = load.finish().await;
    (Tally::take(&mut rig, &acknowledged).await, interrupted)
}

/// Ends what Slack and the sink did before, and has them fail at random from now on.
fn misbehave(rig: &Rig, dice: &mut Dice) {
    let places = [
        (rig.slack.faults(), POST, slack_faults()),
        (rig.sink.faults(), ANY, sink_faults()),
    ];
    for (faults, path, choice) in places {
        faults.clear();
        faults.at_random(path, FAULTY_ONE_IN, &choice, dice.split());
    }
}

/// Starts the server and kills it at the barrier.
async fn meet(rig: &mut Rig, load: &mut Load, barrier: Barrier, kill: usize) {
    let die = match barrier {
        Barrier::Commit(kind, n) => Some(format!("{kind}:{n}")),
        _ => None,
    };
    // Before the start: what was interrupted goes on at once.
    let (calls, sunk) = counts(rig);
    let Some(url) = rig.start(die.as_deref()) else {
        return;
    };
    load.to(&url);
    if let Barrier::Again(n) = barrier {
        // The first of these: fewer calls than that may be left to make.
        tokio::select! {
            _ = rig.slack.wait_for_calls(POST, calls + n) => {}
            _ = rig.sink.wait_for_count(sunk + n) => {}
            () = rig.wait_until_settled() => {}
        }
        rig.kill();
        return;
    }
    if !is_early(kill) {
        load.wait_for_all().await;
        rig.wait_until_settled().await;
    }
    let acknowledged = load.count();
    load.more(20);
    let (calls, sunk) = counts(rig);
    match barrier {
        Barrier::Calls(n) => {
            rig.sink.wait_for_count(sunk + n).await;
        }
        Barrier::Acknowledged(n) => load.wait_for(acknowledged + n).await,
        Barrier::SlackHolds | Barrier::SlackPosted => {
            let fault = match barrier {
                Barrier::SlackHolds => Fault::Hang,
                _ => Fault::Hang.but_done(),
            };
            rig.slack.faults().next(POST, fault);
            // The next call meets the fault; the others of the handler's slots go on.
            rig.slack.wait_for_calls(POST, calls + 3).await;
        }
        Barrier::SinkTook => {
            rig.sink.faults().next(ANY, Fault::Hang.but_done());
            rig.sink.wait_for_count(sunk + 3).await;
        }
        Barrier::Commit(..) => rig.wait_for_death(),
        Barrier::Again(_) => unreachable!("it has returned"),
    }
    rig.kill();
}

/// Returns how many calls Slack and the sink have had.
fn counts(rig: &Rig) -> (usize, usize) {
    (rig.slack.count_calls("chat.postMessage"), rig.sink.count())
}
