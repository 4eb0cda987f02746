//! The handler as a whole, on the mock host.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod content;
mod ends;
mod field;
mod logs;
mod messages;

use std::time::Duration;

use handler_sdk::http::{ErrorKind, Method};
use handler_sdk::mock::{Host, Reply};
use handler_sdk::prelude::*;
use handler_sdk::serde_json::json;

use handler_kit::Answering;

use crate::KubePodCrashLooping;
use cluster::*;

/// The handler, as the host sees it.
type Handled = Answering<KubePodCrashLooping>;

#[test]
fn out_of_memory_is_reported_with_what_changed_and_the_log() {
    let host = Cluster::default().host();
    let post = message(&host, &readme_alert());
    assert_eq!(
        post.text,
        "[FIRING] critical customer/rs-transformer: OOMKilled (137), 14 restarts, cluster-main"
    );
    let shown = post.visible();
    for part in [
        "KubePodCrashLooping · customer/customer-rs-transformer",
        "*Likely out of memory:* killed at 512Mi, 41s after start.",
        "*Cluster:* cluster-main   *Workload:* Deployment customer-rs-transformer, 2/3 ready",
        "*Pod:* customer-rs-transformer-9b75b488c-cpfd7 / rs-transformer   *Restarts:* 14",
        "*Last exit:* OOMKilled (137), 2m 10s ago   *Image:* 1.42.0",
        "*Node:* ip-10-0-4-17.us-west-1.compute.internal, MemoryPressure   *Owner:* team-ingest",
        "*Changed:* rev 42, image 1.41.3 → 1.42.0, 12m before the first crash",
        "*BackOff* ×203, 20s ago: Back-off restarting failed container",
        "🔴 *FIRING* · critical · P0\n*Likely out of memory:*",
        "Pod is crash looping. Pod customer/customer-rs-transformer-9b75b488c-cpfd7 (rs-transformer) is restarting 2.11 times / 10 minutes.",
        "*region:* us-west-1",
        "*Memory limit:* 512Mi, set in `deployment/customer-rs-transformer`, container rs-transformer, `resources.limits.memory`",
        "```# cluster cluster-main\nkubectl -n customer logs customer-rs-transformer-9b75b488c-cpfd7 -c rs-transformer --previous\nkubectl -n customer rollout undo deployment/customer-rs-transformer```",
        "batch=60 (×60, differing in a number)```",
        "<https://runbooks.example.com/KubePodCrashLooping|Runbook>",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert!(!shown.contains("kube-state-metrics"), "{shown}");
    assert!(!shown.contains("not fetched"), "{shown}");
    let thread = thread(&host);
    assert!(
        thread.contains("batch=1\n") && thread.contains("batch=59```"),
        "{thread}"
    );
    assert!(
        !thread.contains("batch=60"),
        "the thread has the rest, not the same again:\n{thread}"
    );
}

#[test]
fn programs_get_facts() {
    let found = Cluster::default()
        .host()
        .enrich::<Handled>(&readme_alert(), &Enrichment::new())
        .unwrap();
    for (name, value) in [
        ("crash.reason", "out-of-memory"),
        ("crash.exit_code", "137"),
        ("crash.exit_reason", "OOMKilled"),
        ("crash.restarts", "14"),
        ("crash.container", "rs-transformer"),
        ("workload", "Deployment/customer-rs-transformer"),
        ("workload.ready", "2/3"),
        ("owner", "team-ingest"),
        ("rollout.revision", "42"),
        ("pod", "present"),
    ] {
        assert_eq!(found.fact(name), Some(value), "{name}");
    }
}

#[test]
fn nothing_but_the_granted_reads_is_asked() {
    let host = Cluster::default().host();
    message(&host, &readme_alert());
    let asked: Vec<String> = host
        .requests()
        .iter()
        .map(|request| request.line())
        .collect();
    let pod = format!("GET {}", pod_url());
    assert_eq!(asked[0], pod);
    assert_eq!(
        asked[1],
        format!("{pod}/log?container=rs-transformer&previous=true&tailLines=60&limitBytes=262144")
    );
    assert_eq!(
        asked[2],
        format!(
            "GET {URL}/api/v1/namespaces/customer/events?fieldSelector=involvedObject.uid%3D{UID}&limit=100"
        )
    );
    assert_eq!(asked.len(), 7);
    assert!(
        host.requests()
            .iter()
            .all(|request| request.credential.as_deref() == Some("kubernetes"))
    );
    let total: u32 = host
        .requests()
        .iter()
        .filter_map(|request| request.timeout_ms)
        .sum();
    assert!(
        total <= 30_000,
        "{total} ms of timeouts do not fit into the step"
    );
}

#[test]
fn without_kubernetes_the_message_still_names_the_pod() {
    // Denied, because nothing is scripted.
    let host = host();
    let post = message(&host, &readme_alert());
    assert_eq!(
        post.text,
        "[FIRING] critical customer/customer-rs-transformer-9b75b488c-cpfd7 (rs-transformer): Pod is crash looping, cluster-main"
    );
    let shown = post.visible();
    for part in [
        "KubePodCrashLooping · customer/customer-rs-transformer",
        "*Pod is crash looping.*\nPod customer/customer-rs-transformer-9b75b488c-cpfd7 (rs-transformer) is restarting 2.11 times / 10 minutes.",
        "*Pod:* customer-rs-transformer-9b75b488c-cpfd7 / rs-transformer",
        "*region:* us-west-1",
        "🔴 *FIRING* · critical · P0",
        "not fetched: pod, events, log, rollout: Kubernetes not granted",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert!(
        !shown.contains("scripted"),
        "the grant's lines are for the operator's log, not for Slack:\n{shown}"
    );
    assert_eq!(
        host.requests().len(),
        1,
        "a second request would fare no better"
    );
}

#[test]
fn only_the_alerts_own_cluster_is_asked() {
    let elsewhere = readme_alert().with_label("cluster", "cluster-other");
    let host = Cluster::default().host().config("kubernetes.url", URL);
    let shown = message(&host, &elsewhere).visible();
    assert!(host.requests().is_empty(), "{:?}", host.requests());
    assert!(
        shown.contains(
            "not fetched: Kubernetes: no API server is configured for the cluster cluster-other"
        ),
        "{shown}"
    );

    // `cluster` names the cluster of the default API server; an alert without the label can only mean that one.
    for (own, alert) in [
        ("cluster-other", elsewhere),
        ("cluster-main", readme_alert().with_label("cluster", "")),
    ] {
        let host = Cluster::default()
            .host()
            .config("kubernetes.url", URL)
            .config("cluster", own);
        assert!(message(&host, &alert).text.contains("OOMKilled"), "{own}");
    }
}

#[test]
fn an_api_server_in_trouble_gets_one_more_try() {
    for kind in [
        ErrorKind::Timeout,
        ErrorKind::Unreachable("refused".to_owned()),
    ] {
        let host = host().http(Method::Get, "*", Reply::error(kind));
        let failure = host
            .enrich::<Handled>(&readme_alert(), &Enrichment::new())
            .unwrap_err();
        assert!(!failure.is_permanent());
        let shown = message(&host.attempt(2), &readme_alert()).visible();
        assert!(
            shown.contains("not fetched: pod, events, log, rollout: the API server"),
            "{shown}"
        );
    }
}

#[test]
fn a_failed_enrichment_is_reported_in_one_line() {
    for (why, expected) in [
        (
            "GET https://kube.example/x: timed out",
            "not fetched: Kubernetes: GET https://kube.example/x: timed out",
        ),
        (
            "GET x: not granted: handlers:\n  kube-pod-crash-looping:\n    allow: …",
            "not fetched: Kubernetes: not granted",
        ),
    ] {
        let failed = Enrichment::new().with_fact("enrich_failed.kube-pod-crash-looping", why);
        let host = host();
        host.act::<Handled>(&readme_alert(), &failed).unwrap();
        let shown = host.posts()[0].visible();
        assert!(shown.contains(expected), "{shown}");
        assert!(!shown.contains("allow"), "{shown}");
        assert!(host.posts()[0].text.contains(POD));
    }
}

#[test]
fn what_is_forbidden_is_reported_and_the_rest_is_shown() {
    let host = status(
        Cluster::default().host(),
        &format!("{}/log?*", pod_url()),
        403,
    );
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains("not fetched: log: forbidden (403)"),
        "{shown}"
    );
    assert!(
        shown.contains("*Likely out of memory:*") && shown.contains("*Changed:*"),
        "{shown}"
    );
}

#[test]
fn an_exit_of_its_own_quotes_the_last_line() {
    let cluster = Cluster {
        pod: pod(1, "Error"),
        log: "starting\nError: DATABASE_URL is not set\n".to_owned(),
        ..Cluster::default()
    };
    let host = cluster.host();
    let post = message(&host, &readme_alert());
    assert!(
        post.text
            .contains("customer/rs-transformer: exit 1, 14 restarts"),
        "{}",
        post.text
    );
    let verdict =
        "*It fails:* exit 1, 41s after start; its last line: Error: DATABASE_URL is not set.";
    assert!(post.visible().contains(verdict), "{}", post.visible());
    assert_eq!(thread(&host), "", "all of the log is in the message");
}

#[test]
fn other_handlers_findings_are_shown() {
    let few = Enrichment::new()
        .with_fact("owner", "team-b")
        .with_block(Block::markdown("A **deploy** is under way."));
    let many = (0..20).fold(few.clone(), |e, n| {
        e.with_block(Block::markdown(format!("finding {n}")))
    });
    let failed = few
        .clone()
        .with_fact("enrich_failed.owners", "the rota did not answer");

    let bare = host();
    bare.run_after::<Handled>(&readme_alert(), &failed);
    let shown = bare.posts()[0].visible();
    assert!(
        shown.contains("A *deploy* is under way.") && shown.contains("*Owner:* team-b"),
        "{shown}"
    );
    assert!(
        shown.contains("not enriched by owners: the rota did not answer"),
        "{shown}"
    );

    let full = Cluster::default().host();
    full.run_after::<Handled>(&readme_alert(), &many);
    assert!(full.posts()[0].blocks.len() <= 12);
    assert!(thread(&full).contains("finding 19"));
}

#[test]
fn owners_are_followed_as_far_as_they_lead() {
    let batch = format!("{URL}/apis/batch/v1/namespaces/customer/jobs/backup-28391234");
    let owned =
        |kind: &str, name: &str| json!([{ "controller": true, "kind": kind, "name": name }]);
    let set = json!({ "metadata": { "ownerReferences": owned("Prometheus", "k8s") },
        "spec": { "replicas": 2 }, "status": { "readyReplicas": 1 } });
    let job = json!({ "metadata": { "ownerReferences": owned("CronJob", "backup") } });
    for (kind, name, workload, place) in [
        (
            "StatefulSet",
            "prometheus-k8s",
            "StatefulSet prometheus-k8s (of Prometheus k8s), 1/2 ready",
            "prometheus-k8s",
        ),
        ("Job", "backup-28391234", "CronJob backup", "backup"),
        ("Workflow", "etl", "Workflow etl", "etl"),
    ] {
        let mut pod = pod(1, "Error");
        pod["metadata"]["ownerReferences"] = owned(kind, name);
        let cluster = Cluster {
            pod,
            ..Cluster::default()
        };
        let host = cluster
            .host()
            .http_get(&apps("statefulsets/prometheus-k8s"), 200, set.to_string())
            .http_get(&batch, 200, job.to_string());
        let shown = message(&host, &readme_alert()).visible();
        assert!(
            shown.contains(&format!("*Workload:* {workload}\n")),
            "{shown}"
        );
        assert!(shown.contains(&format!("· customer/{place}\n")), "{shown}");
        assert!(!shown.contains("undo"), "{shown}");
    }
}

#[test]
fn a_set_that_nothing_owns_any_more_shows_no_hash() {
    let mut pod = pod(1, "Error");
    pod["metadata"]["labels"]["pod-template-hash"] = json!("9b75b488c");
    let orphan = json!({ "metadata": { "name": "customer-rs-transformer-9b75b488c" },
        "spec": { "replicas": 3 }, "status": { "readyReplicas": 1 } });
    let cluster = Cluster {
        pod,
        ..Cluster::default()
    };
    let host = cluster.host().http_get(
        &apps("replicasets/customer-rs-transformer-9b75b488c"),
        200,
        orphan.to_string(),
    );
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains("· customer/customer-rs-transformer\n"),
        "{shown}"
    );
    assert!(
        shown.contains("*Workload:* customer-rs-transformer, 1/3 ready"),
        "{shown}"
    );
}

