//! What happened to the alert's node.

use handler_kit::kubernetes::{Extent, Node, Pod, moment, text};
use handler_kit::prelude::*;

use crate::{listed, plain, span, when};

/// Reads the node and its pods: 2 requests, and 1 more for each further hundred pods. Returns what they show as Markdown; `None`
/// if the node could not be read.
pub(crate) fn changes(look: &Look<'_>) -> Option<String> {
    let name = look.name("node")?;
    let node = match look
        .kubernetes()
        .find::<Node>(&Place::of_cluster(name.clone()))
    {
        Read::Found(node) => node,
        Read::Gone => {
            return Some(format!(
                "The node {} does not exist any more.",
                plain(&name)
            ));
        }
        Read::Unknown => return None,
    };
    let (since, until) = span(look);
    let is_within = |at: &i64| (since..=until).contains(at);
    let mut found = of_node(&node);
    found.retain(|(at, _)| is_within(at));
    found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut lines: Vec<String> = found
        .iter()
        .map(|(at, what)| format!("{what}, {}", when(look, *at)))
        .collect();
    let pods = look
        .kubernetes()
        .list::<Pod>(None, &Select::field("spec.nodeName", &name));
    let begun = pods
        .iter()
        .filter(|pod| pod.created().as_ref().is_some_and(is_within))
        .count();
    if begun > 0 {
        let least = if pods.read == Extent::All {
            ""
        } else {
            "at least "
        };
        let were = if begun == 1 { "was" } else { "were" };
        lines.push(format!("{least}{begun} of its pods {were} made"));
    }
    if lines.is_empty() {
        // A condition shows its last change only, and a taint may have been taken away.
        return (pods.read == Extent::All).then(|| {
            format!("The node {} shows no change since an hour before the alert: no condition, no taint, no new pod.", plain(&name))
        });
    }
    Some(listed(
        &format!(
            "On the node {} since an hour before the alert:",
            plain(&name)
        ),
        &lines,
    ))
}

/// Returns what happened to the node and when, in seconds since 1970.
fn of_node(node: &Node) -> Vec<(i64, String)> {
    let mut found: Vec<(i64, String)> = Vec::new();
    found.extend(
        node.created()
            .map(|at| (at, "it was added to the cluster".to_owned())),
    );
    for condition in node.conditions() {
        let now = match condition.is_true {
            Some(true) => "true",
            Some(false) => "false",
            None => "unknown",
        };
        let why = match condition.reason.is_empty() {
            true => String::new(),
            false => format!(" ({})", plain(&condition.reason)),
        };
        let what = format!("the condition {} became {now}{why}", plain(&condition.kind));
        found.extend(condition.since.map(|at| (at, what)));
    }
    for taint in node.items("/spec/taints") {
        let key = text(taint, "/key").unwrap_or_default();
        let effect = text(taint, "/effect").unwrap_or_default();
        found.extend(moment(taint, "/timeAdded").map(|at| {
            (
                at,
                format!("the taint {}:{} was added", plain(key), plain(effect)),
            )
        }));
    }
    found
}
