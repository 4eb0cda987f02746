//! Each limit that an operator can set holds, is named if it is met, and is counted.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alert_manager::alert::StepKind;
use alert_manager::api::Limit;
use alert_manager::runtime::{Invoked, Limits, StepFailure};
use tests::alerts;
use tests::harness::{Answer, Harness, World, facts};
use tests::server::Setup;

/// Runs a script of the guest `probe` under changed limits.
async fn probe(harness: &Harness, world: &World, script: &str, change: fn(&mut Limits)) -> Invoked {
    let call = harness.probe(&script.replace("URL", &world.url)).await;
    call.http(&world.url)
        .slack("alerts")
        .with(|invocation| change(&mut invocation.limits))
        .run()
        .await
}

fn met(invoked: &Invoked) -> Vec<&str> {
    let limits = invoked.trace.limits.iter();
    limits.map(|(limit, _)| limit.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_a_limit_get_an_error_that_names_the_limit() {
    let (harness, world) = (Harness::new(), World::start().await);
    for (line, name, change) in [
        (
            "get URL",
            "http_calls",
            (|l| l.http_calls_max = 2) as fn(&mut Limits),
        ),
        ("slack alerts hi", "slack_calls", |l| l.slack_calls_max = 2),
        ("set key value", "kv_calls", |l| l.kv_calls_max = 2),
    ] {
        let script = [line; 3].join("\n");
        let invoked = probe(&harness, &world, &script, change).await;
        let told = facts(&invoked);
        let expected = format!("BudgetExhausted(\"{name}: all 2 calls of this step are used up\")");
        assert!(told[2].contains(&expected), "{told:?}");
        assert!(!told[1].contains("Budget"), "{told:?}");
        assert_eq!(met(&invoked), [name]);
    }
    assert_eq!(world.asked().len(), 2);
    let invoked = probe(&harness, &world, "config a\nconfig b\nconfig c", |l| {
        l.host_calls_max = 2;
    });
    let invoked = invoked.await;
    let Err(StepFailure::Limit(hit)) = &invoked.outcome else {
        panic!("{:?}", invoked.outcome);
    };
    assert_eq!((hit.used, hit.max), (3, 2));
    let why = hit.to_string();
    assert!(why.starts_with("host_calls: more than the 2"), "{why}");
    assert_eq!(met(&invoked), ["host_calls"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_bounded_in_each_call_and_in_all_both_ways() {
    let (harness, world) = (Harness::new(), World::start().await);
    let body = || Answer::new(200, "x".repeat(1_000));
    (0..4).for_each(|_| world.then(body()));
    let large = probe(&harness, &world, "get URL", |l| l.response_bytes_max = 999).await;
    assert!(facts(&large)[0].contains("TooLarge(999)"));
    assert_eq!(met(&large), ["response_bytes"]);

    let script = "get URL\nget URL?2\nget URL?3";
    let many = probe(&harness, &world, script, |l| l.bytes_in_max = 2_500).await;
    let told = facts(&many);
    assert!(told[0].starts_with("200") && told[1].starts_with("200"));
    assert!(told[2].contains("TooLarge"), "what is left: {told:?}");
    let used_up = probe(&harness, &world, "get URL\nget URL?2", |l| {
        l.bytes_in_max = 2;
    })
    .await;
    let told = facts(&used_up);
    assert!(
        told[1].contains("bytes_in:") && told[1].contains("2 bytes"),
        "{told:?}"
    );
    assert_eq!(met(&used_up), ["bytes_in"]);
    let script = "get URL\nvalue k\nset k 1\nslack alerts hello\nconfig place";
    let used_up = probe(&harness, &world, script, |l| l.bytes_in_max = 2).await;
    let told = facts(&used_up);
    assert!(told[1].contains("bytes_in:"), "a read: {told:?}");
    assert!(
        !told[2..].iter().any(|fact| fact.contains("bytes_in")),
        "what brings nothing in: {told:?}"
    );
    assert_eq!(told.len(), 5, "the step went on to its end: {told:?}");

    let asked = world.asked().len();
    let long = format!("post URL {}", "x".repeat(1_000));
    let large = probe(&harness, &world, &long, |l| l.request_bytes_max = 999).await;
    let told = facts(&large);
    assert!(told[0].contains("request_bytes: a body of 1000 bytes, at most 999"));
    assert_eq!(met(&large), ["request_bytes"]);
    for line in [
        &long,
        &format!("set k {}", "x".repeat(1_000)),
        &format!("slack alerts {}", "x".repeat(1_000)),
    ] {
        let out = probe(&harness, &world, line, |l| l.bytes_out_max = 999).await;
        let told = facts(&out);
        assert!(
            told[0].contains("bytes_out:") && told[0].contains("999"),
            "{told:?}"
        );
        assert_eq!(met(&out), ["bytes_out"]);
    }
    assert_eq!(world.asked().len(), asked, "nothing went out");

    let passed = probe(&harness, &world, &long, |l| l.call_bytes_max = 999).await;
    let Err(StepFailure::Limit(hit)) = &passed.outcome else {
        panic!("{:?}", passed.outcome);
    };
    let why = hit.to_string();
    assert!(
        why.starts_with("call_bytes:") && why.contains("999 bytes"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_one_origin_wait_for_the_rate_limiter_or_fail_as_unavailable() {
    let (harness, world) = (Harness::new(), World::start().await);
    let (other, script) = (World::start().await, ["get URL"; 12].join("\n"));
    // Less than a request waits for the rate limiter, however late it starts, and more than eleven requests take.
    let time_left = Duration::from_millis(950);
    // Ten at once, which is ten seconds' worth, and one that is due already.
    let call = harness.probe(&script.replace("URL", &world.url)).await;
    let call = call.http(&world.url).with(|invocation| {
        invocation.limits.requests_per_second_max = 1;
        invocation.time_left = time_left;
    });
    let invoked = call.run().await;
    let told = facts(&invoked);
    assert!(
        told[..11].iter().all(|told| told.starts_with("200")),
        "{told:?}"
    );
    assert!(
        told[11].contains("Unavailable") && told[11].contains("requests_per_second:"),
        "{told:?}"
    );
    assert_eq!(met(&invoked), ["requests_per_second"]);
    // Another invocation of the same handler shares the rate, another origin has its own.
    let call = harness
        .probe(&format!("get {}\nget {}", other.url, world.url))
        .await;
    let call = call.http(&world.url).http(&other.url);
    let told = call
        .with(|invocation| invocation.limits.requests_per_second_max = 1)
        .facts()
        .await;
    assert!(
        told.iter().all(|told| told.starts_with("200")),
        "it may wait: {told:?}"
    );
    // With a rate of its own it could make eleven at once too.
    let script = ["get URL"; 11].join("\n").replace("URL", &world.url);
    let call = harness.probe(&script).await;
    let call = call.http(&world.url).with(|invocation| {
        invocation.limits.requests_per_second_max = 1;
        invocation.time_left = time_left;
    });
    let told = call.facts().await;
    assert!(
        told.iter()
            .any(|told| told.contains("requests_per_second:")),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_values_have_their_sizes() {
    let (harness, world) = (Harness::new(), World::start().await);
    let script = "set long value\nset k value";
    let invoked = probe(&harness, &world, script, |l| {
        l.kv_key_bytes_max = 3;
        l.kv_value_bytes_max = 4;
    });
    let invoked = invoked.await;
    assert_eq!(
        facts(&invoked),
        ["Err(Error::TooLarge(3))", "Err(Error::TooLarge(4))"]
    );
    assert_eq!(met(&invoked), ["kv_key_bytes", "kv_value_bytes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_returns_and_draws_is_bounded_as_the_operator_says() {
    let harness = Harness::new();
    for (mode, name, change) in [
        ("facts", "facts", (|l| l.facts_max = 7) as fn(&mut Limits)),
        ("fact-name", "fact_name_bytes", |l| {
            l.fact_name_bytes_max = 7;
        }),
        ("fact", "fact_bytes", |l| l.fact_bytes_max = 7),
        ("fact", "output_bytes", |l| {
            l.fact_bytes_max = 1 << 20;
            l.output_bytes_max = 7;
        }),
        ("random", "random_bytes", |l| l.random_bytes_max = 700),
        ("memory", "memory", |l| l.memory_bytes_max = 7 << 20),
    ] {
        let call = harness.greedy(mode).await;
        let invoked = call.with(|i| change(&mut i.limits)).run().await;
        let Err(StepFailure::Limit(hit)) = &invoked.outcome else {
            panic!("{mode}: {:?}", invoked.outcome);
        };
        assert!(hit.used > hit.max, "{mode}: {hit:?}");
        let why = hit.to_string();
        assert!(
            why.starts_with(&format!("{name}:")) && why.contains('7'),
            "{mode}: {why}"
        );
        assert_eq!(met(&invoked), [name], "{mode}");
    }
    let call = harness.greedy("").await;
    let call = call.with(|i| {
        i.step = StepKind::Enrich;
        i.limits.blocks_max = 7;
    });
    let invoked = call.run().await;
    assert_eq!(met(&invoked), ["blocks"], "{:?}", invoked.outcome);
    // Of the two, the one that is not asked for is far away: on a busy machine 70 ms of the processor take long.
    for (mode, name, cpu_ms, wall_ms) in
        [("loop", "cpu", 70, 17_000), ("sleep", "wall", 7_000, 700)]
    {
        let call = harness.hostile(mode).await;
        let call = call.with(|i| {
            i.limits.cpu_max = Duration::from_millis(cpu_ms);
            i.limits.wall_max = Duration::from_millis(wall_ms);
        });
        let invoked = call.run().await;
        let Err(failure @ (StepFailure::Limit(_) | StepFailure::Timeout(_))) = &invoked.outcome
        else {
            panic!("{mode}: {:?}", invoked.outcome);
        };
        let why = failure.to_string();
        assert!(
            why.starts_with(&format!("{name}:")) && why.contains('7'),
            "{mode}: {why}"
        );
        assert_eq!(met(&invoked), [name], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_shown_with_their_handler_and_counted_when_they_are_met() {
    let server = Setup::new()
        .module("hostile")
        .config(
            r#"
slack: { preview: true }
handlers:
  hostile:
    limits: { cpu: 5s, log_lines: 7, kv_bytes: 1MiB, requests_per_second: 3 }
"#,
        )
        .start()
        .await;
    let ids = server
        .accept(&alerts::firing("Hostile", &[("mode", "log-flood")]))
        .await;
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    let (_, metrics) = server.get_text("/metrics").await;
    let counted = r#"alert_manager_limits_total{handler="hostile",limit="log_lines"} 19993"#;
    assert!(metrics.contains(counted), "{metrics}");
    let limits = server.handlers().await[0].limits.clone().unwrap();
    for (name, value) in [
        ("log_lines", 7),
        ("kv_bytes", 1 << 20),
        ("requests_per_second", 3),
        ("memory_bytes", 64 << 20),
    ] {
        assert_eq!(limits[name], Limit::Amount(value), "{name}: {limits:?}");
    }
    assert_eq!(limits["cpu"], Limit::Time("5s".to_owned()));
}
