//! The message of every scenario, as a person sees it.

use std::time::Duration;

use handler_sdk::mock::{Host, Storm, assert_snapshot};
use handler_sdk::prelude::*;
use handler_sdk::serde_json::json;

use super::Handled;
use super::cluster::*;
use super::field::{Field, field};

/// The address of Alertmanager, for the link to a silence.
fn alert() -> Alert {
    let mut alert = readme_alert();
    alert.origin.external_url = Some("https://am.example.com".to_owned());
    alert.origin.receiver = Some("oncall".to_owned());
    alert
        .with_start(Timestamp::from_seconds(NOW - 31))
        .with_receipt(Timestamp::from_seconds(NOW - 1))
}

#[track_caller]
fn shows(name: &str, host: &Host, alert: &Alert) {
    let run = host.run::<Handled>(alert);
    assert!(run.result.is_ok(), "{run:?}");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/snapshots");
    assert_snapshot(format!("{folder}/{name}.txt"), &host.transcript());
    // Drawn by docs/messages.html.
    assert_snapshot(
        format!("{folder}/{name}.json"),
        &format!("{:#}\n", host.messages()),
    );
}

fn with_service_log() -> Cluster {
    Cluster {
        pod: pod(1, "Error"),
        log: (1..=30)
            .map(|n| format!("level=info msg=\"accepted\" n={n}"))
            .chain([
                "level=error msg=\"cannot reach db\" err=\"connection refused\"".to_owned(),
                "level=info msg=\"draining\"".to_owned(),
                "level=info msg=\"bye\"".to_owned(),
            ])
            .collect::<Vec<_>>()
            .join("\n"),
        events: vec![
            event("BackOff", "Back-off restarting failed container", 203, 20),
            event(
                "FailedMount",
                "MountVolume.SetUp failed for volume \"conf\"",
                2,
                600,
            ),
        ],
    }
}

#[test]
fn rich() {
    shows("rich-out-of-memory", &Cluster::default().host(), &alert());
    shows("rich-exit", &with_service_log().host(), &alert());
}

#[test]
fn poor() {
    shows("poor", &host(), &alert());
}

#[test]
fn late_and_retried() {
    let later = Timestamp::from_seconds(NOW).plus(Duration::from_secs(600));
    shows("late", &Cluster::default().host().now(later), &alert());
    shows(
        "retried",
        &Cluster::default().host().now(later).attempt(3),
        &alert(),
    );
}

#[test]
fn gone_and_replaced() {
    let evicted = Cluster {
        events: vec![event(
            "Evicted",
            "The node was low on resource: memory.",
            1,
            60,
        )],
        ..Cluster::default()
    };
    shows("gone", &status(evicted.host(), &pod_url(), 404), &alert());
    let other = alert().with_label("uid", "00000000-0000-0000-0000-000000000000");
    shows("replaced", &Cluster::default().host(), &other);
}

#[test]
fn resolved() {
    let ended = Timestamp::from_seconds(NOW + 9 * 60);
    let resolved = alert()
        .into_resolved(ended)
        .with_receipt(ended.plus(Duration::from_secs(30)));
    let host = Cluster::default().host();
    message(&host, &alert());
    let host = host.now(ended.plus(Duration::from_secs(30))).http_get(
        &pod_url(),
        200,
        running_pod().to_string(),
    );
    shows("resolved", &host, &resolved);

    let host = Cluster::default().host();
    message(&host, &alert());
    let host = status(
        host.now(ended.plus(Duration::from_secs(30))),
        &pod_url(),
        404,
    );
    shows("resolved-gone", &host, &resolved);
    let unknown = host
        .config("emoji", "off")
        .http_get(&pod_url(), 200, json!({}).to_string());
    let again = resolved.with_start(Timestamp::from_seconds(NOW - 5));
    assert!(unknown.run::<Handled>(&again).result.is_ok());
    assert!(
        unknown
            .posts()
            .last()
            .is_some_and(|post| post.visible().contains("\n*RESOLVED* · critical · P0\n"))
    );
}

#[test]
fn from_the_field() {
    for (name, field) in [
        ("field-exported-labels", field!("exported-labels")),
        ("field-static-pod", field!("static-pod")),
        ("field-no-last-state", field!("no-last-state")),
        ("field-excuse-for-a-log", field!("excuse-for-a-log")),
        ("field-killed-called-error", field!("killed-called-error")),
        (
            "field-probe-of-another-container",
            field!("probe-of-another-container"),
        ),
        ("field-argo-rollout", field!("argo-rollout")),
    ] {
        shows(name, &field.host, &field.alert);
    }
}

/// Alerts of twelve namespaces; the first is [`alert`].
fn storm_of(count: usize) -> Storm {
    let others = (1..count).map(|n| {
        alert()
            .with_label("namespace", format!("team-{}", n % 12))
            .with_label("pod", format!("worker-6f664bc8c4-{n:05}"))
            .with_label("container", "worker")
    });
    let alerts: Vec<Alert> = std::iter::once(alert()).chain(others).collect();
    Storm::of(&alerts)
}

#[test]
fn storms() {
    let host = Cluster::default().host().storm(storm_of(240));
    shows("storm", &host, &alert());
    let shown = host.posts()[0].visible();
    for part in [
        "\nOnly one was looked at, customer/customer-rs-transformer: *Likely out of memory:* killed at 512Mi",
        "\n*Changed:* rev 42",
        "*In common:* cluster=cluster-main · region=us-west-1",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert!(
        !shown.contains("kubectl"),
        "a step for one of 240 pods is no next step:\n{shown}"
    );
    let asked = host.requests().len();

    let ended = Timestamp::from_seconds(NOW + 9 * 60);
    let resolved = alert()
        .with_label("pod", "worker-6f664bc8c4-00239")
        .into_resolved(ended)
        .with_receipt(ended);
    let host = host
        .delivery("d-2")
        .now(ended)
        .storm(storm_of(240).resolved(240));
    shows("storm-resolved", &host, &resolved);
    assert_eq!(
        host.requests().len(),
        asked,
        "one pod says nothing about the others"
    );
    let shown = host.updates()[0].visible();
    assert!(
        shown.contains(
            "Only one was looked at, customer/customer-rs-transformer: *Likely out of memory:*"
        ),
        "{shown}"
    );
}
