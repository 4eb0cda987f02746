//! One body: what the server holds and stores of it stays within a small multiple of its size.

use serde_json::json;

use crate::sized;
use crate::target::{Bounds, Target};

const MIB: u64 = 1 << 20;

/// What a body may come to.
fn bounds(body: &str) -> Bounds {
    let bytes = u64::try_from(body.len()).unwrap();
    Bounds {
        resident_bytes_max: 16 * bytes + 64 * MIB,
        store_bytes_max: 8 * bytes + 16 * MIB,
    }
}

async fn attack(name: &str, body: String) -> Target {
    let target = Target::start("", "").await;
    let bounds = bounds(&body);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_groups_own_fields_are_not_copied_into_each_of_its_alerts() {
    let (field_bytes, alerts) = sized((40 << 10, 2_000), (128 << 10, 13_000));
    let field = |name: &str| format!("{name}{}", "f".repeat(field_bytes));
    let alerts: Vec<_> = (0..alerts)
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
    attack("a group's own fields, many alerts", body.to_string()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_parts_of_a_body_are_counted_and_not_all_kept() {
    let parts = sized(500_000, 5_000_000);
    let good = json!({ "labels": { "alertname": "Hostile" } });
    let body = format!("[{good}{}]", ",1".repeat(parts));
    let target = attack("a list of 1,1,1…", body).await;
    let dead = target.metric("alert_manager_dead_deliveries", "").await;
    assert!(
        dead.unwrap() <= 1_000.0,
        "{dead:?} dead letters of one body"
    );
}
