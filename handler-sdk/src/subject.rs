//! The subject of an alert: what it is about, as opposed to the exporter of its metric.
//!
//! A metric that kube-state-metrics or `node_exporter` exports about another object also carries the labels of the
//! exporter's own pod. If `honorLabels` is off, the labels of the object are called `exported_…`. [`Subject`] separates
//! the two by the alert's name and labels, for all alerts of kube-prometheus and for unknown ones.

mod silence;
mod table;
#[cfg(test)]
mod tests;

use crate::Alert;
use crate::storm::Storm;
use table::{Exporter, Row};

pub use silence::workload_of_pod;

/// Labels that say nothing about the subject: the alert's name and severity (shown elsewhere), the Prometheus that sent
/// it, and the path of the target that was scraped.
const NEVER_SHOWN: [&str; 11] = [
    "alertname",
    "severity",
    "priority",
    "endpoint",
    "prometheus",
    "prometheus_replica",
    "replica",
    "uid",
    "fingerprint",
    "metrics_path",
    "id",
];

/// Labels that distinguish alerts of one name, the most distinctive first.
const TELLING: [&str; 31] = [
    "cluster",
    "namespace",
    "deployment",
    "statefulset",
    "daemonset",
    "rollout",
    "cronjob",
    "job_name",
    "persistentvolumeclaim",
    "persistentvolume",
    "horizontalpodautoscaler",
    "poddisruptionbudget",
    "resourcequota",
    "workload",
    "name",
    "pod",
    "container",
    "service",
    "node",
    "instance",
    "device",
    "mountpoint",
    "condition",
    "eviction_signal",
    "resource",
    "reason",
    "region",
    "team",
    "owner",
    "phase",
    "job",
];

/// The subject of an alert.
///
/// ```
/// use handler_sdk::Alert;
///
/// // kube-state-metrics reports that a Deployment lacks pods; `pod` and `container` are its own labels.
/// let alert = Alert::new("KubeDeploymentReplicasMismatch")
///     .with_label("job", "kube-state-metrics")
///     .with_label("namespace", "kube-system")
///     .with_label("deployment", "metrics-server")
///     .with_label("pod", "kube-state-metrics-6f664bc8c4-5lwq6")
///     .with_label("container", "kube-state-metrics");
/// let subject = alert.subject();
/// assert_eq!(subject.place().as_deref(), Some("kube-system/metrics-server"));
/// assert_eq!(subject.kind(), Some("deployment"));
/// assert_eq!(subject.label("pod"), None);
/// ```
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    alert: &'a Alert,
    exporter: Exporter,
    row: Option<&'static Row>,
    /// True if the labels `pod` and `container` are the exporter's.
    is_pod_exporters: bool,
    /// True if the label `namespace` is the exporter's.
    is_namespace_exporters: bool,
    /// The label that names the subject, and its value.
    thing: Option<(&'static str, &'a str)>,
}

impl Alert {
    /// Returns the subject of the alert.
    pub fn subject(&self) -> Subject<'_> {
        Subject::of(self)
    }
}

impl<'a> Subject<'a> {
    fn of(alert: &'a Alert) -> Self {
        let row = table::row_of(&alert.name);
        let exporter = row.map_or_else(|| Exporter::of(alert), |row| row.exporter);
        let mut subject = Self {
            alert,
            exporter,
            row,
            is_pod_exporters: false,
            is_namespace_exporters: false,
            thing: None,
        };
        subject.is_pod_exporters = subject.pod_is_exporters();
        subject.thing = subject.find_thing();
        subject.is_namespace_exporters = subject.namespace_is_exporters();
        subject
    }

