//! A call that has to wait for its turn ends its invocation: the guest learns of no error, and resumes where it was.

use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::{Enrichment, Labels, Timestamp};
use alert_manager::gate::{GateAsk, GateName};
use alert_manager::runtime::{Answered, Invoked, SlackRate, StepFailure};
use alert_manager::secret::{Secret, SecretSource};
use serde_json::json;
use tests::harness::{Answer, Call, Harness, MemoryLedger, World, facts};

fn slack_ok(ts: &str) -> Answer {
    let answer = json!({ "ok": true, "channel": "C1", "ts": ts });
    Answer::new(200, answer.to_string())
}

/// Makes a runtime whose Slack is at `url`, with its rates.
fn harness(url: &str) -> Harness {
    Harness::with_services(|services| {
        services.slack.preview = false;
        services.slack.token = Some(SecretSource::value(Secret::new("xoxb-secret")));
        services.slack.api_url = format!("{url}/").parse().unwrap();
        services.slack.rate = SlackRate::CHANNEL;
    })
}

async fn attempt<'a>(
    harness: &'a Harness,
    world: &World,
    ledger: &Arc<MemoryLedger>,
    script: &str,
) -> Call<'a> {
    let call = harness.probe(script).await;
    call.http(&world.url).slack("alerts").over(ledger, 1)
}

/// Returns where an invocation waits for its turn.
fn parked_at(invoked: &Invoked) -> &GateName {
    match &invoked.outcome {
        Err(StepFailure::Parked(parked)) => &parked.gate.name,
        other => panic!("it is not parked: {other:?}"),
    }
}

fn alerts() -> GateName {
    GateName::SlackChannel("#alerts".to_owned())
}

