//! The verdict on a workload that lacks healthy pods, and how it ended.

use handler_kit::kubernetes::{Extent, Object, Workload};
use handler_kit::prelude::*;

use crate::questions::Found;

/// Verdicts on a pod that a change of its template explains.
const OF_TEMPLATE: [&str; 7] = [
    "image",
    "configuration",
    "start",
    "crash-loop",
    "ended",
    "readiness-probe",
    "startup-probe",
];

/// Returns the verdict; `None` if the workload could not be read.
pub(crate) fn of(look: &Look<'_>, found: &Found) -> Option<Verdict> {
    let object = match &found.object {
        Read::Found(object) => object,
        Read::Gone => {
            let how = "it was deleted since the alert began";
            return Some(Verdict::gone("workload", how));
        }
        Read::Unknown => return None,
    };
    let of_alert = match look.alert().name.as_str() {
        "KubeDaemonSetMisScheduled" => misscheduled(object),
        "KubeStatefulSetUpdateNotRolledOut" => held_back(object),
        _ => None,
    };
    let verdict = of_alert
        .or_else(|| unseen(object))
        .or_else(|| paused(object))
        .or_else(|| {
            let verdict = of_pod(found, object)?;
            let undo = Workload::of(object).undo(look, found.change.as_ref());
            let is_of_template = OF_TEMPLATE.contains(&verdict.kind.as_str());
            Some(verdict.next_if(undo.filter(|_| is_of_template)))
        })
        .or_else(|| not_created(object, found))
        .or_else(|| held_back(object))
        .unwrap_or_else(|| of_counts(object, found));
    Some(verdict)
}

/// Returns how many pods there are: `1/3 ready, 2 updated`; of a budget, `1 healthy, 2 needed`.
pub(crate) fn counts(object: &Object) -> String {
    let count = |pointer: &str| object.count(pointer).unwrap_or(0);
    if object.kind() == "PodDisruptionBudget" {
        let (healthy, needed) = (
            count("/status/currentHealthy"),
            count("/status/desiredHealthy"),
        );
        return format!(
            "{healthy} healthy, {needed} needed of {}",
            count("/status/expectedPods")
        );
    }
    let (ready, wanted) = object.readiness().unwrap_or_default();
    let updated = object
        .count("/status/updatedReplicas")
        .or_else(|| object.count("/status/updatedNumberScheduled"));
    let updated = updated.map(|updated| format!(", {updated} updated"));
    format!("{ready}/{wanted} ready{}", updated.unwrap_or_default())
}

/// The controller has not acted on the last change of the specification.
fn unseen(object: &Object) -> Option<Verdict> {
    let wanted = object.count("/metadata/generation")?;
    let seen = object.count("/status/observedGeneration").unwrap_or(0);
    (seen < wanted).then(|| {
        let rest = format!("its controller has seen generation {seen} of {wanted}; is kube-controller-manager well?");
        Verdict::proves("not-observed", "Its last change is not acted upon", rest)
    })
}

fn paused(object: &Object) -> Option<Verdict> {
    let verdict = Verdict::proves("paused", "Its rollout is paused", "spec.paused is set")
        .short(format!("paused, {}", counts(object)));
    let resume = "kubectl -n $namespace rollout resume deployment/$name";
    let is_paused = object.is("/spec/paused");
    is_paused.then(|| verdict.next_if(object.command(resume)))
}

/// The worst pod, and why it is not ready.
fn of_pod(found: &Found, object: &Object) -> Option<Verdict> {
    let (pod, why) = found.worst.as_ref().zip(found.trouble.verdict.as_ref())?;
    let mut verdict = why.clone().within(&counts(object), pod.name());
    let is_ordered = object.kind() == "StatefulSet"
        && object.text("/spec/podManagementPolicy") != Some("Parallel");
    let is_updating =
        object.text("/status/updateRevision") != object.text("/status/currentRevision");
    if is_ordered && is_updating && found.pods.len() > 1 {
        verdict = verdict.and("Its pods are updated one after another, so the others wait");
    }
    Some(verdict)
}

/// The controller cannot make pods: a quota, an admission webhook, a missing service account.
fn not_created(object: &Object, found: &Found) -> Option<Verdict> {
    let condition = object.holds("ReplicaFailure");
    let message = condition.map(|condition| condition.message).or_else(|| {
        let event = found
            .events
            .with_reason(&["FailedCreate", "FailedPlacement"])?;
        Some(event.message.clone())
    })?;
    let short = format!("{}, pods can't be created", counts(object));
    Some(Verdict::proves("not-created", "Its pods can't be created", message).short(short))
}

/// The specification keeps a `StatefulSet` or `DaemonSet` from updating its pods.
fn held_back(object: &Object) -> Option<Verdict> {
    if object.text("/spec/updateStrategy/type") == Some("OnDelete") {
        let rest = "its update strategy is OnDelete: a pod is updated only when it is deleted";
        return Some(Verdict::proves(
            "on-delete",
            "It waits for its pods to be deleted",
            rest,
        ));
    }
    let partition = object.count("/spec/updateStrategy/rollingUpdate/partition")?;
    let is_partial = partition > 0 && counts_updated(object) < object.readiness()?.1;
    is_partial.then(|| {
        let rest =
            format!("its partition is {partition}: the pods with a lower ordinal are not updated");
        Verdict::proves("partition", "Its update is held back", rest)
    })
}

fn counts_updated(object: &Object) -> u64 {
    object.count("/status/updatedReplicas").unwrap_or(0)
}

fn misscheduled(object: &Object) -> Option<Verdict> {
    let count = object
        .count("/status/numberMisscheduled")
        .filter(|count| *count > 0)?;
    let rest = format!(
        "pods on nodes that its node selector, its affinity or a taint now excludes: {count}"
    );
    let verdict = Verdict::proves("misscheduled", "It runs where it should not", rest);
    Some(verdict.short(format!("misscheduled pods: {count}")))
}

/// No pod says why.
fn of_counts(object: &Object, found: &Found) -> Verdict {
    let (ready, wanted) = object.readiness().unwrap_or_default();
    let counts = counts(object);
    if object.kind() != "PodDisruptionBudget" && ready >= wanted && wanted > 0 {
        let rest = format!("{counts}; the alert should end soon");
        return Verdict::proves("ready", "Its pods are ready by now", rest);
    }
    let rest = match found.pods.read {
        Extent::All => format!("{counts}; no pod of it is unready, and no event gives a reason"),
        Extent::Part | Extent::Nothing => format!("{counts}; its pods could not all be read"),
    };
    Verdict::unknown("unknown", "Why it lacks pods is not known", rest).short(counts)
}

/// Returns how the alert ended.
pub(crate) fn end(object: &Read<Object>) -> End {
    let object = match object {
        Read::Found(object) => object,
        Read::Gone => return End::gone("workload", "it was deleted"),
        Read::Unknown => return End::unknown("Whether its pods are ready was not found out."),
    };
    let name = format!(" {} {}: {}.", object.kind(), object.name(), counts(object));
    let is_well = match object.readiness() {
        Some((ready, wanted)) => ready >= wanted && wanted > 0,
        None => object.count("/status/currentHealthy") >= object.count("/status/desiredHealthy"),
    };
    match (is_well, object.readiness()) {
        (true, _) => End::new("ready", "ready again").says("Ready again:", name),
        (false, Some((_, 0))) => End::not_fixed("scaled-down", "it was scaled down")
            .says("It was scaled to zero,", " which is not the same as fixed."),
        (false, _) => End::not_fixed("not-ready", "not all pods are ready")
            .says("Not all pods are ready:", name),
    }
}
