//! The subject of every alert of kube-prometheus and the other mixins, with `honorLabels` on and off.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

type Labels = &'static [(&'static str, &'static str)];

/// The labels that the exporter's own target adds to an alert: none of them may be taken for the subject.
const STATE_METRICS: Labels = &[
    ("job", "kube-state-metrics"),
    ("pod", "exporter-kube-state-metrics-6f664bc8c4-5lwq6"),
    ("container", "kube-state-metrics"),
    ("service", "exporter-kube-state-metrics"),
    ("endpoint", "http"),
    ("instance", "10.42.1.28:8080"),
];
const NODE_EXPORTER: Labels = &[
    ("job", "node-exporter"),
    ("namespace", "exporter-monitoring"),
    ("pod", "exporter-node-exporter-x2lqk"),
    ("container", "node-exporter"),
    ("service", "exporter-node-exporter"),
    ("endpoint", "metrics"),
];
const KUBELET: Labels = &[
    ("job", "kubelet"),
    ("service", "exporter-kubelet"),
    ("endpoint", "https-metrics"),
    ("metrics_path", "/metrics"),
];

/// Alertnames, the labels that their rule keeps, the labels of the target, and the expected place.
const CASES: &[(&str, Labels, Labels, &str)] = &[
    (
        "KubePodCrashLooping KubeContainerWaiting",
        &[
            ("namespace", "shop"),
            ("pod", "web-0"),
            ("container", "app"),
            ("job", "kube-state-metrics"),
        ],
        &[],
        "shop/web-0",
    ),
    (
        "KubePodNotReady",
        &[
            ("namespace", "shop"),
            ("pod", "web-0"),
            ("job", "kube-state-metrics"),
        ],
        &[],
        "shop/web-0",
    ),
    (
        "KubeDeploymentGenerationMismatch KubeDeploymentReplicasMismatch KubeDeploymentRolloutStuck",
        &[("namespace", "shop"), ("deployment", "web")],
        STATE_METRICS,
        "shop/web",
    ),
    (
        "KubeStatefulSetReplicasMismatch KubeStatefulSetGenerationMismatch KubeStatefulSetUpdateNotRolledOut",
        &[("namespace", "shop"), ("statefulset", "db")],
        STATE_METRICS,
        "shop/db",
    ),
    (
        "KubeDaemonSetRolloutStuck KubeDaemonSetNotScheduled KubeDaemonSetMisScheduled",
        &[("namespace", "shop"), ("daemonset", "agent")],
        STATE_METRICS,
        "shop/agent",
    ),
    (
        "KubeJobNotCompleted KubeJobFailed KubeJobCompletion",
        &[("namespace", "shop"), ("job_name", "backup-1")],
        STATE_METRICS,
        "shop/backup-1",
    ),
    (
        "KubeCronJobRunning",
        &[("namespace", "shop"), ("cronjob", "backup")],
        STATE_METRICS,
        "shop/backup",
    ),
    (
        "KubeHpaReplicasMismatch KubeHpaMaxedOut",
        &[("namespace", "shop"), ("horizontalpodautoscaler", "web")],
        STATE_METRICS,
        "shop/web",
    ),
    (
        "KubePdbNotEnoughHealthyPods",
        &[("namespace", "shop"), ("poddisruptionbudget", "web")],
        STATE_METRICS,
        "shop/web",
    ),
    (
        "KubeQuotaAlmostFull KubeQuotaFullyUsed KubeQuotaExceeded",
        &[
            ("namespace", "shop"),
            ("resource", "pods"),
            ("resourcequota", "team"),
        ],
        STATE_METRICS,
        "shop/team",
    ),
    (
        "KubePersistentVolumeErrors",
        &[
            ("persistentvolume", "pvc-1"),
            ("phase", "Failed"),
            ("namespace", "exporter-monitoring"),
        ],
        STATE_METRICS,
        "pvc-1",
    ),
    (
        "KubePersistentVolumeFillingUp KubePersistentVolumeInodesFillingUp",
        &[
            ("namespace", "shop"),
            ("persistentvolumeclaim", "data-db-0"),
            ("node", "n1"),
            ("instance", "10.0.0.7:10250"),
        ],
        KUBELET,
        "shop/data-db-0",
    ),
    (
        "CPUThrottlingHigh",
        &[
            ("namespace", "shop"),
            ("pod", "web-0"),
            ("container", "app"),
        ],
        &[],
        "shop/web-0",
    ),
    (
        "KubeNodeNotReady KubeNodePressure KubeNodeUnreachable KubeNodeReadinessFlapping",
        &[
            ("node", "n1"),
            ("condition", "Ready"),
            ("namespace", "exporter-monitoring"),
        ],
        STATE_METRICS,
        "n1",
    ),
    (
        "KubeletTooManyPods KubeNodeEviction KubeletPlegDurationHigh KubeletPodStartUpLatencyHigh \
         KubeletClientCertificateExpiration KubeletServerCertificateExpiration KubeletClientCertificateRenewalErrors \
         KubeletServerCertificateRenewalErrors KubeletInstanceUnreachable",
        &[
            ("node", "n1"),
            ("instance", "10.0.0.7:10250"),
            ("namespace", "exporter-kube-system"),
        ],
        KUBELET,
        "n1",
    ),
    (
        "NodeFilesystemSpaceFillingUp NodeFilesystemAlmostOutOfSpace NodeFilesystemFilesFillingUp \
         NodeFilesystemAlmostOutOfFiles NodeNetworkReceiveErrs NodeNetworkTransmitErrs \
         NodeHighNumberConntrackEntriesUsed NodeTextFileCollectorScrapeError NodeClockSkewDetected \
         NodeClockNotSynchronising NodeRAIDDegraded NodeRAIDDiskFailure NodeFileDescriptorLimit NodeCPUHighUsage \
         NodeSystemSaturation NodeMemoryMajorPagesFaults NodeMemoryHighUtilization NodeDiskIOSaturation \
         NodeSystemdServiceFailed NodeSystemdServiceCrashlooping NodeBondingDegraded NodeNetworkInterfaceFlapping",
        &[
            ("instance", "10.0.0.7:9100"),
            ("device", "sda1"),
            ("mountpoint", "/var"),
        ],
        NODE_EXPORTER,
        "10.0.0.7:9100",
    ),
    (
        "AlertmanagerFailedReload AlertmanagerMembersInconsistent AlertmanagerFailedToSendAlerts \
         AlertmanagerClusterFailedPeers PrometheusBadConfig PrometheusSDRefreshFailure \
         PrometheusKubernetesListWatchFailures PrometheusNotificationQueueRunningFull \
         PrometheusErrorSendingAlertsToSomeAlertmanagers PrometheusNotConnectedToAlertmanagers \
         PrometheusTSDBReloadsFailing PrometheusTSDBCompactionsFailing PrometheusNotIngestingSamples \
         PrometheusDuplicateTimestamps PrometheusOutOfOrderTimestamps PrometheusRemoteStorageFailures \
         PrometheusRemoteWriteBehind PrometheusRemoteWriteDesiredShards PrometheusRuleFailures \
         PrometheusMissingRuleEvaluations PrometheusTargetLimitHit PrometheusLabelLimitHit \
         PrometheusScrapeBodySizeLimitHit PrometheusScrapeSampleLimitHit PrometheusTargetSyncFailure \
         PrometheusHighQueryLoad PrometheusErrorSendingAlertsToAnyAlertmanager ConfigReloaderSidecarErrors \
         PrometheusOperatorSyncFailed PrometheusOperatorNodeLookupErrors PrometheusOperatorRejectedResources \
         KubeAPIInstanceUnreachable KubeSchedulerInstanceUnreachable KubeControllerManagerInstanceUnreachable \
         KubeProxyInstanceUnreachable etcdNoLeader etcdMemberCommunicationSlow etcdHighFsyncDurations",
        &[
            ("namespace", "monitoring"),
            ("pod", "prometheus-k8s-0"),
            ("instance", "10.0.0.9:9090"),
            ("job", "it"),
        ],
        &[],
        "monitoring/prometheus-k8s-0",
    ),
    (
        "AlertmanagerClusterFailedToSendAlerts AlertmanagerConfigInconsistent AlertmanagerClusterDown \
         AlertmanagerClusterCrashlooping TargetDown",
        &[
            ("namespace", "monitoring"),
            ("service", "alertmanager-main"),
            ("job", "alertmanager-main"),
        ],
        &[],
        "monitoring/alertmanager-main",
    ),
    (
        "GrafanaRequestsFailing etcdMembersDown etcdInsufficientMembers",
        &[("namespace", "monitoring"), ("job", "grafana")],
        &[],
        "monitoring/grafana",
    ),
    (
        "PrometheusOperatorListErrors PrometheusOperatorWatchErrors PrometheusOperatorReconcileErrors \
         PrometheusOperatorStatusUpdateErrors PrometheusOperatorNotReady",
        &[("namespace", "monitoring"), ("controller", "alertmanager")],
        &[],
        "monitoring/alertmanager",
    ),
    (
        "KubeClientErrors KubeClientCertificateExpiration",
        &[("instance", "10.0.0.1:6443"), ("job", "apiserver")],
        &[],
        "10.0.0.1:6443",
    ),
    (
        "KubeAggregatedAPIErrors KubeAggregatedAPIDown",
        &[
            ("name", "v1beta1.metrics.k8s.io"),
            ("namespace", "exporter-default"),
        ],
        &[],
        "v1beta1.metrics.k8s.io",
    ),
    (
        "Watchdog InfoInhibitor KubeStateMetricsListErrors KubeStateMetricsWatchErrors \
         KubeStateMetricsShardingMismatch KubeStateMetricsShardsMissing KubeCPUOvercommit KubeMemoryOvercommit \
         KubeCPUQuotaOvercommit KubeMemoryQuotaOvercommit KubeVersionMismatch KubeAPIErrorBudgetBurn KubeAPIDown \
         KubeAPITerminatedRequests KubeletDown KubeSchedulerDown KubeControllerManagerDown KubeProxyDown",
        &[("namespace", "exporter-monitoring")],
        STATE_METRICS,
        "",
    ),
    (
        "CertManagerCertExpirySoon CertManagerCertNotReady",
        &[
            ("name", "shop-tls"),
            ("exported_namespace", "shop"),
            ("namespace", "exporter-cert-manager"),
            ("pod", "exporter-cert-manager-1"),
            ("container", "exporter-cert-manager-controller"),
            ("job", "cert-manager"),
        ],
        &[],
        "shop/shop-tls",
    ),
    (
        "BlackboxProbeFailed BlackboxSslCertificateWillExpireSoon ProbeFailed",
        &[
            ("instance", "https://shop.example.com"),
            ("job", "blackbox"),
            ("namespace", "exporter-monitoring"),
            ("pod", "exporter-blackbox-1"),
        ],
        &[],
        "https://shop.example.com",
    ),
];

