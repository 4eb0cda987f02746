//! How an alert about a node ended, which is not always that it is fixed.

use handler_kit::kubernetes::{Extent, List, Node, Pod};
use handler_kit::prelude::*;

use crate::pods;
use crate::verdicts::{About, capacity, short_of, state};

/// Returns how an alert about a node's conditions ended.
pub(crate) fn end(about: &About, node: &Node) -> End {
    if let About::Pressure(kind) = about {
        return end_of_pressure(node, kind);
    }
    if let About::Eviction(signal) = about {
        let troubles = node.troubles();
        return match troubles.is_empty() {
            true => End::new("no-eviction", "evicts no more").says(
                "The kubelet evicts no more:",
                format!(" it is not short of {} any more.", short_of(signal)),
            ),
            false => End::not_fixed("no-eviction", &format!("still {}", troubles.join(", "))).says(
                "The kubelet evicts no more,",
                format!(" but the node is still {}.", troubles.join(", ")),
            ),
        };
    }
    let is_cordoned = node.is("/spec/unschedulable");
    match node.holds("Ready") {
        Some(ready) => {
            let rest = match ready.since {
                Some(since) => Line::from(" for ").lasting(since),
                None => Line::from(" as its kubelet reports"),
            };
            let rest = rest.text(if is_cordoned {
                "; it is cordoned."
            } else {
                "."
            });
            End::new("ready", "ready again").says("Ready again:", rest)
        }
        // The rule leaves out nodes that are cordoned.
        None if is_cordoned => End::not_fixed("cordoned", "cordoned, not ready").says(
            "The node is cordoned, but still not ready:",
            " the alert leaves cordoned nodes out, so nothing is fixed.",
        ),
        None => End::not_fixed("not-ready", "still not ready").says(
            "The node is still not ready:",
            format!(" it is {}.", state(node)),
        ),
    }
}

fn end_of_pressure(node: &Node, kind: &str) -> End {
    let what = short_of(kind);
    match node.fails(kind) {
        Some(condition) => {
            let rest =
                Line::from(format!(" {}", condition.said())).lasting_if(", for ", condition.since);
            End::new("enough", &format!("has enough {what} again"))
                .says(&format!("It has enough {what} again:"), rest.text("."))
        }
        None if node.is("/spec/unschedulable") => End::not_fixed("cordoned", "cordoned").says(
            "The node is cordoned:",
            format!(" the alert leaves cordoned nodes out; it may still be short of {what}."),
        ),
        None => End::not_fixed("pressure", &format!("still short of {what}"))
            .says(&format!("It is still short of {what}."), ""),
    }
}

/// Returns how an alert about the number of pods ended.
pub(crate) fn end_of_pods(node: &Node, pods: &List<Pod>) -> End {
    let count = pods.iter().filter(|pod| pods::is_active(pod)).count();
    match (pods.read, capacity(node)) {
        (Extent::All, Some(most)) => End::new("fewer-pods", &format!("{count} of {most} pods"))
            .says("It has room again:", format!(" {count} of {most} pods.")),
        _ => End::unknown("How many pods it has was not found out."),
    }
}
