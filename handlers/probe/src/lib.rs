//! Answers `BlackboxProbeFailed` and `ProbeFailed`: says in which phase a probe fails, and what was different when it succeeded
//! last.
//!
//! The README lists what it asks, and the evidence for each verdict.

mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::prelude::*;
use handler_kit::words;

use questions::Found;

/// The handler.
#[derive(Debug)]
pub struct Probe;

impl Answer for Probe {
    const SUMMARY: &'static str = "Says in which phase a probe fails: DNS, TCP, TLS or HTTP.";
    const ALERTS: &'static [&'static str] = &["BlackboxProbeFailed", "ProbeFailed"];
    const READS: Reads = Reads::Prometheus;
    /// The metrics of the probe, the last success and its metrics, the other targets.
    const CALLS_MAX: u32 = 4;

    fn firing(look: &Look<'_>) -> Report {
        let Some(found) = Found::about_firing(look) else {
            return Report::new();
        };
        let probed = &found.probed;
        let succeeded = found.last_success.map(|at| Line::new().ago(at));
        let succeeded =
            succeeded.or_else(|| (found.is_history_read).then(|| "not in the last 6h".into()));
        Report::new()
            .verdict(verdicts::of(&found, look.now()))
            .field_if("HTTP status", probed.status())
            .field_if("Phases", probed.phases())
            .field_if(
                "Probe took",
                probed.value("probe_duration_seconds").map(words::seconds),
            )
            .field_if("Last success", succeeded)
            .field_if("Job", look.alert().label("job"))
            .field_if(
                "Targets of the job",
                found
                    .others
                    .filter(|(_, all)| *all > 0)
                    .map(|(failing, all)| format!("{failing} of {all} fail")),
            )
            .changed_line(verdicts::changed(&found))
            .fact_if("probe.http_status", probed.status())
    }

    fn resolved(look: &Look<'_>) -> End {
        verdicts::end(questions::probed(look).as_ref())
    }
}

handler_kit::answers!(Probe);