fn alert(name: &str, parts: &[&[(&str, &str)]]) -> Alert {
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(Alert::new(name), |alert, (label, value)| {
            alert.with_label(*label, *value)
        })
}

#[track_caller]
fn check(alert: &Alert, place: &str) {
    let subject = alert.subject();
    assert_eq!(
        subject.place().as_deref().unwrap_or_default(),
        place,
        "{alert:?}"
    );
    let shown = format!("{:?} {:?}", subject.labels(), subject.silence_url(None));
    assert!(!shown.contains("exporter-"), "{}: {shown}", alert.name);
    assert!(
        !shown.contains("kube-state-metrics"),
        "{}: {shown}",
        alert.name
    );
}

#[test]
fn every_alert_of_kube_prometheus_is_about_its_thing() {
    for (names, labels, target, place) in CASES {
        for name in names.split_whitespace() {
            let mut alert = alert(name, &[labels, target]);
            alert.origin.external_url = Some("https://am.example".to_owned());
            check(&alert, place);
        }
    }
}

#[test]
fn without_honor_labels_the_exported_ones_count() {
    for (names, labels, target, place) in CASES {
        if *target != STATE_METRICS || labels.iter().any(|(name, _)| *name == "job") {
            continue;
        }
        for name in names.split_whitespace() {
            let renamed = labels.iter().map(|(label, value)| match *label {
                "namespace" if !value.starts_with("exporter-") => ("exported_namespace", *value),
                label => (label, *value),
            });
            let renamed: Vec<_> = renamed
                .chain([("namespace", "exporter-monitoring")])
                .collect();
            check(&alert(name, &[&renamed, target]), place);
        }
    }
}

