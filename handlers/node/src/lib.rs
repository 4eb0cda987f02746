//! Says what is wrong with a node, since when, and which workloads it hits.

mod ends;
mod kubelets;
mod pods;
mod questions;
#[cfg(test)]
mod tests;
mod verdicts;

use handler_kit::prelude::*;

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
        match look.alert().name.as_str() {
            "KubeletDown" => kubelets::firing(look),
            _ => questions::firing(look),
        }
    }

    fn resolved(look: &Look<'_>) -> End {
        match look.alert().name.as_str() {
            "KubeletDown" => kubelets::end(look),
            _ => questions::end(look),
        }
    }
}

handler_kit::answers!(Node);
