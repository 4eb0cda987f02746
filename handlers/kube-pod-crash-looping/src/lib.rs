//! Answers `KubePodCrashLooping`: asks Kubernetes why the pod crashes and tells it in one Slack message.
//!
//! Settings (`handlers.kube-pod-crash-looping.config`):
//!
//! | key | default | what it is |
//! |---|---|---|
//! | `channel` | `alerts` | the Slack channel, by its name in the grants |
//! | `logs` | `message` | where the crashed container's log goes: `message` (its end there, more in the thread), `thread`, or `off` (it is not even read) |
//! | `next_steps` | `on` | whether the message says what to do next, in commands to copy: `on` or `off` |
//! | `emoji` | `on` | the emoji of the severity: `on` or `off`; `emoji.critical`, `emoji.warning`, `emoji.info`, `emoji.unknown`, `emoji.resolved` name others |
//! | `runbook_base` | none | where the alert names no runbook: `BASE/KubePodCrashLooping` |
//! | `kubernetes.url` | `https://kubernetes.default.svc` | the default API server |
//! | `cluster` | none | which cluster the default API server is |
//! | `credential` | `kubernetes` | the credential for it; empty for none |
//! | `cluster.NAME.url` | none | the API server of the cluster NAME |
//! | `cluster.NAME.credential` | `credential` | the credential for it; empty for none |
//!
//! Facts about the wrong cluster are worse than none. An alert with a label `cluster` is looked up only on the API
//! server that is configured for that very name, by `cluster.NAME.url` or by `cluster: NAME`; an alert without one, on
//! the default API server. Where there is none for it, the message says so and goes out with what the alert itself says.
//!
//! What each verdict rests on stands in the README.

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
mod record;
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
    }

    fn enrich(cx: &Cx, alert: &Alert, _so_far: &Enrichment) -> Result<Enrichment, Failure> {
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