#[test]
fn a_sidecar_is_distinguished_from_an_init_container() {
    let mut sidecar = pod(1, "Error");
    let status = sidecar["status"]
        .as_object_mut()
        .unwrap()
        .remove("containerStatuses")
        .unwrap();
    sidecar["status"]["initContainerStatuses"] = status;
    sidecar["spec"] =
        json!({ "initContainers": [{ "name": "rs-transformer", "restartPolicy": "Always" }] });
    let cluster = Cluster {
        pod: sidecar,
        ..Cluster::default()
    };
    let shown = message(&cluster.host(), &readme_alert()).visible();
    assert!(
        shown.contains("in the sidecar rs-transformer: exit 1"),
        "{shown}"
    );
}

#[test]
fn a_pod_that_is_gone_says_what_ended_it() {
    let mut taint = event(
        "TaintManagerEviction",
        "Marking for deletion Pod customer/x",
        1,
        60,
    );
    taint["type"] = json!("Normal");
    let cluster = Cluster {
        events: vec![taint],
        ..Cluster::default()
    };
    let host = status(cluster.host(), &pod_url(), 404);
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains(
            "since the alert began. TaintManagerEviction: Marking for deletion Pod customer/x"
        ),
        "{shown}"
    );
}

#[test]
fn a_gone_or_replaced_pod_is_reported_as_such() {
    let host = status(Cluster::default().host(), &pod_url(), 404);
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains("*The pod is gone:* deleted or replaced"),
        "{shown}"
    );
    assert!(
        shown.contains("Deployment customer-rs-transformer, 2/3 ready"),
        "{shown}"
    );
    assert!(
        host.requests()
            .iter()
            .any(|r| r.url.contains(&format!("involvedObject.name%3D{POD}")))
    );

    let other = readme_alert().with_label("uid", "00000000-0000-0000-0000-000000000000");
    let post = message(&Cluster::default().host(), &other);
    assert!(
        post.visible().contains("*The pod was replaced*"),
        "{}",
        post.visible()
    );
    assert!(
        !post.visible().contains("Likely out of memory"),
        "that would be the other pod's"
    );
    assert!(
        message(
            &Cluster::default().host(),
            &readme_alert().with_label("uid", UID)
        )
        .text
        .contains("OOMKilled")
    );
}

