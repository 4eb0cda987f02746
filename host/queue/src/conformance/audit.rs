//! The audit log outlives restarts, is read by what it is about, and goes with history.

use super::prelude::*;

fn audited(at: Timestamp, what: &str, person: &str, subject: &str) -> Audited {
    Audited {
        at,
        what: what.into(),
        person: person.into(),
        subject: subject.into(),
        detail: format!("about {subject}"),
    }
}

fn all() -> AuditFilter {
    AuditFilter {
        limit: 100,
        ..AuditFilter::default()
    }
}

pub(super) async fn what_people_did_is_found_after_a_kill_by_time_kind_person_and_subject<
    B: Bench,
>() {
    let bench = Harness::<B>::new();
    let start = bench.clock.now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let entries = [
        audited(at(0), "retried", "anna", "1"),
        audited(at(1), "cancelled", "bob\0", "1"),
        audited(at(2), "retried", "bob\0", "2"),
    ];
    for entry in entries.clone() {
        bench.queue.audit(entry);
    }
    bench.flush().await;
    let bench = bench.crash();
    let [anna, cancelled, retried] = entries;
    let newest = || vec![retried.clone(), cancelled.clone(), anna.clone()];
    assert_eq!(bench.queue.audited(all()).await.unwrap(), newest());
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (AuditFilter { limit: 2, ..all() }, newest()[..2].to_vec()),
        (
            AuditFilter {
                from: Some(at(1)),
                to: Some(at(2)),
                ..all()
            },
            vec![cancelled.clone()],
        ),
        (
            AuditFilter {
                what: text("retried"),
                ..all()
            },
            vec![retried.clone(), anna.clone()],
        ),
        (
            AuditFilter {
                person: text("bob\0"),
                ..all()
            },
            vec![retried.clone(), cancelled.clone()],
        ),
        (
            AuditFilter {
                subject: text("1"),
                ..all()
            },
            vec![cancelled.clone(), anna.clone()],
        ),
    ];
    for (filter, expected) in cases {
        let found = bench.queue.audited(filter.clone()).await.unwrap();
        assert_eq!(found, expected, "{filter:?}");
    }
}

pub(super) async fn the_audit_log_goes_after_ninety_days<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    let entry = audited(bench.clock.now(), "reloaded", "anna", "");
    bench.queue.audit(entry.clone());
    bench.flush().await;
    bench.clock.advance(Duration::from_secs(89 * 24 * 3_600));
    let bench = bench.restart().await;
    assert_eq!(bench.queue.audited(all()).await.unwrap(), [entry]);
    bench.clock.advance(Duration::from_secs(2 * 24 * 3_600));
    let bench = bench.restart().await;
    eventually(async || bench.queue.audited(all()).await.unwrap().is_empty()).await;
}
