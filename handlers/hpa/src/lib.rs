//! Answers `KubeHpaMaxedOut` and `KubeHpaReplicasMismatch`: says which metric drives a `HorizontalPodAutoscaler`, and what limits
//! it.
//!
//! The README lists what it reads, and the evidence for each verdict.

mod metrics;
mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::kubernetes::Workload;
use handler_kit::prelude::*;

use questions::Found;

/// The handler.
#[derive(Debug)]
pub struct Hpa;

impl Answer for Hpa {
    const SUMMARY: &'static str = "Says which metric drives an autoscaler, and what limits it.";
    const ALERTS: &'static [&'static str] = &["KubeHpaMaxedOut", "KubeHpaReplicasMismatch"];
    const READS: Reads = Reads::Kubernetes;
    /// The autoscaler, its events (three pages), its workload, that one's revisions (three pages).
    const CALLS_MAX: u32 = 8;

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        let report = Report::new().verdict(verdicts::of(&found));
        let Read::Found(autoscaler) = &found.autoscaler else {
            return report;
        };
        let workload = found.workload.as_ref().map(Workload::of);
        let scaled = autoscaler.moment("/status/lastScaleTime");
        let replicas = verdicts::Replicas::of(autoscaler);
        let owner = found.workload.as_ref().and_then(|it| it.owner());
        report
            .workload(workload.as_ref())
            .place(autoscaler.full_name())
            .field_if("Replicas", replicas.map(|it| it.to_string()))
            .field("Metrics", metrics::in_words(&metrics::of(autoscaler)))
            .field_if("Workload", workload.map(|workload| workload.in_words()))
            .field_if("Last scaled", scaled.map(|at| Line::new().ago(at)))
            .owner(autoscaler.owner().or(owner))
            .changed(look, found.change.as_ref())
            .events(found.events, None)
    }

    fn resolved(look: &Look<'_>) -> End {
        verdicts::end(&look.find("horizontalpodautoscaler"))
    }
}

handler_kit::answers!(Hpa);
