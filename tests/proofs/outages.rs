//! Slack fails in every way it can, for half an hour at a time: nothing ends dead, and a message comes twice only
//! if its story says that the call before it may have been done.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::alerts;
use tests::fakes::{Fault, Slack};
use tests::server::{Server, Setup};
use tokio::task::JoinSet;

const POST: &str = "chat.postMessage";

/// How long each outage lasts, before it is compressed.
const OUTAGE: Duration = Duration::from_secs(30 * 60);

const ALERTS: usize = 6;

/// A wall time that only a call that hangs can use up, however much else the machine has to do.
const PLENTY: Duration = Duration::from_secs(4);

/// Every time of an outage is so many times shorter: its own length, and all that the configuration says of waiting.
fn compression() -> u32 {
    if std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some() {
        10
    } else {
        100
    }
}

/// The fake of Slack, and a server whose every time is its default, compressed.
async fn start() -> (Slack, Server) {
    start_with(Duration::from_secs(30) / compression()).await
}

/// The same, with a wall time of its own.
async fn start_with(wall: Duration) -> (Slack, Server) {
    let short = |seconds: u64| {
        let ms = (Duration::from_secs(seconds) / compression()).as_millis();
        format!("{ms}ms")
    };
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config(&format!(
            r##"
slack: {{ channels: {{ alerts: "#alerts" }}, rate: {{ per_second: 0 }} }}
handlers:
  slack-notify:
    allow: {{ slack: [alerts] }}
    limits: {{ wall: {}ms }}
    retry: {{ max_attempts: 10, min_backoff: {}, max_backoff: {}, max_age: {} }}
"##,
            wall.as_millis(),
            short(1),
            short(5 * 60),
            short(4 * 60 * 60),
        ))
        .start()
        .await;
    (slack, server)
}

async fn accept(server: &Server, name: &str) -> Vec<(String, String)> {
    let mut accepted = Vec::new();
    for n in 0..ALERTS {
        let alertname = format!("{name}{n}");
        let ids = server.accept(&alerts::firing(&alertname, &[])).await;
        accepted.extend(ids.into_iter().map(|id| (alertname.clone(), id)));
    }
    accepted
}

/// What became of one alert.
struct Sum {
    posted: usize,
    /// Calls that its story calls ambiguous: each may have been done.
    ambiguous: usize,
    /// Those of them that got no answer at all before their time was up.
    unanswered: usize,
}

/// Waits for every alert; each has to be done.
async fn sums(slack: &Slack, server: &Server, accepted: &[(String, String)]) -> Vec<Sum> {
    let mut sums = Vec::new();
    for (alertname, id) in accepted {
        let story = server.wait_settled(id).await;
        assert_eq!(story["state"], "done", "{alertname}: {story:#}");
        let header = |message: &&tests::fakes::Message| message.contains(alertname);
        let calls = ambiguous(&story);
        let is_unanswered = |result: &&String| result.contains("no answer");
        sums.push(Sum {
            posted: slack.messages().iter().filter(header).count(),
            ambiguous: calls.len(),
            unanswered: calls.iter().filter(is_unanswered).count(),
        });
    }
    sums
}

/// Returns the results of the calls that a story calls ambiguous.
fn ambiguous(story: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let attempts = list(&story["story"]);
    let steps = attempts.iter().flat_map(|attempt| list(&attempt["steps"]));
    let calls = steps.flat_map(|step| list(&step["calls"]));
    calls
        .filter(|call| call["kind"] == "slack" && call["answered"] == "ambiguous")
        .map(|call| call["result"].as_str().unwrap_or_default().to_owned())
        // The first that succeeds past one in doubt repeats what that one has said.
        .filter(|result| !result.starts_with("ok"))
        .collect()
}