#[test]
fn an_init_container_and_an_eviction_are_recognised() {
    let mut init = pod(1, "Error");
    let status = init["status"]
        .as_object_mut()
        .unwrap()
        .remove("containerStatuses")
        .unwrap();
    init["status"]["initContainerStatuses"] = status;
    let host = Cluster {
        pod: init,
        ..Cluster::default()
    }
    .host();
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains("in the init container rs-transformer: exit 1"),
        "{shown}"
    );

    let mut evicted = pod(137, "Error");
    evicted["status"]["reason"] = json!("Evicted");
    evicted["status"]["message"] = json!("The node was low on resource: memory.");
    let shown = message(
        &Cluster {
            pod: evicted,
            ..Cluster::default()
        }
        .host(),
        &readme_alert(),
    )
    .visible();
    assert!(
        shown.contains("*Evicted:* The node was low on resource: memory."),
        "{shown}"
    );
}

#[test]
fn lists_are_read_to_their_end_or_said_to_be_cut() {
    let events = format!(
        "{URL}/api/v1/namespaces/customer/events?fieldSelector=involvedObject.uid%3D{UID}&limit=100"
    );
    let page = |reason: &str, more: &str| {
        json!({ "metadata": { "continue": more }, "items": [event(reason, "m", 1, 20)] })
            .to_string()
    };
    let paged = || {
        let host = Cluster::default()
            .host()
            .http_get(&events, 200, page("First", "a/b"));
        host.http_get(&format!("{events}&continue=a%2Fb"), 200, page("Second", ""))
    };
    let shown = message(&paged(), &readme_alert()).visible();
    assert!(
        shown.contains("*First*") && shown.contains("*Second*") && !shown.contains("not fetched"),
        "{shown}"
    );

    let endless =
        Cluster::default()
            .host()
            .http_get(&format!("{events}*"), 200, page("Again", "x"));
    let shown = message(&endless, &readme_alert()).visible();
    assert!(
        shown.contains("not fetched: events: only the first 3 were read"),
        "{shown}"
    );

    let expired = status(paged(), &format!("{events}&continue=*"), 410);
    let shown = message(&expired, &readme_alert()).visible();
    assert!(
        shown.contains("not fetched: events: only the first 1 were read"),
        "{shown}"
    );
}

