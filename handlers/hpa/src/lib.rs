//! Answers `KubeHpaMaxedOut` and `KubeHpaReplicasMismatch`: says which metric drives a `HorizontalPodAutoscaler`, and what limits
//! it.
//!
//! The README lists what it reads, and the evidence for each verdict.

mod metrics;
mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::kubernetes::{SETTINGS, Workload};
use handler_kit::prelude::*;

use questions::Found;

/// The handler.
#[derive(Debug)]
pub struct Hpa;

impl Answer for Hpa {
    const NAME: &'static str = env!("CARGO_PKG_NAME");

    /// The autoscaler, its events (three pages), its workload, that one's revisions (three pages).
    const CALLS_MAX: u32 = 8;

    fn describe() -> Description {
        describe::<Self>(
            env!("CARGO_PKG_VERSION"),
            "Says which metric drives an autoscaler, and what limits it.",
        )
        .alerts(["KubeHpaMaxedOut", "KubeHpaReplicasMismatch"])
        .settings(SETTINGS)
    }

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        let report = Report::new().verdict(verdicts::of(&found));
        let Read::Found(autoscaler) = &found.autoscaler else {
            return report;
        };
        let workload = found.workload.as_ref().map(Workload::of);
        let report = match &workload {
            Some(workload) => report.workload(workload).place(verdicts::place(autoscaler)),
            None => report,
        };
        let scaled = autoscaler.moment("/status/lastScaleTime");
        let owner = found
            .workload
            .as_ref()
            .and_then(|workload| workload.owner());
        report
            .field_if(
                "Replicas",
                verdicts::Replicas::of(autoscaler).map(|it| it.to_string()),
            )
            .field("Metrics", metrics::in_words(&metrics::of(autoscaler)))
            .field_if("Workload", workload.map(|workload| workload.in_words()))
            .field_if("Last scaled", scaled.map(|at| Line::new().ago(at)))
            .owner(autoscaler.owner().or(owner))
            .changed(look, found.change.as_ref())
            .events(found.events, None)
    }

    fn resolved(look: &Look<'_>) -> End {
        verdicts::end(&questions::autoscaler(look))
    }
}

handler_kit::answers!(Hpa);
