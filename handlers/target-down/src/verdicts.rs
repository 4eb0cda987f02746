//! The verdict on targets that are down, by the exact error of the scrape, and how it ended.

use handler_kit::prelude::*;
use handler_kit::prometheus::{Sample, Target};
use handler_kit::words::{few, lower_first};

use crate::questions::Found;

const LISTED_MAX: usize = 3;

/// Errors of Go's HTTP client and of Prometheus: a part of the text, the kind of the verdict, and what it means. The first that
/// fits is used.
const ERRORS: [(&str, &str, &str); 17] = [
    ("dial tcp: lookup ", "dns", "its name is not resolved"),
    (
        "connection refused",
        "refused",
        "nothing listens on that port",
    ),
    ("no such host", "dns", "its name is not resolved"),
    ("server misbehaving", "dns", "the DNS server fails"),
    (
        "no route to host",
        "unreachable",
        "the network does not reach it",
    ),
    (
        "network is unreachable",
        "unreachable",
        "the network does not reach it",
    ),
    (
        "x509:",
        "certificate",
        "Prometheus does not trust its certificate",
    ),
    ("tls:", "tls", "TLS fails"),
    (
        "HTTP response to HTTPS client",
        "tls",
        "Prometheus asks by HTTPS, and it speaks HTTP",
    ),
    (
        "HTTP status 401",
        "refused-credential",
        "it refuses Prometheus' credential",
    ),
    (
        "HTTP status 403",
        "refused-credential",
        "it refuses Prometheus' credential",
    ),
    (
        "HTTP status",
        "http-status",
        "it answers, but not with metrics",
    ),
    (
        "limit exceeded",
        "limit",
        "it answers with more than Prometheus is allowed to take",
    ),
    (
        "context deadline exceeded",
        "timeout",
        "it did not answer within the scrape's time",
    ),
    ("i/o timeout", "timeout", "it did not answer in time"),
    ("connection reset", "reset", "it ends the connection"),
    ("EOF", "reset", "it ends the connection"),
];

/// Returns the verdict; `None` if the targets could not be read.
pub(crate) fn of(found: &Found) -> Option<Verdict> {
    let (down, all) = found.counts()?;
    if all == 0 {
        let rest = "Prometheus scrapes none of this job now: the service, its endpoints or the scrape configuration is gone";
        return Some(Verdict::unknown(
            "no-targets",
            "There is no target any more",
            rest,
        ));
    }
    if down == 0 {
        let rest = "so the alert should end soon";
        return Some(Verdict::proves("up", "All targets are up by now", rest));
    }
    let lead = match (down == all, all) {
        (true, 1) => "The only target is down".to_owned(),
        (true, _) => format!("All {all} targets are down"),
        (false, _) if down == 1 => format!("1 of {all} targets is down"),
        (false, _) => format!("{down} of {all} targets are down"),
    };
    let Some(target) = found.worst() else {
        let instances = found.up.iter().flatten().filter(|one| one.value == 0.0);
        let instances = instances.map(|one| one.label("instance"));
        let rest = format!(
            "{}; the error of the scrape is not known",
            few(instances, LISTED_MAX)
        );
        return Some(Verdict::unknown("down", &lead, rest));
    };
    let verdict = of_error(&lead, target);
    Some(with_others(with_pod(verdict, found), found, target))
}

/// Whether the others that are down fail for the same reason.
fn with_others(verdict: Verdict, found: &Found, target: &Target) -> Verdict {
    let is_other = |other: &&Target| reason_of(other) != reason_of(target);
    let differ = found.down.iter().filter(is_other).count();
    let differing = found.down.iter().find(is_other);
    match (found.down.len(), differing) {
        (1, _) => verdict,
        (2, None) => verdict.and("The other one fails for the same reason"),
        (_, None) => verdict.and("The others fail for the same reason"),
        (_, Some(other)) => {
            let error = brief(other.last_error.as_deref().unwrap_or_default());
            verdict.and(format!("{differ} of them: {error}"))
        }
    }
}

/// Returns the kind of the error, with its words if several reasons have that kind.
fn reason_of(target: &Target) -> (&'static str, &str) {
    let error = target.last_error.as_deref().unwrap_or_default();
    let found = ERRORS.iter().find(|(part, ..)| error.contains(part));
    match found.map_or("other", |(_, kind, _)| *kind) {
        kind @ ("certificate" | "http-status" | "other") => (kind, briefest(error)),
        kind => (kind, ""),
    }
}

