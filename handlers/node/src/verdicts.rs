//! What each combination of facts proves about a node. The table with the sources is in the README.

use handler_kit::kubernetes::{Condition, Events, Extent, List, Node, Pod, text};
use handler_kit::prelude::*;
use handler_kit::words;

use crate::pods;

/// Nodes and pods that are named.
pub(crate) const NAMED_MAX: usize = 3;
/// What changed longer ago is not said to be what changed.
const CHANGE_SECONDS_MAX: i64 = 2 * 3_600;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Taints with which something says that it takes the machine away, and what they say.
const TAKEN_AWAY: [(&str, &str); 7] = [
    (
        "node.cloudprovider.kubernetes.io/shutdown",
        "The cloud provider says that the machine is shut down",
    ),
    (OUT_OF_SERVICE, "A person marked the node as out of service"),
    (
        "ToBeDeletedByClusterAutoscaler",
        "The cluster autoscaler removes the node",
    ),
    ("karpenter.sh/disrupted", "Karpenter takes the node away"),
    (
        "aws-node-termination-handler/spot-itn",
        "AWS takes the spot instance back",
    ),
    (
        "aws-node-termination-handler/asg-lifecycle-termination",
        "Its auto scaling group ends the instance",
    ),
    (
        "cloud.google.com/impending-node-termination",
        "Google Cloud ends the machine",
    ),
];

/// What a kubelet that is not ready says, in its reason or its message, with the kind, the lead and the short form of the
/// verdict. The first that fits is used; the last fits all.
const NOT_READY: [(&[&str], &str, &str, &str); 5] = [
    (
        &["NetworkPluginNotReady", "NetworkReady=false"],
        "network-plugin",
        "Its network plugin is not ready",
        "network plugin not ready",
    ),
    (
        &["PLEG is not healthy"],
        "pleg",
        "The kubelet can't list its containers in time",
        "PLEG is not healthy",
    ),
    (
        &[
            "container runtime is down",
            "RuntimeReady=false",
            "container runtime status check",
        ],
        "runtime",
        "Its container runtime is not ready",
        "container runtime not ready",
    ),
    (
        &["node is shutting down"],
        "shutdown",
        "The node is shutting down",
        "shutting down",
    ),
    (
        &[],
        "not-ready",
        "Its kubelet reports that it is not ready",
        "not ready",
    ),
];

/// What an alert says of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    Readiness,
    Flapping,
    /// The condition: `MemoryPressure`.
    Pressure(String),
    /// The eviction signal: `memory.available`.
    Eviction(String),
    TooManyPods,
}

impl About {
    pub(crate) fn of(look: &Look<'_>) -> Self {
        let label = |name: &str| look.label(name).unwrap_or_default().to_owned();
        match look.alert().name.as_str() {
            "KubeNodeReadinessFlapping" => Self::Flapping,
            "KubeNodePressure" => Self::Pressure(label("condition")),
            "KubeNodeEviction" => Self::Eviction(label("eviction_signal")),
            "KubeletTooManyPods" => Self::TooManyPods,
            _ => Self::Readiness,
        }
    }

    pub(crate) fn is_readiness(&self) -> bool {
        matches!(self, Self::Readiness | Self::Flapping)
    }
}

/// The other nodes of the cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Others {
    pub(crate) not_ready: Vec<String>,
    pub(crate) all: usize,
}

/// What is known of a node.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) about: &'a About,
    pub(crate) name: &'a Name,
    pub(crate) node: &'a Node,
    pub(crate) events: &'a Events,
    pub(crate) pods: &'a List<Pod>,
    pub(crate) others: Option<Others>,
    /// How often its readiness changed within the last hour.
    pub(crate) changes: Option<f64>,
}

/// Returns the verdict.
pub(crate) fn of(facts: &Facts<'_>) -> Verdict {
    let verdict = match facts.about {
        About::Readiness => of_readiness(facts),
        About::Flapping => of_flapping(facts),
        About::Pressure(condition) => of_pressure(facts, condition),
        About::Eviction(signal) => of_eviction(facts, signal),
        About::TooManyPods => of_pods(facts),
    };
    let describe = Step::run("kubectl describe node $node", &[("node", facts.name)]);
    verdict.and_if(others(facts)).next(describe)
}

fn of_readiness(facts: &Facts<'_>) -> Verdict {
    let Some(ready) = facts.node.condition("Ready") else {
        let rest = "its status has no condition Ready, so its kubelet has never reported";
        return Verdict::proves("never-reported", "Its kubelet never reported", rest);
    };
    if ready.is_true == Some(true) {
        let rest = Line::from("its kubelet reports that it is ready");
        let rest = rest.lasting_if(", for ", ready.since);
        return Verdict::proves("ready-again", "It is ready again", rest).short("ready again");
    }
    if let Some(verdict) = of_taint(facts, &ready) {
        return verdict;
    }
    match ready.is_true {
        None => {
            let rest = Line::from("no report for ").then(time_since(&ready)).text(
                "; whether the machine, its network or the kubelet is down can't be told from the cluster",
            );
            let verdict = Verdict::proves("silent", "Its kubelet is silent", rest);
            stuck(facts, verdict.short("kubelet silent"))
        }
        Some(_) => of_message(&ready),
    }
}

