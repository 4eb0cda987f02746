//! The next steps: the memory limit and where it is set, and commands to copy. Only those that the findings support.

use handler_kit::kubernetes::{Container, LimitSource, Workload};
use handler_kit::prelude::*;

use crate::questions::{Found, PodState};

/// Verdicts that no change of the template explains.
const IS_NOT_ITS_DOING: [&str; 6] = [
    "evicted",
    "preempted",
    "pod-ended",
    "exit-unknown",
    "restarted",
    "restarted-with-pod",
];

/// Returns the verdict with its next steps.
pub(crate) fn steps(look: &Look<'_>, found: &Found, verdict: Verdict) -> Verdict {
    let Some(container) = &found.container else {
        return verdict;
    };
    let kind = verdict.kind.clone();
    let is_of_memory = matches!(kind.as_str(), "out-of-memory" | "killed");
    let workload = found.workload.as_ref();
    let verdict = verdict.next_if(memory_line(container, workload).filter(|_| is_of_memory));
    let place = look.place("pod").filter(|_| found.pod == PodState::Present);
    let Some((place, namespace)) = place.as_ref().and_then(|it| Some((it, it.namespace()?))) else {
        return verdict;
    };
    let verdict = commands(found, container, (namespace, place.name()), verdict);
    let of_change = workload.filter(|_| !IS_NOT_ITS_DOING.contains(&kind.as_str()));
    verdict.next_if(of_change.and_then(|it| it.undo(look, found.change.as_ref())))
}

fn commands(
    found: &Found,
    container: &Container,
    (namespace, pod): (&Name, &Name),
    verdict: Verdict,
) -> Verdict {
    let has_log = found.log.as_ref().is_some_and(|log| log.is_of_crash);
    let logs = match container.is_exit_present {
        true => "kubectl -n $namespace logs $pod -c $container",
        false => "kubectl -n $namespace logs $pod -c $container --previous",
    };
    let needs_description = matches!(
        verdict.kind.as_str(),
        "not-started"
            | "liveness-probe"
            | "startup-probe"
            | "post-start-hook"
            | "exit-not-on-record"
    );
    let names = [("namespace", namespace), ("pod", pod)];
    let logs = Name::of(&container.name)
        .filter(|_| has_log)
        .map(|name| Step::run(logs, &[names[0], names[1], ("container", &name)]));
    let describe = Step::run("kubectl -n $namespace describe pod $pod", &names);
    verdict
        .next_if(logs)
        .next_if(Some(describe).filter(|_| needs_description))
}

/// Returns the memory limit and where it is set; `None` if the container has none.
fn memory_line(container: &Container, workload: Option<&Workload>) -> Option<Line> {
    let limit = container.memory_limit.as_ref()?;
    let line = Line::new()
        .bold("Memory limit:")
        .text(format!(" {limit}, "));
    let name = &container.name;
    let object = workload.and_then(|workload| {
        let object = format!("{}/{}", workload.resource()?, Name::of(&workload.name)?);
        Some((object, workload.made_by.as_ref()))
    });
    let line = match (&container.limit_source, object) {
        (LimitSource::LimitRange, _) => {
            return Some(line.text("the default of a LimitRange of the namespace"));
        }
        (LimitSource::NotTemplate(template), _) => {
            let template = match template {
                Some(limit) => format!("which has {limit}"),
                None => "which has none".to_owned(),
            };
            return Some(line.text(format!(
                "not from its workload's template, {template}: it was set in the pod, as by a VerticalPodAutoscaler"
            )));
        }
        (LimitSource::Template, Some((object, Some(maker)))) => {
            let line = line.text(format!("container {name}; ")).code(object);
            return Some(line.text(format!(" is made by {maker}: change the limit there")));
        }
        (LimitSource::Template, Some((object, None))) => {
            line.text("set in ").code(object).text(", ")
        }
        (LimitSource::Pod, _) => line.text("set in the pod's specification, "),
        (LimitSource::Template, None) | (LimitSource::Unknown, _) => line,
    };
    Some(
        line.text(format!("container {name}, "))
            .code("resources.limits.memory"),
    )
}
