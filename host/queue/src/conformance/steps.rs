//! The state of a step is kept over leases and crashes.

use super::prelude::*;

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

fn left(step: &Step, recorded: &[Entry], lease: u32) -> Vec<(String, u32)> {
    let doubts = step.doubts_over(recorded, lease);
    let left = doubts.iter().map(|d| (d.request().to_owned(), d.attempt));
    left.collect()
}

pub(super) async fn a_doubt_is_kept_over_crashes_until_the_record_says_that_it_was_carried<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let mut progress = leased.progress.clone();
    progress.steps[0].set_doubts(in_doubt());
    bench.queue.release_permit(&leased.handler);
    bench.queue.settle(Settlement {
        progress,
        ..settlement(
            &leased,
            Next::Retry {
                until: from_millis(START_MS + 60_000),
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
    let repeated = Entry {
        in_doubt: true,
        parked: false,
        ..entry(0)
    };
    bench
        .ledger(&leased, 0)
        .record(vec![repeated])
        .await
        .unwrap();
    let recorded = bench.queue.recorded(id, 0).await.unwrap().entries;
    assert_eq!(left(&progress.steps[0], &recorded, 4), [under_way]);
}
