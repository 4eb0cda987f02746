//! One body: the memory and the storage that it takes stay within a small multiple of its size.

use serde_json::json;

use super::target::{Bounds, LOG_BYTES_MAX, Target};
use super::{Attack, sized};

pub(super) const ATTACKS: &[Attack] = attacks![
    a_groups_own_fields_are_not_copied_into_each_of_its_alerts,
    refused_parts_of_a_body_are_counted_and_not_all_kept,
];

const MIB: u64 = 1 << 20;

/// The storage that a minimal alert takes: its rows and its story.
const STORY_BYTES: u64 = 4 << 10;

/// The bounds of a body with so many good alerts, each of which is run and has a story.
fn bounds(body: &str, alerts: usize) -> Bounds {
    let bytes = u64::try_from(body.len()).unwrap();
    Bounds {
        resident_bytes_max: 16 * bytes + 64 * MIB,
        store_bytes_max: LOG_BYTES_MAX + 8 * bytes + STORY_BYTES * u64::try_from(alerts).unwrap(),
    }
}

async fn attack(name: &str, body: String, alerts: usize) -> Target {
    let target = Target::start("", "").await;
    let bounds = bounds(&body, alerts);
    let (status, honest) = target
        .under(async {
            let status = target.post(body).await;
            target.drained().await;
            status
        })
        .await;
    target.judge(name, honest, bounds);
    assert!(
        [202, 400, 413].contains(&status),
        "taken or refused for good: {status}"
    );
    target
}

async fn a_groups_own_fields_are_not_copied_into_each_of_its_alerts() {
    let (field_bytes, count) = sized((40 << 10, 2_000), (128 << 10, 13_000));
    let field = |name: &str| format!("{name}{}", "f".repeat(field_bytes));
    let alerts: Vec<_> = (0..count)
        .map(|n| json!({ "labels": { "alertname": "Hostile", "n": n.to_string() } }))
        .collect();
    let body = json!({
        "version": "4", "status": "firing",
        "receiver": field("receiver"), "groupKey": field("key"), "externalURL": field("http://"),
        "groupLabels": { "a": field("label") }, "commonLabels": { "a": field("label") },
        "commonAnnotations": { "a": field("annotation") },
        "title": field("title"), "state": field("state"),
        "alerts": alerts,
    });
    attack("a group's own fields, many alerts", body.to_string(), count).await;
}

async fn refused_parts_of_a_body_are_counted_and_not_all_kept() {
    let parts = sized(500_000, 5_000_000);
    let good = json!({ "labels": { "alertname": "Hostile" } });
    let body = format!("[{good}{}]", ",1".repeat(parts));
    let target = attack("a list of 1,1,1…", body, 1).await;
    let dead = target.metric("alert_manager_dead_deliveries", "").await;
    assert!(
        dead.unwrap() <= 1_000.0,
        "{dead:?} dead letters of one body"
    );
}
