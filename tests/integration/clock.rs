//! The clock of a guest: the recorded time while recorded effects are replayed, the current time otherwise.

use std::sync::Arc;
use std::time::SystemTime;

use alert_manager::alert::Timestamp;
use alert_manager::runtime::{Invoked, Output};
use serde_json::json;
use tests::alerts;
use tests::fakes::{Fault, Slack};
use tests::harness::{Answer, Call, Harness, MemoryLedger, World, facts};
use tests::server::Setup;

const POST: &str = "chat.postMessage";

/// Returns an hour of the day of a test.
fn hour(hour: i8) -> Timestamp {
    format!("2024-05-06T{hour:02}:00:00Z").parse().unwrap()
}

/// Returns which hours the guest read, of the lines of its script that read the clock.
fn hours(invoked: &Invoked) -> Vec<i64> {
    let midnight = hour(0).as_second();
    let read = |line: &String| {
        let seconds = line.split_once("tv_sec: ")?.1.split(',').next()?;
        Some((seconds.parse::<i64>().unwrap() - midnight) / 3_600)
    };
    facts(invoked).iter().filter_map(read).collect()
}

struct Attempts<'a> {
    harness: &'a Harness,
    world: &'a World,
    ledger: Arc<MemoryLedger>,
}

impl Attempts<'_> {
    async fn run(&self, attempt: u32, at: i8, script: &str) -> Invoked {
        self.call(attempt, at, script).await.run().await
    }

    async fn call(&self, attempt: u32, at: i8, script: &str) -> Call<'_> {
        let call = self.harness.probe(script).await.http(&self.world.url);
        call.over(&self.ledger, attempt)
            .with(|invocation| invocation.now = hour(at))
    }
}

fn attempts<'a>(harness: &'a Harness, world: &'a World) -> Attempts<'a> {
    Attempts {
        harness,
        world,
        ledger: Arc::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_of_which_nothing_is_recorded_has_the_current_time() {
    let (harness, world) = (Harness::new(), World::start().await);
    let attempts = attempts(&harness, &world);
    let url = &world.url;
    // A read, and an effect that fails: neither leaves anything to replay.
    world.then(Answer::new(200, "read"));
    world.then(Answer::new(503, "not now"));
    let script = format!("clock\nget {url}/r\npost {url}/a x\nclock\nfail-once z");
    attempts.run(1, 7, &script).await;
    let second = attempts.run(2, 9, &script).await;
    assert_eq!(hours(&second), [9, 9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_a_retry_advances_once_the_record_ends() {
    let (harness, world) = (Harness::new(), World::start().await);
    let attempts = attempts(&harness, &world);
    let url = &world.url;
    let script = |last: &str| {
        format!("clock\npost {url}/a x\nclock\nincrement n 1\nclock\n{last}\nclock\nfail-once z")
    };
    world.then(Answer::new(200, "a"));
    world.then(Answer::new(503, "not now"));
    attempts
        .run(1, 7, &script(&format!("post {url}/b x")))
        .await;
    let second = attempts
        .run(2, 9, &script(&format!("post {url}/b x")))
        .await;
    assert_eq!(hours(&second), [7, 7, 9, 9], "live once n was replayed");
    // The third attempt gets the times of the second until the record ends, so that it makes the same requests.
    let third = attempts
        .run(3, 11, &script(&format!("post {url}/b x")))
        .await;
    assert_eq!(hours(&third), [7, 7, 9, 11]);
    assert_eq!(world.asked().len(), 3, "a once, b twice");
    // An effect that is not asked for again holds the rest back: it is part of the same way.
    let fourth = attempts.run(4, 12, "clock\nincrement n 1\nclock").await;
    assert_eq!(hours(&fourth), [7, 7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_does_not_run_backwards_within_an_attempt() {
    let (harness, world) = (Harness::new(), World::start().await);
    let attempts = attempts(&harness, &world);
    let script = "clock\nincrement n 1\nclock\nfail-once z";
    attempts.run(1, 9, script).await;
    // The system's clock was set back meanwhile.
    let second = attempts.run(2, 7, script).await;
    assert_eq!(hours(&second), [9, 9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_posted_late_tells_its_true_age() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    for name in ["slack-notify", "kube-pod-crash-looping"] {
        let before = world.asked().len();
        let module = harness.guest(name).await;
        let ledger = Arc::<MemoryLedger>::default();
        world.then(Answer::new(503, "down"));
        let ok = json!({ "ok": true, "channel": "C1", "ts": "1.1" });
        world.then(Answer::new(200, ok.to_string()));
        for (attempt, at) in [(1, 7), (2, 9)] {
            let call = harness.call(&module).slack("alerts").over(&ledger, attempt);
            let invoked = call.with(|i| i.now = hour(at)).run_at(hour(7)).await;
            let is_done = matches!(invoked.outcome, Ok(Output::Facts(_)));
            assert_eq!(is_done, attempt == 2, "{name}: {:?}", invoked.outcome);
        }
        let posted = &world.asked()[before + 1].body;
        for part in ["(2h)", "posted 2h after it was received"] {
            assert!(posted.contains(part), "{name}: {part} in {posted}");
        }
    }
}

#[tokio::test]
async fn the_server_gives_a_retry_the_time_at_which_it_runs() {
    let slack = Slack::start().await;
    slack.faults().until_cleared(POST, Fault::status(503));
    let server = Setup::new()
        .slack(&slack)
        .module("probe")
        .config(
            r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
routes: [{ handlers: [probe] }]
handlers:
  probe:
    allow: { slack: [alerts] }
    retry: { min_backoff: 1ms, max_backoff: 1ms }
"##,
        )
        .start()
        .await;
    let mut alert = alerts::firing("Late", &[("step", "act")]);
    // The message is the last thing it does; until it is posted the step fails.
    alert["annotations"]["script"] = json!("clock\nmust-slack alerts hello\nclock");
    let ids = server.accept(&alert).await;
    slack.wait_for_calls(POST, 3).await;
    let up_again = SystemTime::now();
    // The next may have begun before; the one after it has not.
    let tried = slack.calls().len();
    slack.wait_for_calls(POST, tried + 2).await;
    slack.faults().clear();
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let up_again = up_again.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let told = story["steps"][1]["facts"]["0"].to_string();
    let number = |name: &str| -> u64 {
        let rest = told.split_once(&format!("{name}: ")).unwrap().1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let told = (number("tv_sec"), number("tv_nsec"));
    let up_again = (up_again.as_secs(), u64::from(up_again.subsec_nanos()));
    assert!(told >= up_again, "{told:?} is before {up_again:?}");
}
