//! The fake of Kubernetes, over plain HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use super::super::kubernetes_api::GRANTED;
use crate::fakes::raw_http::{Answer, get, request};
use crate::fakes::scenario::CrashLoop;
use crate::modules::workspace;
use serde_json::json;

use super::*;

const NOW: i64 = 1_780_542_727;
const POD: &str = "/api/v1/namespaces/customer/pods/customer-rs-transformer-9b75b488c-cpfd7";

async fn ask(kubernetes: &Kubernetes, path: &str) -> Answer {
    get(kubernetes.listening.addr, path).await.unwrap()
}

#[tokio::test]
async fn the_crash_loop_is_reported_in_the_shapes_of_the_real_api() {
    let kubernetes = Kubernetes::start(CrashLoop::oom_killed(NOW).cluster()).await;
    let pod = ask(&kubernetes, POD).await.json();
    assert_eq!(pod["kind"], "Pod");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["lastState"]["terminated"]["reason"], "OOMKilled");
    assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");

    let apps = "/apis/apps/v1/namespaces/customer";
    let selector = "labelSelector=app.kubernetes.io%2Fname%3Dcustomer-rs-transformer";
    let sets = ask(&kubernetes, &format!("{apps}/replicasets?{selector}"))
        .await
        .json();
    assert_eq!(
        (
            sets["kind"].as_str(),
            sets["items"].as_array().unwrap().len()
        ),
        (Some("ReplicaSetList"), 2)
    );
    let deployment = ask(
        &kubernetes,
        &format!("{apps}/deployments/customer-rs-transformer"),
    )
    .await
    .json();
    assert_eq!(deployment["status"]["readyReplicas"], 2);

    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let selector = format!("fieldSelector=involvedObject.uid%3D{uid}%2Ctype%3DWarning");
    let events = ask(
        &kubernetes,
        &format!("/api/v1/namespaces/customer/events?{selector}"),
    )
    .await
    .json();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    assert_eq!(events["items"][0]["reason"], "BackOff");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let kubernetes = Kubernetes::start(CrashLoop::probe_failed(NOW).cluster()).await;
    let mut reasons = Vec::new();
    let mut more = String::new();
    loop {
        let path = format!("/api/v1/namespaces/customer/events?limit=1&continue={more}");
        let page = ask(&kubernetes, &path).await.json();
        let [event] = page["items"].as_array().unwrap().as_slice() else {
            panic!("{page}")
        };
        reasons.push((event["reason"].clone(), event["type"].clone()));
        match page["metadata"]["continue"].as_str() {
            Some(next) => next.clone_into(&mut more),
            None => break,
        }
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(
        reasons.contains(&(json!("Killing"), json!("Normal"))),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn pods_are_listed_by_label_and_by_node() {
    let kubernetes = Kubernetes::start(CrashLoop::oom_killed(NOW).cluster()).await;
    let pod = ask(&kubernetes, POD).await.json();
    let count = async |query: String| {
        let list = ask(&kubernetes, &format!("/api/v1/{query}")).await.json();
        assert_eq!(list["kind"], "PodList", "{list}");
        list["items"].as_array().unwrap().len()
    };
    let node = pod["spec"]["nodeName"].as_str().unwrap();
    let (label, value) = pod["metadata"]["labels"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let value = value.as_str().unwrap();
    for (query, expected) in [
        (format!("pods?fieldSelector=spec.nodeName%3D{node}"), 1),
        ("pods?fieldSelector=spec.nodeName%3Dnone-such".to_owned(), 0),
        ("namespaces/customer/pods".to_owned(), 1),
        ("namespaces/none-such/pods".to_owned(), 0),
        (
            format!("namespaces/customer/pods?labelSelector={label}%3D{value}"),
            1,
        ),
        (
            format!("namespaces/customer/pods?labelSelector={label}%3Dnone-such"),
            0,
        ),
    ] {
        assert_eq!(count(query.clone()).await, expected, "{query}");
    }
    for selector in [
        "fieldSelector=spec.hostname%3Dx",
        "labelSelector=app%21%3Dx",
    ] {
        let refused = ask(&kubernetes, &format!("/api/v1/pods?{selector}")).await;
        assert_eq!(refused.status, 400, "{selector}");
    }
}

/// Otherwise a handler could read in the tests what it may not read in a cluster, or the other way round.
#[test]
fn the_fake_grants_what_the_manifest_grants() {
    let manifest = std::fs::read_to_string(
        workspace().join("host/deploy/kubernetes/components/rbac/cluster-role.yml"),
    )
    .unwrap();
    let listed = |rule: &str, key: &str| -> Vec<String> {
        let (_, after) = rule.split_once(&format!("{key}: [")).unwrap();
        let (list, _) = after.split_once(']').unwrap();
        list.split(", ").map(str::to_owned).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in manifest
        .lines()
        .filter(|line| line.starts_with("  - { apiGroups: "))
    {
        for resource in listed(rule, "resources") {
            granted.extend(
                listed(rule, "verbs")
                    .into_iter()
                    .map(|verb| (resource.clone(), verb)),
            );
        }
    }
    let fake = GRANTED.map(|(resource, verb)| (resource.to_owned(), verb.to_owned()));
    assert_eq!(BTreeSet::from(fake), granted);
}

#[tokio::test]
async fn logs_are_cut_as_the_real_api_cuts_them() {
    let kubernetes = Kubernetes::start(CrashLoop::exit(NOW, 1, "the end").cluster()).await;
    let log = |query: &str| format!("{POD}/log?container=rs-transformer&previous=true&{query}");
    let tail = ask(&kubernetes, &log("tailLines=2")).await;
    assert_eq!(tail.body.lines().collect::<Vec<_>>().len(), 2);
    assert!(tail.body.ends_with("the end\n"));
    // The newest are cut, which is why a client has to trim for itself.
    assert_eq!(
        ask(&kubernetes, &log("tailLines=2&limitBytes=5"))
            .await
            .body,
        "level"
    );
    let other = ask(&kubernetes, &format!("{POD}/log?container=nobody")).await;
    assert_eq!(
        other.json()["message"],
        "container nobody is not valid for pod customer-rs-transformer-9b75b488c-cpfd7"
    );
}

#[tokio::test]
async fn errors_are_status_objects() {
    let crash_loop = CrashLoop::oom_killed(NOW);
    let kubernetes = Kubernetes::start(crash_loop.cluster_without_pod()).await;
    let gone = ask(&kubernetes, POD).await.json();
    assert_eq!(
        (&gone["kind"], &gone["code"], &gone["reason"]),
        (&json!("Status"), &json!(404), &json!("NotFound"))
    );
    let secrets = ask(&kubernetes, "/api/v1/namespaces/customer/secrets")
        .await
        .json();
    assert_eq!(
        (&secrets["code"], &secrets["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    kubernetes.set(crash_loop.cluster());
    kubernetes.forbid("pods/log");
    assert_eq!(ask(&kubernetes, &format!("{POD}/log")).await.status, 403);
    let written = request(kubernetes.listening.addr, "DELETE", POD, &[], "")
        .await
        .unwrap();
    assert_eq!(written.status, 403);
    kubernetes.require_token("secret");
    assert_eq!(ask(&kubernetes, POD).await.status, 401);
    let bearer = [("Authorization", "Bearer secret")];
    assert_eq!(
        request(kubernetes.listening.addr, "GET", POD, &bearer, "")
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_is_a_bad_request() {
    let kubernetes = Kubernetes::start(CrashLoop::init_container(NOW).cluster()).await;
    let init = ask(
        &kubernetes,
        &format!("{POD}/log?container=wait-for-db&previous=true"),
    )
    .await;
    assert!(init.body.contains("connection refused"));
    let main = ask(
        &kubernetes,
        &format!("{POD}/log?container=rs-transformer&previous=true"),
    )
    .await;
    assert_eq!(main.status, 400);
    let unnamed = ask(&kubernetes, &format!("{POD}/log")).await.json();
    assert!(
        unnamed["message"]
            .as_str()
            .unwrap()
            .starts_with("a container name must be specified")
    );
}