#[test]
fn the_pod_behind_exported_labels_is_found() {
    let alert = alert(
        "KubePodCrashLooping",
        &[
            STATE_METRICS,
            &[
                ("namespace", "exporter-monitoring"),
                ("exported_namespace", "shop"),
                ("exported_pod", "checkout-6c9f8d7b5c-x2xkz"),
                ("exported_container", "app"),
            ],
        ],
    );
    check(&alert, "shop/checkout-6c9f8d7b5c-x2xkz");
    assert_eq!(alert.subject().label("container"), Some("app"));
    assert!(
        alert
            .subject()
            .is_misled("Pod exporter-monitoring/kube-state-metrics is waiting.")
    );
    assert!(!alert.subject().is_misled("Pod shop/checkout is waiting."));
    let own =
        Alert::new("KubeStateMetricsListErrors").with_label("container", "kube-state-metrics");
    assert!(!own.subject().is_misled("kube-state-metrics has errors."));
    assert_eq!(
        alert.subject().labels(),
        [
            ("namespace", "shop"),
            ("pod", "checkout-6c9f8d7b5c-x2xkz"),
            ("container", "app")
        ]
    );
}

#[test]
fn an_alert_that_no_row_knows_is_read_by_its_labels() {
    let own = |labels: &[(&str, &str)]| alert("Custom", &[labels]).subject().place();
    for (labels, place) in [
        (
            &[("namespace", "shop"), ("service", "web"), ("instance", "a")][..],
            "shop/web",
        ),
        (
            &[("namespace", "shop"), ("pod", "web-0"), ("node", "n1")],
            "shop/web-0",
        ),
        (&[("namespace", "shop")], "shop"),
        (
            &[
                ("instance", "10.0.0.7:9100"),
                ("job", "node-exporter"),
                ("pod", "x"),
                ("namespace", "m"),
            ],
            "10.0.0.7:9100",
        ),
        (
            &[
                ("pod", "web-0"),
                ("namespace", "shop"),
                ("job", "kube-state-metrics"),
            ],
            "shop/web-0",
        ),
    ] {
        assert_eq!(own(labels).as_deref(), Some(place), "{labels:?}");
    }
    check(
        &alert(
            "Custom",
            &[STATE_METRICS, &[("namespace", "shop"), ("rollout", "web")]],
        ),
        "shop/web",
    );
    check(
        &alert(
            "Custom",
            &[
                STATE_METRICS,
                &[("node", "n1"), ("namespace", "exporter-monitoring")],
            ],
        ),
        "n1",
    );
    assert_eq!(own(&[("team", "a")]), None);
}

