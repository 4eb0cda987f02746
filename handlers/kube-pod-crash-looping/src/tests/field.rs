//! Pods that users reported, with the API's own JSON.

use handler_sdk::http::Method;
use handler_sdk::mock::{Host, Post, Reply, alert_from_json};
use handler_sdk::prelude::*;
use handler_sdk::serde_json::{self, Value, json};

use super::cluster::{URL, message};

/// A cluster read from a file: the alert, objects by their path, events, and logs by `CONTAINER/previous`.
pub(super) struct Field {
    pub(super) alert: Alert,
    pub(super) host: Host,
}

impl Field {
    pub(super) fn of(json: &str) -> Self {
        let case: Value = serde_json::from_str(json).unwrap();
        let mut host = Host::new()
            .now("2026-11-01T10:06:00Z".parse().unwrap())
            .config("cluster.c1.url", URL);
        let empty = json!({ "items": [] }).to_string();
        host = host.http_get(
            &format!("{URL}/api/v1/namespaces/*/events?*"),
            200,
            empty.clone(),
        );
        host = host.http_get(
            &format!("{URL}/apis/apps/v1/namespaces/*/replicasets?*"),
            200,
            empty,
        );
        let objects = case["objects"].as_object().unwrap();
        for (path, object) in objects {
            host = host.http_get(&format!("{URL}{path}"), 200, object.to_string());
        }
        for event in case["events"].as_array().unwrap() {
            let uid = event["involvedObject"]["uid"].as_str().unwrap();
            let namespace = event["involvedObject"]["namespace"].as_str().unwrap();
            let url = format!(
                "{URL}/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.uid%3D{uid}*"
            );
            host = host.http_get(&url, 200, json!({ "items": [event] }).to_string());
        }
        for (which, log) in case["logs"].as_object().unwrap() {
            let (container, state) = which.split_once('/').unwrap();
            let previous = if state == "previous" {
                "&previous=true"
            } else {
                ""
            };
            let url = format!("{URL}/*/log?container={container}{previous}&tailLines=*");
            let code = u16::try_from(log["status"].as_u64().unwrap()).unwrap();
            host = host.http(
                Method::Get,
                &url,
                Reply::status(code, log["text"].as_str().unwrap()),
            );
        }
        Self {
            alert: alert_from_json(&case["alert"].to_string()),
            host,
        }
    }

    #[track_caller]
    pub(super) fn message(&self) -> Post {
        message(&self.host, &self.alert)
    }
}

macro_rules! field {
    ($name:literal) => {
        Field::of(include_str!(concat!(
            "../../../../tests/fixtures/crash-loops/",
            $name,
            ".json"
        )))
    };
}

pub(super) use field;

#[track_caller]
fn says(post: &Post, parts: &[&str], not: &[&str]) {
    let shown = format!("{}\n{}", post.text, post.visible());
    for part in parts {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    for part in not {
        assert!(!shown.contains(part), "{part:?} in\n{shown}");
    }
}

#[test]
fn the_pod_behind_exported_labels_is_asked_for() {
    let field = field!("exported-labels");
    says(
        &field.message(),
        &[
            "KubePodCrashLooping · shop/checkout",
            "shop/app: exit 1",
            "its last line: FATAL no database",
        ],
        &["kube-state-metrics", "monitoring/"],
    );
    let asked = field.host.requests();
    assert_eq!(
        asked[0].url,
        format!("{URL}/api/v1/namespaces/shop/pods/checkout-6c9f8d7b5c-x2xkz")
    );
    assert!(
        asked
            .iter()
            .all(|request| !request.url.contains("monitoring")),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .any(|request| request.url.contains("/log?container=app&")),
        "{asked:?}"
    );
}

#[test]
fn a_static_pods_events_are_found_under_the_uid_that_the_kubelet_knows() {
    says(
        &field!("static-pod").message(),
        &[
            "*Likely killed by its liveness probe:* HTTP probe failed with statuscode: 503",
            "shop/etcd-node-1",
            "static pod of node-1",
        ],
        &["Deployment"],
    );
    let text = field!("static-pod").message().text;
    assert!(text.contains("liveness probe (137)"), "{text}");
}

#[test]
fn an_exit_that_is_not_on_record_is_said_to_be_so() {
    says(
        &field!("no-last-state").message(),
        &[
            "shop/app: CrashLoopBackOff, 4 restarts",
            "*Its last exit is not on record:*",
            "not fetched: log: no log available",
        ],
        &["does not even start", "logs web-0"],
    );
}

#[test]
fn the_kubelets_excuse_is_no_line_of_the_log() {
    says(
        &field!("excuse-for-a-log").message(),
        &["*It fails:* exit 1", "not fetched: log: no log available"],
        &["unable to retrieve", "its last line", "--previous"],
    );
}

#[test]
fn a_kill_called_error_leaves_memory_possible() {
    says(
        &field!("killed-called-error").message(),
        &[
            "SIGKILL (137)",
            "memory is possible (limit 128Mi)",
            "*Memory limit:* 128Mi",
        ],
        &["not for its memory limit", "out of memory"],
    );
}

#[test]
fn the_probe_of_another_container_is_no_cause() {
    says(
        &field!("probe-of-another-container").message(),
        &[
            "shop/app: killed (137)",
            "no event tells of a probe",
            "*Unhealthy* of proxy ×3",
        ],
        &["by its liveness probe", "liveness probe (137)"],
    );
}

/// Removes the pod's own name from the text: what is left must not contain its hash.
#[track_caller]
fn no_hash_but_the_pods(post: &Post) {
    let shown = format!("{}\n{}", post.text, post.visible());
    let shown = shown.replace("checkout-6b4d44785c-w8d6f", "POD");
    assert!(!shown.contains("6b4d44785c"), "{shown}");
}

#[test]
fn owners_are_followed_and_a_hash_is_never_a_workloads_name() {
    let field = field!("argo-rollout");
    says(
        &field.message(),
        &[
            "KubePodCrashLooping · shop/checkout",
            "*Workload:* Rollout checkout",
        ],
        &[
            "ReplicaSet checkout",
            "checkout-6b4d44785c\n",
            "rollout undo",
        ],
    );
    no_hash_but_the_pods(&field.message());
    // The same if the ReplicaSet cannot be read.
    let url = format!("{URL}/apis/apps/v1/namespaces/shop/replicasets/checkout-6b4d44785c");
    let field = field!("argo-rollout");
    let host = field.host.http(Method::Get, &url, Reply::status(403, "{}"));
    let post = message(&host, &field.alert);
    says(
        &post,
        &[
            "KubePodCrashLooping · shop/checkout\n",
            "*Workload:* checkout",
            "not fetched: workload: forbidden (403)",
        ],
        &[],
    );
    no_hash_but_the_pods(&post);
}
