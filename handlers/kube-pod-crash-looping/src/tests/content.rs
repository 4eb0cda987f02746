//! What the message contains, and what it must never contain.

use handler_sdk::layout::Notice;
use handler_sdk::mock::Host;
use handler_sdk::prelude::*;
use handler_sdk::serde_json::{Value, json};

use super::Handled;
use super::cluster::*;

#[test]
fn hostile_labels_are_inert() {
    let nasty = "<!channel> `x` *b* <https://evil.example|click>";
    let alert = [
        "namespace",
        "pod",
        "container",
        "cluster",
        "severity",
        "region",
    ]
    .iter()
    .fold(readme_alert(), |alert, label| {
        alert.with_label(*label, nasty)
    })
    .with_annotation("summary", nasty)
    .with_annotation("description", nasty);
    let host = host().config(&format!("cluster.{nasty}.url"), URL);
    let post = message(&host, &alert);
    assert!(host.requests().is_empty(), "no such name goes into a path");
    // A header is plain text, without markup. A URL may become a link that shows itself.
    let marked_up = post.visible().lines().skip(1).collect::<String>() + &post.text;
    assert!(
        !marked_up.contains("<!channel>") && !marked_up.contains("|click>"),
        "{marked_up}"
    );
    assert!(
        post.visible()
            .contains("the label `namespace` is no name of Kubernetes")
    );
}

#[test]
fn the_longest_of_everything_keeps_to_the_limits() {
    let long = |n: usize| "&<>long ".repeat(n);
    let mut pod = pod(1, "Error");
    pod["metadata"]["labels"]["owner"] = json!(long(100));
    pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] = json!(long(100));
    let events = (0..9)
        .map(|n| event(&format!("Reason{n}{}", long(20)), &long(200), 1, n))
        .collect();
    let log = (0..60)
        .map(|n| format!("{n} {}", long(300)))
        .collect::<Vec<_>>()
        .join("\n");
    let host = Cluster { pod, log, events }.host();
    let mut alert = (0..30).fold(readme_alert(), |alert, n| {
        alert.with_label(format!("label{n}"), long(50))
    });
    alert = alert
        .with_annotation("summary", long(200))
        .with_annotation(
            "runbook_url",
            format!("https://r.example/{}", "r".repeat(300)),
        )
        .with_annotation(
            "dashboard_url",
            format!("https://d.example/{}", "d".repeat(3_500)),
        );
    alert.generator_url = Some(format!(
        "https://prometheus.example/graph?g0.expr={}",
        "e".repeat(2_000)
    ));
    alert.origin.external_url = Some("https://alertmanager.example".to_owned());
    let shown = message(&host, &alert).visible();
    assert!(
        shown.contains("|Runbook>") && shown.contains("|Silence>"),
        "{shown}"
    );
    assert!(thread(&host).contains("59 "), "the log is in the thread");
}

/// The fallback handler shows these parts of [`Notice`]; this handler must not show less.
#[test]
fn nothing_that_the_fallback_says_is_missing() {
    let mut alert = readme_alert()
        .with_label("tenant", "t-7")
        .with_label("zone", "b")
        .with_label("team", "team-b")
        .with_annotation("dashboard_url", "https://grafana.example.com/d/1");
    alert.origin.external_url = Some("https://am.example.com".to_owned());
    alert.origin.receiver = Some("oncall".to_owned());
    let others = Enrichment::new()
        .with_fact("deploy", "4711")
        .with_fact("enrich_failed.rota", "it did not answer")
        .with_block(Block::markdown("A **deploy** is under way."));
    let host = Cluster::default().host();
    host.run_after::<Handled>(&alert, &others);
    let post = &host.posts()[0];
    let shown = post.visible();
    let cx = host.cx();
    let notice = Notice::new(&cx, &alert, &others);
    let [failure] = notice.failures().try_into().unwrap();
    let parts = [
        notice.status().to_string(),
        notice.facts(|_| false).to_string(),
        format!("not enriched by {}: {}", failure.0, failure.1),
        "A *deploy* is under way.".to_owned(),
        "receiver oncall".to_owned(),
        "posted 14m 29s after it was received".to_owned(),
    ];
    let labels = notice.labels(&[]).into_iter().map(|(_, value)| value);
    let annotations = alert.annotations.iter().map(|(_, text)| text.clone());
    for part in parts.into_iter().chain(labels).chain(annotations) {
        assert!(
            !part.is_empty() && shown.contains(&part),
            "no {part:?} in\n{shown}"
        );
    }
    for (title, _) in notice.links(None) {
        assert!(
            shown.contains(&format!("|{title}>")),
            "no link {title} in\n{shown}"
        );
    }
    assert!(post.text.contains("critical") && post.text.contains("cluster-main"));
}

#[test]
fn the_delivery_is_a_link_to_its_page() {
    let host = host().config("story_base", "https://alerts.example.com/deliveries/");
    let shown = message(&host, &readme_alert()).visible();
    let id = host.cx().call().delivery_id.clone();
    let link = format!("<https://alerts.example.com/deliveries/{id}|delivery {id}>");
    assert!(shown.ends_with(&link), "{shown}");
}

