//! Effects that may have happened without a record are reported: at the effect that repeats them, or at the end of the step.

use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::StepKind;
use alert_manager::journal::{Doubts, Suspect};
use alert_manager::runtime::{Answered, Invoked, StepFailure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::alerts;
use tests::fakes::faults::ANY;
use tests::fakes::{Fault, Sink, Slack};
use tests::harness::{Answer, Harness, MemoryLedger, World, facts};
use tests::process::{Process, command, run};
use tests::server::Setup;

use Answered::{Ambiguous, Live};

const POST: &str = "chat.postMessage";

fn answered(invoked: &Invoked) -> Vec<Answered> {
    let calls = invoked.trace.calls.iter();
    calls.map(|call| call.answered).collect()
}

/// The state that an interrupted attempt leaves.
fn cut_off() -> Doubts {
    let mut doubts = Doubts::default();
    doubts.cut_off(1, "the server died", 0);
    doubts
}

fn left(invoked: &Invoked) -> Vec<String> {
    let doubts = invoked.doubts.as_ref().unwrap();
    doubts.iter().map(|d| d.request().to_owned()).collect()
}

fn later(status: u16) -> Answer {
    Answer::With(status, vec![("retry-after", "1".to_owned())], String::new())
}

fn slack_ok() -> Answer {
    Answer::new(200, r#"{"ok":true,"channel":"C1","ts":"1.1"}"#)
}

fn slack_error(code: &str) -> Answer {
    Answer::new(200, json!({ "ok": false, "error": code }).to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_kv_takes_a_doubt_away_whether_it_changes_something_or_not() {
    let (harness, world) = (Harness::new(), World::start().await);
    let ledger = Arc::new(MemoryLedger::default());
    let primed = harness
        .probe("set k v")
        .await
        .over(&ledger, 1)
        .facts()
        .await;
    assert_eq!(primed, ["Ok(())"]);
    let url = &world.url;
    let script =
        format!("set-if-absent k w\nremove gone\nincrement n 1\npost {url}/a x\npost {url}/b x");
    let mut call = harness.probe(&script).await.http(url).over(&ledger, 2);
    call.invocation.recorded.entries.clear();
    let invoked = call.with(|i| i.doubts = cut_off()).run().await;
    assert_eq!(answered(&invoked), [Live, Live, Live, Ambiguous, Live]);
    assert_eq!(left(&invoked), Vec::<String>::new());
    let entries = ledger.entries();
    let posts: Vec<_> = entries
        .iter()
        .filter(|entry| entry.request.starts_with("POST"))
        .map(|entry| entry.in_doubt)
        .collect();
    assert_eq!(posts, [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_doubt_that_fails_or_is_not_repeated_stays_in_doubt() {
    let (harness, world) = (Harness::new(), World::start().await);
    let url = &world.url;
    let invoke = async |script: &str| {
        let call = harness.probe(script).await.http(url);
        call.with(|i| i.doubts = cut_off()).run().await
    };
    let unasked = invoke(&format!("get {url}/r\nset k v")).await;
    assert_eq!(left(&unasked), ["a call that was under way"]);

    world.then(Answer::new(404, "gone"));
    let failed = invoke(&format!("post {url}/a x")).await;
    let expected = ["a call that was under way", &format!("POST {url}/a")];
    assert_eq!(left(&failed), expected);

    world.then(Answer::new(404, "gone"));
    let passed_by = invoke(&format!("post {url}/a x\npost {url}/b x")).await;
    assert_eq!(
        answered(&passed_by),
        [Live, Ambiguous],
        "it may have been that one"
    );
    assert_eq!(left(&passed_by), [format!("POST {url}/a")], "or the other");

    let again = harness
        .probe(&format!("post {url}/c x\npost {url}/a x"))
        .await;
    let again = again.http(url);
    let doubts = passed_by.doubts.clone().unwrap();
    let again = again.with(|i| i.doubts = doubts).run().await;
    assert_eq!(answered(&again), [Live, Ambiguous]);
    assert_eq!(left(&again), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_does_not_say_whether_it_was_made_is_ambiguous_when_it_is_repeated() {
    let (harness, world) = (Harness::new(), World::start().await);
    let script = format!("post {0}/a x\nfail-once later", world.url);
    for (answer, is_unknown) in [
        (Answer::new(500, ""), true),
        (Answer::new(502, ""), true),
        (Answer::new(503, ""), true),
        (Answer::new(504, ""), true),
        (later(504), true),
        (Answer::Hang, true),
        (later(503), false),
        (Answer::new(501, ""), false),
        (Answer::new(404, ""), false),
        (later(429), false),
    ] {
        world.then(answer);
        let ledger = Arc::new(MemoryLedger::default());
        let first = harness.probe(&script).await.http(&world.url);
        let first = first
            .over(&ledger, 1)
            // Enough for a busy machine to come as far as the call that hangs.
            .with(|i| i.limits.wall_max = Duration::from_secs(2))
            .run()
            .await;
        let doubts = first.doubts.clone().unwrap();
        let expected = if is_unknown { Ambiguous } else { Live };
        let of = format!("{:?}", first.trace.calls);
        assert_eq!(answered(&first), [expected], "{of}");
        assert_eq!(doubts.is_empty(), !is_unknown, "{of}");

        let again = harness.probe(&script).await.http(&world.url);
        let again = again.over(&ledger, 2).with(|i| i.doubts = doubts);
        let again = again.run().await;
        assert_eq!(facts(&again)[0], "200 ok", "{of}");
        assert_eq!(answered(&again), [expected], "{of}");
        assert_eq!(ledger.entries()[0].in_doubt, is_unknown, "{of}");
        assert!(left(&again).is_empty(), "{of}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_an_attempt_a_repetition_is_ambiguous_and_another_call_is_not() {
    let (harness, world) = (Harness::new(), World::start().await);
    world.then(Answer::new(504, ""));
    let url = &world.url;
    let script =
        format!("post {url}/a x\nget {url}/r\npost {url}/b x\npost {url}/a x\npost {url}/a x");
    let invoked = harness.probe(&script).await.http(url).run().await;
    assert!(
        facts(&invoked)[0].starts_with("504"),
        "the guest sees what came"
    );
    assert_eq!(answered(&invoked), [Ambiguous, Live, Live, Ambiguous, Live]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_is_never_in_doubt_nor_a_call_without_a_connection() {
    let (harness, world) = (Harness::new(), World::start().await);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    world.then(Answer::new(504, ""));
    let script = format!("get {}/r\npost {closed}/a x", world.url);
    let call = harness.probe(&script).await.http(&world.url).http(&closed);
    let invoked = call.run().await;
    assert_eq!(answered(&invoked), [Live, Live]);
    assert!(left(&invoked).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_slack_that_may_have_done_it_says_so_when_it_is_repeated() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    for answer in [
        || Answer::new(504, ""),
        || Answer::new(500, ""),
        || Answer::new(503, ""),
        || slack_error("internal_error"),
        || slack_error("fatal_error"),
        || Answer::new(200, "{\"ok\":tr"),
        || Answer::new(200, "x".repeat(2 << 20)),
    ] {
        for _ in 0..3 {
            world.then(answer());
            world.then(slack_ok());
        }
        let script = "slack alerts hello\nslack alerts hello\nupdate changed\nupdate changed\n\
                      react eyes\nreact eyes";
        let invoked = harness.probe(script).await.slack("alerts").run().await;
        let told = format!("{:#?}", invoked.trace.calls);
        assert_eq!(answered(&invoked), [Ambiguous; 6], "{told}");
        assert!(left(&invoked).is_empty(), "{told}");
        let refused = &facts(&invoked)[0];
        assert!(
            refused.contains("Unavailable") || refused.contains("Timeout"),
            "{refused}"
        );
    }
    for answer in [
        || later(503),
        || slack_error("service_unavailable"),
        || slack_error("request_timeout"),
        || slack_error("team_added_to_org"),
        || slack_error("org_login_required"),
        || slack_error("ratelimited"),
    ] {
        world.then(answer());
        world.then(slack_ok());
        let script = "slack alerts hello\nslack alerts hello";
        let invoked = harness.probe(script).await.slack("alerts").run().await;
        assert_eq!(
            answered(&invoked),
            [Live, Live],
            "{:#?}",
            invoked.trace.calls
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_shutdown_cuts_off_is_ambiguous_when_it_is_sent_again() {
    let (harness, world) = (Harness::new(), World::start().await);
    for step in [StepKind::Enrich, StepKind::Act] {
        let asked = world.asked().len();
        world.then(Answer::Hang);
        let script = format!("post {}/a x", world.url);
        let call = harness.probe(&script).await.http(&world.url);
        let call = call.with(|i| i.step = step);
        let cut_off = async {
            world.wait_for(asked + 1).await;
            "the server was shut down meanwhile".to_owned()
        };
        let first = call.run_until(cut_off).await;
        let Err(StepFailure::Host(why)) = &first.outcome else {
            panic!("{:?}", first.outcome);
        };
        assert!(why.contains("shut down"));
        assert_eq!(answered(&first), [Ambiguous], "its story is told");
        assert_eq!(left(&first), [format!("POST {}/a", world.url)]);

        let again = harness.probe(&script).await.http(&world.url);
        let doubts = first.doubts.unwrap();
        let again = again.with(|i| (i.step, i.doubts) = (step, doubts));
        assert_eq!(answered(&again.run().await), [Ambiguous]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_while_nothing_is_under_way_leaves_no_doubt() {
    let (harness, world) = (Harness::new(), World::start().await);
    world.then(Answer::Hang);
    let script = format!("get {}/r", world.url);
    let call = harness.probe(&script).await.http(&world.url);
    let cut_off = async {
        world.wait_for(1).await;
        "the server was shut down meanwhile".to_owned()
    };
    let invoked = call.run_until(cut_off).await;
    assert_eq!(answered(&invoked), [Live]);
    assert!(left(&invoked).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_its_bound_on_doubts_a_step_says_several() {
    let (harness, world) = (Harness::new(), World::start().await);
    let count = alert_manager::journal::DOUBTS_MAX + 4;
    let script: Vec<_> = (0..count)
        .map(|n| {
            world.then(Answer::new(504, ""));
            format!("post {}/{n} x", world.url)
        })
        .collect();
    let script = format!("{}\npost {}/last x", script.join("\n"), world.url);
    let invoked = harness.probe(&script).await.http(&world.url).run().await;
    assert_eq!(answered(&invoked), vec![Ambiguous; count + 1]);
    let doubts = invoked.doubts.unwrap();
    let last = doubts.iter().last().unwrap();
    assert_eq!((&last.suspect, last.times), (&Suspect::Several, 4));
}

/// The guest `probe` with a sink that it may post to.
fn probe(slack: &Slack, sink: &Sink) -> Setup {
    Setup::new().slack(slack).module("probe").config(&format!(
        r##"
slack: {{ channels: {{ alerts: "#alerts" }}, rate: {{ per_second: 0 }} }}
handlers:
  probe:
    allow: {{ http: ["{}"], slack: [alerts] }}
    retry: {{ min_backoff: 1ms, max_backoff: 10ms, max_attempts: 2 }}
"##,
        sink.url()
    ))
}

fn scripted(name: &str, script: &str) -> Value {
    let mut alert = alerts::firing("Probe", &[("step", "act"), ("name", name)]);
    alert["annotations"]["script"] = json!(script);
    alert
}

/// Starts the server's own program in the folder of a server that was stopped.
fn start_process(dir: &TempDir, slack: &Slack) -> Process {
    tokio::task::block_in_place(|| {
        let mut command = command(dir.path(), &["serve", "--config.file", "alert-manager.yml"]);
        command
            .env("SLACK_TOKEN", tests::fakes::slack::TOKEN)
            .env("SLACK_API_URL", slack.api_url());
        Process::start(command)
    })
}

/// Posts an alert to a server, and returns its delivery's id.
async fn accept(process: &Process, alert: &Value) -> String {
    let http = reqwest::Client::new();
    let answer = http.post(format!("{}/webhook", process.url)).json(alert);
    let answer = answer.send().await.unwrap();
    let ids = tests::server::ids(&answer.json().await.unwrap());
    ids.into_iter().next().unwrap()
}

/// Returns the calls of `act`, in order.
fn calls(story: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let attempts = list(&story["story"]);
    let steps = attempts.iter().flat_map(|attempt| list(&attempt["steps"]));
    let steps = steps.filter(|step| step["step"] == "act");
    steps.flat_map(|step| list(&step["calls"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubt_outlasts_a_second_crash_and_each_try_is_counted() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let setup = probe(&slack, &sink);
    let server = setup.clone().start().await;
    let ids = server.accept(&scripted("first", "set seen 1")).await;
    server.wait_settled(&ids[0]).await;
    let dir = server.stop().await;

    let script = format!(
        "set-if-absent seen 2\nremove nothing\npost {}/x hello\nattempt",
        sink.url()
    );
    sink.faults().until_cleared(ANY, Fault::Hang.but_done());
    let process = start_process(&dir, &slack);
    let id = accept(&process, &scripted("second", &script)).await;
    sink.wait_for_count(1).await;
    process.kill();
    let process = start_process(&dir, &slack);
    sink.wait_for_count(2).await;
    process.kill();
    let server = setup.start_in(dir).await;
    sink.wait_for_count(3).await;
    sink.faults().clear();
    let ids = [id];
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let posts: Vec<_> = calls(&story)
        .into_iter()
        .filter(|call| call["kind"] == "http")
        .map(|call| call["answered"].clone())
        .collect();
    assert_eq!(posts, ["ambiguous"], "{story:#}");
    let recorded = story["journal"].as_array().unwrap();
    let post = recorded.iter().find(|e| e["kind"] == "http").unwrap();
    assert_eq!(post["ambiguous"], true, "{story:#}");
    let act = story["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(act["facts"]["3"], "3", "each try that began: {act:#}");
    assert_eq!(act["interrupted"], false, "{act:#}");
    assert_eq!(act["attempts"], 1, "the retry policy's count: {act:#}");
}

/// Which of two calls was under way is known if the first had ended before: it is stored before the second begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_call_without_success_a_crash_leaves_the_call_in_doubt_that_was_under_way() {
    for (status, expected) in [
        (429, ["live", "ambiguous"]),
        (504, ["ambiguous", "ambiguous"]),
    ] {
        let (slack, sink) = (Slack::start().await, Sink::start().await);
        let setup = probe(&slack, &sink);
        let dir = setup.clone().start().await.stop().await;
        sink.faults().next(ANY, Fault::status(status));
        sink.faults().next(ANY, Fault::Hang.but_done());
        let process = start_process(&dir, &slack);
        let url = sink.url();
        let script = format!("post {url}/a x\npost {url}/b x");
        let ids = [accept(&process, &scripted("a", &script)).await];
        sink.wait_for_count(2).await;
        process.kill();
        let server = setup.start_in(dir).await;
        let story = server.wait_settled(&ids[0]).await;
        let how: Vec<_> = calls(&story)
            .into_iter()
            .filter(|call| call["kind"] == "http")
            .map(|call| call["answered"].clone())
            .collect();
        assert_eq!(how, expected, "{status}: {story:#}");
        let act = story["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(act["interrupted"], false, "{act:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_step_says_what_may_have_happened_and_was_not_repeated() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let setup = probe(&slack, &sink);
    let dir = setup.clone().start().await.stop().await;
    sink.faults().next(ANY, Fault::Hang.but_done());
    sink.faults().until_cleared(ANY, Fault::status(404));
    let process = start_process(&dir, &slack);
    let script = format!("post {}/x hello", sink.url());
    let ids = [accept(&process, &scripted("a", &script)).await];
    sink.wait_for_count(1).await;
    process.kill();
    let server = setup.start_in(Arc::clone(&dir)).await;
    let story = server.wait_settled(&ids[0]).await;
    let end = &story["story"].as_array().unwrap().last().unwrap()["steps"];
    let end = end.as_array().unwrap().last().unwrap();
    let doubts = end["in_doubt"].as_array().unwrap();
    let told: Vec<_> = doubts
        .iter()
        .map(|d| (&d["attempt"], &d["suspect"]))
        .collect();
    assert_eq!(told[0], (&json!(1), &json!("under-way")), "{story:#}");
    assert_eq!(told[1].0, 1, "{story:#}");
    let url = format!("POST {}/x", sink.url());
    assert_eq!(told[1].1["call"]["request"], url, "{story:#}");
    let (at, id, dir) = (server.url.clone(), ids[0].clone(), dir.path().to_owned());
    let told = tokio::task::spawn_blocking(move || run(&dir, &["explain", &id, "--url", &at]))
        .await
        .unwrap();
    let line = format!("{url} may have happened, last at attempt 1, and was not repeated");
    assert!(told.stdout.contains(&line), "{}", told.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attempt_number_of_a_handler_counts_tries_that_ended_unavailable() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let server = probe(&slack, &sink).start().await;
    let script = format!("unkeyed {}/x\nunavailable not yet", sink.url());
    server.accept(&scripted("a", &script)).await;
    let bodies: Vec<_> = sink.wait_for_count(3).await;
    let bodies = bodies.iter().take(3);
    let bodies: Vec<_> = bodies.map(|r| String::from_utf8_lossy(&r.body)).collect();
    assert_eq!(bodies, ["1", "2", "3"]);
}

async fn notify(answers: &[&str], labels: &[(&str, &str)]) -> (Value, usize) {
    let slack = Slack::start().await;
    for code in answers {
        slack.faults().next(POST, Fault::slack_error(code));
    }
    let server = Setup::new().slack(&slack).module("slack-notify").config(
        r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
handlers:
  slack-notify:
    allow: { slack: [alerts] }
    retry: { min_backoff: 1ms, max_backoff: 10ms, max_attempts: 4 }
"##,
    );
    let server = server.start().await;
    let ids = server.accept(&alerts::firing("A", labels)).await;
    let story = server.wait_settled(&ids[0]).await;
    (story, slack.messages().len())
}

/// Returns how Slack's calls were answered.
fn how(story: &Value) -> Vec<Value> {
    let calls = calls(story).into_iter();
    let calls = calls.filter(|call| call["kind"] == "slack");
    calls.map(|call| call["answered"].clone()).collect()
}

#[tokio::test]
async fn a_workspace_that_is_being_moved_is_waited_for() {
    let (story, posted) = notify(&["team_added_to_org", "org_login_required"], &[]).await;
    assert_eq!((&story["state"], posted), (&json!("done"), 1), "{story:#}");
    assert_eq!(how(&story), ["live", "live", "live"], "{story:#}");
}

#[tokio::test]
async fn what_slack_may_have_posted_is_ambiguous_when_it_is_posted_again() {
    for code in ["internal_error", "fatal_error"] {
        let (story, posted) = notify(&[code], &[]).await;
        assert_eq!((&story["state"], posted), (&json!("done"), 1), "{story:#}");
        assert_eq!(how(&story), ["ambiguous", "ambiguous"], "{story:#}");
        let journal = story["journal"].as_array().unwrap();
        let post = journal.iter().find(|e| e["kind"] == "slack").unwrap();
        assert_eq!(post["ambiguous"], true, "{story:#}");
    }
}
