//! What a step keeps of its tries over leases and crashes.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use alert_manager_core::journal::{CallKind, CallName, Doubts, NamedCall};

fn posted() -> NamedCall {
    NamedCall {
        kind: CallKind::Slack,
        name: CallName::Digest(format!("{:032x}", 0)),
        request: "post to alerts".into(),
    }
}

fn in_doubt() -> Doubts {
    let mut doubts = Doubts::default();
    doubts.sent(1, &posted(), "504", 0);
    doubts
}

fn left(
    step: &Step,
    recorded: &[alert_manager_core::journal::Entry],
    lease: u32,
) -> Vec<(String, u32)> {
    let doubts = step.doubts_over(recorded, lease);
    let told = doubts.iter().map(|d| (d.request().to_owned(), d.attempt));
    told.collect()
}

#[test]
fn every_try_that_began_is_counted_also_those_that_the_server_died_under() {
    let mut progress = Progress::new(&[name("notify")]);
    assert_eq!(progress.steps[1].begin(1), 1);
    progress.end_lease(1);
    // A lease that only waited for a slot is no try.
    progress.end_lease(2);
    assert_eq!(progress.steps[1].begin(3), 2);
    // The server died under leases 3 and 4, and nothing was stored of either.
    let mut progress = Progress::new(&[name("notify")]);
    progress.steps[1].begin(1);
    progress.end_lease(2);
    progress.interrupt(4);
    assert_eq!(progress.steps[1].begin(5), 4);
    assert_eq!(progress.steps[1].attempts, 0, "the retry policy's count");
}

#[test]
fn what_an_earlier_version_stored_goes_on_in_doubt_and_in_its_count() {
    let json = r#"{"handler":"notify","kind":"act","status":"pending","attempts":2,
        "unavailable":3,"interrupted":true}"#;
    let mut step: Step = serde_json::from_str(json).unwrap();
    assert_eq!(
        left(&step, &[], 7),
        [("a call that was under way".to_owned(), 6)]
    );
    assert_eq!(step.begin(7), 6);
}

#[tokio::test]
async fn a_doubt_is_kept_over_crashes_until_the_record_says_that_it_was_carried() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let mut progress = leased.progress.clone();
    progress.steps[0].set_doubts(in_doubt());
    bench.queue.release_slot(&leased.handler);
    bench.queue.settle(Settlement {
        progress,
        ..settlement(
            &leased,
            Next::Retry {
                until: clock::from_millis(START_MS + 60_000),
                handler: leased.handler.clone(),
            },
        )
    });
    bench.flush().await;
    let mut bench = bench.crash();
    bench.advance(Duration::from_secs(60));
    let leased = bench.lease().await;
    assert!(!leased.after_crash, "it waited");
    let call = ("post to alerts".to_owned(), 1);
    assert_eq!(
        left(&leased.progress.steps[0], &[], 2),
        std::slice::from_ref(&call)
    );
    bench.flush().await;

    let mut bench = bench.crash();
    let leased = bench.lease().await;
    assert!(leased.after_crash);
    let mut progress = leased.progress.clone();
    progress.interrupt(2);
    let under_way = ("a call that was under way".to_owned(), 2);
    let both = [call, under_way.clone()];
    assert_eq!(left(&progress.steps[0], &[], 3), both);
    assert!(progress.steps[0].interrupted);

    // The attempt that repeated it was cut off after it had recorded that.
    let repeated = alert_manager_core::journal::Entry {
        in_doubt: true,
        ..journal::entry(0)
    };
    bench.ledger(&leased).record(vec![repeated]).await.unwrap();
    let recorded = bench.queue.recorded(id, 0).await.unwrap().entries;
    assert_eq!(left(&progress.steps[0], &recorded, 4), [under_way]);
}
