//! The rules that most clusters have, with the labels that their expressions leave: what a test alert has to look like.
//!
//! Names and labels are those of kubernetes-mixin, node-mixin, prometheus-mixin, cert-manager-mixin, blackbox-exporter-mixin
//! and kube-prometheus (2026). The values are examples.

/// A rule of a mixin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The alertname.
    pub(super) name: &'static str,
    pub(super) severity: &'static str,
    /// The annotation `summary`.
    pub(super) summary: &'static str,
    /// Its labels but `alertname` and `severity`, with example values.
    pub(super) labels: Labels,
}

type Labels = &'static [(&'static str, &'static str)];

/// Returns the rule with this alertname.
pub(super) fn named(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

const NAMESPACE: (&str, &str) = ("namespace", "shop");
const POD: (&str, &str) = ("pod", "checkout-7d9c6b5f4-x2x8k");
const CONTAINER: (&str, &str) = ("container", "app");
const DEPLOYMENT: Labels = &[NAMESPACE, ("deployment", "checkout")];
const STATEFULSET: Labels = &[NAMESPACE, ("statefulset", "orders-db")];
const DAEMONSET: Labels = &[("namespace", "kube-system"), ("daemonset", "node-agent")];
const JOB: Labels = &[NAMESPACE, ("job_name", "nightly-report-29312400")];
const AUTOSCALER: Labels = &[NAMESPACE, ("horizontalpodautoscaler", "checkout")];
const CLAIM: Labels = &[NAMESPACE, ("persistentvolumeclaim", "data-orders-db-0")];
const NODE: Labels = &[("node", "worker-3")];
const INSTANCE: (&str, &str) = ("instance", "10.0.0.7:9100");
const FILESYSTEM: Labels = &[
    INSTANCE,
    ("device", "/dev/nvme0n1p1"),
    ("mountpoint", "/var"),
];
const CERTIFICATE: Labels = &[("name", "shop-tls"), ("exported_namespace", "shop")];
const PROBE: Labels = &[
    ("instance", "https://shop.example.com"),
    ("job", "blackbox"),
];

const fn rule(
    name: &'static str,
    severity: &'static str,
    labels: Labels,
    summary: &'static str,
) -> Rule {
    Rule {
        name,
        severity,
        summary,
        labels,
    }
}

/// The rules, by what they are about.
#[rustfmt::skip]
pub(super) const RULES: [Rule; 46] = [
    rule("KubePodCrashLooping", "warning", &[NAMESPACE, POD, CONTAINER, ("reason", "CrashLoopBackOff")], "A pod is crash looping."),
    rule("KubePodNotReady", "warning", &[NAMESPACE, POD], "A pod has not been ready for 15 minutes."),
    rule("KubeContainerWaiting", "warning", &[NAMESPACE, POD, CONTAINER, ("reason", "ImagePullBackOff")], "A container has been waiting for an hour."),
    rule("KubeDeploymentReplicasMismatch", "warning", DEPLOYMENT, "A Deployment does not have its number of replicas."),
    rule("KubeDeploymentRolloutStuck", "warning", DEPLOYMENT, "The rollout of a Deployment makes no progress."),
    rule("KubeDeploymentGenerationMismatch", "warning", DEPLOYMENT, "A Deployment was changed, and the change was not rolled out."),
    rule("KubeStatefulSetReplicasMismatch", "warning", STATEFULSET, "A StatefulSet does not have its number of replicas."),
    rule("KubeStatefulSetUpdateNotRolledOut", "warning", STATEFULSET, "The update of a StatefulSet was not rolled out."),
    rule("KubeDaemonSetRolloutStuck", "warning", DAEMONSET, "The rollout of a DaemonSet makes no progress."),
    rule("KubeDaemonSetNotScheduled", "warning", DAEMONSET, "Pods of a DaemonSet are not scheduled."),
    rule("KubeDaemonSetMisScheduled", "warning", DAEMONSET, "Pods of a DaemonSet run on nodes where they should not."),
    rule("KubePdbNotEnoughHealthyPods", "warning", &[NAMESPACE, ("poddisruptionbudget", "checkout")], "A disruption budget has too few healthy pods."),
    rule("KubeJobFailed", "warning", JOB, "A Job has failed."),
    rule("KubeJobNotCompleted", "warning", JOB, "A Job has not completed in time."),
    rule("KubeHpaMaxedOut", "warning", AUTOSCALER, "An autoscaler has been at its maximum for 15 minutes."),
    rule("KubeHpaReplicasMismatch", "warning", AUTOSCALER, "An autoscaler does not reach the replicas that it wants."),
    rule("KubePersistentVolumeFillingUp", "critical", CLAIM, "A volume fills up."),
    rule("KubePersistentVolumeInodesFillingUp", "critical", CLAIM, "A volume runs out of inodes."),
    rule("KubePersistentVolumeErrors", "critical", &[("persistentvolume", "pvc-4f1c2d"), ("phase", "Failed")], "A volume cannot be provisioned."),
    rule("KubeNodeNotReady", "warning", NODE, "A node has not been ready for 15 minutes."),
    rule("KubeNodeUnreachable", "warning", NODE, "A node cannot be reached."),
    rule("KubeNodeReadinessFlapping", "warning", NODE, "A node changes between ready and not ready."),
    rule("KubeNodePressure", "info", &[("node", "worker-3"), ("condition", "MemoryPressure")], "A node is under pressure."),
    rule("KubeNodeEviction", "info", &[("node", "worker-3"), ("eviction_signal", "memory.available")], "A node evicts pods."),
    rule("KubeletTooManyPods", "info", NODE, "A node runs nearly as many pods as it can."),
    rule("KubeletDown", "critical", NODE, "Prometheus does not see the kubelet."),
    rule("NodeFilesystemSpaceFillingUp", "warning", FILESYSTEM, "A filesystem will be full within 24 hours."),
    rule("NodeFilesystemAlmostOutOfSpace", "critical", FILESYSTEM, "A filesystem has less than 3 % of its space left."),
    rule("NodeFilesystemFilesFillingUp", "warning", FILESYSTEM, "A filesystem will run out of inodes within 24 hours."),
    rule("NodeFilesystemAlmostOutOfFiles", "critical", FILESYSTEM, "A filesystem has less than 3 % of its inodes left."),
    rule("NodeMemoryHighUtilization", "warning", &[INSTANCE], "A host has used over 90 % of its memory for 15 minutes."),
    rule("NodeCPUHighUsage", "info", &[INSTANCE], "A host has used over 90 % of its CPU for 15 minutes."),
    rule("NodeSystemSaturation", "warning", &[INSTANCE], "The load per core of a host is high."),
    rule("NodeDiskIOSaturation", "warning", &[INSTANCE, ("device", "nvme0n1")], "The queue of a disk is long."),
    rule("TargetDown", "warning", &[("job", "checkout"), NAMESPACE, ("service", "checkout")], "Prometheus cannot scrape some targets of a job."),
    rule("PrometheusRuleFailures", "critical", &[("namespace", "monitoring"), ("pod", "prometheus-k8s-0"), ("rule_group", "k8s.rules")], "Prometheus fails to evaluate rules."),
    rule("PrometheusNotConnectedToAlertmanagers", "warning", &[("namespace", "monitoring"), ("pod", "prometheus-k8s-0")], "Prometheus is connected to no Alertmanager."),
    rule("etcdInsufficientMembers", "critical", &[("job", "etcd")], "A cluster of etcd has too few members."),
    rule("etcdNoLeader", "critical", &[("job", "etcd"), ("instance", "10.0.0.2:2381")], "A cluster of etcd has no leader."),
    rule("CertManagerCertExpirySoon", "warning", CERTIFICATE, "A certificate expires within 21 days."),
    rule("CertManagerCertNotReady", "critical", CERTIFICATE, "A certificate is not ready to serve."),
    rule("KubeClientCertificateExpiration", "critical", &[("job", "apiserver")], "A client certificate is about to expire."),
    rule("BlackboxSslCertificateWillExpireSoon", "warning", PROBE, "The certificate of a site expires soon."),
    rule("BlackboxProbeFailed", "critical", PROBE, "The probe of a site fails."),
    rule("ProbeFailed", "critical", PROBE, "The probe of a site fails."),
    rule("Watchdog", "none", &[], "Fires always, to show that alerting works."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_named_once_and_its_labels_are_named_once() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(
                RULES[..index].iter().all(|other| other.name != rule.name),
                "{}",
                rule.name
            );
            let names: Vec<_> = rule.labels.iter().map(|(name, _)| *name).collect();
            let mut once = names.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), names.len(), "{}", rule.name);
            assert!(
                !names.contains(&"alertname") && !names.contains(&"severity"),
                "{}",
                rule.name
            );
        }
    }
}
