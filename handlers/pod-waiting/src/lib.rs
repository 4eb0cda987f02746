//! Answers `KubePodNotReady` and `KubeContainerWaiting`: says what a pod waits for.
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
pub struct PodWaiting;

impl Answer for PodWaiting {
    const SUMMARY: &'static str =
        "Says what a pod waits for: a node, its image, a volume, a probe, an init container.";
    const ALERTS: &'static [&'static str] = &["KubePodNotReady", "KubeContainerWaiting"];
    const READS: Reads = Reads::Kubernetes;
    /// Pod, events (three pages), node, log (four at most), owners (two), revisions (three pages).
    const CALLS_MAX: u32 = 14;
    const LOGS: bool = true;

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        report(look, found)
    }

    fn resolved(look: &Look<'_>) -> End {
        let (pod, owners) = questions::about_resolved(look);
        let workload = owners.workload.as_ref();
        verdicts::end(&pod).and_if(workload.and_then(Workload::readiness_in_words))
    }
}

fn report(look: &Look<'_>, found: Found) -> Report {
    let verdict = verdicts::of(&found);
    let is_unscheduled = verdict
        .as_ref()
        .is_some_and(|it| it.kind == "unschedulable");
    let pod = found.pod.found();
    let container = found.trouble.container.as_ref();
    let status = pod.as_ref().and_then(|pod| {
        let phase = Line::from(pod.text("/status/phase")?);
        Some(phase.text(", created ").ago(pod.created()?))
    });
    let state = container.map(|it| match &it.waiting {
        Some((reason, _)) => format!("{}: {reason}", it.name),
        None => it.name.clone(),
    });
    let image = container.and_then(|it| it.image.as_deref());
    let node = pod.as_ref().and_then(|pod| pod.text("/spec/nodeName"));
    let workload = found
        .owners
        .workload
        .clone()
        .or_else(|| Workload::of_labels(look));
    let asked = pod.as_ref().filter(|_| is_unscheduled);
    let name = container.map(|it| it.name.clone());
    Report::new()
        .workload(found.owners.workload.as_ref())
        .field_if("Workload", workload.as_ref().map(Workload::in_words))
        .field_if("Pod", look.label("pod"))
        .field_if("Status", status)
        .field_if("Container", state)
        .field_if("Image", image.map(words::image_tag))
        .field_if("Requests", asked.and_then(verdicts::requests))
        .field_if("Node", node)
        .owner(
            pod.as_ref()
                .and_then(|pod| pod.owner())
                .or(found.owners.owner.as_deref()),
        )
        .fact_if("workload", workload.as_ref().map(Workload::as_fact))
        .fact_if("node", node)
        .changed(look, found.change.as_ref())
        .verdict(verdict)
        .events(found.trouble.events, name.as_deref())
        .log(found.trouble.log)
}

handler_kit::answers!(PodWaiting);
