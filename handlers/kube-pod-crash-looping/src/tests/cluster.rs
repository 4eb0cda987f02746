//! A cluster's API on the mock host, around the pod of the README's alert.

use handler_sdk::http::Method;
use handler_sdk::mock::{Host, Reply, alert_from_json};
use handler_sdk::prelude::*;
use handler_sdk::serde_json::{Value, json};

use super::Handled;

pub(super) const README_ALERT: &str = include_str!("../../../../tests/fixtures/readme-alert.json");
pub(super) const URL: &str = "https://kube.example";
pub(super) const POD: &str = "customer-rs-transformer-9b75b488c-cpfd7";
pub(super) const UID: &str = "6f1c0c0e-33f5-4c0b-9d43-2f1f3d1c7a10";
/// 2022-03-02T07:46:57Z: fifteen minutes after the README's alert began.
pub(super) const NOW: i64 = 1_646_207_217;

pub(super) fn readme_alert() -> Alert {
    alert_from_json(README_ALERT)
}

/// The objects that Kubernetes returns. By default, a pod that ran out of memory after a rollout.
pub(super) struct Cluster {
    pub(super) pod: Value,
    pub(super) log: String,
    pub(super) events: Vec<Value>,
}

impl Default for Cluster {
    fn default() -> Self {
        let log: Vec<String> = (1..=60)
            .map(|n| format!("level=info msg=\"transformed batch\" batch={n}"))
            .collect();
        Self {
            pod: pod(137, "OOMKilled"),
            log: log.join("\n"),
            events: vec![event(
                "BackOff",
                "Back-off restarting failed container",
                203,
                20,
            )],
        }
    }
}

impl Cluster {
    /// Returns a host that reaches this cluster as `cluster-main`.
    pub(super) fn host(&self) -> Host {
        host()
            .http_get(&pod_url(), 200, self.pod.to_string())
            .http_get(&format!("{}/log?*", pod_url()), 200, self.log.clone())
            .http_get(
                &format!("{URL}/api/v1/namespaces/customer/events?*"),
                200,
                list(&self.events),
            )
            .http_get(
                &apps("replicasets/customer-rs-transformer-9b75b488c"),
                200,
                set("42", "1.42.0", 52 * 60).to_string(),
            )
            .http_get(
                &format!("{}?*", apps("replicasets")),
                200,
                list(&[
                    set("41", "1.41.3", 21 * 86_400),
                    set("42", "1.42.0", 52 * 60),
                ]),
            )
            .http_get(
                &apps("deployments/customer-rs-transformer"),
                200,
                deployment(2).to_string(),
            )
            .http_get(&format!("{URL}/api/v1/nodes/*"), 200, node().to_string())
    }
}

/// Returns a host with settings for `cluster-main` that grants Slack and no request to Kubernetes.
pub(super) fn host() -> Host {
    Host::new()
        .now(Timestamp::from_seconds(NOW))
        .config("cluster.cluster-main.url", URL)
        .config("runbook_base", "https://runbooks.example.com/")
}

pub(super) fn pod_url() -> String {
    format!("{URL}/api/v1/namespaces/customer/pods/{POD}")
}

pub(super) fn apps(path: &str) -> String {
    format!("{URL}/apis/apps/v1/namespaces/customer/{path}")
}

pub(super) fn status(host: Host, url: &str, code: u16) -> Host {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no" });
    host.http(Method::Get, url, Reply::status(code, body.to_string()))
}

fn list(items: &[Value]) -> String {
    json!({ "kind": "List", "items": items }).to_string()
}

fn ago(seconds: i64) -> String {
    Timestamp::from_seconds(NOW - seconds).to_string()
}

pub(super) fn pod(exit_code: i64, reason: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": POD, "namespace": "customer", "uid": UID, "labels": { "owner": "team-ingest" },
            "ownerReferences": [{ "controller": true, "kind": "ReplicaSet", "name": "customer-rs-transformer-9b75b488c" }],
        },
        "spec": {
            "nodeName": "ip-10-0-4-17.us-west-1.compute.internal",
            "containers": [{
                "name": "rs-transformer", "image": "registry.example.com/customer/rs-transformer:1.42.0",
                "resources": { "limits": { "memory": "512Mi" } },
            }],
        },
        "status": { "phase": "Running", "containerStatuses": [{
            "name": "rs-transformer", "ready": false, "restartCount": 14,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s" } },
            "lastState": { "terminated": {
                "exitCode": exit_code, "reason": reason, "startedAt": ago(171), "finishedAt": ago(130),
            } },
        }] },
    })
}

pub(super) fn running_pod() -> Value {
    let mut pod = pod(137, "OOMKilled");
    pod["status"]["containerStatuses"][0]["ready"] = json!(true);
    pod["status"]["containerStatuses"][0]["state"] =
        json!({ "running": { "startedAt": ago(120) } });
    pod
}

pub(super) fn event(reason: &str, message: &str, count: u64, seconds_ago: i64) -> Value {
    json!({ "reason": reason, "message": message, "count": count, "type": "Warning",
        "firstTimestamp": ago(40 * 60), "lastTimestamp": ago(seconds_ago) })
}

pub(super) fn set(revision: &str, tag: &str, seconds_ago: i64) -> Value {
    json!({
        "metadata": {
            "annotations": { "deployment.kubernetes.io/revision": revision }, "creationTimestamp": ago(seconds_ago),
            "ownerReferences": [{ "controller": true, "kind": "Deployment", "name": "customer-rs-transformer" }],
        },
        "spec": {
            "selector": { "matchLabels": { "app": "rs", "pod-template-hash": "9b75b488c" } },
            "template": { "spec": { "containers": [{
                "name": "rs-transformer", "image": format!("registry.example.com/rs:{tag}"),
                "resources": { "limits": { "memory": "512Mi" } },
            }] } },
        },
    })
}

pub(super) fn deployment(ready: u64) -> Value {
    json!({ "metadata": { "name": "customer-rs-transformer" }, "spec": { "replicas": 3 }, "status": { "readyReplicas": ready } })
}

fn node() -> Value {
    json!({ "status": { "conditions": [
        { "type": "MemoryPressure", "status": "True" }, { "type": "Ready", "status": "True" } ] } })
}

/// Runs the alert, checks the size limits of its message, and returns the message.
#[track_caller]
pub(super) fn message(host: &Host, alert: &Alert) -> handler_sdk::mock::Post {
    let run = host.run::<Handled>(alert);
    assert!(run.result.is_ok(), "{run:?}");
    let post = host.posts().into_iter().find(|post| post.thread.is_none());
    let Some(post) = post else {
        panic!("no message was posted")
    };
    let shown = post.visible();
    assert!(post.blocks.len() <= 12, "{} blocks", post.blocks.len());
    assert!(
        shown.lines().count() <= 25,
        "{} lines:\n{shown}",
        shown.lines().count()
    );
    let chars = shown.chars().count() + post.text.chars().count();
    assert!(chars <= 3_000, "{chars} characters:\n{shown}");
    post
}

/// Returns the messages that were posted in threads.
pub(super) fn thread(host: &Host) -> String {
    let answers = host
        .posts()
        .into_iter()
        .filter(|post| post.thread.is_some());
    answers
        .map(|post| format!("{}\n{}", post.text, post.visible()))
        .collect()
}
