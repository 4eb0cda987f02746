//! Answers `KubePodCrashLooping`: reads from Kubernetes why the pod crashes, and posts one Slack message about it.
//!
//! The settings are declared in [`settings`] and listed in the README.
//!
//! Facts about the wrong cluster would be worse than none. An alert with a label `cluster` is looked up only on the API
//! server that is configured for that name, by `cluster.NAME.url` or by `cluster: NAME`; an alert without the label, on
//! the default API server. If none is configured for the cluster, the message says so and contains only the alert's own
//! text.
//!
//! The README lists the evidence for each verdict.

mod act;
mod changes;
mod enrich;
mod events;
mod fields;
mod findings;
mod fold;
mod kube;
mod log_shown;
mod log_tail;
mod message;
mod next;
mod pod;
mod resolved;
mod settings;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

use handler_sdk::prelude::*;

/// The handler.
#[derive(Debug)]
pub struct KubePodCrashLooping;

impl Handler for KubePodCrashLooping {
    fn describe() -> Description {
        Description::new(
            findings::HANDLER,
            env!("CARGO_PKG_VERSION"),
            "Says why a pod crashes again and again: exit, what changed, events, log.",
        )
        .alerts(["KubePodCrashLooping"])
        .settings(settings::SETTINGS)
        .settings(handler_sdk::layout::SETTINGS)
        .storm_one()
    }

    fn enrich(cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Enrichment, Failure> {
        if so_far.storm().is_some() && alert.is_resolved() {
            // One pod's state says nothing about the other alerts that have resolved.
            return Ok(Enrichment::new());
        }
        enrich::run(cx, alert)
    }

    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        act::run(cx, alert, found)
    }

    fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        resolved::run(cx, alert, found)
    }
}

handler_sdk::export!(KubePodCrashLooping);
