//! The journal of a step and of a delivery is bounded over all attempts; the bound is checked before an effect starts.

use std::sync::Arc;

use alert_manager::journal::RecordUse;
use alert_manager::runtime::Invoked;
use tests::harness::{Answer, Harness, MemoryLedger, World, facts};

/// Runs scripts one after the other as attempts of one step.
async fn attempts(
    harness: &Harness,
    world: &World,
    limits: (u64, u64),
    scripts: &[&str],
) -> Vec<Invoked> {
    let ledger = Arc::new(MemoryLedger::default());
    let mut ended = Vec::new();
    for (n, script) in scripts.iter().enumerate() {
        let script = script.replace("URL", &world.url);
        let call = harness
            .probe(&script)
            .await
            .http(&world.url)
            .slack("alerts");
        let attempt = u32::try_from(n).unwrap() + 1;
        let call = call.over(&ledger, attempt).with(|i| {
            (i.limits.record_entries_max, i.limits.record_bytes_max) = limits;
        });
        ended.push(call.run().await);
    }
    ended
}

fn met(invoked: &Invoked) -> Vec<&str> {
    let limits = invoked.trace.limits.iter();
    limits.map(|(limit, _)| limit.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_has_a_bound_on_what_it_records_over_all_its_attempts() {
    let (harness, world) = (Harness::new(), World::start().await);
    let scripts = [
        "unkeyed URL/a\nset k 1\nfail-once z",
        "unkeyed URL/a\nset k 2\nunkeyed URL/b\nset k 3\nslack alerts hello",
    ];
    let ended = attempts(&harness, &world, (3, 8 << 20), &scripts).await;
    let told = facts(&ended[1]);
    assert_eq!(told[0], "200 ok", "the third entry: {told:?}");
    for refused in &told[1..] {
        assert!(
            refused.contains("BudgetExhausted(\"record_entries: this step has 3 of the 3"),
            "{told:?}"
        );
    }
    assert_eq!(met(&ended[1]), ["record_entries"]);
    assert_eq!(
        world.asked().len(),
        2,
        "what cannot be recorded does not start"
    );
    assert!(harness.previews.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_as_many_bytes_as_can_be_recorded() {
    let (harness, world) = (Harness::new(), World::start().await);
    for _ in 0..3 {
        world.then(Answer::new(200, "x".repeat(60_000)));
    }
    let script = "post URL/a x\npost URL/b x\npost URL/c x\nget URL/r";
    let ended = attempts(&harness, &world, (100, 150_000), &[script, script]).await;
    let told = facts(&ended[0]);
    assert!(told[0].starts_with("200 xx"), "{told:?}");
    assert!(told[1].starts_with("Error::TooLarge("), "{told:?}");
    assert!(told[2].starts_with("Error::TooLarge("), "{told:?}");
    assert_eq!(met(&ended[0]), ["record_bytes"]);
    let again = facts(&ended[1]);
    assert_eq!(
        again[..3],
        told[..3],
        "what was recorded is what is answered"
    );

    let full = attempts(&harness, &world, (100, 10_000), &[script]).await;
    let told = facts(&full[0]);
    assert!(
        told[0].contains("BudgetExhausted(\"record_bytes: this step"),
        "{told:?}"
    );
    assert_eq!(told[3], "200 ok", "reads go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_has_a_bound_on_what_all_its_steps_record() {
    let (harness, world) = (Harness::new(), World::start().await);
    for (elsewhere, limit) in [
        (
            RecordUse {
                entries: 100_000,
                bytes: 0,
            },
            "delivery_record_entries",
        ),
        (
            RecordUse {
                entries: 1,
                bytes: 64 << 20,
            },
            "delivery_record_bytes",
        ),
    ] {
        let script = format!("post {}/a x\nset k 1", world.url);
        let call = harness.probe(&script).await.http(&world.url);
        let call = call.with(|i| i.recorded.elsewhere = elsewhere);
        let invoked = call.run().await;
        let told = facts(&invoked);
        let expected = format!("BudgetExhausted(\"{limit}: this delivery has");
        assert!(told.iter().all(|fact| fact.contains(&expected)), "{told:?}");
        assert_eq!(met(&invoked), [limit]);
    }
    assert!(world.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_calls_that_change_nothing_do_not_pile_up_over_attempts() {
    let (harness, world) = (Harness::new(), World::start().await);
    let ledger = Arc::new(MemoryLedger::default());
    harness
        .probe("set k v")
        .await
        .over(&ledger, 1)
        .facts()
        .await;
    let script = format!(
        "set k v\nget {}/r\nset-if-absent k w\nremove gone\nvalue k\nfail-once z",
        world.url
    );
    for _ in 0..3 {
        let call = harness.probe(&script).await.http(&world.url);
        let call = call.over(&ledger, 1);
        assert!(call.run().await.outcome.is_err());
    }
    assert_eq!(ledger.entries().len(), 1, "{:#?}", ledger.entries());
    let call = harness.probe(&format!("{script}\nset k w")).await;
    let call = call.http(&world.url).over(&ledger, 2);
    call.facts().await;
    let entries = ledger.entries();
    let effects: Vec<_> = entries.iter().map(|entry| entry.effect).collect();
    assert_eq!(effects, [true, false, false, false, false, true]);
    let places: Vec<_> = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(places, [0, 1, 2, 3, 4, 5]);
}