#[test]
fn next_steps_are_those_that_the_findings_support() {
    let next = |host: &Host| {
        let shown = message(host, &readme_alert()).visible();
        let steps: Vec<String> = shown
            .lines()
            .filter(|line| line.contains("kubectl") || line.contains("*Memory limit:*"))
            .map(str::to_owned)
            .collect();
        steps.join("\n")
    };
    let off = Cluster::default().host().config("next_steps", "off");
    assert_eq!(next(&off), "");

    let exits = Cluster {
        pod: pod(1, "Error"),
        ..Cluster::default()
    };
    let steps = next(&exits.host());
    assert!(
        steps.contains("logs") && steps.contains("rollout undo") && !steps.contains("Memory"),
        "{steps}"
    );

    // A rollout of weeks ago did not break the pod.
    let mut alert = readme_alert();
    alert.starts_at = Timestamp::from_seconds(NOW + 20 * 86_400);
    let quiet = Cluster {
        events: vec![],
        ..Cluster::default()
    };
    let shown = message(&quiet.host(), &alert).visible();
    assert!(!shown.contains("undo"), "{shown}");

    // A log that could not be read is not offered, and the default of a LimitRange is not set in the workload.
    let mut defaulted = pod(137, "OOMKilled");
    defaulted["metadata"]["annotations"] = json!({ "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory limit for container rs-transformer" });
    let cluster = Cluster {
        pod: defaulted,
        ..Cluster::default()
    };
    let steps = next(&status(
        cluster.host(),
        &format!("{}/log?*", pod_url()),
        403,
    ));
    assert!(!steps.contains("logs"), "{steps}");
    assert!(
        steps.contains("*Memory limit:* 512Mi, the default of a LimitRange of the namespace"),
        "{steps}"
    );

    let gone = status(Cluster::default().host(), &pod_url(), 404);
    assert_eq!(next(&gone), "");

    // The Deployment cannot be read, so it is not known whether something would revert an undo.
    let unread = status(
        exits.host(),
        &apps("deployments/customer-rs-transformer"),
        403,
    );
    assert!(!next(&unread).contains("undo"), "{}", next(&unread));

    let mut ended = pod(137, "Error");
    ended["status"]["reason"] = json!("Evicted");
    let evicted = Cluster {
        pod: ended,
        ..Cluster::default()
    };
    assert!(
        !next(&evicted.host()).contains("undo"),
        "no change of the template evicts"
    );
}

/// Returns the next steps for a container killed for memory, with this `ReplicaSet` and this Deployment.
fn memory_step(set: &Value, deployment: &Value) -> String {
    let host = Cluster::default()
        .host()
        .http_get(
            &apps("replicasets/customer-rs-transformer-9b75b488c"),
            200,
            set.to_string(),
        )
        .http_get(
            &apps("deployments/customer-rs-transformer"),
            200,
            deployment.to_string(),
        );
    let shown = message(&host, &readme_alert()).visible();
    let steps = shown.lines().skip_while(|line| !line.contains("*Memory"));
    let steps: Vec<&str> = steps.take_while(|line| !line.contains("BackOff")).collect();
    steps.join("\n")
}

#[test]
fn the_limit_is_said_to_be_set_only_where_it_is() {
    let set = set("42", "1.42.0", 52 * 60);
    let own = memory_step(&set, &deployment(2));
    assert!(
        own.starts_with("*Memory limit:* 512Mi, set in `deployment/customer-rs-transformer`, container rs-transformer, `resources.limits.memory`\n"),
        "{own}"
    );
    for (limit, said) in [
        (json!("1Gi"), "which has 1Gi"),
        (json!(null), "which has none"),
    ] {
        let mut other = set.clone();
        let container = &mut other["spec"]["template"]["spec"]["containers"][0];
        container["resources"]["limits"]["memory"] = limit;
        let step = memory_step(&other, &deployment(2));
        assert!(
            step.starts_with(&format!(
                "*Memory limit:* 512Mi, not from its workload's template, {said}: it was set in the pod, as by a VerticalPodAutoscaler\n"
            )),
            "{step}"
        );
    }
    let unread = status(
        Cluster::default().host(),
        &apps("replicasets/customer-rs-transformer-9b75b488c"),
        403,
    );
    let shown = message(&unread, &readme_alert()).visible();
    assert!(
        shown
            .contains("*Memory limit:* 512Mi, container rs-transformer, `resources.limits.memory`"),
        "{shown}"
    );
}

#[test]
fn what_an_operator_owns_is_changed_there() {
    let mut made = deployment(2);
    made["metadata"]["ownerReferences"] =
        json!([{ "controller": true, "kind": "Prometheus", "name": "k8s" }]);
    let steps = memory_step(&set("42", "1.42.0", 52 * 60), &made);
    assert!(
        steps.starts_with("*Memory limit:* 512Mi, container rs-transformer; `deployment/customer-rs-transformer` is made by Prometheus k8s: change the limit there\n"),
        "{steps}"
    );
    assert!(
        steps.contains("kubectl") && !steps.contains("undo"),
        "{steps}"
    );
}

#[test]
fn commands_name_their_cluster_if_its_name_is_plain() {
    let fence = |alert: &Alert, cluster: &str| {
        let host = Cluster::default()
            .host()
            .config(&format!("cluster.{cluster}.url"), URL);
        let shown = message(&host, alert).visible();
        let fence = shown.split("*Next:*\n```").nth(1).unwrap().to_owned();
        fence.lines().next().unwrap().to_owned()
    };
    for cluster in ["cluster-main", "arn:aws:eks:eu-west-1:1234:cluster/Prod_1"] {
        let alert = readme_alert().with_label("cluster", cluster);
        assert_eq!(fence(&alert, cluster), format!("# cluster {cluster}"));
    }
    for cluster in ["a;reboot", "$(reboot)", "a`reboot`", "-rf"] {
        let alert = readme_alert().with_label("cluster", cluster);
        let first = fence(&alert, cluster);
        assert!(first.starts_with("kubectl -n customer logs"), "{first}");
    }
    let without = readme_alert().with_label("cluster", "");
    let host = Cluster::default().host().config("kubernetes.url", URL);
    let shown = message(&host, &without).visible();
    assert!(shown.contains("```kubectl -n customer logs"), "{shown}");
}
