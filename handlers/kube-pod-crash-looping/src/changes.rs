//! What the last rollout changed, from the workload's revisions. Pure.

use std::collections::BTreeMap;

use handler_sdk::serde_json::Value;

use crate::findings::Change;
use crate::kube::{items, moment, text};
use crate::pod::controller;
use crate::words::{clip, image_repository, image_tag, roughly, span};

const REVISION: &str = "deployment.kubernetes.io/revision";
/// A rollout that is older than this is not what broke the pod.
const RECENT_SECONDS: u64 = 7 * 86_400;

/// Compares a pod's `ReplicaSet` with the one of the revision before it, among all that `deployment` owns.
pub(crate) fn of_deployment(current: &Value, all: &[Value], deployment: &str) -> Change {
    let number = revision(current);
    let before = all
        .iter()
        .filter(|set| controller(set) == Some(("Deployment", deployment)) && revision(set) < number)
        .max_by_key(|set| revision(set));
    let rolled_out = moment(current, "/metadata/creationTimestamp");
    let mut change = Change {
        revision: number.map(|n| n.to_string()),
        rolled_out,
        ..Change::default()
    };
    match before {
        Some(before) => {
            change.differences =
                differences(&before["spec"]["template"], &current["spec"]["template"]);
            change.is_rollback = moment(before, "/metadata/creationTimestamp") > rolled_out;
        }
        None => change.note = Some("no earlier revision is kept to compare with".to_owned()),
    }
    change
}

/// Returns what a workload without kept revisions tells: whether a rollout is under way.
pub(crate) fn of_other(kind: &str, object: &Value) -> Option<Change> {
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let (updated, wanted) = match kind {
        "StatefulSet" => (count("/status/updatedReplicas"), count("/spec/replicas")),
        "DaemonSet" => (
            count("/status/updatedNumberScheduled"),
            count("/status/desiredNumberScheduled"),
        ),
        _ => return None,
    };
    let revisions = (
        text(object, "/status/currentRevision"),
        text(object, "/status/updateRevision"),
    );
    let is_under_way = updated < wanted && (kind == "DaemonSet" || revisions.0 != revisions.1);
    is_under_way.then(|| Change {
        note: Some(format!(
            "a rollout is under way: {updated} of {wanted} pods updated"
        )),
        ..Change::default()
    })
}

impl Change {
    /// Returns it in one line, or none where there is nothing to tell.
    pub(crate) fn for_people(&self) -> Option<String> {
        self.told(None)
    }

    /// Returns it in one line, dated by when the alert began where the events don't tell the first crash.
    pub(crate) fn told(&self, alert_began: Option<i64>) -> Option<String> {
        let revision = self
            .revision
            .as_deref()
            .map(|revision| format!("rev {}", clip(revision, 20)));
        let (since, what) = match (self.first_crash, alert_began) {
            (Some(first), _) => (Some(first), "the first crash"),
            (None, began) => (began, "the alert"),
        };
        let gap = self.rolled_out.zip(since);
        if let Some((rolled_out, since)) = gap
            && !self.is_rollback
            && span(rolled_out, since).as_secs() > RECENT_SECONDS
        {
            let age = roughly(rolled_out, since);
            let revision = revision
                .map(|revision| format!(" ({revision})"))
                .unwrap_or_default();
            return Some(format!("no rollout in the {age} before {what}{revision}"));
        }
        let differences = match self.differences.as_slice() {
            [] if self.note.is_none() && revision.is_some() => {
                vec!["nothing in images, resources, command or variables".to_owned()]
            }
            differences => differences.to_vec(),
        };
        let when = match gap {
            // A rollback takes up the old ReplicaSet again, which says nothing of when.
            _ if self.is_rollback => Some("rolled back to an older template".to_owned()),
            Some((rolled_out, since)) if rolled_out <= since => {
                Some(format!("{} before {what}", roughly(rolled_out, since)))
            }
            Some((rolled_out, since)) => {
                Some(format!("{} after {what}", roughly(since, rolled_out)))
            }
            None => None,
        };
        let parts: Vec<String> = revision
            .into_iter()
            .chain(differences)
            .chain(self.note.clone())
            .chain(when)
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn revision(set: &Value) -> Option<u64> {
    set["metadata"]["annotations"][REVISION]
        .as_str()?
        .parse()
        .ok()
}

/// Returns what differs between two pod templates; the values of variables are never shown.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for list in ["/spec/containers", "/spec/initContainers"] {
        let old: BTreeMap<&str, &Value> = by_name(before, list);
        let new: BTreeMap<&str, &Value> = by_name(after, list);
        let is_only_one = new.len() == 1 && old.len() == 1;
        for (name, container) in &new {
            let prefix = if is_only_one {
                String::new()
            } else {
                format!("{name}: ")
            };
            match old.get(name) {
                Some(old) => {
                    found.extend(
                        of_container(old, container)
                            .into_iter()
                            .map(|what| format!("{prefix}{what}")),
                    );
                }
                None => found.push(format!("container {name} added")),
            }
        }
        found.extend(
            old.keys()
                .filter(|name| !new.contains_key(*name))
                .map(|name| format!("container {name} removed")),
        );
    }
    found.iter().map(|what| clip(what, 120)).take(6).collect()
}

