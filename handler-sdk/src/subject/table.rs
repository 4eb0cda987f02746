//! A table of what each alert is about and who exports its metric.

use crate::Alert;

/// The exporter of the metric that an alert is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exporter {
    /// kube-state-metrics: about Kubernetes objects.
    KubeStateMetrics,
    /// `node_exporter`: about its node.
    Node,
    /// The kubelet, with cAdvisor: about its node, and the pods and volumes on it.
    Kubelet,
    /// The blackbox exporter, or the API server for the API servers behind it: about the target of a probe.
    Probe,
    /// An operator that exports the state of its objects, for example cert-manager.
    Operator,
    /// The monitored application itself.
    Itself,
}

impl Exporter {
    /// Returns the exporter, by the labels that a scrape adds.
    pub(super) fn of(alert: &Alert) -> Self {
        let job = alert.label("job").unwrap_or_default();
        let container = alert.label("container").unwrap_or_default();
        if job.contains("kube-state-metrics") || container == "kube-state-metrics" {
            Self::KubeStateMetrics
        } else if job.contains("node-exporter")
            || job.contains("node_exporter")
            || container == "node-exporter"
        {
            Self::Node
        } else if job == "kubelet" || job.contains("cadvisor") {
            Self::Kubelet
        } else if job.contains("blackbox") || container == "blackbox-exporter" {
            Self::Probe
        } else {
            Self::Itself
        }
    }

    /// Returns whether its metrics are about something other than itself.
    pub(super) fn is_about_others(self) -> bool {
        self != Self::Itself
    }
}

/// What the alerts with certain names are about.
#[derive(Debug)]
pub(super) struct Row {
    /// Alertnames, separated by blanks; a `*` at the end matches any text.
    names: &'static str,
    /// The labels that can name the subject, the best first; empty if the alert is about the cluster as a whole.
    pub(super) things: &'static str,
    pub(super) exporter: Exporter,
}

const fn row(names: &'static str, things: &'static str, exporter: Exporter) -> Row {
    Row {
        names,
        things,
        exporter,
    }
}

/// The alerts of kube-prometheus (kubernetes-mixin, node-mixin, prometheus-mixin, alertmanager-mixin,
/// kube-state-metrics-mixin, prometheus-operator-mixin, Grafana), the etcd mixin, cert-manager-mixin and
/// blackbox-exporter-mixin. The first row that matches is used.
static ROWS: [Row; 22] = [
    row(
        "KubePodCrashLooping KubePodNotReady KubeContainerWaiting",
        "pod",
        Exporter::KubeStateMetrics,
    ),
    row("CPUThrottlingHigh", "pod", Exporter::Kubelet),
    row("KubeDeployment*", "deployment", Exporter::KubeStateMetrics),
    row(
        "KubeStatefulSet*",
        "statefulset",
        Exporter::KubeStateMetrics,
    ),
    row("KubeDaemonSet*", "daemonset", Exporter::KubeStateMetrics),
    row("KubeJob*", "job_name", Exporter::KubeStateMetrics),
    row("KubeCronJob*", "cronjob", Exporter::KubeStateMetrics),
    row(
        "KubeHpa*",
        "horizontalpodautoscaler hpa",
        Exporter::KubeStateMetrics,
    ),
    row(
        "KubePdb*",
        "poddisruptionbudget",
        Exporter::KubeStateMetrics,
    ),
    row(
        "KubeQuota*",
        "resourcequota namespace",
        Exporter::KubeStateMetrics,
    ),
    row(
        "KubePersistentVolumeErrors",
        "persistentvolume",
        Exporter::KubeStateMetrics,
    ),
    row(
        "KubePersistentVolume*",
        "persistentvolumeclaim",
        Exporter::Kubelet,
    ),
    row(
        "KubeAPIInstanceUnreachable KubeSchedulerInstanceUnreachable KubeControllerManagerInstanceUnreachable \
         KubeProxyInstanceUnreachable",
        "pod instance",
        Exporter::Itself,
    ),
    row("KubeClient*", "instance", Exporter::Itself),
    row("KubeAggregatedAPI*", "name", Exporter::Probe),
    row(
        "Watchdog InfoInhibitor KubeCPU* KubeMemory* KubeVersionMismatch KubeAPI* KubeStateMetrics* KubeletDown \
         KubeSchedulerDown KubeControllerManagerDown KubeProxyDown",
        "",
        Exporter::KubeStateMetrics,
    ),
    // KubeNodeNotReady and the like come from kube-state-metrics and carry its address as `instance`; the rest come from
    // the kubelet, whose address is the node's.
    row(
        "KubeNodeNotReady KubeNodePressure KubeNodeUnreachable KubeNodeReadinessFlapping",
        "node",
        Exporter::KubeStateMetrics,
    ),
    row("KubeNode* Kubelet*", "node instance", Exporter::Kubelet),
    row(
        "NodeFilesystem* NodeNetwork* NodeHighNumberConntrack* NodeTextFileCollector* NodeClock* NodeRAID* \
         NodeFileDescriptor* NodeCPU* NodeSystem* NodeMemory* NodeDisk* NodeBonding*",
        NODE_THINGS,
        Exporter::Node,
    ),
    row("CertManager*", "name", Exporter::Operator),
    row("Blackbox* ProbeFailed", PROBE_THINGS, Exporter::Probe),
    // Prometheus, Alertmanager and their operator report on themselves; a cluster of them is one service.
    row(
        "AlertmanagerCluster* AlertmanagerConfigInconsistent TargetDown GrafanaRequestsFailing \
         PrometheusOperator* etcdMembersDown etcdInsufficientMembers",
        "pod service job controller",
        Exporter::Itself,
    ),
];

/// The labels that can name the subject of an alert that is not in the table, the best first.
pub(super) const THINGS: &str = "poddisruptionbudget horizontalpodautoscaler hpa persistentvolumeclaim cronjob job_name \
     deployment statefulset daemonset rollout replicaset replicationcontroller ingress workload pod persistentvolume \
     node service instance";
/// The labels that name a node, for `node_exporter`'s alerts.
pub(super) const NODE_THINGS: &str = "node nodename instance";
/// The labels that name the target of a probe.
pub(super) const PROBE_THINGS: &str = "instance target";

/// Returns the row of an alertname.
pub(super) fn row_of(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| {
        row.names
            .split_whitespace()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            })
    })
}

/// Returns whether the object that this label names is in no namespace.
pub(super) fn is_cluster_scoped(label: &str) -> bool {
    matches!(
        label,
        "node" | "nodename" | "persistentvolume" | "namespace"
    )
}