/// The exact error, and what it means.
fn of_error(lead: &str, target: &Target) -> Verdict {
    let error = target.last_error.as_deref().unwrap_or_default();
    let at = Line::new().code(&target.url).text(": ");
    if error.is_empty() {
        return Verdict::unknown("down", lead, at.text("Prometheus has no error of it"));
    }
    let known = ERRORS.iter().find(|(part, ..)| error.contains(part));
    let said = known.map_or(brief(error), |_| briefest(error));
    let short = format!("{}: {said}", lower_first(lead));
    match known {
        Some((_, kind, means)) => {
            Verdict::proves(kind, lead, at.text(format!("{means} ({})", brief(error))))
        }
        None => Verdict::proves("other", lead, at.text(brief(error))),
    }
    .short(short)
}

/// What is wrong with the pod behind the target.
fn with_pod(verdict: Verdict, found: &Found) -> Verdict {
    let name = found.pod_name().unwrap_or_default();
    let kind = verdict.kind.clone();
    match &found.pod {
        Some(Read::Gone) => {
            verdict.and(format!("Its pod {name} is gone: the target is out of date"))
        }
        Some(Read::Found(pod)) if pod.is_ready() => {
            let get = "kubectl -n $namespace get pod $name -o wide";
            verdict
                .and(format!("Its pod {name} is ready{}", look_at(&kind)))
                .next_if(pod.command(get))
        }
        Some(Read::Found(_)) => match &found.trouble.verdict {
            Some(why) => {
                let lead = format!("Its pod {name} is not ready: {}: ", lower_first(&why.lead));
                let verdict = verdict.and(Line::from(lead).then(why.rest.clone()));
                why.next.iter().cloned().fold(verdict, Verdict::next)
            }
            None => verdict.and(format!("Its pod {name} is not ready")),
        },
        Some(Read::Unknown) | None => verdict,
    }
}

/// Returns where to look if the pod is ready and its target is down.
fn look_at(kind: &str) -> &'static str {
    match kind {
        "refused" => ", so look at the port that it serves its metrics on",
        "timeout" | "unreachable" => {
            ", so look at the network policies, and at how long its metrics take"
        }
        "http-status" => ", so look at the path of its metrics",
        _ => "",
    }
}

/// Returns an error for a phone: `connection refused`.
fn briefest(error: &str) -> &str {
    match error.split_once("x509: ") {
        Some((_, why)) => why.split(": ").next().unwrap_or(why),
        None => error.rsplit(": ").next().unwrap_or(error),
    }
}

/// Returns the last clauses of Go's error, without the URL, which is said before: `dial tcp 10.0.4.17:8080: connect: …`.
fn brief(error: &str) -> &str {
    let rest = error
        .strip_prefix("Get \"")
        .and_then(|rest| rest.split_once("\": "));
    rest.map_or(error, |(_, rest)| rest)
}

/// Returns the targets that are down, if they are several: `10.0.4.17:8080, 10.0.4.18:8080 and 4 more`.
pub(crate) fn listed(found: &Found) -> Option<String> {
    let names = found.down.iter().map(|target| target.label("instance"));
    (found.down.len() > 1).then(|| few(names, LISTED_MAX))
}

/// Returns how the alert ended.
pub(crate) fn end(up: Option<&[Sample]>) -> End {
    let Some(up) = up else {
        return End::unknown("Whether the targets are up was not found out.");
    };
    let down = up.iter().filter(|one| one.value == 0.0).count();
    match (up.len(), down) {
        (0, _) => End::not_fixed("gone", "the targets are gone").says(
            "There is no target any more:",
            " Prometheus scrapes none of this job, which is not the same as fixed.",
        ),
        (1, 0) => End::new("up", "up again").says("The target is up again.", ""),
        (all, 0) => {
            End::new("up", "up again").says("All targets are up:", format!(" {all} of {all}."))
        }
        (all, down) => End::not_fixed("partly-up", &format!("{down} still down")).says(
            "Not all targets are up:",
            format!(" {down} of {all} still down."),
        ),
    }
}
