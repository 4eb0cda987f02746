//! Answers `KubePodCrashLooping`: reads from Kubernetes why the pod crashes, and posts one Slack message about it.
//!
//! The README lists the settings, and the evidence for each verdict.

mod next;
mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::kubernetes::{Container, Workload};
use handler_kit::prelude::*;
use handler_kit::words;

use questions::{Found, PodState};

/// The handler.
#[derive(Debug)]
pub struct KubePodCrashLooping;

impl Answer for KubePodCrashLooping {
    const SUMMARY: &'static str =
        "Says why a pod crashes again and again: exit, what changed, events, log.";
    const ALERTS: &'static [&'static str] = &["KubePodCrashLooping"];
    const READS: Reads = Reads::Kubernetes;
    /// Pod, log (four at most), events and revisions (three pages each), `ReplicaSet`, Deployment, node.
    const CALLS_MAX: u32 = 14;
    const LOGS: bool = true;

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        report(look, found)
    }

    fn resolved(look: &Look<'_>) -> End {
        end(&Found::about_resolved(look))
    }
}

fn report(look: &Look<'_>, found: Found) -> Report {
    let verdict = verdicts::of(&found);
    let container = found.container.as_ref();
    let namespace = look.subject().namespace();
    let namespace = namespace.map(|name| format!("{name}/")).unwrap_or_default();
    let mut report = fields(look, &found).changed(look, found.change.as_ref());
    if let Some((verdict, container)) = verdict.as_ref().zip(container) {
        report = report
            // The container, since the pod's name has a random suffix.
            .who(format!("{namespace}{}", container.name))
            .what(format!(
                "{}, {} restarts",
                verdict.short, container.restarts
            ))
            .fact("crash.reason", &verdict.kind);
    } else {
        let said = look
            .summary()
            .unwrap_or("crash looping")
            .trim_end_matches('.');
        report = report.what(match found.pod {
            PodState::Gone => format!("{said} (the pod is gone)"),
            PodState::Replaced => format!("{said} (the pod was replaced)"),
            PodState::Present | PodState::Unknown => said.to_owned(),
        });
    }
    let verdict = verdict.map(|verdict| next::steps(look, &found, verdict));
    if look.label("reason") == Some("CrashLoopBackOff") {
        // Every alert of this name has this reason.
        report = report.without_label("reason");
    }
    let name = container.map(|container| container.name.clone());
    report
        .verdict(verdict)
        .events(found.events, name.as_deref())
        .log(found.log)
}

/// Returns a report with the fields and the facts.
fn fields(look: &Look<'_>, found: &Found) -> Report {
    let container = found.container.as_ref();
    let workload = found.workload.clone().or_else(|| Workload::of_labels(look));
    let exit = container.and_then(|container| container.last_exit.as_ref());
    let pod = look.label("pod").map(|pod| {
        let container = container.map(|container| container.name.as_str());
        match container.or_else(|| look.label("container")) {
            Some(container) => format!("{pod} / {container}"),
            None => pod.to_owned(),
        }
    });
    let exit_line = exit.map(|exit| {
        Line::from(format!("{} ({})", exit.reason, exit.code)).ago_if(", ", exit.finished)
    });
    let node = found.node.as_ref().map(|(name, troubles)| {
        let words = [std::slice::from_ref(name), troubles].concat();
        words.join(", ")
    });
    let image = container.and_then(|container| container.image.as_deref());
    let change = found.change.as_ref();
    let report = Report::new()
        .workload(found.workload.as_ref())
        .field_if("Workload", workload.as_ref().map(Workload::in_words))
        .field_if("Pod", pod)
        .field_if("Restarts", container.map(|it| it.restarts))
        .field_if("Last exit", exit_line)
        .field_if("Image", image.map(words::image_tag))
        .field_if("Node", node.as_deref().or_else(|| look.label("node")))
        .owner(found.owner.as_deref())
        .fact_if("crash.container", container.map(|it| &it.name))
        .fact_if("crash.restarts", container.map(|it| it.restarts))
        .fact_if("crash.exit_code", exit.map(|exit| exit.code))
        .fact_if("crash.exit_reason", exit.map(|exit| &exit.reason))
        .fact_if("image", image)
        .fact_if("node", found.node.as_ref().map(|(name, _)| name))
        .fact_if(
            "rollout.revision",
            change.and_then(|change| change.revision.as_ref()),
        );
    let facts = found.facts().into_iter();
    facts.fold(report, |report, (name, value)| report.fact(name, value))
}

/// Returns what became of the pod. An alert also ends if its pod no longer exists.
fn end(found: &Found) -> End {
    let end = match (found.pod, &found.container) {
        (PodState::Present, Some(container)) if container.is_ready => ready_again(container),
        (PodState::Present, Some(container)) => {
            let waits = container.waiting.as_ref();
            let waits = waits
                .map(|(reason, _)| format!(" ({reason})"))
                .unwrap_or_default();
            let rest = format!(" {} is still not ready{waits}.", container.name);
            End::not_fixed("not-ready", "not ready yet").says("Not ready yet:", rest)
        }
        (PodState::Present, None) => {
            End::unknown("The pod is there; its container's state is not known.")
        }
        (PodState::Gone, _) => End::gone("pod", "it was deleted or replaced"),
        (PodState::Replaced, _) => End::not_fixed("replaced", "the pod was replaced").says(
            "The pod was replaced",
            " by another of the same name, which is not the same as fixed.",
        ),
        (PodState::Unknown, _) => End::unknown("Whether the pod is ready was not found out."),
    };
    let end = found
        .facts()
        .into_iter()
        .fold(end, |end, (name, value)| end.fact(name, value));
    let workload = found.workload.as_ref();
    end.and_if(workload.and_then(Workload::readiness_in_words))
}

fn ready_again(container: &Container) -> End {
    let rest = Line::from(format!(" {} has been up", container.name))
        .lasting_if(" for ", container.running_since)
        .text(format!(", after {} restarts.", container.restarts));
    End::new("ready", "ready again").says("Ready again:", rest)
}

handler_kit::answers!(KubePodCrashLooping);
