//! Which grants handlers have used is kept with the rest.

use super::prelude::*;
use crate::GrantUsed;

fn used(handler: &str, grant: &str, calls: u64, last: Timestamp) -> GrantUsed {
    GrantUsed {
        handler: HandlerName::new(handler),
        kind: "http".into(),
        grant: grant.into(),
        calls,
        first: last - Duration::from_secs(60),
        last,
    }
}

fn kept<B: Bench>(bench: &Harness<B>) -> Vec<GrantUsed> {
    let mut uses = bench.queue.recovered().grants_used.uses.clone();
    uses.sort_by(|a, b| (a.handler.as_str(), &a.grant).cmp(&(b.handler.as_str(), &b.grant)));
    uses
}

pub(super) async fn uses_of_grants_outlive_a_restart_and_a_kill<B: Bench>() {
    let bench = Harness::<B>::new();
    assert_eq!(kept(&bench), []);
    let since = bench.queue.recovered().grants_used.since;
    // Times are kept to the nanosecond, and the text of a grant as it is.
    let at = bench.clock.now() + Duration::from_nanos(123_456_789);
    let odd = used(
        "a",
        "https://x.example.com/\u{0}\u{202e}",
        u64::from(u32::MAX),
        at,
    );
    let plain = used("b", "https://x.example.com", 1, at);
    bench
        .queue
        .keep_grants_used(vec![odd.clone(), plain.clone()]);
    bench.flush().await;
    let bench = bench.restart().await;
    assert_eq!(kept(&bench), [odd.clone(), plain.clone()]);
    let later = used("b", "https://x.example.com", 9, at + Duration::from_secs(1));
    bench.queue.keep_grants_used(vec![later.clone()]);
    bench.flush().await;
    let bench = bench.crash();
    assert_eq!(kept(&bench), [odd, later]);
    assert_eq!(bench.queue.recovered().grants_used.since, since);
}

pub(super) async fn a_write_that_fails_keeps_uses_for_the_next<B: Bench>() {
    let bench = Harness::<B>::new();
    let one = used("a", "https://x.example.com", 1, bench.clock.now());
    bench.bench.fail_writes(true);
    bench.queue.keep_grants_used(vec![one.clone()]);
    bench
        .queue
        .accept(Parcel::new(vec![firing("A")], Vec::new()))
        .await
        .unwrap_err();
    bench.bench.fail_writes(false);
    bench.flush().await;
    let bench = bench.restart().await;
    assert_eq!(kept(&bench), [one]);
}