#[test]
fn no_event_is_said_to_be_missing_that_was_not_read() {
    let events = format!("{URL}/api/v1/namespaces/customer/events?*");
    let endless =
        json!({ "metadata": { "continue": "x" }, "items": [event("BackOff", "m", 1, 20)] });
    for (code, none) in [
        (137, "no event tells of a probe or an eviction"),
        (143, "no event says by whom"),
    ] {
        let cluster = Cluster {
            pod: pod(code, "Error"),
            ..Cluster::default()
        };
        let shown = |host: Host| message(&host, &readme_alert()).visible();
        let read = shown(cluster.host());
        assert!(read.contains(none), "{read}");
        let forbidden = status(cluster.host(), &events, 403);
        // The log is requested first, and after this response no more requests are made.
        let over = status(cluster.host(), &format!("{}/log?*", pod_url()), 500);
        for host in [forbidden, over] {
            let shown = shown(host);
            assert!(
                shown.contains("its events could not be read") && !shown.contains("no event"),
                "{shown}"
            );
        }
        let cut = shown(cluster.host().http_get(&events, 200, endless.to_string()));
        assert!(
            cut.contains("not all of its events could be read") && !cut.contains("no event"),
            "{cut}"
        );
    }
}

#[test]
fn a_probes_event_is_found_among_many_others() {
    let mut events: Vec<_> = (0..30)
        .map(|n| event("FailedMount", &format!("volume {n}"), 1, 20))
        .collect();
    // The oldest of them, from the time when the container that ended was running.
    events.push(event("Unhealthy", "Liveness probe failed: 503", 1, 140));
    let cluster = Cluster {
        pod: pod(137, "Error"),
        events,
        ..Cluster::default()
    };
    let shown = message(&cluster.host(), &readme_alert()).visible();
    assert!(
        shown.contains("*Likely killed by its liveness probe:* 503"),
        "{shown}"
    );
}