fn lines(world: &World) -> Vec<String> {
    let asked = world.asked();
    asked.iter().map(|asked| asked.line.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_waits_for_its_turn_reads_nothing_twice_until_its_first_effect() {
    let world = World::start().await;
    let (harness, ledger) = (harness(&world.url), Arc::<MemoryLedger>::default());
    let url = &world.url;
    let script = format!("get {url}/a\nget {url}/b\nslack alerts hello\nget {url}/a");
    world.then(Answer::new(200, "first a"));
    ledger.let_pass(0);
    for _ in 0..2 {
        let invoked = attempt(&harness, &world, &ledger, &script)
            .await
            .run()
            .await;
        assert_eq!(*parked_at(&invoked), alerts());
        assert_eq!(lines(&world), ["GET /a", "GET /b"]);
        let last = invoked.trace.calls.last().unwrap();
        assert_eq!(last.answered, Answered::Parked, "{last:?}");
        assert!((!invoked.has_sent) && !invoked.has_effect);
        let parked: Vec<_> = ledger.entries().iter().map(|e| e.parked).collect();
        assert_eq!(parked, [false, true], "nothing is recorded twice");
    }
    ledger.let_pass(1);
    world.then(slack_ok("1.1"));
    world.then(Answer::new(200, "second a"));
    let invoked = attempt(&harness, &world, &ledger, &script)
        .await
        .run()
        .await;
    assert_eq!(
        facts(&invoked),
        ["200 first a", "200 ok", "posted", "200 second a"],
        "after the effect it reads anew"
    );
    assert!(invoked.has_sent && invoked.has_effect);
    assert_eq!(ledger.entries().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_waits_after_an_effect_repeats_neither_it_nor_its_reads() {
    let world = World::start().await;
    let (harness, ledger) = (harness(&world.url), Arc::<MemoryLedger>::default());
    let url = &world.url;
    let script =
        format!("post {url}/a x\nget {url}/b\nslack alerts one\nget {url}/c\nslack alerts two");
    ledger.let_pass(0);
    let first = attempt(&harness, &world, &ledger, &script)
        .await
        .run()
        .await;
    assert_eq!(*parked_at(&first), alerts());
    assert!(first.has_sent && first.has_effect);
    ledger.let_pass(1);
    world.then(slack_ok("1.1"));
    let second = attempt(&harness, &world, &ledger, &script)
        .await
        .run()
        .await;
    assert_eq!(*parked_at(&second), alerts());
    ledger.let_pass(1);
    world.then(slack_ok("2.2"));
    let third = attempt(&harness, &world, &ledger, &script)
        .await
        .run()
        .await;
    assert_eq!(facts(&third)[2..], ["posted", "200 ok", "posted"]);
    assert_eq!(
        lines(&world),
        [
            "POST /a",
            "GET /b",
            "POST /chat.postMessage",
            "GET /c",
            "POST /chat.postMessage"
        ]
    );
    let diverged = third.trace.calls.iter();
    assert!(diverged.clone().all(|c| c.answered != Answered::Diverged));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_resumes_has_the_current_time_unless_an_effect_is_left_to_replay() {
    let world = World::start().await;
    let (harness, ledger) = (harness(&world.url), Arc::<MemoryLedger>::default());
    let at = |hour: u8| -> Timestamp { format!("2024-05-06T{hour:02}:00:00Z").parse().unwrap() };
    let shown = |invoked: &Invoked, n: usize| facts(invoked)[n].clone();
    let url = &world.url;
    let script = format!("clock\npost {url}/a x\nclock\nslack alerts hello\nclock");
    let run = async |hour| {
        let call = attempt(&harness, &world, &ledger, &script).await;
        call.with(|invocation| invocation.now = at(hour))
            .run()
            .await
    };
    ledger.let_pass(0);
    parked_at(&run(7).await);
    ledger.let_pass(1);
    world.then(slack_ok("1.1"));
    let resumed = run(9).await;
    let seconds = |hour| format!("tv_sec: {}", at(hour).as_second());
    assert!(
        shown(&resumed, 0).contains(&seconds(7)),
        "an effect is left"
    );
    assert!(shown(&resumed, 2).contains(&seconds(9)), "none is left");
    assert!(shown(&resumed, 4).contains(&seconds(9)));

    let reads = format!("get {url}/r\nclock\nslack alerts hello");
    let ledger = Arc::<MemoryLedger>::default();
    ledger.let_pass(0);
    let call = attempt(&harness, &world, &ledger, &reads).await;
    parked_at(&call.with(|i| i.now = at(7)).run().await);
    ledger.let_pass(1);
    world.then(slack_ok("2.2"));
    let call = attempt(&harness, &world, &ledger, &reads).await;
    let resumed = call.with(|i| i.now = at(9)).run().await;
    assert!(shown(&resumed, 1).contains(&seconds(9)), "only reads are");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_slack_says_to_wait_its_gate_is_closed_for_all_and_no_guest_learns_of_it() {
    let world = World::start().await;
    let harness = harness(&world.url);
    let posted = "slack alerts one";
    for (script, gate, says) in [
        (posted, alerts(), "retry-after"),
        ("update two", GateName::SlackUpdates, "retry-after"),
        ("react eyes", GateName::SlackReactions, "retry-after"),
        (posted, alerts(), "ratelimited"),
    ] {
        let ledger = Arc::<MemoryLedger>::default();
        world.then(slack_ok("1.1"));
        let reference = attempt(&harness, &world, &ledger, "slack alerts first\nreference").await;
        let reference = facts(&reference.run().await)[1].clone();
        let ledger = Arc::<MemoryLedger>::default();
        world.then(match says {
            "retry-after" => Answer::With(429, vec![(says, "30".to_owned())], String::new()),
            code => Answer::new(200, json!({ "ok": false, "error": code }).to_string()),
        });
        let script = format!("ref {reference}\n{script}");
        let asked = world.asked().len();
        let invoked = attempt(&harness, &world, &ledger, &script)
            .await
            .run()
            .await;
        assert_eq!(*parked_at(&invoked), gate);
        let call = invoked.trace.calls.last().unwrap();
        assert!(call.result.contains("Slack asks to wait"), "{call:?}");
        assert!(invoked.has_sent && !invoked.has_effect);
        assert!(invoked.doubts.unwrap().is_empty(), "it was not posted");
        let closed = ledger.closed();
        let seconds = if says == "retry-after" { 30 } else { 1 };
        assert_eq!(closed[0].0.name, gate);
        assert_eq!(closed[0].1, Duration::from_secs(seconds));
        let again = attempt(&harness, &world, &ledger, &script)
            .await
            .run()
            .await;
        assert_eq!(*parked_at(&again), gate);
        assert_eq!(world.asked().len(), asked + 1, "it is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_method_has_its_gates_and_a_rate_of_zero_turns_them_off() {
    let world = World::start().await;
    let rated = harness(&world.url);
    let unrated = Harness::with_slack(&world.url);
    let script = "slack alerts one\nupdate two\nreact eyes\nthread alerts three";
    for (harness, is_rated) in [(&rated, true), (&unrated, false)] {
        let ledger = Arc::<MemoryLedger>::default();
        for ts in ["1.1", "1.1", "1.1", "2.2"] {
            world.then(slack_ok(ts));
        }
        attempt(harness, &world, &ledger, script)
            .await
            .facts()
            .await;
        let names: Vec<Vec<_>> = ledger
            .asked()
            .iter()
            .map(|asks| asks.iter().map(|ask| ask.name.to_string()).collect())
            .collect();
        let post = vec!["slack channel #alerts", "slack workspace"];
        let expected = [
            post.clone(),
            vec!["slack updates", "slack message C1 1.1"],
            vec!["slack reactions"],
            post,
        ];
        assert_eq!(names, expected);
        assert_eq!(ledger.asked()[0][0].label, "alerts");
        let has_rate = |ask: &GateAsk| ask.rate.is_some();
        let asked = ledger.asked();
        let of_message = asked.iter().flatten().filter(|ask| {
            let is_of_message = matches!(ask.name, GateName::SlackMessage(_));
            has_rate(ask) != (is_rated && !is_of_message)
        });
        assert_eq!(of_message.count(), 0, "{asked:?}");
        assert_eq!(ledger.closed().is_empty(), !is_rated);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_and_a_dry_run_ask_for_no_turn() {
    let world = World::start().await;
    let ledger = Arc::<MemoryLedger>::default();
    ledger.let_pass(0);
    let preview = Harness::new();
    let script = "slack alerts hello\nupdate changed\nreact eyes";
    let told = attempt(&preview, &world, &ledger, script)
        .await
        .facts()
        .await;
    assert_eq!(told, ["posted", "posted", "Ok(())"]);
    let (real, ledger) = (harness(&world.url), Arc::<MemoryLedger>::default());
    ledger.let_pass(0);
    let call = attempt(&real, &world, &ledger, script).await;
    let told = call.with(|i| i.dry_run = true).facts().await;
    assert_eq!(told, ["posted", "posted", "Ok(())"]);
    assert!(ledger.asked().is_empty() && world.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_pauses_after_each_update_and_that_of_a_storm_before_the_first() {
    let world = World::start().await;
    let harness = harness(&world.url);
    let run = async |is_storm: bool, script: &str| {
        let ledger = Arc::<MemoryLedger>::default();
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let posted_at = format!("{}.000100", now - 3_600);
        world.then(slack_ok(&posted_at));
        world.then(slack_ok(&posted_at));
        let call = attempt(&harness, &world, &ledger, script).await;
        let found = match is_storm {
            true => Labels::from_iter([("storm.id".to_owned(), "x".to_owned())]),
            false => Labels::default(),
        };
        let call = call.with(|i| {
            i.found = Arc::new(Enrichment {
                facts: found,
                blocks: Vec::new(),
            });
        });
        let invoked = call.run().await;
        let closed = ledger.closed();
        let closed = closed.iter().map(|(gate, wait)| {
            assert_eq!(gate.name, GateName::SlackMessage(format!("C1 {posted_at}")));
            wait.as_secs()
        });
        (closed.collect::<Vec<_>>(), invoked)
    };
    let (closed, _) = run(false, "slack alerts one").await;
    assert_eq!(closed, Vec::<u64>::new(), "its resolve updates it at once");
    let (closed, _) = run(false, "slack alerts one\nupdate two").await;
    assert_eq!(closed, [60], "as long as it is old, at most a minute");
    let (closed, invoked) = run(true, "slack alerts one\nupdate two").await;
    assert_eq!(closed, [5]);
    assert!(matches!(parked_at(&invoked), GateName::SlackMessage(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_a_newer_one_supersedes_is_answered_as_done_and_not_sent() {
    let world = World::start().await;
    let harness = harness(&world.url);
    world.then(slack_ok("1.1"));
    let ledger = Arc::<MemoryLedger>::default();
    let script = "slack alerts one\nreference\nupdate two\nreference";
    let told = async |ledger: &Arc<MemoryLedger>| {
        let call = attempt(&harness, &world, ledger, script).await;
        call.run().await
    };
    // Only the update is asked for now.
    let first = attempt(&harness, &world, &ledger, "slack alerts one").await;
    first.run().await;
    ledger.supersede();
    let invoked = told(&ledger).await;
    let facts = facts(&invoked);
    assert_eq!(facts[2], "posted");
    assert_eq!(facts[1], facts[3], "the same message");
    assert_eq!(world.asked().len(), 1, "only the post");
    let entries = ledger.entries();
    assert!(entries[1].effect, "a retry does not ask again: {entries:?}");
    assert_eq!(entries[1].result, "superseded by a newer update");
}
