//! Says what is wrong with a node, since when, and which workloads it hits.

mod ends;
mod kubelets;
mod pods;
mod questions;
#[cfg(test)]
mod tests;
mod verdicts;

use handler_kit::prelude::*;

/// Labels that say which series the rule looked at, not what is wrong: `condition="Ready", status="true"` fires if it is not.
const HIDDEN: [&str; 6] = ["condition", "status", "key", "effect", "value", "instance"];

/// Answers the alerts about nodes and their kubelets.
#[derive(Debug)]
pub struct Node;

impl Answer for Node {
    const SUMMARY: &'static str =
        "Says what is wrong with a node, since when, and which workloads it hits.";
    const ALERTS: &'static [&'static str] = &[
        "KubeNodeNotReady",
        "KubeNodeUnreachable",
        "KubeNodeReadinessFlapping",
        "KubeNodePressure",
        "KubeNodeEviction",
        "KubeletTooManyPods",
        "KubeletDown",
    ];
    const READS: Reads = Reads::KubernetesAndPrometheus;
    const CALLS_MAX: u32 = 7;

    fn firing(look: &Look<'_>) -> Report {
        let report = match look.alert().name.as_str() {
            "KubeletDown" => kubelets::firing(look),
            _ => questions::firing(look),
        };
        HIDDEN.into_iter().fold(report, Report::without_label)
    }

    fn resolved(look: &Look<'_>) -> End {
        match look.alert().name.as_str() {
            "KubeletDown" => kubelets::end(look),
            _ => questions::end(look),
        }
    }
}

handler_kit::answers!(Node);
