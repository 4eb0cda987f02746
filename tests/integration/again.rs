//! A handler learns how often its alert has fired before, and is called again when its timers are due.

use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::{Enrichment, Timestamp};
use alert_manager::api::Delivery;
use alert_manager::runtime::Answered;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::Sink;
use tests::harness::{self, Harness, MemoryLedger};
use tests::process::{Process, command};
use tests::server::{Server, Setup};

/// An alert whose handler does what `script` says.
fn scripted(alertname: &str, pod: &str, started: Timestamp, script: &str) -> Value {
    let mut alert = alerts::firing(alertname, &[("pod", pod), ("step", "act")]);
    alert["annotations"]["script"] = json!(script);
    alert["startsAt"] = json!(started.to_string());
    alert
}

fn setup(sink: &Sink) -> Setup {
    let url = sink.url();
    let config = format!(
        "slack: {{ preview: true }}\nroutes:\n  - {{ name: probes, handlers: [probe] }}\n\
         handlers:\n  probe: {{ allow: {{ http: ['{url}'] }} }}\n"
    );
    Setup::new().config(&config).module("probe")
}

/// Returns the facts of a delivery's last `act`.
fn facts(story: &Value) -> &Value {
    let steps = story["steps"].as_array().unwrap();
    &steps.last().unwrap()["facts"]
}

async fn deliveries(url: &str) -> Vec<Delivery> {
    let url = format!("{url}/api/v1/deliveries?limit=100");
    let answer = reqwest::get(url).await.unwrap();
    let mut body: Value = answer.json().await.unwrap();
    serde_json::from_value(body["deliveries"].take()).unwrap()
}