#[test]
fn a_silence_covers_the_workload() {
    let filter = |alert: &Alert, workload| {
        let mut alert = alert.clone();
        alert.origin.external_url = Some("https://am.example/".to_owned());
        let url = alert.subject().silence_url(workload).unwrap();
        let filter = url.split_once("filter=").unwrap().1.to_owned();
        let encoded = [
            "%7B", "%7D", "%22", "%3D", "%2C", "%20", "%5B", "%5D", "%2B", "%5C", "%2F",
        ];
        encoded
            .iter()
            .zip(["{", "}", "\"", "=", ",", " ", "[", "]", "+", "\\", "/"])
            .fold(filter, |filter, (code, char)| filter.replace(code, char))
    };
    let pod = |name: &str| {
        alert(
            "KubePodCrashLooping",
            &[&[
                ("namespace", "shop"),
                ("pod", name),
                ("container", "app"),
                ("cluster", "c1"),
                ("severity", "page"),
            ]],
        )
    };
    let random = "[b-df-hj-np-tv-xz0-9]+";
    for (name, workload, pods) in [
        (
            "web-6c9f8d7b5c-x2xkz",
            None,
            format!("web-{random}-{random}"),
        ),
        (
            "web-6c9f8d7b5c-x2xkz",
            Some(("Deployment", "web")),
            format!("web-{random}-{random}"),
        ),
        ("db-0", Some(("StatefulSet", "db")), "db-[0-9]+".to_owned()),
        (
            "agent-x2lqk",
            Some(("DaemonSet", "agent")),
            format!("agent-{random}"),
        ),
        (
            "backup-28391234-x2lqk",
            Some(("CronJob", "backup")),
            format!("backup-[0-9]+-{random}"),
        ),
        (
            "a.b-6c9f8d7b5c-x2xkz",
            None,
            format!("a[.]b-{random}-{random}"),
        ),
    ] {
        assert_eq!(
            filter(&pod(name), workload),
            format!(
                "{{alertname=\"KubePodCrashLooping\", cluster=\"c1\", namespace=\"shop\", pod=~\"{pods}\"}}"
            )
        );
    }
    for (name, workload) in [
        ("etcd-n1", Some(("Node", "n1"))),
        ("alone", None),
        ("x-1", Some(("Kafka", "y"))),
    ] {
        assert!(
            filter(&pod(name), workload).ends_with(&format!("pod=\"{name}\"}}")),
            "{name}"
        );
    }
    let disk = alert(
        "NodeFilesystemSpaceFillingUp",
        &[
            NODE_EXPORTER,
            &[
                ("instance", "a:9100"),
                ("mountpoint", "/var"),
                ("region", "x"),
            ],
        ],
    );
    assert_eq!(
        filter(&disk, None),
        r#"{alertname="NodeFilesystemSpaceFillingUp", instance="a%3A9100", mountpoint="/var"}"#
    );
    let exported = pod("exporter-1").with_label("exported_pod", "web-6c9f8d7b5c-x2xkz");
    assert!(filter(&exported, None).contains(&format!("exported_pod=~\"web-{random}-{random}\"")));
    let odd = Alert::new("A\"\\\u{1}").with_label("team", "x");
    assert!(
        filter(&odd, None).starts_with(r#"{alertname="A\"\\\u0001""#),
        "{}",
        filter(&odd, None)
    );
}

#[test]
fn a_pods_name_tells_its_deployment() {
    assert_eq!(
        workload_of_pod("customer-rs-transformer-9b75b488c-cpfd7"),
        Some("customer-rs-transformer")
    );
    for other in ["db-0", "node-exporter-x2lqk", "", "-9b75b488c-cpfd7"] {
        assert_eq!(workload_of_pod(other), None, "{other}");
    }
}
