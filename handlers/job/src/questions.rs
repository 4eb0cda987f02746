//! What is asked about the Job, its pods and its `CronJob`.

use handler_kit::Log;
use handler_kit::kubernetes::{self, CronJob, Events, Exit, Extent, Object, Pod};
use handler_kit::prelude::*;

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) job: Read<kubernetes::Job>,
    /// The events of the Job, and of a pod that waits.
    pub(crate) events: Events,
    /// How much of the list of pods was read.
    pub(crate) pods: Extent,
    /// The pod that says most.
    pub(crate) pod: Option<Pod>,
    /// How a container of it failed.
    pub(crate) failure: Option<Failed>,
    /// Why it waits, if it does.
    pub(crate) waiting: Option<Verdict>,
    pub(crate) log: Option<Log>,
    pub(crate) cron: Option<CronJob>,
    /// The last Job of the same `CronJob` that succeeded.
    pub(crate) succeeded: Option<kubernetes::Job>,
}

/// A container that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) container: String,
    pub(crate) memory_limit: Option<String>,
    pub(crate) exit: Exit,
}

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Self {
        let kubernetes = look.kubernetes();
        let mut found = Self {
            job: look.find("job_name"),
            ..Self::default()
        };
        match found.job.clone() {
            Read::Found(job) => {
                found.events = kubernetes.events(&job);
                if let Some(place) = job.place() {
                    let its = Select::label("job-name", place.name());
                    let pods = kubernetes.list::<Pod>(place.namespace(), &its);
                    found.pods = pods.read;
                    found.about_pods(look, pods.items);
                }
                found.about_cron(look, &job);
            }
            Read::Gone => {}
            Read::Unknown => look.missing_too(["pods", "events", "log"]),
        }
        found
    }

    /// Picks the pod that says most: the one that failed last; if none has, the one that is not ready, or one that runs.
    fn about_pods(&mut self, look: &Look<'_>, pods: Vec<Pod>) {
        let kubernetes = look.kubernetes();
        let failed = pods.iter().filter_map(|pod| Some((pod, failure(pod)?)));
        let last = failed.max_by_key(|(_, failure)| failure.exit.finished);
        let is_active =
            |pod: &&Pod| matches!(pod.text("/status/phase"), Some("Pending" | "Running"));
        let waiting = pods.iter().filter(is_active).find(|pod| !pod.is_ready());
        if let Some((pod, failure)) = last {
            let container = pod.container(Some(&failure.container));
            let log = container.and_then(|container| kubernetes.log(pod, &container));
            self.log = log.map(|log| log.titled(format!("of {}", failure.container)));
            self.failure = Some(failure);
            self.pod = Some(pod.clone());
        } else if let Some(pod) = waiting {
            let trouble = kubernetes.trouble(pod);
            self.waiting = trouble.verdict;
            self.log = trouble.log;
            self.events.items.extend(trouble.events.items);
            self.pod = Some(pod.clone());
        } else if let Some(pod) = pods.iter().find(is_active) {
            let container = pod
                .containers()
                .into_iter()
                .find(|one| one.running_since.is_some());
            self.log = container.and_then(|container| {
                let log = kubernetes.log(pod, &container)?;
                Some(log.titled(format!("of {}", container.name)))
            });
            self.pod = Some(pod.clone());
        } else {
            self.pod = pods.into_iter().find(|pod| pod.ended().is_some());
        }
    }

    fn about_cron(&mut self, look: &Look<'_>, job: &Object) {
        let kubernetes = look.kubernetes();
        let Some(("CronJob", name)) = job.controller() else {
            return;
        };
        self.cron = job
            .beside(name)
            .and_then(|place| kubernetes.get::<CronJob>(&place));
        let jobs = kubernetes.list::<kubernetes::Job>(job.namespace().as_ref(), &Select::all());
        let succeeded = jobs.items.into_iter().filter(|other| {
            other.holds("Complete").is_some() && other.controller() == job.controller()
        });
        self.succeeded = succeeded.max_by_key(|other| other.moment("/status/completionTime"));
    }
}

/// Returns the failure of the pod's container that failed last.
fn failure(pod: &Pod) -> Option<Failed> {
    let failures = pod.containers().into_iter().filter_map(|container| {
        let exit = container.last_exit.filter(|exit| exit.code != 0)?;
        Some(Failed {
            container: container.name,
            memory_limit: container.memory_limit,
            exit,
        })
    });
    failures.max_by_key(|failure| failure.exit.finished)
}

/// Returns the Job, and, if it is gone, the `CronJob` that its name tells.
pub(crate) fn about_resolved(look: &Look<'_>) -> (Read<kubernetes::Job>, Option<CronJob>) {
    let kubernetes = look.kubernetes();
    let Some(place) = look.place("job_name") else {
        return (Read::Unknown, None);
    };
    let job = kubernetes.find::<kubernetes::Job>(&place);
    let cron = match job {
        // A CronJob names its Jobs by its own name and the minute of the schedule.
        Read::Gone => place.name().rsplit_once('-').filter(|(_, minute)| {
            !minute.is_empty() && minute.bytes().all(|byte| byte.is_ascii_digit())
        }),
        _ => None,
    };
    let cron = cron.and_then(|(cron, _)| kubernetes.optional(&place.beside(Name::of(cron)?)));
    (job, cron)
}