/// One outage from its start to its end, with alerts waiting all the while; returns how many calls failed.
async fn outage(name: &'static str, fault: Fault) -> (&'static str, usize, usize) {
    let (slack, server) = start().await;
    slack.faults().until_cleared(POST, fault);
    let began = Instant::now();
    let accepted = accept(&server, name).await;
    let mut calls = 0;
    while began.elapsed() < OUTAGE / compression() {
        calls = slack.wait_for_calls(POST, calls + 1).await.len();
    }
    slack.faults().clear();
    let mut doubled = 0;
    for sum in sums(&slack, &server, &accepted).await {
        assert!(sum.posted >= 1, "{name}: done without a message");
        let twice = sum.posted - 1;
        // A call may be posted in the moment in which its caller's time is up, and no other may.
        assert!(
            twice <= sum.unanswered,
            "{name}: {twice} too many, of which the story explains {}",
            sum.unanswered
        );
        doubled += twice;
    }
    (name, calls, doubled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_slack_fails_and_however_long_every_message_comes_once() {
    let mut outages = JoinSet::new();
    for (name, fault) in [
        ("status 500", Fault::status(500)),
        ("status 503", Fault::status(503)),
        ("internal_error", Fault::slack_error("internal_error")),
        ("closing mid-body", Fault::CloseMidBody),
        ("invalid JSON", Fault::InvalidJson),
        ("status 429", Fault::rate_limited(1)),
        ("hanging", Fault::Hang),
    ] {
        outages.spawn(outage(name, fault));
    }
    while let Some(ended) = outages.join_next().await {
        let (name, calls, doubled) = ended.unwrap();
        println!(
            "Slack {name} for 30 minutes, {} times compressed: {calls} calls, {ALERTS} alerts; \
             lost 0, dead 0, doubled {doubled} (unexplained 0)",
            compression()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_hung_without_doing_anything_is_made_again_and_comes_once() {
    let (slack, server) = start_with(PLENTY).await;
    // Never cleared: the callers time out, and the calls that hang have no effect.
    slack.faults().next_n(POST, 2 * ALERTS, Fault::Hang);
    let accepted = accept(&server, "Hung").await;
    let sums = sums(&slack, &server, &accepted).await;
    assert!(sums.iter().all(|sum| sum.posted == 1), "each once");
    let ambiguous: usize = sums.iter().map(|sum| sum.ambiguous).sum();
    assert_eq!(ambiguous, 2 * ALERTS, "each call that hung is told as such");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_posted_without_an_answer_comes_twice_and_its_story_says_so() {
    for fault in [Fault::Hang.but_done(), Fault::CloseMidBody.but_done()] {
        let (slack, server) = start_with(PLENTY).await;
        slack.faults().next_n(POST, 2 * ALERTS, fault);
        let accepted = accept(&server, "Unanswered").await;
        let sums = sums(&slack, &server, &accepted).await;
        for sum in &sums {
            assert_eq!(
                sum.posted,
                1 + sum.ambiguous,
                "once, and once for each call in doubt"
            );
        }
        let posted: usize = sums.iter().map(|sum| sum.posted).sum();
        assert_eq!(posted, 3 * ALERTS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_holds_all_of_slack_and_loses_nothing() {
    let (slack, server) = start_with(PLENTY).await;
    slack.set_token("xoxb-another");
    let accepted = accept(&server, "Refused").await;
    for (_, id) in &accepted {
        let held = |story: &Value| {
            let error = story["last_error"].as_str().unwrap_or_default();
            story["state"] == "retrying" && error.contains("invalid_auth")
        };
        let story = server.wait_for_story(id, held).await;
        let act = story["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(act["attempts"], 0, "a refused token uses up none: {act:#}");
        assert_eq!(act["waits_for"], "slack");
    }
    let gauge =
        |held: u8| format!("alert_manager_slack_channel_held{{channel=\"alerts\"}} {held}\n");
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains(&gauge(1)), "{metrics}");
    let handler = server.handlers().await.remove(0);
    let last_error = handler.last_error.unwrap();
    assert!(
        last_error.contains("Slack refuses the token"),
        "{last_error}"
    );
    assert_eq!(handler.held[0].channel, None);
    let calls = slack.calls().iter().filter(|c| c.method == POST).count();
    assert!(
        calls <= ALERTS,
        "{calls} calls: it is not asked again and again"
    );

    slack.set_token(tests::fakes::slack::TOKEN);
    // One finds out within half a minute, and the others go at once.
    let mut commits = server.shared.commits();
    let all_posted = async {
        while slack.messages().len() < ALERTS {
            commits.changed().await.unwrap();
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), all_posted).await;
    waited.expect("one delivery tries again after a while");
    let sums = sums(&slack, &server, &accepted).await;
    assert!(sums.iter().all(|sum| sum.posted == 1 && sum.ambiguous == 0));
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains(&gauge(0)), "{metrics}");
}
