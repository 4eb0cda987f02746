//! The pods of a node: which workloads they belong to, and which of them were evicted.

use std::collections::BTreeMap;

use handler_kit::kubernetes::{Extent, List, Pod};
use handler_kit::prelude::*;
use handler_kit::words;

/// The pods of a workload on the node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// `namespace/name`.
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) pods: usize,
    pub(crate) ready: usize,
}

/// Returns whether a pod still takes a place on its node.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !matches!(pod.text("/status/phase"), Some("Succeeded" | "Failed"))
}

/// Returns the workloads of the active pods: `StatefulSets` first, whose pods are not replaced elsewhere, then those with most
/// pods. Without the pods that every node has; if `all` are asked for, with them and by their number alone.
pub(crate) fn groups(pods: &[Pod], all: bool) -> Vec<Group> {
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_active(pod)) {
        let (kind, name) = workload(pod);
        if !all && matches!(kind, "DaemonSet" | "Node") {
            continue;
        }
        let namespace = pod.namespace();
        let name = format!("{}/{name}", namespace.as_deref().unwrap_or_default());
        let group = groups
            .entry((name.clone(), kind.to_owned()))
            .or_insert(Group {
                name,
                kind: kind.to_owned(),
                pods: 0,
                ready: 0,
            });
        group.pods += 1;
        group.ready += usize::from(pod.is_ready());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| {
        (
            !all && group.kind != "StatefulSet",
            std::cmp::Reverse(group.pods),
        )
    });
    groups
}

/// Returns the kind and the name of what made a pod; a Deployment is known only by its `ReplicaSet`.
fn workload(pod: &Pod) -> (&str, &str) {
    match pod.controller() {
        Some(("ReplicaSet", name)) => {
            let hash = pod.label("pod-template-hash");
            let base = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
            ("", base.unwrap_or(name))
        }
        Some((kind, name)) => (kind, name),
        None => ("Pod", pod.name()),
    }
}

/// Returns a workload as a line of the list: `shop/db (StatefulSet): 1 pod, 0 ready`.
pub(crate) fn line(group: &Group) -> Line {
    let kind = match group.kind.as_str() {
        "" => String::new(),
        kind => format!(" ({kind})"),
    };
    let pods = words::count(group.pods, "pod");
    Line::from(format!(
        "{}{kind}: {pods}, {} ready",
        group.name, group.ready
    ))
}

/// Returns the title of the list of workloads: `4 pods of 3 workloads on it, without those of DaemonSets`.
pub(crate) fn title(pods: &List<Pod>, groups: &[Group], all: bool) -> String {
    let at_least = match pods.read {
        Extent::All => "",
        Extent::Part | Extent::Nothing => "At least ",
    };
    let count = words::count(groups.iter().map(|group| group.pods).sum(), "pod");
    let workloads = words::count(groups.len(), "workload");
    let without = match all {
        true => "",
        false => ", without those of DaemonSets",
    };
    format!("{at_least}{count} of {workloads} on it{without}")
}

/// The evicted pods that are still in the API, the newest first, as lines of a list.
pub(crate) fn evicted(pods: &[Pod]) -> Vec<Line> {
    let is_evicted = |pod: &&Pod| pod.text("/status/reason") == Some("Evicted");
    let mut evicted: Vec<(Option<i64>, &Pod)> = pods
        .iter()
        .filter(is_evicted)
        .map(|pod| (ended(pod), pod))
        .collect();
    evicted.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let line = |(at, pod): (Option<i64>, &Pod)| {
        let why = pod.said("/status/message");
        let why = why.unwrap_or_else(|| "no reason given".to_owned());
        Line::from(pod.full_name())
            .ago_if(", ", at)
            .text(format!(": {why}"))
    };
    evicted.into_iter().map(line).collect()
}

/// Returns when a pod was ended: the newest change of its conditions, or its start.
fn ended(pod: &Pod) -> Option<i64> {
    let changes = pod
        .conditions()
        .into_iter()
        .filter_map(|condition| condition.since);
    changes.max().or_else(|| pod.moment("/status/startTime"))
}