/// Something says that it takes the machine away, and the node is not ready.
fn of_taint(facts: &Facts<'_>, ready: &Condition) -> Option<Verdict> {
    let node = facts.node;
    let has = |key: &str| {
        let mut taints = node.items("/spec/taints").iter();
        taints.any(|taint| text(taint, "/key") == Some(key))
    };
    if let Some((key, lead)) = TAKEN_AWAY.iter().find(|(key, _)| has(key)) {
        let rest = Line::from("it has the taint ")
            .code(key)
            .text(" and is not ready")
            .lasting_if(", for ", ready.since);
        let verdict = Verdict::proves("taken-away", lead, rest);
        return Some(match *key {
            // With this taint, the pods are deleted by force, so those of a StatefulSet are replaced elsewhere.
            OUT_OF_SERVICE => verdict,
            _ => stuck(facts, verdict),
        });
    }
    let deleted = node.moment("/metadata/deletionTimestamp")?;
    let finalizers = node.items("/metadata/finalizers").iter();
    let finalizers: Vec<&str> = finalizers.filter_map(|one| one.as_str()).collect();
    let rest = Line::from("for ").lasting(deleted);
    let rest = match finalizers.is_empty() {
        true => rest,
        false => rest.text(format!(
            ", and waits for {}",
            words::said(&finalizers.join(", "))
        )),
    };
    Some(Verdict::proves(
        "deleted",
        "The node is being deleted",
        rest,
    ))
}

/// Says which pods are not replaced while the kubelet is silent.
fn stuck(facts: &Facts<'_>, verdict: Verdict) -> Verdict {
    let is_stuck = |pod: &&Pod| {
        pods::is_active(pod)
            && pod
                .controller()
                .is_some_and(|(kind, _)| kind == "StatefulSet")
    };
    let stuck = facts.pods.iter().filter(is_stuck);
    let who = match stuck.clone().count() {
        0 => return verdict,
        1 => "A StatefulSet's pod is".to_owned(),
        many => format!("{many} pods of StatefulSets are"),
    };
    let names = words::few(stuck.map(|pod| pod.full_name()), NAMED_MAX);
    verdict.and(format!(
        "{who} not replaced until the node is back or deleted: {names}"
    ))
}

/// The kubelet reports that it is not ready, and why.
fn of_message(ready: &Condition) -> Verdict {
    let has = |part: &&str| ready.message.contains(part) || ready.reason.contains(part);
    let mut known = NOT_READY.iter();
    let known = known.find(|(parts, ..)| parts.is_empty() || parts.iter().any(has));
    let (_, kind, lead, short) = known.unwrap_or(&NOT_READY[NOT_READY.len() - 1]);
    let rest = Line::from(ready.said()).lasting_if(", for ", ready.since);
    Verdict::proves(kind, lead, rest).short(*short)
}

fn of_flapping(facts: &Facts<'_>) -> Verdict {
    let ready = facts.node.condition("Ready");
    let now = match ready.as_ref().map(|ready| ready.is_true) {
        Some(Some(true)) => Line::from("ready now"),
        Some(None) => Line::from("its kubelet is silent now"),
        _ => Line::from("not ready now"),
    };
    let now = now.lasting_if(", for ", ready.as_ref().and_then(|ready| ready.since));
    let (rest, short) = match facts.changes {
        Some(changes) => (
            Line::from(format!("{changes:.0} changes within the last hour, ")).then(now),
            format!("readiness changed {changes:.0} times in 1h"),
        ),
        None => (now, "readiness flaps".to_owned()),
    };
    let killed = facts.events.with_reason(&["SystemOOM"]);
    let killed =
        killed.map(|event| format!("The kernel killed processes for memory: {}", event.message));
    Verdict::proves("flapping", "Its readiness comes and goes", rest)
        .short(short)
        .and_if(killed)
}

/// Returns what a condition or an eviction signal says that the node is short of.
pub(crate) fn short_of(what: &str) -> &'static str {
    match what {
        "MemoryPressure" | "memory.available" => "memory",
        "allocatableMemory.available" => "the memory that pods may use",
        "DiskPressure" => "disk space or inodes",
        "nodefs.available" => "disk space",
        "nodefs.inodesFree" => "inodes",
        "imagefs.available" => "disk space for images",
        "imagefs.inodesFree" => "inodes for images",
        "containerfs.available" => "disk space for containers",
        "containerfs.inodesFree" => "inodes for containers",
        "PIDPressure" | "pid.available" => "process ids",
        _ => "a resource",
    }
}

fn of_pressure(facts: &Facts<'_>, kind: &str) -> Verdict {
    let what = short_of(kind);
    let Some(condition) = facts.node.condition(kind) else {
        let rest = format!("the node has no condition {kind} at present");
        return Verdict::unknown("pressure-unknown", &format!("It was short of {what}"), rest);
    };
    let rest = Line::from(condition.said()).lasting_if(", for ", condition.since);
    if condition.is_true != Some(true) {
        let lead = format!("It is no longer short of {what}");
        return Verdict::proves("pressure-over", &lead, rest);
    }
    let verdict = Verdict::proves("pressure", &format!("It is short of {what}"), rest)
        .short(format!("short of {what}"));
    match count_evicted(facts.pods) {
        0 if facts.pods.read == Extent::All => verdict.and("Kubernetes lists no evicted pod"),
        0 => verdict,
        count => verdict.and(format!(
            "Kubernetes lists {}",
            words::count(count, "evicted pod")
        )),
    }
}

