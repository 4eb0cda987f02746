//! What is said about each past, and the message of slack-notify with it.
#![allow(clippy::unwrap_used, reason = "tests")]

use handler_sdk::mock::{Host, Storm, assert_snapshot};
use handler_sdk::prelude::*;
use handler_sdk::serde_json;
use handler_sdk::time::{DAY, HOUR, MINUTE};
use slack_notify::SlackNotify;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_793_516_400);

fn alert(pod: &str) -> Alert {
    Alert::new("KubePodCrashLooping")
        .with_label("namespace", "shop")
        .with_label("pod", pod)
        .with_label("container", "app")
        .with_label("severity", "warning")
        .with_annotation("summary", "Pod is crash looping.")
        .with_start(NOW.minus(5 * MINUTE))
        .with_receipt(NOW)
}

/// A host that knows this many earlier ones, each of another pod, a day apart, which lasted 1, 2, 3, … minutes.
fn knows(count: u32) -> Host {
    (1..=count).fold(Host::new().now(NOW), |host, n| {
        let began = NOW.minus(DAY * n);
        host.earlier(
            &alert(&format!("app-{n}")),
            began,
            Some(began.plus(MINUTE * n)),
        )
    })
}

fn said_by(host: &Host) -> String {
    let found = host
        .enrich::<Recurrence>(&alert("app-x"), &Enrichment::new())
        .unwrap();
    found.fact("recurrence").unwrap().to_owned()
}

#[test]
fn what_is_known_is_said_and_no_more() {
    for (count, said) in [
        (0, "no earlier one is known of the last 14 days"),
        (1, "2nd time in 14 days, last on 2026-10-31 07:00 UTC"),
        (2, "3rd time in 14 days, last on 2026-10-31 07:00 UTC"),
        (
            6,
            "7th time in 14 days, usually 4m, last on 2026-10-31 07:00 UTC",
        ),
        (
            10,
            "11th time in 14 days, usually 6m, last on 2026-10-31 07:00 UTC",
        ),
        // What is older than 14 days is not counted.
        (
            30,
            "15th time in 14 days, usually 8m, last on 2026-10-31 07:00 UTC",
        ),
    ] {
        assert_eq!(said_by(&knows(count)), said, "{count}");
    }
    assert_eq!(
        said_by(&knows(3).config("days", "1")),
        "2nd time in 1 day, last on 2026-10-31 07:00 UTC"
    );
}

#[test]
fn one_that_still_fires_is_said_to() {
    let host = Host::new()
        .now(NOW)
        .earlier(&alert("app-1"), NOW.minus(HOUR), None);
    assert_eq!(
        said_by(&host),
        "2nd time in 14 days, last on 2026-11-01 06:00 UTC, which has not resolved"
    );
}

#[test]
fn others_are_not_counted_unless_the_operator_says_so() {
    let other = alert("app-1").with_label("namespace", "bank");
    let host = || {
        Host::new()
            .now(NOW)
            .earlier(&other, NOW.minus(HOUR), Some(NOW))
    };
    assert!(said_by(&host()).starts_with("no earlier one"));
    assert!(said_by(&host().config("same", r#"["container"]"#)).starts_with("2nd time"));
    assert!(said_by(&host().config("same", "[]")).starts_with("2nd time"));
}

#[test]
fn settings_and_a_history_that_cannot_be_used_are_said() {
    let failure = |host: Host| {
        host.enrich::<Recurrence>(&alert("a"), &Enrichment::new())
            .unwrap_err()
    };
    for days in ["0", "91", "two"] {
        let failure = failure(knows(1).config("days", days));
        assert!(
            failure.is_permanent() && failure.message().contains("write a number from 1 to 90"),
            "{failure:?}"
        );
    }
    let many: Vec<String> = (0..17).map(|n| format!("l{n}")).collect();
    let many = failure(knows(1).config("same", serde_json::to_string(&many).unwrap()));
    assert!(many.message().contains("more than 16"), "{many:?}");
    let lost = failure(knows(1).history_error(history::Error::Unavailable("disk full".to_owned())));
    assert!(!lost.is_permanent(), "{lost:?}");
}

#[test]
fn a_storm_has_no_history_of_one() {
    let storm = Storm::of(&[alert("a"), alert("b")]).into_found();
    let found = knows(3).enrich::<Recurrence>(&alert("a"), &storm).unwrap();
    assert!(found.facts.is_empty());
}

#[test]
fn the_message_of_slack_notify_has_one_line_of_it() {
    let host = knows(6);
    let found = host
        .enrich::<Recurrence>(&alert("app-x"), &Enrichment::new())
        .unwrap();
    host.run_after::<SlackNotify>(&alert("app-x"), &found);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots");
    assert_snapshot(format!("{folder}/seventh.txt"), &host.transcript());
    assert_snapshot(
        format!("{folder}/seventh.json"),
        &format!("{:#}\n", host.messages()),
    );
}
