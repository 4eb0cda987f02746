//! The verdict on a Job that failed or does not end, and how it ended.

use handler_kit::kubernetes::{self, CronJob, Extent, Object, Pod};
use handler_kit::prelude::*;
use handler_kit::words;

use crate::questions::{Failed, Found};

/// The longest name of a Job.
const JOB_NAME_BYTES_MAX: usize = 63;

/// Returns the verdict; `None` if the Job could not be read.
pub(crate) fn of(found: &Found) -> Option<Verdict> {
    let job = match &found.job {
        Read::Found(job) => job,
        Read::Gone => {
            let how = "it was deleted since the alert began, by a person, its CronJob or its ttlSecondsAfterFinished";
            return Some(Verdict::gone("Job", how));
        }
        Read::Unknown => return None,
    };
    if job.holds("Complete").is_some() {
        let rest = "it ended successfully, so the alert should end soon";
        return Some(Verdict::proves("complete", "It is complete by now", rest));
    }
    let verdict = match job.holds("Failed").is_some() {
        true => out_of_time(job)
            .or_else(|| of_failure(found, &failed(job)))
            .or_else(|| not_created(found))
            .unwrap_or_else(|| without_pods(found, job)),
        false => suspended(job)
            .or_else(|| found.waiting.clone().map(|why| of_waiting(why, found)))
            .or_else(|| of_failure(found, "It fails and is tried again"))
            .or_else(|| running(found))
            .or_else(|| not_created(found))
            .unwrap_or_else(|| unknown(found)),
    };
    Some(again(verdict, found, job))
}

/// Returns `It failed`, and how often if it was tried again.
fn failed(job: &Object) -> String {
    match job.count("/status/failed") {
        Some(times) if times > 1 => format!("It failed {times} times"),
        _ => "It failed".to_owned(),
    }
}

fn out_of_time(job: &Object) -> Option<Verdict> {
    let condition = job
        .condition("Failed")
        .filter(|it| it.reason == "DeadlineExceeded")?;
    let limit = job.count("/spec/activeDeadlineSeconds");
    let rest = match limit {
        Some(limit) => format!(
            "it was not done after {} (`activeDeadlineSeconds`), and its pods were ended",
            words::seconds(limit as f64)
        ),
        None => condition.message,
    };
    Some(Verdict::proves("deadline", "It ran out of its time", rest).short("ran out of its time"))
}

/// How the container that failed last ended.
fn of_failure(found: &Found, lead: &str) -> Option<Verdict> {
    let failure = found.failure.as_ref()?;
    let Failed {
        container,
        exit: ended,
        memory_limit,
    } = failure;
    let quoted = found.log.as_ref().and_then(Log::quoted);
    let said = match ended.message.as_str() {
        "" => quoted.unwrap_or_default(),
        message => format!("it says: {message}"),
    };
    let (kind, what) = match (ended.reason.as_str(), ended.code) {
        ("OOMKilled", _) => {
            let limit = memory_limit
                .as_ref()
                .map(|limit| format!(", its limit is {limit}"));
            (
                "out-of-memory",
                format!("{container} ran out of memory{}", limit.unwrap_or_default()),
            )
        }
        (_, 126 | 127) => (
            "command",
            format!("{container} could not run its command, exit {}", ended.code),
        ),
        (_, 137 | 143) => (
            "killed",
            format!("{container} was killed, exit {}", ended.code),
        ),
        (_, 139) => (
            "segmentation-fault",
            format!("{container} crashed with a segmentation fault, exit 139"),
        ),
        (_, code) => ("exit", format!("{container} ended with exit {code}")),
    };
    let rest = match said.as_str() {
        "" => what,
        said => format!("{what}; {said}"),
    };
    let short = match kind {
        "out-of-memory" => "OOMKilled".to_owned(),
        _ => format!("exit {}", ended.code),
    };
    Some(Verdict::proves(kind, lead, rest).short(short))
}

fn of_waiting(why: Verdict, found: &Found) -> Verdict {
    let pod = found.pod.as_ref().map_or("", |pod| pod.name());
    let short = why.short.clone();
    why.within("It does not end", pod).short(short)
}

fn suspended(job: &Object) -> Option<Verdict> {
    job.is("/spec/suspend").then(|| {
        Verdict::proves(
            "suspended",
            "It is suspended",
            "`spec.suspend` is set, so it has no pods",
        )
    })
}

fn running(found: &Found) -> Option<Verdict> {
    let pod = found
        .pod
        .as_ref()
        .filter(|pod| pod.text("/status/phase") == Some("Running"))?;
    let since = pod
        .containers()
        .iter()
        .filter_map(|one| one.running_since)
        .min()?;
    let rest = Line::from(format!("{} runs for ", pod.name())).lasting(since);
    let quoted = found.log.as_ref().and_then(Log::quoted);
    let rest = match quoted {
        Some(quoted) => rest.text(format!("; {quoted}")),
        None => rest,
    };
    Some(Verdict::proves("running", "It still runs", rest).short("still runs"))
}

/// The controller could not make the pods: a quota, an admission webhook, a missing service account.
fn not_created(found: &Found) -> Option<Verdict> {
    let event = found.events.with_reason(&["FailedCreate"])?;
    Some(Verdict::proves(
        "not-created",
        "Its pods can't be created",
        event.message.clone(),
    ))
}