/// Waits until so many deliveries are settled, and returns them, the oldest first.
async fn settled(url: &str, count: usize) -> Vec<Delivery> {
    let waited = async {
        loop {
            let mut all = deliveries(url).await;
            if all.iter().filter(|delivery| delivery.is_settled()).count() == count {
                all.reverse();
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(tests::PATIENCE, waited).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_finds_the_earlier_occurrences_of_its_alert() {
    let sink = Sink::start().await;
    let server = setup(&sink).start().await;
    let now = Timestamp::now();
    let ago = |minutes: u64| now - Duration::from_secs(60 * minutes);
    let mut ended = scripted("Crash", "a", ago(30), "");
    let ids = server.accept(&ended).await;
    server.wait_settled(&ids[0]).await;
    ended["status"] = json!("resolved");
    ended["endsAt"] = json!(ago(20).to_string());
    for alert in [ended, scripted("Crash", "b", ago(10), "")] {
        let ids = server.accept(&alert).await;
        server.wait_settled(&ids[0]).await;
    }
    let script = "earlier 3600 pod\nearlier 3600\nearlier 900\nearlier 7776001";
    let own = server.accept(&scripted("Crash", "a", now, script)).await;
    let story = server.wait_settled(&own[0]).await;
    let told = |n: &str| facts(&story)[n].as_str().unwrap().to_owned();
    let of_pod = told("0");
    for part in ["count: 1", &ids[0], "ends-at: Some", "state: \"done\""] {
        assert!(of_pod.contains(part), "{part}: {of_pod}");
    }
    assert!(told("1").contains("count: 2"), "{}", told("1"));
    assert!(told("2").contains("count: 1"), "{}", told("2"));
    assert!(
        told("3").contains("Invalid") && told("3").contains("90 days"),
        "{}",
        told("3")
    );
    let calls = &story["story"][0]["steps"][1]["calls"];
    assert_eq!(calls[0]["kind"], "history", "{calls:#}");
    assert_eq!(calls[0]["result"], "1 occurrence", "{calls:#}");
}

/// The alert's own delivery sets a timer; the timer's does something else.
fn with_timer(url: &str, seconds: u32) -> String {
    format!(
        "first post {url}/set x\nfirst timer again {seconds} given=value\n\
         due fact timer.key\ndue fact given\ndue fact priority\ndue post {url}/due x"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_calls_act_once_though_the_server_is_killed_before_and_after() {
    let sink = Sink::start().await;
    let setup = setup(&sink);
    let dir = setup.clone().start().await.stop().await;
    let start = || {
        tokio::task::block_in_place(|| {
            let args = ["serve", "--config.file", "alert-manager.yml"];
            Process::start(command(dir.path(), &args))
        })
    };
    let process = start();
    let script = with_timer(&sink.url(), 3);
    let alert = scripted("Down", "a", Timestamp::now(), &script);
    let http = reqwest::Client::new();
    let posted = http.post(format!("{}/webhook", process.url)).json(&alert);
    assert_eq!(posted.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let own = settled(&process.url, 1).await.remove(0);
    process.kill();
    let process = start();
    let both = settled(&process.url, 2).await;
    process.kill();
    let server: Server = setup.start_in(dir).await;
    let timer = &both[1];
    assert_eq!(deliveries(&server.url).await.len(), 2, "it ran once");
    let paths: Vec<_> = sink.received().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["/set", "/due"], "and nothing was repeated");
    let story = server.story(&timer.id.to_string()).await;
    let due = json!({ "key": "again", "set_by": own.id.to_string() });
    assert_eq!((&story["state"], &story["timer"]), (&json!("done"), &due));
    assert_eq!(
        (&story["route"], &story["handlers"]),
        (&json!("probes"), &json!(["probe"]))
    );
    let facts = facts(&story);
    assert_eq!(
        (&facts["2"], &facts["3"]),
        (&json!("again"), &json!("value"))
    );
    assert_eq!(facts["4"], "normal");
    let told = tokio::task::spawn_blocking(move || {
        let id = story["id"].as_str().unwrap().to_owned();
        tests::process::run(server.dir.path(), &["explain", &id, "--url", &server.url])
    });
    let told = told.await.unwrap().stdout;
    assert!(
        told.contains(&format!("again, set by {}", own.id)),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_a_delivery_shows_its_open_timers_until_they_are_cancelled() {
    let sink = Sink::start().await;
    let server = setup(&sink).start().await;
    let started = Timestamp::now();
    let script = "timer later 600\ntimer never 900\ncancel-timer never";
    let ids = server.accept(&scripted("Down", "a", started, script)).await;
    let story = server.wait_settled(&ids[0]).await;
    let open = story["timers"].as_array().unwrap();
    assert_eq!(
        (open.len(), &open[0]["key"]),
        (1, &json!("later")),
        "{open:#?}"
    );
    assert_eq!(open[0]["handler"], "probe");
    let mut resolved = scripted(
        "Down",
        "a",
        started,
        "cancel-timer later\ncancel-timer later",
    );
    resolved["status"] = json!("resolved");
    resolved["endsAt"] = json!(Timestamp::now().to_string());
    let end = server.accept(&resolved).await;
    let end = server.wait_settled(&end[0]).await;
    assert_eq!(facts(&end)["0"], "Ok(())");
    let results: Vec<_> = end["story"][0]["steps"][1]["calls"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(results[0]["result"], "cancelled");
    assert_eq!(results[1]["result"], "there is none");
    assert_eq!(server.story(&ids[0]).await["timers"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_keeps_what_is_found_now_with_its_own_facts_over_it() {
    let harness = Harness::new();
    let ledger = Arc::<MemoryLedger>::default();
    let found = Enrichment {
        facts: [("owner", "shop"), ("round", "0")].into_iter().collect(),
        ..Enrichment::default()
    };
    let call = harness
        .probe("timer later 60 round=1")
        .await
        .over(&ledger, 1);
    let told = call.with(|i| i.found = Arc::new(found)).facts().await;
    assert_eq!(told, ["Ok(())"]);
    let timers = ledger.timers();
    let (delay, found) = &timers["later"];
    let expected = [("owner", "shop"), ("round", "1"), ("timer.key", "later")];
    assert_eq!(
        (*delay, &found.facts),
        (60, &expected.into_iter().collect())
    );
    // A retry is answered from the record.
    let again = harness
        .probe("timer later 60 round=1\nattempt")
        .await
        .over(&ledger, 2);
    let invoked = again.run().await;
    assert_eq!(invoked.trace.calls[0].answered, Answered::Recorded);
    let dry = harness.probe("timer other 60").await.over(&ledger, 1);
    assert_eq!(dry.with(|i| i.dry_run = true).facts().await, ["Ok(())"]);
    assert!(!ledger.timers().contains_key("other"), "it is held back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_timers_are_open_for_an_alert_and_their_facts_do_not_pile_up() {
    let harness = Harness::new();
    let script: Vec<_> = (0..=100).map(|n| format!("timer {n} 60")).collect();
    let call = harness.probe(&script.join("\n")).await;
    let told = call.with(|i| i.limits.timer_calls_max = 200).facts().await;
    assert_eq!(told[99], "Ok(())");
    let over = &told[100];
    assert!(
        over.contains("BudgetExhausted") && over.contains("timers: 100"),
        "{over}"
    );
    // The facts of a timer that sets another come from one to the next.
    let found = Enrichment {
        facts: (0..256).map(|n| (format!("fact-{n}"), "x")).collect(),
        ..Enrichment::default()
    };
    let call = harness
        .probe("timer same 60 fact-0=y\ntimer more 60 another=z")
        .await;
    let told = call.with(|i| i.found = Arc::new(found)).facts().await;
    assert_eq!(told[0], "Ok(())", "with its key it has one more");
    assert!(
        told[1].contains("Invalid") && told[1].contains("258 facts"),
        "{}",
        told[1]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_answered_about_a_timer_is_answered_again_though_it_has_changed() {
    let harness = Harness::new();
    let ledger = Arc::<MemoryLedger>::default();
    let timers: Vec<_> = (0..=100).map(|n| format!("timer {n} 60")).collect();
    let script = format!("cancel-timer late\n{}\nset k 1", timers.join("\n"));
    let attempt = async |number| {
        let call = harness.probe(&script).await.over(&ledger, number);
        call.with(|i| i.limits.timer_calls_max = 200).run().await
    };
    let first = attempt(1).await;
    assert_eq!(first.trace.calls[0].result, "there is none");
    let told = harness::facts(&first);
    assert!(told[101].contains("BudgetExhausted"), "{}", told[101]);

    // Now there is room for the one that was refused.
    ledger.forget_timers();
    let again = attempt(2).await;
    assert_eq!(harness::facts(&again), told);
    assert_eq!(again.trace.calls[0].result, "there is none");
    for call in &again.trace.calls {
        assert_eq!(call.answered, Answered::Recorded, "{}", call.request);
    }
    assert!(ledger.timers().is_empty(), "nothing was set a second time");
}
