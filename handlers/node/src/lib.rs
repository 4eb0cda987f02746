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
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const CALLS_MAX: u32 = 7;
    const READS: &'static str = "Kubernetes and Prometheus";

    fn describe() -> Description {
        let summary = "Says what is wrong with a node, since when, and which workloads it hits.";
        describe::<Self>(env!("CARGO_PKG_VERSION"), summary)
            .alerts([
                "KubeNodeNotReady",
                "KubeNodeUnreachable",
                "KubeNodeReadinessFlapping",
                "KubeNodePressure",
                "KubeNodeEviction",
                "KubeletTooManyPods",
                "KubeletDown",
            ])
            .settings(handler_kit::KUBERNETES_AND_PROMETHEUS)
    }

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