#[test]
fn a_late_message_says_so() {
    let late = host().now(Timestamp::from_seconds(NOW).plus(Duration::from_secs(600)));
    let shown = message(&late, &readme_alert()).visible();
    assert!(
        shown.contains("posted 24m 29s after it was received: it waited in the queue"),
        "{shown}"
    );
}

#[test]
fn another_try_after_a_failed_thread_does_not_post_twice() {
    let host = Cluster::default().host();
    let alert = readme_alert();
    let found = host.enrich::<Handled>(&alert, &Enrichment::new()).unwrap();
    let limited = handler_sdk::slack::Error::RateLimited(Duration::from_secs(1));
    let record_only = host.clone().config("logs", "off");
    record_only.act::<Handled>(&alert, &found).unwrap();
    // The message is posted; its thread then meets Slack's rate limit.
    let host = host.config("logs", "message").slack_error(limited);
    assert!(
        !host
            .act::<Handled>(&alert, &found)
            .unwrap_err()
            .is_permanent()
    );
    host.act::<Handled>(&alert, &found).unwrap();
    let posts = host.posts();
    let keys: Vec<_> = posts.iter().map(|post| post.key.as_deref()).collect();
    assert_eq!(keys, [Some("message"), Some("thread")]);
    assert_eq!(posts.iter().filter(|post| post.thread.is_none()).count(), 1);
    assert_eq!(
        posts
            .iter()
            .filter(|post| post.thread.as_ref() == Some(&posts[0].at))
            .count(),
        1
    );
}
