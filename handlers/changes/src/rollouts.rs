//! What was rolled out in the alert's namespace.

use handler_kit::kubernetes::{Extent, Rollout};
use handler_kit::prelude::*;

use crate::{listed, plain, span, when};

/// Reads the revisions of the namespace's workloads: 2 requests, and 1 more for each further hundred. Returns what they show as
/// Markdown; `None` if they could not be read.
pub(crate) fn changes(look: &Look<'_>) -> Option<String> {
    let namespace = look.name("namespace")?;
    let rollouts = look.kubernetes().rollouts(&namespace, span(look));
    if rollouts.is_empty() {
        // What could not be read is said elsewhere; here it would be taken for an answer.
        return (rollouts.read == Extent::All).then(|| {
            format!(
                "No revision was rolled out in {} since an hour before the alert.",
                plain(&namespace)
            )
        });
    }
    let lines: Vec<String> = rollouts.iter().map(|rollout| line(look, rollout)).collect();
    let title = format!(
        "Rolled out in {} since an hour before the alert:",
        plain(&namespace)
    );
    Some(listed(&title, &lines))
}

fn line(look: &Look<'_>, rollout: &Rollout) -> String {
    let mut text = format!("{} {}", plain(&rollout.kind), plain(&rollout.name));
    if let Some(revision) = rollout.revision {
        text.push_str(&format!(", rev {revision}"));
    }
    text.push_str(&format!(", {}", when(look, rollout.began)));
    let what = match (rollout.differences.as_slice(), rollout.is_only_one) {
        ([], true) => "no earlier revision is kept".to_owned(),
        ([], false) => "nothing in images, resources, command or variables".to_owned(),
        (differences, _) => plain(&differences.join(", ")),
    };
    format!("{text}: {what}")
}
