//! Answers `KubeJobFailed` and `KubeJobNotCompleted`: says why a Job failed or does not end, and when its `CronJob` succeeded
//! last.
//!
//! The README lists what it reads, and the evidence for each verdict.

mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::kubernetes::SETTINGS;
use handler_kit::prelude::*;
use handler_kit::words;

use questions::Found;

/// The handler.
#[derive(Debug)]
pub struct Job;

impl Answer for Job {
    const NAME: &'static str = env!("CARGO_PKG_NAME");

    /// Job, pods and events (three pages each), the trouble of one pod (eight at most), `CronJob`, Jobs (three pages).
    const CALLS_MAX: u32 = 19;
    const LOGS: bool = true;

    fn describe() -> Description {
        describe::<Self>(
            env!("CARGO_PKG_VERSION"),
            "Says why a Job failed or does not end: exit code, log, schedule and last success.",
        )
        .alerts(["KubeJobFailed", "KubeJobNotCompleted"])
        .settings(SETTINGS)
    }

    fn firing(look: &Look<'_>) -> Report {
        let found = Found::about_firing(look);
        let verdict = verdicts::of(&found);
        let Read::Found(job) = &found.job else {
            return Report::new().verdict(verdict);
        };
        let exit = found
            .failure
            .as_ref()
            .map(|failure| verdicts::exit(&failure.exit));
        let image = job.text("/spec/template/spec/containers/0/image");
        let owner = job
            .owner()
            .or(found.cron.as_ref().and_then(|cron| cron.owner()));
        let container = found
            .failure
            .as_ref()
            .map(|failure| failure.container.clone());
        Report::new()
            .verdict(verdict)
            .field("Pods", verdicts::counts(job))
            .field_if(
                "Started",
                job.moment("/status/startTime")
                    .map(|at| Line::new().ago(at)),
            )
            .field_if("Pod", found.pod.as_ref().map(|pod| pod.name().to_owned()))
            .field_if("Exit", exit)
            .field_if("Schedule", verdicts::schedule(&found))
            .field_if("Last success", verdicts::last_success(&found))
            .field_if("Image", image.map(words::image_tag))
            .owner(owner)
            .fact_if(
                "job.exit_code",
                found.failure.as_ref().map(|failure| failure.exit.code),
            )
            .fact_if(
                "workload",
                job.controller()
                    .map(|(kind, name)| format!("{kind}/{name}")),
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