fn by_name<'v>(template: &'v Value, list: &str) -> BTreeMap<&'v str, &'v Value> {
    items(template, list)
        .iter()
        .filter_map(|container| Some((text(container, "/name")?, container)))
        .collect()
}

fn of_container(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (text(old, "/image"), text(new, "/image"))
        && before != after
    {
        found.push(if image_repository(before) == image_repository(after) {
            format!("image {} → {}", image_tag(before), image_tag(after))
        } else {
            format!("image {before} → {after}")
        });
    }
    for (pointer, what) in [
        ("/resources/limits/memory", "memory limit"),
        ("/resources/requests/memory", "memory request"),
        ("/resources/limits/cpu", "CPU limit"),
    ] {
        let (before, after) = (text(old, pointer), text(new, pointer));
        if before != after {
            found.push(format!(
                "{what} {} → {}",
                before.unwrap_or("none"),
                after.unwrap_or("none")
            ));
        }
    }
    if ["command", "args"].iter().any(|key| old[key] != new[key]) {
        found.push("command".to_owned());
    }
    if old["livenessProbe"] != new["livenessProbe"] {
        found.push("liveness probe".to_owned());
    }
    let variables = changed_variables(old, new);
    if !variables.is_empty() {
        found.push(format!("variables {}", variables.join(", ")));
    }
    found
}

fn changed_variables<'v>(old: &'v Value, new: &'v Value) -> Vec<&'v str> {
    let (before, after) = (by_name(old, "/env"), by_name(new, "/env"));
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    names
        .filter(|name| before.get(*name) != after.get(*name))
        .copied()
        .take(3)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use handler_sdk::serde_json::json;

    use super::*;

    fn set(revision: &str, created: &str, container: Value) -> Value {
        json!({
            "metadata": { "annotations": { REVISION: revision }, "creationTimestamp": created,
                "ownerReferences": [{ "controller": true, "kind": "Deployment", "name": "d" }] },
            "spec": { "template": { "spec": { "containers": [container] } } },
        })
    }

    fn container(image: &str, memory: &str) -> Value {
        json!({ "name": "app", "image": image, "resources": { "limits": { "memory": memory } },
            "env": [{ "name": "MODE", "value": memory }, { "name": "SAME", "value": "x" }] })
    }

    #[test]
    fn the_revision_before_is_compared() {
        let current = set("42", "2026-06-04T03:00:00Z", container("r/app:2", "512Mi"));
        let all = [
            set("9", "2026-05-01T00:00:00Z", container("r/app:0", "1Gi")),
            set("41", "2026-05-20T00:00:00Z", container("r/app:1", "1Gi")),
            current.clone(),
        ];
        let mut change = of_deployment(&current, &all, "d");
        assert_eq!(
            change.differences,
            ["image 1 → 2", "memory limit 1Gi → 512Mi", "variables MODE"]
        );
        change.first_crash = Some(change.rolled_out.unwrap() + 12 * 60 + 5);
        assert_eq!(
            change.told(None).unwrap(),
            "rev 42, image 1 → 2, memory limit 1Gi → 512Mi, variables MODE, 12m before the first crash"
        );
    }

    #[test]
    fn another_deployments_sets_are_not_compared() {
        let current = set("2", "2026-06-04T03:00:00Z", container("r/app:2", "512Mi"));
        let change = of_deployment(
            &current,
            &[set("1", "2026-05-01T00:00:00Z", container("x", "1"))],
            "other",
        );
        assert_eq!(
            change.told(None).unwrap(),
            "rev 2, no earlier revision is kept to compare with"
        );
    }

    #[test]
    fn an_old_rollout_and_a_rollback_are_told_as_such() {
        let old = set("41", "2026-05-01T00:00:00Z", container("r/app:1", "1Gi"));
        let new = set("42", "2026-06-04T00:00:00Z", container("r/app:2", "1Gi"));
        let began = moment(&new, "/metadata/creationTimestamp").unwrap() + 21 * 86_400;
        let change = of_deployment(&new, &[old.clone(), new.clone()], "d");
        assert_eq!(
            change.told(Some(began)).unwrap(),
            "no rollout in the 21d before the alert (rev 42)"
        );

        let again = set("43", "2026-05-01T00:00:00Z", container("r/app:1", "1Gi"));
        let change = of_deployment(&again, &[new, again.clone()], "d");
        assert_eq!(
            change.told(Some(began)).unwrap(),
            "rev 43, image 2 → 1, rolled back to an older template"
        );
    }

    #[test]
    fn a_rollout_under_way_is_told() {
        let object = json!({ "spec": { "replicas": 3 },
            "status": { "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b" } });
        let change = of_other("StatefulSet", &object).unwrap();
        assert_eq!(
            change.told(None).unwrap(),
            "a rollout is under way: 1 of 3 pods updated"
        );
        assert_eq!(of_other("Job", &object), None);
    }
}
