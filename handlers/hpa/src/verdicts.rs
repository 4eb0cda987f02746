//! The verdict on an autoscaler, and how the alert ended.

use std::fmt;

use handler_kit::kubernetes::{HorizontalPodAutoscaler, Object};
use handler_kit::prelude::*;

use crate::metrics;
use crate::questions::Found;

/// The numbers of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replicas {
    current: u64,
    desired: u64,
    min: u64,
    max: u64,
}

impl Replicas {
    pub(crate) fn of(autoscaler: &Object) -> Option<Self> {
        let count = |pointer: &str| autoscaler.count(pointer);
        Some(Self {
            current: count("/status/currentReplicas").unwrap_or(0),
            desired: count("/status/desiredReplicas").unwrap_or(0),
            // The API's default.
            min: count("/spec/minReplicas").unwrap_or(1),
            max: count("/spec/maxReplicas")?,
        })
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            current,
            desired,
            min,
            max,
        } = self;
        write!(f, "{current} now, {desired} wanted ({min} to {max})")
    }
}

/// Returns the verdict; `None` if the autoscaler could not be read.
pub(crate) fn of(found: &Found) -> Option<Verdict> {
    let autoscaler = match &found.autoscaler {
        Read::Found(autoscaler) => autoscaler,
        Read::Gone => {
            let how = "it was deleted since the alert began";
            return Some(Verdict::gone("autoscaler", how));
        }
        Read::Unknown => return None,
    };
    let replicas = Replicas::of(autoscaler)?;
    let verdict = of_conditions(autoscaler, replicas)
        .or_else(|| at_maximum(autoscaler, replicas))
        .unwrap_or_else(|| of_workload(found, replicas));
    let describe = "kubectl -n $namespace describe hpa $name";
    Some(verdict.next_if(autoscaler.command(describe)))
}

/// What keeps it from working at all.
fn of_conditions(autoscaler: &Object, replicas: Replicas) -> Option<Verdict> {
    let unable = autoscaler.fails("AbleToScale");
    if let Some(unable) = unable.filter(|it| it.reason.starts_with("Failed")) {
        let lead = "It can't scale its workload";
        return Some(Verdict::proves("unable", lead, unable.message));
    }
    let condition = autoscaler.fails("ScalingActive")?;
    if condition.reason == "ScalingDisabled" {
        let rest =
            "the workload is scaled to zero, and it does nothing until a person scales it up";
        return Some(Verdict::proves("disabled", "It is switched off", rest));
    }
    let rest = format!(
        "it stays at {} replicas: {}",
        replicas.current, condition.message
    );
    Some(Verdict::proves(
        "no-metric",
        "Its metric can't be read",
        rest,
    ))
}

fn at_maximum(autoscaler: &Object, replicas: Replicas) -> Option<Verdict> {
    let Replicas { current, max, .. } = replicas;
    if current < max {
        return None;
    }
    let metrics = metrics::of(autoscaler);
    let driver = metrics
        .first()
        .map_or("no metric is known".to_owned(), metrics::Metric::in_words);
    let limited = autoscaler.holds("ScalingLimited");
    let wants_more = limited.is_some_and(|it| it.reason == "TooManyReplicas");
    let short = format!("at its maximum of {max}");
    if !wants_more {
        let rest = format!("{max} replicas are as many as it wants; {driver}");
        return Some(Verdict::proves("at-maximum", "It runs at its maximum", rest).short(short));
    }
    let asked = metrics.first().and_then(|metric| metric.ratio);
    let asked = asked
        .map(|ratio| (current as f64 * ratio).ceil())
        .filter(|asked| *asked > max as f64);
    let asked = asked.map(|asked| format!(", which asks for about {asked:.0}"));
    let rest = format!("{driver}{}", asked.unwrap_or_default());
    Some(
        Verdict::proves(
            "over-maximum",
            &format!("It wants more than its maximum of {max}"),
            rest,
        )
        .short(short),
    )
}

/// What the workload makes of the number that the autoscaler wants.
fn of_workload(found: &Found, replicas: Replicas) -> Verdict {
    let Replicas {
        current,
        desired,
        max,
        ..
    } = replicas;
    if current == desired {
        let rest =
            format!("{current} replicas, below its maximum of {max}; the alert should end soon");
        return Verdict::proves("settled", "It has as many as it wants by now", rest);
    }
    let lead = format!("It wants {desired} replicas and has {current}");
    let short = format!("wants {desired}, has {current}");
    let Some(workload) = &found.workload else {
        return Verdict::unknown("mismatch", &lead, "its workload could not be read").short(short);
    };
    let name = format!("{} {}", workload.kind(), workload.name());
    if let Some(failure) = workload.holds("ReplicaFailure") {
        let rest = format!("pods can't be created: {}", failure.message);
        return Verdict::proves("not-created", &lead, rest).short(short);
    }
    match workload.count("/spec/replicas") {
        Some(set) if set != desired => {
            let rest = format!(
                "{name} is set to {set}, and {desired} are wanted; a deployment tool that writes `spec.replicas` would do that"
            );
            Verdict::likely("overwritten", "something else sets the replicas", rest).short(short)
        }
        _ => {
            let rest = format!("{name} is set to {desired}, and its pods are not all there yet");
            Verdict::unknown("mismatch", &lead, rest).short(short)
        }
    }
}

/// Returns how the alert ended.
pub(crate) fn end(autoscaler: &Read<HorizontalPodAutoscaler>) -> End {
    let autoscaler = match autoscaler {
        Read::Found(autoscaler) => autoscaler,
        Read::Gone => return End::gone("autoscaler", "it was deleted"),
        Read::Unknown => return End::unknown("How many replicas there are was not found out."),
    };
    match Replicas::of(autoscaler) {
        Some(it) if it.current >= it.max => End::not_fixed("at-maximum", "still at its maximum")
            .says("It is still at its maximum:", format!(" {it}.")),
        Some(it) if it.current == it.desired => End::new("settled", "has as many as it wants")
            .says("It has as many as it wants:", format!(" {it}.")),
        Some(it) => End::not_fixed("mismatch", "not as many as it wants")
            .says("It has not as many as it wants:", format!(" {it}.")),
        None => End::unknown("How many replicas there are was not found out."),
    }
}
