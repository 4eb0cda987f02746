//! Answers `TargetDown`: says which targets are down, with the exact error of the last scrape, and what is wrong with the pod.
//!
//! The README lists what it asks, and the evidence for each verdict.

mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::kubernetes::Workload;
use handler_kit::prelude::*;

use questions::Found;

/// The handler.
#[derive(Debug)]
pub struct TargetDown;

impl Answer for TargetDown {
    const SUMMARY: &'static str =
        "Says which targets of a job are down, with the exact error of the scrape.";
    const ALERTS: &'static [&'static str] = &["TargetDown"];
    const READS: Reads = Reads::KubernetesAndPrometheus;
    /// `up`, scrape pools, targets (three at most), last up; of one pod: the pod, its trouble (eight at most), its owners (two)
    /// and revisions (three pages).
    const CALLS_MAX: u32 = 20;

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        let down = found.worst();
        let workload = found.owners.workload.as_ref();
        Report::new()
            .verdict(verdicts::of(&found))
            .field_if("Down", verdicts::listed(&found))
            .field_if("Pod", found.pod_name())
            .field_if("Node", down.map(|target| target.label("node")))
            .field_if("Last up", found.last_up.map(|at| Line::new().ago(at)))
            .field_if("Workload", workload.map(Workload::in_words))
            .owner(found.owners.owner.as_deref())
            .fact_if("targets.down", found.counts().map(|(down, _)| down))
            .changed(look, found.change.as_ref())
            .events(found.trouble.events, None)
    }

    fn resolved(look: &Look<'_>) -> End {
        verdicts::end(questions::up(look).as_deref())
    }
}

handler_kit::answers!(TargetDown);