    /// Returns the label that names the subject: `deployment`, `job_name`, `node`.
    pub fn kind(&self) -> Option<&'static str> {
        Some(self.thing?.0)
    }

    /// Returns the name of the subject.
    pub fn name(&self) -> Option<&'a str> {
        Some(self.thing?.1)
    }

    /// Returns the namespace of the subject; `None` if it is in no namespace, whatever the exporter's namespace is.
    pub fn namespace(&self) -> Option<&'a str> {
        match self.kind() {
            Some(kind) if table::is_cluster_scoped(kind) => None,
            _ => self.label("namespace"),
        }
    }

    /// Returns a label of the subject: `exported_pod` before `pod`; `None` if the label is the exporter's own.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let alert: &'a Alert = self.alert;
        self.exported(name)
            .or_else(|| alert.label(name).filter(|_| !self.is_exporters(name)))
    }

    /// Returns the place as text: `namespace/name`, the name, or the namespace; `None` if the alert names nothing.
    pub fn place(&self) -> Option<String> {
        match (self.namespace(), self.name()) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (None, Some(one)) | (Some(one), None) => Some(one.to_owned()),
            (None, None) => None,
        }
    }

    /// Returns the labels that distinguish the alert from others of its name, the most distinctive first: without the
    /// exporter's own, and with `exported_pod` as `pod`.
    pub fn labels(&self) -> Vec<(&'a str, &'a str)> {
        let alert: &'a Alert = self.alert;
        let rank = |name: &str| {
            TELLING
                .iter()
                .position(|known| *known == name)
                .unwrap_or(TELLING.len())
        };
        let mut labels: Vec<(&str, &str)> = alert
            .labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| match name.strip_prefix("exported_") {
                Some(plain) => Some((plain, value.as_str())),
                None if self.exported(name).is_some() || self.is_exporters(name) => None,
                None => Some((name.as_str(), value.as_str())),
            })
            .filter(|(name, _)| !NEVER_SHOWN.contains(name) && !name.starts_with("__"))
            .collect();
        labels.sort_unstable_by_key(|(name, _)| (rank(name), *name));
        labels
    }

    /// Returns the labels of the subject that all alerts of a storm have in common, by their names in the alert.
    pub(crate) fn shared_labels(&self, storm: &Storm<'_>) -> Vec<(&'a str, &'a str)> {
        let alert: &'a Alert = self.alert;
        let labels = self.labels().into_iter();
        labels
            .filter_map(|(name, value)| {
                let is_it =
                    |known: &str| known == name || known.strip_prefix("exported_") == Some(name);
                let mut given = alert.labels.iter();
                let (name, _) = given.find(|(known, v)| v == value && is_it(known))?;
                Some((name.as_str(), value))
            })
            .filter(|(name, value)| storm.shared_label(name) == Some(value))
            .collect()
    }

    /// Returns whether a label, by its name in the alert, describes the subject and not the exporter.
    pub(crate) fn describes(&self, label: &str) -> bool {
        let name = label.strip_prefix("exported_").unwrap_or(label);
        let is_replaced = name == label && self.exported(name).is_some();
        let is_hidden = is_replaced || (name == label && self.is_exporters(name));
        !is_hidden && !NEVER_SHOWN.contains(&name) && !name.starts_with("__")
    }

    /// Returns whether a text names the exporter's pod instead of the subject: a rule that was not written for
    /// `exported_…` labels puts the exporter's into its annotations.
    pub fn is_misled(&self, text: &str) -> bool {
        let mentions = |value: &str| {
            text.split(|char: char| !char.is_alphanumeric() && !matches!(char, '-' | '.'))
                .any(|word| word.trim_matches('.') == value)
        };
        ["pod", "container"].iter().any(|name| {
            let exporters = self.alert.label(name).filter(|value| {
                self.exported(name)
                    .is_some_and(|exported| exported != *value)
            });
            exporters.is_some_and(mentions)
        })
    }

    fn exported(&self, name: &str) -> Option<&'a str> {
        let alert: &'a Alert = self.alert;
        alert
            .labels
            .iter()
            .find(|(known, value)| {
                known.strip_prefix("exported_") == Some(name) && !value.is_empty()
            })
            .map(|(_, value)| value.as_str())
    }

    /// Returns whether the label of this name is the exporter's own.
    fn is_exporters(&self, name: &str) -> bool {
        match name {
            "pod" | "container" => self.is_pod_exporters,
            "namespace" => self.is_namespace_exporters,
            "job" | "service" | "endpoint" | "metrics_path" => self.exporter.is_about_others(),
            // The address of node_exporter, the kubelet or a probe belongs to the subject; that of kube-state-metrics does
            // not.
            "instance" => matches!(
                self.exporter,
                Exporter::KubeStateMetrics | Exporter::Operator
            ),
            _ => false,
        }
    }

    fn pod_is_exporters(&self) -> bool {
        let knows_pods = |row: &Row| row.things.split(' ').any(|thing| thing == "pod");
        match self.exporter {
            Exporter::Node | Exporter::Probe | Exporter::Operator => true,
            Exporter::KubeStateMetrics | Exporter::Kubelet => {
                let is_shadowed = ["namespace", "pod", "container"]
                    .iter()
                    .any(|name| self.exported(name).is_some());
                is_shadowed
                    || match self.row {
                        Some(row) => !knows_pods(row),
                        None => self.looks_like_the_exporter() || self.has_a_thing_beside_its_pod(),
                    }
            }
            Exporter::Itself => false,
        }
    }

    /// Returns whether an alert that is not in the table, about metrics of kube-state-metrics, has the exporter's pod in its
    /// labels: it does if the metric itself names no pod.
    fn looks_like_the_exporter(&self) -> bool {
        self.exporter == Exporter::KubeStateMetrics
            && (self.alert.label("container") == Some("kube-state-metrics")
                || self
                    .alert
                    .label("pod")
                    .is_some_and(|pod| pod.contains("kube-state-metrics")))
    }

    fn has_a_thing_beside_its_pod(&self) -> bool {
        self.exporter == Exporter::KubeStateMetrics
            && table::THINGS
                .split(' ')
                .take_while(|thing| *thing != "pod")
                .any(|thing| self.alert.label(thing).is_some())
    }

    fn namespace_is_exporters(&self) -> bool {
        match self.exporter {
            Exporter::Node | Exporter::Probe => true,
            Exporter::KubeStateMetrics | Exporter::Kubelet | Exporter::Operator => {
                self.kind()
                    .is_some_and(|kind| kind != "namespace" && table::is_cluster_scoped(kind))
                    || self.row.is_some_and(|row| row.things.is_empty())
            }
            Exporter::Itself => false,
        }
    }

    fn find_thing(&self) -> Option<(&'static str, &'a str)> {
        let first = |things: &'static str| {
            things
                .split(' ')
                .filter(|thing| !thing.is_empty())
                .find_map(|thing| Some((thing, self.label(thing)?)))
        };
        match (self.row, self.exporter) {
            (Some(row), _) if row.things.is_empty() => None,
            (Some(row), _) => first(row.things).or_else(|| first(table::THINGS)),
            (None, Exporter::Node) => first(table::NODE_THINGS),
            (None, Exporter::Probe) => first(table::PROBE_THINGS),
            (None, _) => first(table::THINGS),
        }
    }
}
