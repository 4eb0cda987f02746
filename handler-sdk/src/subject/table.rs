//! Which alert is about what, and who exports its metric: one row for each kind of alert.

use crate::Alert;

/// Who exports the metric that an alert is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exporter {
    /// kube-state-metrics: about objects of Kubernetes.
    KubeStateMetrics,
    /// `node_exporter`: about its node.
    Node,
    /// The kubelet, with cAdvisor: about its node, and the pods and volumes on it.
    Kubelet,
    /// The blackbox exporter, or the API server about those behind it: about what it probes.
    Probe,
    /// An operator that exports the state of its objects, such as cert-manager.
    Operator,
    /// What is monitored exports it itself.
    Itself,
}

impl Exporter {
    /// Returns who exports it, by the labels that a scrape adds.
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

    /// Returns whether it speaks of something else than itself.
    pub(super) fn is_about_others(self) -> bool {
        self != Self::Itself
    }
}

/// What the alerts of some names are about.
#[derive(Debug)]
pub(super) struct Row {
    /// Alertnames; a `*` at the end stands for any text.
    names: &'static str,
    /// The labels that may name the thing, the best first; none if the alert is about the cluster as a whole.
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
/// blackbox-exporter-mixin. The first row that fits counts.
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
    // KubeNodeNotReady and its kin are kube-state-metrics' and carry its address as `instance`; the rest are the
    // kubelet's, whose address is the node's.
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
    // Prometheus, Alertmanager and their operator speak of themselves; a cluster of them is one service.
    row(
        "AlertmanagerCluster* AlertmanagerConfigInconsistent TargetDown GrafanaRequestsFailing \
         PrometheusOperator* etcdMembersDown etcdInsufficientMembers",
        "pod service job controller",
        Exporter::Itself,
    ),
];

/// What may name the thing of an alert that no row knows, the best first.
pub(super) const THINGS: &str = "poddisruptionbudget horizontalpodautoscaler hpa persistentvolumeclaim cronjob job_name \
     deployment statefulset daemonset rollout replicaset replicationcontroller ingress workload pod persistentvolume \
     node service instance";
/// What names a node, for `node_exporter`'s alerts.
pub(super) const NODE_THINGS: &str = "node nodename instance";
/// What names the target of a probe.
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

/// Returns whether what this label names is in no namespace.
pub(super) fn is_cluster_scoped(label: &str) -> bool {
    matches!(
        label,
        "node" | "nodename" | "persistentvolume" | "namespace"
    )
}
