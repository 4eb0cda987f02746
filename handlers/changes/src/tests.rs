//! What is said about a namespace and a node, and the message of slack-notify with it.
#![allow(clippy::unwrap_used, reason = "tests")]

use handler_kit::handler_sdk::http::Method;
use handler_kit::handler_sdk::mock::{Host, Reply, Storm, assert_snapshot};
use handler_kit::handler_sdk::serde_json::{Value, json};
use handler_kit::mock::KUBERNETES;
use handler_kit::prelude::*;
use slack_notify::SlackNotify;

use super::*;

const STARTED: Timestamp = Timestamp::from_seconds(1_793_516_400); // 2026-11-01T07:00:00Z

fn pod_alert() -> Alert {
    Alert::new("KubePodCrashLooping")
        .with_label("namespace", "shop")
        .with_label("pod", "checkout-1")
        .with_label("severity", "warning")
        .with_annotation("summary", "Pod is crash looping.")
        .with_start(STARTED)
        .with_receipt(STARTED)
}

fn node_alert() -> Alert {
    Alert::new("KubeNodeNotReady")
        .with_label("node", "node-3")
        .with_start(STARTED)
        .with_receipt(STARTED)
}

fn host() -> Host {
    Host::new()
        .now(Timestamp::from_seconds(STARTED.seconds + 300))
        .config("kubernetes.url", KUBERNETES)
        .credentials(["kubernetes"])
}

fn list(host: Host, path: &str, items: &[Value]) -> Host {
    let body = json!({ "kind": "List", "metadata": {}, "items": items });
    host.http_get(&format!("{KUBERNETES}{path}?*"), 200, body.to_string())
}

fn namespace(sets: &[Value], revisions: &[Value]) -> Host {
    let host = list(host(), "/apis/apps/v1/namespaces/shop/replicasets", sets);
    list(
        host,
        "/apis/apps/v1/namespaces/shop/controllerrevisions",
        revisions,
    )
}

fn template(image: &str) -> Value {
    json!({ "spec": { "containers": [{ "name": "app", "image": image }] } })
}

fn set(deployment: &str, revision: u32, created: &str, image: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("{deployment}-{revision}"), "creationTimestamp": created,
            "annotations": { "deployment.kubernetes.io/revision": revision.to_string() },
            "ownerReferences": [{ "controller": true, "kind": "Deployment", "name": deployment }],
        },
        "spec": { "template": template(image) },
    })
}

fn revision(kind: &str, owner: &str, number: u32, created: &str, image: &str) -> Value {
    json!({
        "metadata": { "name": format!("{owner}-{number}"), "creationTimestamp": created,
            "ownerReferences": [{ "controller": true, "kind": kind, "name": owner }] },
        "revision": number,
        "data": { "spec": { "template": template(image) } },
    })
}

fn said(host: &Host, alert: &Alert) -> String {
    let found = host.enrich::<Changes>(alert, &Enrichment::new()).unwrap();
    match &found.blocks[..] {
        [Block::Markdown(text)] => text.clone(),
        [] => format!("nothing; {:?}", found.facts),
        other => panic!("{other:?}"),
    }
}

fn busy() -> Host {
    namespace(
        &[
            set("checkout", 41, "2026-10-20T07:00:00Z", "r/checkout:1.41.3"),
            set("checkout", 42, "2026-11-01T06:48:00Z", "r/checkout:1.42.0"),
            set("old", 3, "2026-11-01T05:59:00Z", "r/old:3"),
            set("fresh", 1, "2026-11-01T06:30:00Z", "r/fresh:1"),
        ],
        &[
            revision("StatefulSet", "db", 7, "2026-09-01T00:00:00Z", "r/db:15"),
            revision("StatefulSet", "db", 8, "2026-11-01T07:02:00Z", "r/db:16"),
        ],
    )
}

#[test]
fn what_was_rolled_out_in_the_namespace_is_listed_the_newest_first() {
    assert_eq!(
        said(&busy(), &pod_alert()),
        "**Rolled out in shop since an hour before the alert:**\n\
         - StatefulSet db, rev 8, 2m after the alert began: image 15 → 16\n\
         - Deployment checkout, rev 42, 12m before the alert: image 1.41.3 → 1.42.0\n\
         - Deployment fresh, rev 1, 30m before the alert: no earlier revision is kept"
    );
}

#[test]
fn many_are_counted() {
    let sets: Vec<Value> = (0..8)
        .map(|n| set(&format!("d{n}"), 1, "2026-11-01T06:30:00Z", "r/a:1"))
        .collect();
    let text = said(&namespace(&sets, &[]), &pod_alert());
    assert!(
        text.lines().count() == 7 && text.ends_with("- and 3 more"),
        "{text}"
    );
}

