//! A completed effect is not repeated, and requests that are not granted are not sent.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alert_manager::journal::{CallKind, Doubts, LedgerError};
use alert_manager::runtime::{Answered, HeldBack, Invoked, StepFailure};
use serde_json::{Value, json};
use tests::PATIENCE;
use tests::harness::{Answer, Harness, MemoryLedger, World, bearer, facts};

fn answered(invoked: &Invoked) -> Vec<Answered> {
    let calls = invoked.trace.calls.iter();
    calls.map(|call| call.answered).collect()
}

fn slack_ok(ts: &str) -> Answer {
    Answer::new(
        200,
        json!({"ok": true, "channel": "C1", "ts": ts}).to_string(),
    )
}

fn slack_error(code: &str) -> Answer {
    Answer::new(200, json!({"ok": false, "error": code}).to_string())
}

fn body(world: &World, n: usize) -> Value {
    serde_json::from_str(&world.asked()[n].body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_answered_from_the_record_up_to_its_last_effect() {
    let (harness, world) = (Harness::new(), World::start().await);
    let url = &world.url;
    world.then(Answer::new(200, "first read"));
    world.then(Answer::new(201, "made"));
    world.then(Answer::new(503, "not now"));
    let script = format!("get {url}/a\npost {url}/b x\nincrement n 2\npost {url}/c y\nfail-once z");
    let ledger = Arc::new(MemoryLedger::default());
    let first = harness
        .probe(&script)
        .await
        .http(url)
        .over(&ledger, 1)
        .run()
        .await;
    assert!(matches!(first.outcome, Err(StepFailure::Retryable { .. })));
    assert_eq!(world.asked().len(), 3);

    let second = harness
        .probe(&script)
        .await
        .http(url)
        .over(&ledger, 2)
        .run()
        .await;
    let expected = ["200 first read", "201 made", "Ok(2)", "200 ok", "passed"];
    assert_eq!(facts(&second), expected);
    use Answered::{Live, Recorded};
    assert_eq!(answered(&second), [Recorded, Recorded, Recorded, Live]);
    let lines: Vec<_> = world.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /a", "POST /b", "POST /c", "POST /c"]);
    let effects = ledger.entries().iter().filter(|e| e.effect).count();
    assert_eq!(effects, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authors_key_names_a_request_that_differs_from_attempt_to_attempt() {
    let (harness, world) = (Harness::new(), World::start().await);
    let url = &world.url;
    let ledger = Arc::new(MemoryLedger::default());
    let script = format!("keyed k {url}/keyed\nunkeyed {url}/unkeyed\nfail-once x");
    for attempt in [1, 2] {
        harness
            .probe(&script)
            .await
            .http(url)
            .over(&ledger, attempt)
            .run()
            .await;
    }
    let asked: Vec<_> = world
        .asked()
        .into_iter()
        .map(|a| (a.line, a.body))
        .collect();
    let call = |line: &str, body: &str| (line.to_owned(), body.to_owned());
    let expected = [
        call("POST /keyed", "1"),
        call("POST /unkeyed", "1"),
        call("POST /unkeyed", "2"),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_failed_five_times_in_a_row_fails_fast_and_no_other_does() {
    let (harness, world) = (Harness::new(), World::start().await);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let url = &world.url;
    let script = format!("{}get {url}/other", format!("get {closed}/x\n").repeat(7));
    let ledger = Arc::new(MemoryLedger::default());
    let told = harness
        .probe(&script)
        .await
        .http(url)
        .http(&closed)
        .over(&ledger, 1)
        .facts()
        .await;
    for (n, answer) in told[..7].iter().enumerate() {
        let fast = answer.contains("is not asked for");
        assert_eq!(fast, n >= 5, "{n}: {answer}");
    }
    assert_eq!(told[7], "200 ok");
    // The circuit breaker is shared by all alerts.
    let next = harness
        .probe(&format!("get {closed}/x"))
        .await
        .http(&closed);
    let told = next.facts().await;
    assert!(told[0].contains("is not asked for"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_a_retry_does_not_ask_for_has_diverged() {
    let (harness, world) = (Harness::new(), World::start().await);
    let ledger = Arc::new(MemoryLedger::default());
    let script = format!("post {}/a x", world.url);
    harness
        .probe(&script)
        .await
        .http(&world.url)
        .over(&ledger, 1)
        .facts()
        .await;
    let other = harness
        .probe("increment n 1")
        .await
        .over(&ledger, 2)
        .run()
        .await;
    assert_eq!(answered(&other), [Answered::Live, Answered::Diverged]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_first_effect_past_a_crash_is_ambiguous() {
    let (harness, world) = (Harness::new(), World::start().await);
    let url = &world.url;
    let script = format!("get {url}/r\npost {url}/a x\npost {url}/b x");
    let call = harness.probe(&script).await.http(url);
    let mut doubts = Doubts::default();
    doubts.cut_off(1, "the server died", 0);
    let invoked = call.with(|i| i.doubts = doubts).run().await;
    use Answered::{Ambiguous, Live};
    assert_eq!(answered(&invoked), [Live, Ambiguous, Live]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_effect_starts_while_the_store_cannot_record() {
    let (harness, world) = (Harness::new(), World::start().await);
    let url = &world.url;
    let ledger = Arc::new(MemoryLedger::default());
    ledger.set_broken(Some(LedgerError::Unavailable(
        "the disk is full".to_owned(),
    )));
    let script = format!("get {url}/r\npost {url}/a x\nincrement n 1\nslack alerts hello");
    let call = harness
        .probe(&script)
        .await
        .http(url)
        .slack("alerts")
        .over(&ledger, 1);
    let told = call.facts().await;
    assert_eq!(told[0], "200 ok");
    for refused in &told[1..] {
        assert!(
            refused.contains("Unavailable") && refused.contains("the disk is full"),
            "{refused}"
        );
    }
    assert_eq!(world.asked().len(), 1);
    assert!(harness.previews.lock().is_empty());

    ledger.set_broken(Some(LedgerError::LeaseLost));
    let call = harness.probe(&script).await.http(url).over(&ledger, 2);
    assert!(matches!(
        call.run().await.outcome,
        Err(StepFailure::Host(_))
    ));
    assert!(
        world
            .asked()
            .iter()
            .all(|asked| asked.line.starts_with("GET"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_without_an_answer_is_ambiguous_in_the_story() {
    let (harness, world) = (Harness::new(), World::start().await);
    world.then(Answer::Hang);
    let script = format!("post {}/a x", world.url);
    let call = harness.probe(&script).await.http(&world.url);
    // Enough for a busy machine to come as far as the call that hangs.
    let invoked = call
        .with(|i| i.time_left = Duration::from_secs(2))
        .run()
        .await;
    assert_eq!(answered(&invoked), [Answered::Ambiguous]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_goes_to_its_origin_alone_and_is_never_seen() {
    let world = World::start().await;
    let elsewhere = World::start().await;
    let harness = Harness::with_services(|services| {
        let credential = bearer("hunter2-secret", &world.url);
        services.credentials.insert("github".to_owned(), credential);
    });
    world.then(Answer::With(
        200,
        vec![("x-echo", "hunter2-secret".to_owned())],
        "you sent hunter2-secret".to_owned(),
    ));
    let (here, there) = (&world.url, &elsewhere.url);
    let script = format!(
        "credential github {here}/a\ncredential github {there}/a\ncredential other {here}/a\nheader Host {here}/a"
    );
    let call = harness
        .probe(&script)
        .await
        .http(here)
        .http(there)
        .credential("github");
    let invoked = call.run().await;
    let told = facts(&invoked);
    assert_eq!(told[0], "200 you sent [credential]");
    assert!(
        told[1].contains("Denied") && told[1].contains("origins"),
        "{}",
        told[1]
    );
    assert!(
        told[2].contains("Denied") && told[2].contains("credentials: [github, other]"),
        "{}",
        told[2]
    );
    assert!(told[3].contains("InvalidRequest"), "{}", told[3]);
    assert_eq!(
        world.asked()[0].headers["authorization"],
        "Bearer hunter2-secret"
    );
    assert!(elsewhere.asked().is_empty());
    assert!(!format!("{invoked:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_keep_to_their_grant_and_follow_no_redirect() {
    let (harness, world) = (Harness::new(), World::start().await);
    let url = &world.url;
    let port = url.rsplit(':').next().unwrap();
    world.then(Answer::With(
        302,
        vec![("location", "http://169.254.169.254/".to_owned())],
        String::new(),
    ));
    let script =
        format!("get {url}/a\nget http://localhost:{port}/a\nget not-a-url\nget {url}/big");
    world.then(Answer::new(200, "x".repeat(9 << 20)));
    let call = harness
        .probe(&script)
        .await
        .http(url)
        .http(&format!("http://localhost:{port}"));
    let told = call.facts().await;
    assert_eq!(told[0], "302 ");
    assert!(
        told[1].contains("Denied") && told[1].contains("127.0.0.1"),
        "{}",
        told[1]
    );
    assert!(told[2].contains("InvalidRequest"), "{}", told[2]);
    assert_eq!(told[3], "Error::TooLarge(8388608)");
    assert_eq!(world.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_of_requests_is_named_when_it_is_used_up() {
    let (harness, world) = (Harness::new(), World::start().await);
    let script = vec![format!("get {}/a", world.url); 3].join("\n");
    let call = harness.probe(&script).await.http(&world.url);
    let told = call.with(|i| i.limits.http_calls_max = 2).facts().await;
    assert!(
        told[2].contains("BudgetExhausted") && told[2].contains("http_calls"),
        "{told:?}"
    );
    assert_eq!(world.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_posted_updated_and_answered_by_its_reference() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    for ts in ["1.1", "2.2", "1.1"] {
        world.then(slack_ok(ts));
    }
    world.then(slack_error("already_reacted"));
    let script = "slack alerts hello\nupdate changed\nthread alerts more\nreact eyes";
    let told = harness.probe(script).await.slack("alerts").facts().await;
    assert_eq!(told, ["posted", "posted", "posted", "Ok(())"]);
    let asked = world.asked();
    let lines: Vec<_> = asked.iter().map(|asked| &*asked.line).collect();
    let expected = [
        "POST /chat.postMessage",
        "POST /chat.update",
        "POST /chat.postMessage",
        "POST /reactions.add",
    ];
    assert_eq!(lines, expected);
    assert_eq!(asked[0].headers["authorization"], "Bearer xoxb-secret");
    assert_eq!(
        body(&world, 0),
        json!({"channel": "#alerts", "text": "hello"})
    );
    let update = json!({"channel": "C1", "ts": "1.1", "text": "changed", "blocks": []});
    assert_eq!(body(&world, 1), update);
    let thread = json!({"channel": "C1", "thread_ts": "2.2", "text": "more"});
    assert_eq!(body(&world, 2), thread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_blocks_go_out_as_text_and_the_story_says_so() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    world.then(slack_error("invalid_blocks"));
    world.then(slack_ok("1.1"));
    let call = harness
        .probe(r#"blocks alerts [{"type":"nonsense"}]"#)
        .await
        .slack("alerts");
    let invoked = call.run().await;
    assert_eq!(facts(&invoked), ["posted"]);
    assert!(invoked.trace.calls[0].result.contains("invalid_blocks"));
    assert_eq!(
        body(&world, 1),
        json!({"channel": "#alerts", "text": "plain"})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_of_slack_to_say_no_reaches_the_guest_as_what_it_means() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    let post = async |answer: Answer| {
        world.then(answer);
        harness
            .probe("slack alerts hello")
            .await
            .slack("alerts")
            .run()
            .await
    };
    let invoked = post(Answer::new(500, "")).await;
    assert!(facts(&invoked)[0].contains("Unavailable"));
    let invoked = post(slack_error("fatal_error")).await;
    assert!(facts(&invoked)[0].contains("Timeout"));
    assert_eq!(answered(&invoked), [Answered::Ambiguous]);
    let invoked = post(Answer::new(200, "<html>")).await;
    assert_eq!(answered(&invoked), [Answered::Ambiguous]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_slack_refuses_until_the_operator_mends_it_is_held_and_not_asked_again() {
    for (code, channel) in [("not_in_channel", Some("alerts")), ("token_revoked", None)] {
        let world = World::start().await;
        let harness = Harness::with_slack(&world.url);
        world.then(slack_error(code));
        let post = async || {
            let probe = harness.probe("slack alerts hello").await;
            probe.slack("alerts").run().await
        };
        for _ in 0..2 {
            // The step waits, whatever the guest does with the error.
            let invoked = post().await;
            assert!(facts(&invoked)[0].contains("Unavailable"), "{code}");
            let hold = invoked.hold.unwrap();
            assert_eq!((hold.channel.as_deref(), &*hold.code), (channel, code));
        }
        assert_eq!(world.asked().len(), 1, "{code}: the second did not go out");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_shown_once_over_retries_and_kept_in_the_story() {
    let harness = Harness::new();
    let ledger = Arc::new(MemoryLedger::default());
    let script = "slack alerts hello\nthread alerts more\nfail-once z";
    harness
        .probe(script)
        .await
        .slack("alerts")
        .over(&ledger, 1)
        .run()
        .await;
    let second = harness
        .probe(script)
        .await
        .slack("alerts")
        .over(&ledger, 2)
        .run()
        .await;
    assert_eq!(facts(&second), ["posted", "posted", "passed"]);
    let previews = harness.previews.lock().clone();
    assert_eq!(previews.len(), 2);
    assert!(previews[0].contains("hello") && previews[1].contains("in the thread"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_only_shown_is_gone_once_there_is_a_token() {
    let ledger = Arc::new(MemoryLedger::default());
    let harness = Harness::new();
    let call = harness.probe("slack alerts hello").await.slack("alerts");
    call.over(&ledger, 1).run().await;
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    let script = "slack alerts hello\nupdate changed\nthread alerts more";
    let call = harness.probe(script).await.slack("alerts");
    let told = facts(&call.over(&ledger, 2).run().await);
    assert_eq!(told[0], "posted");
    assert!(told[1].contains("NotFound"), "{}", told[1]);
    assert!(told[2].contains("NotFound"), "{}", told[2]);
    assert!(world.asked().is_empty(), "Slack is not asked about it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_holds_every_effect_back() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    let ledger = Arc::new(MemoryLedger::default());
    let url = &world.url;
    let script = format!(
        "get {url}/r\npost {url}/a x\nslack alerts hello\nincrement n 2\nincrement n 3\nvalue n"
    );
    let call = harness
        .probe(&script)
        .await
        .http(url)
        .slack("alerts")
        .over(&ledger, 1);
    let invoked = call.with(|i| i.dry_run = true).run().await;
    let told = facts(&invoked);
    assert_eq!(told[..5], ["200 ok", "200 ", "posted", "Ok(2)", "Ok(5)"]);
    assert!(told[5].contains("\"5\""), "{}", told[5]);
    assert_eq!(world.asked().len(), 1);
    assert!(ledger.entries().is_empty());
    let slack = invoked
        .trace
        .calls
        .iter()
        .find(|c| c.kind == CallKind::Slack)
        .unwrap();
    assert_eq!(slack.preview.as_ref().unwrap()["text"], "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_masked_in_the_encodings_that_services_echo() {
    let world = World::start().await;
    let secret = "s3cret/token+with&marks";
    let harness = Harness::with_services(|services| {
        let credential = bearer(secret, &world.url);
        services.credentials.insert("github".to_owned(), credential);
    });
    // "Bearer s3cret/token+with&marks" in base64, and the token in a query.
    world.then(Answer::new(
        200,
        "QmVhcmVyIHMzY3JldC90b2tlbit3aXRoJm1hcmtz ?t=s3cret%2Ftoken%2Bwith%26marks",
    ));
    let script = format!("credential github {}/a", world.url);
    let call = harness.probe(&script).await.http(&world.url);
    let invoked = call.credential("github").run().await;
    let told = &facts(&invoked)[0];
    assert_eq!(told.matches("[credential]").count(), 2, "{told}");
    assert!(!told.contains("%2Ftoken"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_read_again_when_its_file_changes() {
    use alert_manager::runtime::{Credential, CredentialKind};
    use alert_manager::secret::Authorization;
    use alert_manager::secret::SecretSource;
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "first-token\n").unwrap();
    let harness = Harness::with_services(|services| {
        let credential = Credential {
            kind: CredentialKind::Authorization(Authorization::Scheme {
                scheme: "Bearer".to_owned(),
                credentials: SecretSource::file(file.clone()),
            }),
            origins: vec![alert_manager::policy::HttpGrant::parse(&world.url).unwrap()],
        };
        let credential = Arc::new(credential);
        services.credentials.insert("k".to_owned(), credential);
    });
    let ask = async || {
        let script = format!("credential k {}/a", world.url);
        let call = harness.probe(&script).await.http(&world.url);
        call.credential("k").facts().await
    };
    ask().await;
    let next = dir.path().join("next");
    std::fs::write(&next, "other-token\n").unwrap();
    std::fs::rename(&next, &file).unwrap();
    ask().await;
    let sent: Vec<_> = world
        .asked()
        .iter()
        .map(|asked| asked.headers["authorization"].clone())
        .collect();
    assert_eq!(sent, ["Bearer first-token", "Bearer other-token"]);
    // If the credential's file cannot be read, the call fails and nothing is sent.
    std::fs::remove_file(&file).unwrap();
    let told = ask().await;
    assert!(told[0].contains("Unavailable"), "{told:?}");
    assert_eq!(world.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_packed_stays_packed_and_is_not_asked_for() {
    let (harness, world) = (Harness::new(), World::start().await);
    for encoding in ["gzip", "br", "deflate", "zstd"] {
        world.then(Answer::With(
            200,
            vec![("content-encoding", encoding.to_owned())],
            "these bytes".to_owned(),
        ));
        let script = format!("get {}/a", world.url);
        let told = harness.probe(&script).await.http(&world.url).facts().await;
        assert_eq!(told, ["200 these bytes"], "{encoding}");
    }
    for asked in world.asked() {
        assert!(!asked.headers.contains_key("accept-encoding"), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_for_one_handler_and_not_for_the_next() {
    let (harness, world) = (Harness::new(), World::start().await);
    let script = format!("get {0}/a\nget {0}/b", world.url);
    let loader = harness.runtime.loader();
    let mut used = Vec::new();
    for _ in 0..2 {
        let module = Arc::new(loader.load(tests::modules::bytes("probe")).await.unwrap());
        let before = world.asked().len();
        // A connection is free a moment after its response was read: not every request finds it.
        let reused = async {
            loop {
                let call = harness.call(&module).annotation("script", &script);
                call.http(&world.url).facts().await;
                let asked = world.asked();
                let peers = asked[before..].iter().map(|asked| asked.peer);
                let peers: BTreeSet<_> = peers.collect();
                if peers.len() < asked.len() - before {
                    return peers;
                }
            }
        };
        let peers = tokio::time::timeout(PATIENCE, reused).await;
        used.push(peers.expect("a connection is kept"));
    }
    assert!(used[0].is_disjoint(&used[1]), "they share none: {used:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mention_in_an_alert_never_notifies_anybody() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    for ts in ["1.1", "2.2", "3.3"] {
        world.then(slack_ok(ts));
    }
    // The guest puts a part of its alert into the message as it is.
    let script = "slack alerts down <!channel> <javascript:x|y>\n\
        blocks alerts [{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"<!here> <https://a.example|a>\"}}]\n\
        blocks alerts [{\"type\":\"actions\",\"elements\":[{\"type\":\"button\",\"url\":\"javascript:x\"}]}]";
    let invoked = harness.probe(script).await.slack("alerts").run().await;
    assert_eq!(facts(&invoked), ["posted", "posted", "posted"]);
    assert_eq!(
        body(&world, 0)["text"],
        "down &lt;!channel&gt; &lt;javascript:x|y&gt;"
    );
    assert_eq!(
        body(&world, 1)["blocks"][0]["text"]["text"],
        "&lt;!here&gt; <https://a.example|a>"
    );
    assert_eq!(
        body(&world, 2),
        json!({"channel": "#alerts", "text": "plain"}),
        "the text went out alone"
    );
    let results: Vec<_> = invoked.trace.calls.iter().map(|c| &c.result).collect();
    assert!(results[0].contains("made inert"), "{results:?}");
    assert!(results[2].contains("http and https alone"), "{results:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_earlier_steps_of_a_dry_run_held_back_outlasts_a_step_that_is_cut_off() {
    let (harness, world) = (Harness::new(), World::start().await);
    world.then(Answer::Hang);
    let mut before = HeldBack::default();
    before.kv.insert("n".to_owned(), Some(b"5".to_vec()));
    let script = format!("get {}/r", world.url);
    let call = harness.probe(&script).await.http(&world.url);
    let call = call.with(|i| (i.dry_run, i.held_back) = (true, before.clone()));
    let cut_off = async {
        world.wait_for(1).await;
        "the server was shut down meanwhile".to_owned()
    };
    let invoked = call.run_until(cut_off).await;
    assert!(invoked.outcome.is_err(), "{:?}", invoked.outcome);
    assert_eq!(invoked.held_back, before);
}