/// The Job's own reason, if no pod shows one.
fn without_pods(found: &Found, job: &Object) -> Verdict {
    let condition = job.condition("Failed");
    let (reason, message) = condition
        .map(|it| (it.reason, it.message))
        .unwrap_or_default();
    let ended = found.pod.as_ref().and_then(|pod: &Pod| {
        let (reason, message) = pod.ended()?;
        Some(
            Verdict::proves("pod-ended", "It failed", format!("{reason}: {message}")).short(reason),
        )
    });
    ended.unwrap_or_else(|| {
        let pods = match found.pods {
            Extent::All => "none of its pods is left, so why is not known",
            _ => "its pods could not be read",
        };
        let rest = format!("{}; {pods}", message.trim_end_matches('.'));
        let lead = failed(job);
        Verdict::unknown("failed", &lead, rest).short(reason)
    })
}

fn unknown(found: &Found) -> Verdict {
    let rest = match found.pods {
        Extent::All => "it has no pod that runs or failed",
        _ => "its pods could not be read",
    };
    Verdict::unknown("unknown", "Why it does not end is not known", rest)
}

/// Offers to run it again, and says what ends the alert.
fn again(verdict: Verdict, found: &Found, job: &Object) -> Verdict {
    if job.holds("Failed").is_none() {
        return verdict;
    }
    let cron = found.cron.as_ref().and_then(|cron| cron.place());
    let names = cron
        .as_ref()
        .and_then(|cron| Some((cron.namespace()?, cron.name())));
    let step = names.and_then(|(namespace, cron)| {
        let name = Name::of(&format!("{}-again", job.name()))
            .filter(|name| name.len() <= JOB_NAME_BYTES_MAX)?;
        Some(Step::run(
            "kubectl -n $namespace create job --from=cronjob/$cron $name",
            &[("namespace", namespace), ("cron", cron), ("name", &name)],
        ))
    });
    verdict
        .next(Line::from("The alert ends when the failed Job is deleted."))
        .next_if(step)
}

/// Returns how many pods there are: `7 failed of at most 7`, `1 active, 2 failed`.
pub(crate) fn counts(job: &Object) -> String {
    let count = |name: &str| job.count(&format!("/status/{name}")).unwrap_or(0);
    let counts = [
        ("active", count("active")),
        ("succeeded", count("succeeded")),
        ("failed", count("failed")),
    ];
    let counts = counts.iter().filter(|(_, number)| *number > 0);
    let counts: Vec<String> = counts
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    let limit = job
        .count("/spec/backoffLimit")
        .map(|limit| format!(" (backoffLimit {limit})"));
    match counts.is_empty() {
        true => format!("none{}", limit.unwrap_or_default()),
        false => format!("{}{}", counts.join(", "), limit.unwrap_or_default()),
    }
}

pub(crate) fn schedule(found: &Found) -> Option<String> {
    let cron = found.cron.as_ref()?;
    let zone = cron.text("/spec/timeZone").map(|zone| format!(" {zone}"));
    let paused = if cron.is("/spec/suspend") {
        ", suspended"
    } else {
        ""
    };
    let schedule = cron.text("/spec/schedule")?;
    Some(format!(
        "{schedule}{} (CronJob {}{paused})",
        zone.unwrap_or_default(),
        cron.name()
    ))
}

pub(crate) fn last_success(found: &Found) -> Option<Line> {
    let cron = found.cron.as_ref()?;
    Some(match cron.moment("/status/lastSuccessfulTime") {
        Some(at) => Line::new().ago(at),
        None => Line::from("none recorded"),
    })
}

/// Returns what is different from the last Job of the same `CronJob` that succeeded.
pub(crate) fn changed(found: &Found) -> Option<String> {
    let Read::Found(job) = &found.job else {
        return None;
    };
    let before = found.succeeded.as_ref()?;
    let image = |job: &kubernetes::Job| {
        job.text("/spec/template/spec/containers/0/image")
            .map(str::to_owned)
    };
    let (was, is) = (image(before)?, image(job)?);
    (was != is).then(|| {
        let (was, is) = (words::image_tag(&was), words::image_tag(&is));
        format!("image {was} → {is}, since {} succeeded", before.name())
    })
}

/// Returns how the alert ended; `began` is when it began, in seconds since 1970.
pub(crate) fn end(job: &Read<kubernetes::Job>, cron: Option<&CronJob>, began: i64) -> End {
    match job {
        Read::Found(job) if job.holds("Complete").is_some() => {
            End::new("complete", "complete").says("The Job is complete:", " it ended successfully.")
        }
        Read::Found(job) => {
            let (kind, caveat, lead) = match job.holds("Failed") {
                Some(_) => (
                    "failed",
                    "the Job still counts as failed",
                    "The Job still counts as failed:",
                ),
                None => (
                    "running",
                    "the Job is not complete",
                    "The Job is not complete:",
                ),
            };
            End::not_fixed(kind, caveat).says(lead, format!(" {}.", counts(job)))
        }
        Read::Gone => of_gone(cron, began),
        Read::Unknown => End::unknown("Whether the Job is complete was not found out."),
    }
}

fn of_gone(cron: Option<&CronJob>, began: i64) -> End {
    let succeeded = cron.and_then(|cron| Some((cron, cron.moment("/status/lastSuccessfulTime")?)));
    match succeeded {
        Some((cron, at)) if at > began => {
            let rest = Line::from(format!(" CronJob {} succeeded ", cron.name())).ago(at);
            End::new("succeeded-later", "a later run succeeded")
                .says("A later run succeeded:", rest.text("."))
        }
        Some((cron, at)) => {
            let rest = Line::from(format!(" CronJob {} succeeded last ", cron.name())).ago(at);
            let rest = rest.text(", before the alert; that is not the same as fixed.");
            End::not_fixed("gone", "the Job is gone").says("The Job is gone:", rest)
        }
        None => End::gone("Job", "it was deleted"),
    }
}