#[test]
fn none_is_said_only_if_all_was_read() {
    assert_eq!(
        said(&namespace(&[], &[]), &pod_alert()),
        "No revision was rolled out in shop since an hour before the alert."
    );
    let host = list(host(), "/apis/apps/v1/namespaces/shop/replicasets", &[]);
    let refused = host.http(
        Method::Get,
        &format!("{KUBERNETES}/apis/apps/v1/namespaces/shop/controllerrevisions?*"),
        Reply::status(403, "{}"),
    );
    let text = said(&refused, &pod_alert());
    assert!(
        text.starts_with("nothing; ") && text.contains("revision: forbidden (403)"),
        "{text}"
    );
}

#[test]
fn text_of_the_cluster_is_no_markdown() {
    let sets = [
        set("checkout", 1, "2026-10-20T07:00:00Z", "r/a:1"),
        set("checkout", 2, "2026-11-01T06:48:00Z", "r/a:*2*<!channel>"),
    ];
    let text = said(&namespace(&sets, &[]), &pod_alert());
    assert!(text.ends_with(r"image 1 → \*2\*\<!channel\>"), "{text}");
}

#[test]
fn what_happened_to_the_node_is_listed() {
    let node = json!({
        "metadata": { "name": "node-3", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "taints": [
            { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-11-01T06:55:00Z" },
            { "key": "dedicated", "effect": "NoSchedule" },
        ] },
        "status": { "conditions": [
            { "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": "2026-11-01T06:54:00Z" },
            { "type": "DiskPressure", "status": "False", "reason": "KubeletHasNoDiskPressure", "lastTransitionTime": "2026-01-01T00:00:00Z" },
        ] },
    });
    let host = host().http_get(
        &format!("{KUBERNETES}/api/v1/nodes/node-3"),
        200,
        node.to_string(),
    );
    let pods =
        [json!({ "metadata": { "name": "a", "creationTimestamp": "2026-11-01T06:40:00Z" } })];
    assert_eq!(
        said(&list(host, "/api/v1/pods", &pods), &node_alert()),
        "**On the node node-3 since an hour before the alert:**\n\
         - the taint node.kubernetes.io/unreachable:NoExecute was added, 5m before the alert\n\
         - the condition Ready became unknown (NodeStatusUnknown), 6m before the alert\n\
         - 1 of its pods was made"
    );
}

#[test]
fn a_node_that_is_gone_or_unchanged_is_said_to_be() {
    let gone = host().http(
        Method::Get,
        &format!("{KUBERNETES}/api/v1/nodes/node-3"),
        Reply::status(404, "{}"),
    );
    assert_eq!(
        said(&gone, &node_alert()),
        "The node node-3 does not exist any more."
    );
    let still = host().http_get(&format!("{KUBERNETES}/api/v1/nodes/node-3"), 200, "{}");
    let text = said(&list(still, "/api/v1/pods", &[]), &node_alert());
    assert!(
        text.starts_with("The node node-3 shows no change since"),
        "{text}"
    );
}

#[test]
fn nothing_is_asked_if_it_would_say_nothing() {
    let found =
        |alert: &Alert, so_far: &Enrichment| busy().enrich::<Changes>(alert, so_far).unwrap();
    assert!(
        found(&pod_alert().into_resolved(STARTED), &Enrichment::new())
            .blocks
            .is_empty()
    );
    assert!(
        found(
            &pod_alert(),
            &Storm::of(&[pod_alert(), pod_alert()]).into_found()
        )
        .blocks
        .is_empty()
    );
    assert!(
        found(&Alert::new("Watchdog"), &Enrichment::new())
            .facts
            .is_empty()
    );
    let elsewhere = found(
        &pod_alert().with_label("cluster", "other"),
        &Enrichment::new(),
    );
    assert!(
        elsewhere
            .fact("not_fetched.changes")
            .unwrap()
            .contains("no API server is configured for the cluster other")
    );
}

#[test]
fn the_message_of_slack_notify_lists_the_changes() {
    let host = busy();
    let found = host
        .enrich::<Changes>(&pod_alert(), &Enrichment::new())
        .unwrap();
    host.run_after::<SlackNotify>(&pod_alert(), &found);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots");
    assert_snapshot(format!("{folder}/rolled-out.txt"), &host.transcript());
    assert_snapshot(
        format!("{folder}/rolled-out.json"),
        &format!("{:#}\n", host.messages()),
    );
}
