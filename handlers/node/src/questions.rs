//! What is read about a node, and how its message is made.

use handler_kit::kubernetes::{Node, Pod};
use handler_kit::prelude::*;
use handler_kit::prometheus::Query;

use crate::verdicts::{self, About, Facts, Others};
use crate::{ends, pods};

/// Reads a node, its events and its pods, and asks which other nodes are not ready: 4 requests, and one more for each further
/// hundred pods; one more for a node that flaps.
pub(crate) fn firing(look: &Look<'_>) -> Report {
    let Some(name) = look.name("node") else {
        return Report::new();
    };
    let kubernetes = look.kubernetes();
    let about = About::of(look);
    let node = match look.find::<Node>("node") {
        Read::Found(node) => node,
        Read::Gone => return Report::new().verdict(verdicts::gone(&name)),
        Read::Unknown => return Report::new(),
    };
    let events = kubernetes.events(&node);
    let pods = kubernetes.list::<Pod>(None, &Select::field("spec.nodeName", &name));
    let facts = Facts {
        about: &about,
        name: &name,
        others: about.is_readiness().then(|| others(look, &name)).flatten(),
        changes: (about == About::Flapping)
            .then(|| changes(look, &name))
            .flatten(),
        node: &node,
        events: &events,
        pods: &pods,
    };
    let groups = pods::groups(&pods, about == About::TooManyPods);
    let evicted = match &about {
        About::Pressure(_) | About::Eviction(_) => pods::evicted(&pods),
        _ => Vec::new(),
    };
    Report::new()
        .verdict(verdicts::of(&facts))
        .changed_line(verdicts::changed(&facts, look.alert().starts_at.seconds))
        .field("State", verdicts::state(&node))
        .field_if("Zone", node.label("topology.kubernetes.io/zone"))
        .field_if("Machine", node.label("node.kubernetes.io/instance-type"))
        .field_if("Kubelet", node.text("/status/nodeInfo/kubeletVersion"))
        .field_if("Age", node.created().map(|at| Line::new().lasting(at)))
        .owner(node.owner())
        .list("Evicted pods", evicted)
        .list(
            &pods::title(&pods, &groups, about == About::TooManyPods),
            groups.iter().map(pods::line),
        )
        .fact("node", &name)
        .events(events, None)
}

/// Returns which other nodes are not ready, by kube-state-metrics.
fn others(look: &Look<'_>, name: &Name) -> Option<Others> {
    let query = Query::new("kube_node_status_condition{condition=\"Ready\", status=\"true\"}");
    let nodes = look.prometheus().instant("other nodes", &query)?;
    let others = nodes
        .iter()
        .filter(|sample| sample.label("node") != &**name);
    let not_ready = others.clone().filter(|sample| sample.value == 0.0);
    Some(Others {
        not_ready: not_ready
            .map(|sample| sample.label("node").to_owned())
            .collect(),
        all: others.count(),
    })
}

/// Returns how often the readiness changed within the last hour.
fn changes(look: &Look<'_>, name: &Name) -> Option<f64> {
    let query = Query::new(
        "max(changes(kube_node_status_condition{node=$node, condition=\"Ready\", status=\"true\"}[1h]))",
    );
    look.prometheus()
        .number("changes of readiness", &query.bind("node", name))
}

/// Reads the node, and its pods if the alert is about their number: 1 request, or 2 and one more for each further hundred pods.
pub(crate) fn end(look: &Look<'_>) -> End {
    let node = match look.find::<Node>("node") {
        Read::Found(node) => node,
        Read::Gone => return End::gone("node", "it was deleted"),
        Read::Unknown => return End::unknown("What became of the node was not found out."),
    };
    match (About::of(look), look.name("node")) {
        (About::TooManyPods, Some(name)) => {
            let on_it = Select::field("spec.nodeName", &name);
            ends::end_of_pods(&node, &look.kubernetes().list::<Pod>(None, &on_it))
        }
        (about, _) => ends::end(&about, &node),
    }
}
