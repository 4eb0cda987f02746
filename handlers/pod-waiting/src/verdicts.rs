//! The verdict on a pod that is not ready, and how it ended.

use handler_kit::kubernetes::{Pod, text};
use handler_kit::prelude::*;

use crate::questions::Found;

/// Returns the verdict; `None` if the pod could not be read.
pub(crate) fn of(found: &Found) -> Option<Verdict> {
    match &found.pod {
        Read::Found(pod) => Some(found.trouble.verdict.clone().unwrap_or_else(|| ready(pod))),
        Read::Gone => {
            let how = "deleted or replaced since the alert began";
            Some(Verdict::gone("pod", how))
        }
        Read::Unknown => None,
    }
}

fn ready(pod: &Pod) -> Verdict {
    let since = pod.condition("Ready").and_then(|condition| condition.since);
    let rest = match since {
        Some(since) => Line::from("for ")
            .lasting(since)
            .text(", so the alert should end soon"),
        None => Line::from("the alert should end soon"),
    };
    Verdict::proves("ready", "It is ready by now", rest)
}

/// Returns what the containers of a pod request, which the scheduler looks for: `app: cpu 4, memory 32Gi`.
pub(crate) fn requests(pod: &Pod) -> Option<String> {
    let containers = pod.items("/spec/containers").iter();
    let asked = containers.filter_map(|container| {
        let requests = container["resources"]["requests"].as_object()?;
        let parts = requests.iter();
        let parts: Vec<String> = parts
            .filter_map(|(name, amount)| Some(format!("{name} {}", amount.as_str()?)))
            .collect();
        let name = text(container, "/name")?;
        (!parts.is_empty()).then(|| format!("{name}: {}", parts.join(", ")))
    });
    let asked: Vec<String> = asked.collect();
    (!asked.is_empty()).then(|| asked.join("; "))
}

/// Returns how the alert ended.
pub(crate) fn end(pod: &Read<Pod>) -> End {
    match pod {
        Read::Found(pod) if pod.is_ready() => {
            let since = pod.condition("Ready").and_then(|condition| condition.since);
            let rest = Line::new().lasting_if(" for ", since).text(".");
            End::new("ready", "ready").says("The pod is ready", rest)
        }
        Read::Found(pod) => match pod.text("/status/phase") {
            Some("Succeeded") => End::new("completed", "completed").says(
                "The pod has completed:",
                " its containers ended successfully.",
            ),
            phase => {
                let rest = format!(" the pod is {}.", phase.unwrap_or("in no phase"));
                End::not_fixed("not-ready", "not ready yet").says("Not ready yet:", rest)
            }
        },
        Read::Gone => End::gone("pod", "it was deleted or replaced"),
        Read::Unknown => End::unknown("Whether the pod is ready was not found out."),
    }
}
