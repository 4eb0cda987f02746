//! Answers `KubeJobFailed` and `KubeJobNotCompleted`: says why a Job failed or does not end, and when its `CronJob` succeeded
//! last.
//!
//! The README lists what it reads, and the evidence for each verdict.

mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::prelude::*;
use handler_kit::words;

use questions::Found;

/// The handler.
#[derive(Debug)]
pub struct Job;

impl Answer for Job {
    const SUMMARY: &'static str =
        "Says why a Job failed or does not end: exit code, log, schedule and last success.";
    const ALERTS: &'static [&'static str] = &["KubeJobFailed", "KubeJobNotCompleted"];
    const READS: Reads = Reads::Kubernetes;
    /// Job, pods and events (three pages each), the trouble of one pod (eight at most), `CronJob`, Jobs (three pages).
    const CALLS_MAX: u32 = 19;
    const LOGS: bool = true;

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        let verdict = verdicts::of(&found);
        let Read::Found(job) = &found.job else {
            return Report::new().verdict(verdict);
        };
        let failure = found.failure.as_ref();
        let exit = failure.map(|failure| {
            let exit = &failure.exit;
            Line::from(format!("{} ({})", exit.code, exit.reason)).ago_if(", ", exit.finished)
        });
        let image = job.text("/spec/template/spec/containers/0/image");
        let owner = job
            .owner()
            .or(found.cron.as_ref().and_then(|cron| cron.owner()));
        let container = failure.map(|failure| failure.container.clone());
        let started = job.moment("/status/startTime");
        let maker = job.controller();
        Report::new()
            .verdict(verdict)
            .field("Pods", verdicts::counts(job))
            .field_if("Started", started.map(|at| Line::new().ago(at)))
            .field_if("Pod", found.pod.as_ref().map(|pod| pod.name()))
            .field_if("Exit", exit)
            .field_if("Schedule", verdicts::schedule(&found))
            .field_if("Last success", verdicts::last_success(&found))
            .field_if("Image", image.map(words::image_tag))
            .owner(owner)
            .fact_if("job.exit_code", failure.map(|failure| failure.exit.code))
            .fact_if(
                "workload",
                maker.map(|(kind, name)| format!("{kind}/{name}")),
            )
            .without_label("reason")
            .without_label("condition")
            .changed_line(verdicts::changed(&found))
            .events(found.events, container.as_deref())
            .log(found.log)
    }

    fn resolved(look: &Look<'_>) -> End {
        let (job, cron) = questions::about_resolved(look);
        verdicts::end(&job, cron.as_ref(), look.alert().starts_at.seconds)
    }
}

handler_kit::answers!(Job);