fn of_eviction(facts: &Facts<'_>, signal: &str) -> Verdict {
    let what = short_of(signal);
    let rest = match count_evicted(facts.pods) {
        0 => Line::from("Kubernetes lists none of the evicted pods any more"),
        count => Line::from(format!(
            "Kubernetes lists {}",
            words::count(count, "evicted pod")
        )),
    };
    let rest = rest.text(", by the signal ").code(signal);
    Verdict::proves(
        "evictions",
        &format!("The kubelet evicts pods for lack of {what}"),
        rest,
    )
    .short(format!("evicts pods for lack of {what}"))
}

fn count_evicted(pods: &[Pod]) -> usize {
    pods.iter()
        .filter(|pod| pod.text("/status/reason") == Some("Evicted"))
        .count()
}

fn of_pods(facts: &Facts<'_>) -> Verdict {
    let count = facts.pods.iter().filter(|pod| pods::is_active(pod)).count();
    let at_least = match facts.pods.read {
        Extent::All => "",
        Extent::Part => "at least ",
        Extent::Nothing => {
            let rest = "its pods could not be counted";
            return Verdict::unknown(
                "pods-unknown",
                "It has nearly as many pods as it may have",
                rest,
            );
        }
    };
    let Some(most) = capacity(facts.node) else {
        let rest = format!(
            "it has {at_least}{count} pods, and its status does not say how many it may have"
        );
        return Verdict::unknown("pods-unknown", "It has many pods", rest);
    };
    let rest = format!(
        "{at_least}{count} of {most}; a pod that needs to run here waits once that is reached"
    );
    let lead = match count >= most {
        true => "It has as many pods as it may have",
        false => "It has nearly as many pods as it may have",
    };
    Verdict::proves("too-many-pods", lead, rest).short(format!("{at_least}{count} of {most} pods"))
}

/// Returns how many pods a node may have.
pub(crate) fn capacity(node: &Node) -> Option<usize> {
    node.text("/status/allocatable/pods")?.parse().ok()
}

/// Says how many other nodes are not ready.
fn others(facts: &Facts<'_>) -> Option<String> {
    let Others { not_ready, all } = facts.others.as_ref()?;
    match (not_ready.len(), all) {
        (_, 0) => None,
        (0, 1) => Some("The other node is ready".to_owned()),
        (0, all) => Some(format!("The other {all} nodes are ready")),
        (1, _) => Some(format!(
            "Another of the {} nodes is not ready either: {}",
            all + 1,
            not_ready[0]
        )),
        (count, _) => Some(format!(
            "{count} others of the {} nodes are not ready either: {}",
            all + 1,
            words::few(not_ready, NAMED_MAX)
        )),
    }
}

/// Kubernetes sets the condition some time after the last report.
fn time_since(condition: &Condition) -> Line {
    match condition.since {
        Some(since) => Line::from("at least ").lasting(since),
        None => Line::from("an unknown time"),
    }
}

/// Returns the node's state in a word or two: `NotReady, cordoned`.
pub(crate) fn state(node: &Node) -> String {
    let mut state = node.troubles();
    if state.is_empty() {
        state.push("Ready".to_owned());
    }
    if node.is("/spec/unschedulable") {
        state.push("cordoned".to_owned());
    }
    state.join(", ")
}

/// Returns what changed shortly before the alert: a restart of the machine, a cordon, or that the node is new.
pub(crate) fn changed(facts: &Facts<'_>, began: i64) -> Option<String> {
    let is_near = |at: &i64| (began - at).abs() <= CHANGE_SECONDS_MAX;
    let when = |at: i64| match at <= began {
        true => format!("{} before the alert began", words::between(at, began)),
        false => format!("{} after the alert began", words::between(began, at)),
    };
    let rebooted = facts
        .events
        .with_reason(&["Rebooted"])
        .and_then(|event| event.last);
    if let Some(at) = rebooted.filter(is_near) {
        return Some(format!("the machine was restarted {}", when(at)));
    }
    if let Some(at) = facts.node.created().filter(is_near) {
        return Some(format!("the node joined the cluster {}", when(at)));
    }
    let mut taints = facts.node.items("/spec/taints").iter();
    let cordon =
        taints.find(|taint| text(taint, "/key") == Some("node.kubernetes.io/unschedulable"))?;
    let at = handler_kit::kubernetes::moment(cordon, "/timeAdded").filter(is_near)?;
    Some(format!("the node was cordoned {}", when(at)))
}

/// Returns the verdict about a node that does not exist.
pub(crate) fn gone(name: &Name) -> Verdict {
    let how = format!("Kubernetes has no node {name}; it was deleted");
    Verdict::gone("node", how)
}
