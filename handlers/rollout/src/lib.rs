//! Answers the alerts about a Deployment, a `StatefulSet`, a `DaemonSet` or a `PodDisruptionBudget` that lacks healthy pods: says
//! which pod is the worst and why, and what the rollout changed.
//!
//! The README lists what it reads, and the evidence for each verdict.

mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::kubernetes::Workload;
use handler_kit::prelude::*;
use handler_kit::words;

use questions::Found;

/// The handler.
#[derive(Debug)]
pub struct Rollout;

impl Answer for Rollout {
    const SUMMARY: &'static str =
        "Says why a workload lacks healthy pods: the worst pod, what the rollout changed.";
    const ALERTS: &'static [&'static str] = &[
        "KubeDeploymentReplicasMismatch",
        "KubeDeploymentRolloutStuck",
        "KubeDeploymentGenerationMismatch",
        "KubeStatefulSetReplicasMismatch",
        "KubeStatefulSetGenerationMismatch",
        "KubeStatefulSetUpdateNotRolledOut",
        "KubeDaemonSetRolloutStuck",
        "KubeDaemonSetNotScheduled",
        "KubeDaemonSetMisScheduled",
        "KubePdbNotEnoughHealthyPods",
    ];
    const READS: Reads = Reads::Kubernetes;
    /// Workload, its events, its pods and its revisions (three pages each); of one pod, events (three pages), node and log
    /// (four at most).
    const CALLS_MAX: u32 = 18;
    const LOGS: bool = true;

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        report(look, found)
    }

    fn resolved(look: &Look<'_>) -> End {
        verdicts::end(&questions::subject(look))
    }
}

fn report(look: &Look<'_>, found: Found) -> Report {
    let verdict = verdicts::of(look, &found);
    let Some(object) = found.object.found() else {
        return Report::new().verdict(verdict);
    };
    let workload = Workload::of(&object);
    let pod = found.worst.as_ref().map(|pod| {
        let place = pod.text("/spec/nodeName");
        let on = place.map(|node| format!(" on {node}")).unwrap_or_default();
        format!("{}{on}", pod.name())
    });
    let container = found.trouble.container.as_ref();
    let restarts = container.filter(|it| it.restarts > 0);
    let has_warnings = found.trouble.events.warnings().next().is_some();
    let name = container.map(|it| it.name.clone());
    let events = match has_warnings {
        true => found.trouble.events.clone(),
        false => found.events,
    };
    let ready = workload
        .ready
        .map(|(ready, wanted)| format!("{ready}/{wanted}"));
    Report::new()
        .workload(&workload)
        .field(object.kind(), verdicts::counts(&object))
        .field_if("Worst pod", pod)
        .field_if(
            "Restarts",
            restarts.map(|it| format!("{} of {}", it.restarts, it.name)),
        )
        .field_if(
            "Image",
            container
                .and_then(|it| it.image.as_deref())
                .map(words::image_tag),
        )
        .field_if("Made by", workload.made_by.as_deref())
        .owner(object.owner())
        // They say which series the rule looked at.
        .without_label("condition")
        .without_label("status")
        .fact("workload", workload.as_fact())
        .fact_if("workload.ready", ready)
        .changed(look, found.change.as_ref())
        .verdict(verdict)
        .events(events, name.as_deref())
        .log(found.trouble.log)
}

handler_kit::answers!(Rollout);
