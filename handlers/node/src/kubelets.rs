//! `KubeletDown`: Prometheus has lost the kubelets. Whether they run is what the API server knows.

use handler_kit::kubernetes::{Extent, List, Node};
use handler_kit::prelude::*;
use handler_kit::prometheus::{Query, Sample};

use crate::verdicts::named;

/// The kubelets that Prometheus scrapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Targets {
    all: usize,
    up: usize,
}

fn targets(look: &Look<'_>) -> Option<Targets> {
    let query = Query::new("up{job=\"kubelet\", metrics_path=\"/metrics\"}");
    let samples: Vec<Sample> = look.prometheus().instant("targets", &query)?;
    Some(Targets {
        all: samples.len(),
        up: samples.iter().filter(|sample| sample.value == 1.0).count(),
    })
}

/// Lists the nodes and asks for the targets: 2 requests, and one more for each further hundred nodes.
pub(crate) fn firing(look: &Look<'_>) -> Report {
    let nodes = look.kubernetes().list::<Node>(None, &Select::all());
    Report::new()
        .verdict(verdict(&nodes, targets(look)))
        .place("all nodes")
        .who("kubelets")
}

fn verdict(nodes: &List<Node>, targets: Option<Targets>) -> Option<Verdict> {
    let prometheus = match targets {
        None => String::new(),
        Some(Targets { all: 0, .. }) => "Prometheus has no kubelet among its targets".to_owned(),
        Some(Targets { all, up }) => format!("Prometheus reaches {up} of its {all} kubelets"),
    };
    let is_ready = |node: &Node| {
        node.condition("Ready")
            .is_some_and(|ready| ready.is_true == Some(true))
    };
    let not_ready: Vec<String> = nodes
        .iter()
        .filter(|node| !is_ready(node))
        .map(|node| node.name().to_owned())
        .collect();
    let count = nodes.len();
    let monitors = Step::run("kubectl get servicemonitors -A", &[]);
    let read = if count == 0 {
        Extent::Nothing
    } else {
        nodes.read
    };
    Some(match (read, not_ready.len()) {
        (Extent::Nothing, _) if prometheus.is_empty() => return None,
        (Extent::Nothing, _) => Verdict::unknown(
            "kubelets-unknown",
            "The kubelets are not scraped",
            prometheus,
        ),
        (_, 0) => {
            let all = if nodes.read == Extent::All {
                "all"
            } else {
                "the first"
            };
            let rest = format!(
                "{all} {count} nodes are ready, so their kubelets report to the API server"
            );
            let verdict = Verdict::proves(
                "kubelets-run",
                "The kubelets run, but are not scraped",
                rest,
            );
            let verdict = verdict.short("kubelets run, but are not scraped");
            let verdict = if prometheus.is_empty() {
                verdict
            } else {
                verdict.and(prometheus)
            };
            verdict.next(monitors)
        }
        (_, broken) => {
            let rest = format!("{broken} of {count}: {}", named(&not_ready));
            let verdict = Verdict::proves("nodes-not-ready", "Nodes are not ready", rest);
            let verdict = verdict.short(format!("{broken} of {count} nodes not ready"));
            let verdict = if prometheus.is_empty() {
                verdict
            } else {
                verdict.and(prometheus)
            };
            verdict.next(Step::run("kubectl get nodes", &[]))
        }
    })
}

/// Asks for the targets: 1 request.
pub(crate) fn end(look: &Look<'_>) -> End {
    match targets(look) {
        Some(Targets { all, up }) if up > 0 => End::new("scraped", "scraped again").says(
            "The kubelets are scraped again:",
            format!(" {up} of {all}."),
        ),
        Some(Targets { all, .. }) => End::new("not-scraped", "ended")
            .caveat("still not scraped")
            .says(
                "Still not scraped:",
                format!(" Prometheus reaches none of its {all} kubelets."),
            ),
        None => End::unknown("Whether the kubelets are scraped was not found out."),
    }
}
