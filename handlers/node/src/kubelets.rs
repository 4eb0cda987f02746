//! `KubeletDown`: Prometheus has lost the kubelets. Whether they run is what the API server knows.

use handler_kit::kubernetes::{Extent, List, Node};
use handler_kit::prelude::*;
use handler_kit::prometheus::{Query, Sample};
use handler_kit::words;

use crate::verdicts::NAMED_MAX;

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
    let prometheus = targets.map(|Targets { all, up }| match all {
        0 => "Prometheus has no kubelet among its targets".to_owned(),
        all => format!("Prometheus reaches {up} of its {all} kubelets"),
    });
    let not_ready = nodes.iter().filter(|node| node.holds("Ready").is_none());
    let count = nodes.len();
    Some(match (count, not_ready.clone().count()) {
        (0, _) => {
            let lead = "The kubelets are not scraped";
            Verdict::unknown("kubelets-unknown", lead, prometheus?)
        }
        (_, 0) => {
            let all = match nodes.read {
                Extent::All => "all",
                Extent::Part | Extent::Nothing => "the first",
            };
            let rest = format!(
                "{all} {count} nodes are ready, so their kubelets report to the API server"
            );
            let lead = "The kubelets run, but are not scraped";
            Verdict::proves("kubelets-run", lead, rest)
                .short("kubelets run, but are not scraped")
                .and_if(prometheus)
                .next(Step::run("kubectl get servicemonitors -A", &[]))
        }
        (_, broken) => {
            let names = words::few(not_ready.map(|node| node.name()), NAMED_MAX);
            let rest = format!("{broken} of {count}: {names}");
            Verdict::proves("nodes-not-ready", "Nodes are not ready", rest)
                .short(format!("{broken} of {count} nodes not ready"))
                .and_if(prometheus)
                .next(Step::run("kubectl get nodes", &[]))
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
        Some(Targets { all, .. }) => End::not_fixed("not-scraped", "still not scraped").says(
            "Still not scraped:",
            format!(" Prometheus reaches none of its {all} kubelets."),
        ),
        None => End::unknown("Whether the kubelets are scraped was not found out."),
    }
}
