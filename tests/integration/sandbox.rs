//! A guest gets what it needs and no more, and each way in which it ends is reported with a reason.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alert_manager::alert::StepKind;
use alert_manager::runtime::{LoadError, Runtime, StepFailure};
use tests::harness::{Harness, facts};
use tests::modules;

async fn failure(harness: &Harness, mode: &str) -> StepFailure {
    let call = harness.hostile(mode).await;
    let invoked = call
        .with(|i| i.limits.cpu_max = Duration::from_millis(200))
        .run()
        .await;
    invoked.outcome.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_is_named_with_what_was_allowed() {
    let harness = Harness::new();
    for (mode, parts) in [
        ("loop", ["cpu:", "200ms are allowed"]),
        ("memory", ["memory:", "67108864 are allowed"]),
        ("narrow-recursion", ["stack:", "1048576 bytes"]),
        ("call-flood", ["host_calls:", "10000"]),
        ("gigabyte", ["more than", "8388608 bytes"]),
        ("many-facts", ["100000 facts", "at most 256"]),
        ("big-name", ["the name of the fact", "at most 256"]),
    ] {
        let StepFailure::Limit(hit) = failure(&harness, mode).await else {
            panic!("{mode} met no limit: {:?}", failure(&harness, mode).await);
        };
        let why = hit.to_string();
        for part in parts {
            assert!(why.contains(part), "{mode}: {why}");
        }
    }
    // The pool and the next guest still work.
    assert_eq!(harness.probe("attempt").await.facts().await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_reported_with_its_message_and_a_backtrace() {
    let harness = Harness::new();
    let StepFailure::Trap(why) = failure(&harness, "panic").await else {
        panic!("no trap");
    };
    assert!(why.contains("the author's own words"), "{why}");
    assert!(why.contains("hostile"), "no backtrace: {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_overflow_of_a_guest_is_reported_as_a_recursion() {
    let harness = Harness::new();
    let StepFailure::Trap(why) = failure(&harness, "recursion").await else {
        panic!("no trap");
    };
    assert!(
        why.contains("recursion without end") && why.contains("deeper"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_is_no_success() {
    let harness = Harness::new();
    let StepFailure::Trap(why) = failure(&harness, "exit").await else {
        panic!("no trap");
    };
    assert!(why.contains("exited with code 0"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleeping_ends_with_the_wall_clock_and_costs_no_processor() {
    let harness = Harness::new();
    let call = harness.hostile("sleep").await;
    let invoked = call
        .with(|i| {
            i.time_left = Duration::from_millis(300);
            // If it took the processor while it sleeps, this would end it first.
            i.limits.cpu_max = Duration::from_millis(200);
        })
        .run()
        .await;
    assert!(matches!(invoked.outcome, Err(StepFailure::Timeout(_))));
    assert!(invoked.trace.cpu_us < 200_000, "{}", invoked.trace.cpu_us);
    // The trace has the time that it was given, but for what came before the instance was there.
    assert!(
        invoked.trace.wall_us >= 250_000,
        "{}",
        invoked.trace.wall_us
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_guest_runs_while_one_spins_on_every_thread() {
    let harness = Harness::new();
    let module = harness.guest("hostile").await;
    let mut spinning = Vec::new();
    for _ in 0..4 {
        let call = harness.hostile("loop").await;
        let invocation = call
            .with(|i| i.limits.cpu_max = Duration::from_secs(5))
            .invocation;
        let (runtime, module) = (harness.runtime.clone(), module.clone());
        let mut alert = (*invocation.alert).clone();
        alert.labels = [("mode".to_owned(), "loop".to_owned())]
            .into_iter()
            .collect();
        let invocation = alert_manager::runtime::Invocation {
            alert: alert.into(),
            ..invocation
        };
        spinning.push(tokio::spawn(async move {
            runtime.invoke(&module, invocation).await
        }));
    }
    let served = harness.probe("attempt").await.facts().await;
    assert_eq!(served, ["1"]);
    assert!(
        spinning.iter().any(|task| !task.is_finished()),
        "nothing was spinning"
    );
    spinning.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_lines_are_dropped_and_counted_and_do_no_harm() {
    let harness = Harness::new();
    for (mode, lines) in [("log-flood", 20_000), ("stdout-flood", 40_000)] {
        let call = harness.hostile(mode).await;
        let invoked = call
            .with(|i| i.limits.cpu_max = Duration::from_secs(10))
            .run()
            .await;
        assert!(invoked.outcome.is_ok(), "{mode}: {:?}", invoked.outcome);
        let (kept, dropped) = (invoked.trace.logs.len(), invoked.trace.logs_dropped);
        assert_eq!(kept + dropped as usize, lines, "{mode}");
        assert!(kept <= 200, "{mode}: {kept}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_has_no_surroundings() {
    let harness = Harness::new();
    let invoked = harness.hostile("surroundings").await.run().await;
    let told = facts(&invoked);
    // args, files, socket, stdin, vars, write: in the order of their names.
    assert_eq!(told, ["0", "false", "false", "", "0", "false"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grants_everything_is_denied_with_the_lines_that_would_allow_it() {
    let harness = Harness::new();
    let told = facts(&harness.hostile("denied").await.run().await);
    let [decimal, forged, http, kv, metadata, slack] = &told[..] else {
        panic!("{told:?}");
    };
    for refused in [decimal, http, metadata] {
        assert!(refused.contains("Denied"), "{refused}");
    }
    assert!(
        http.contains("https://example.com") && http.contains("hostile"),
        "{http}"
    );
    assert!(
        slack.contains("Denied") && slack.contains("slack: [secret]"),
        "{slack}"
    );
    assert!(forged.contains("NotFound"), "{forged}");
    assert!(kv.contains("TooLarge(512)"), "{kv}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_and_random_are_the_steps_own() {
    let harness = Harness::new();
    let once = harness.probe("clock\nrandom").await.facts().await;
    let again = harness.probe("clock\nrandom").await.facts().await;
    assert_eq!(once, again);
    assert!(once[0].contains("1714979289"), "{once:?}");
    let other = harness
        .probe("clock\nrandom")
        .await
        .with(|i| i.seed = [4; 32]);
    assert_ne!(once[1], other.facts().await[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_and_failures_of_a_guest_reach_the_story() {
    let harness = Harness::new();
    let script = "log hello\nprint out\nretryable try later";
    let invoked = harness.probe(script).await.run().await;
    let failure = invoked.outcome.unwrap_err();
    let expected = StepFailure::Retryable {
        message: "try later".to_owned(),
        after: Some(Duration::from_millis(1_500)),
    };
    assert_eq!(failure, expected);
    let lines: Vec<_> = invoked
        .trace
        .logs
        .iter()
        .map(|l| (&*l.level, &*l.message))
        .collect();
    assert_eq!(lines, [("warn", "hello"), ("stdout", "out")]);
    assert_eq!(
        invoked.trace.logs[0].fields,
        [("field".to_owned(), "value".to_owned())]
    );
    assert!(invoked.trace.memory_bytes > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_is_denied_during_enrich() {
    let harness = Harness::new();
    let call = harness.probe("slack alerts hello").await.slack("alerts");
    let told = call.with(|i| i.step = StepKind::Enrich).facts().await;
    assert!(
        told[0].contains("Denied") && told[0].contains("during enrich"),
        "{told:?}"
    );
    assert!(harness.previews.lock().is_empty());
}

async fn load_error(runtime: &std::sync::Arc<Runtime>, bytes: &[u8]) -> LoadError {
    runtime.loader().load(bytes.to_vec()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handler_is_refused_in_words_for_its_author() {
    let harness = Harness::new();
    let whole = modules::bytes("probe");
    let half = &whole[..whole.len() / 2];
    assert!(matches!(
        load_error(&harness.runtime, half).await,
        LoadError::Damaged(_)
    ));
    // The smallest component there is: it imports and exports nothing.
    let empty = load_error(&harness.runtime, b"\0asm\x0d\0\x01\0")
        .await
        .to_string();
    assert!(
        empty.contains("exports nothing") && empty.contains("handler_sdk::export!"),
        "{empty}"
    );
    let future = replaced(
        &whole,
        b"alert-manager:handler/http@0.1.1",
        b"alert-manager:handler/http@0.2.0",
    );
    let future = load_error(&harness.runtime, &future).await.to_string();
    assert!(future.contains("newer version"), "{future}");
    let unknown = replaced(
        &whole,
        b"alert-manager:handler/slack@0.1.1",
        b"alert-manager:handler/shell@0.1.1",
    );
    let unknown = load_error(&harness.runtime, &unknown).await.to_string();
    assert!(unknown.contains("handler/shell@0.1.1"), "{unknown}");
    let changed = replaced(&whole, b"time-left-ms", b"time-gone-ms");
    let changed = load_error(&harness.runtime, &changed).await.to_string();
    assert!(changed.contains("another wit/handler.wit"), "{changed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_knows_what_it_imports_and_is_the_same_from_the_cache() {
    let harness = Harness::new();
    let first = harness.guest("probe").await;
    let again = harness
        .runtime
        .loader()
        .load(modules::bytes("probe"))
        .await
        .unwrap();
    assert_eq!(
        first.imports(),
        ["config", "history", "http", "kv", "log", "slack", "timer"]
    );
    assert_eq!(first.imports(), again.imports());
    assert_eq!(first.description(), again.description());
    assert_eq!(first.sha256(), again.sha256());
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "nothing to replace");
    bytes
}
