//! Finds out what the last rollout changed, from the workload's revisions. Makes no requests.

use std::collections::BTreeMap;

use handler_sdk::layout::clip;
use handler_sdk::serde_json::Value;

use crate::findings::Change;
use crate::kube::{Listed, items, moment, text};
use crate::pod::controller;
use crate::words::{image_repository, image_tag, roughly, span};

/// The annotations in which a Deployment and an Argo Rollout number their sets.
const REVISIONS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "rollout.argoproj.io/revision",
];
/// The suffix of an annotation with the earlier numbers of a set that was numbered again by a rollback to it.
const HISTORY_SUFFIX: &str = "-history";
/// A rollout that is older than this did not break the pod.
const RECENT_SECONDS: u64 = 7 * 86_400;
/// An undo is offered for a rollout that happened at most this long before the first crash.
const UNDO_SECONDS: u64 = 86_400;
const DIFFERENCES_MAX: usize = 6;

/// Compares a pod's `ReplicaSet` with the one of the revision before it, among all that `owner` owns.
pub(crate) fn of_sets(current: &Value, all: &Listed, owner: (&str, &str)) -> Change {
    let number = revision(current);
    let owned = || {
        all.items
            .iter()
            .filter(|set| controller(set) == Some(owner))
    };
    let before = owned()
        .filter(|set| revision(set) != number)
        .filter_map(|set| Some((last_below(set, number?)?, set)))
        .max_by_key(|(number, _)| *number)
        .map(|(_, set)| set);
    let newest = owned().filter_map(revision).max();
    let rolled_out = moment(current, "/metadata/creationTimestamp");
    let mut change = Change {
        revision: number.map(|n| n.to_string()),
        rolled_out,
        newer: newest
            .filter(|newest| number.is_some_and(|number| *newest > number))
            .map(|newest| newest.to_string()),
        is_partial: all.is_cut,
        ..Change::default()
    };
    match before {
        Some(before) => {
            let (old, new) = (&before["spec"]["template"], &current["spec"]["template"]);
            change.differences = differences(old, new);
            change.is_spec_changed = old["spec"] != new["spec"];
            change.is_rollback = moment(before, "/metadata/creationTimestamp") > rolled_out;
        }
        None => change.note = Some("no earlier revision is kept to compare with".to_owned()),
    }
    change
}

/// Returns what a workload without stored revisions shows: whether a rollout is in progress.
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
    /// Returns whether the findings support an undo of the rollout: it is the last one, it changed the pods, and the crashes
    /// began within a day after it. If there is a newer rollout, an undo could lead back to this one.
    pub(crate) fn supports_undo(&self, alert_began: i64) -> bool {
        if self.newer.is_some() || self.is_partial {
            return false;
        }
        let since = self.first_crash.unwrap_or(alert_began);
        let is_before = self
            .rolled_out
            .is_some_and(|at| at <= since && span(at, since).as_secs() <= UNDO_SECONDS);
        self.is_spec_changed && !self.is_rollback && is_before
    }

    /// Returns it on one line; `None` if there is nothing to report.
    pub(crate) fn for_people(&self) -> Option<String> {
        self.for_people_since(None)
    }

    /// Returns it on one line, relative to the start of the alert if the events do not show the first crash.
    pub(crate) fn for_people_since(&self, alert_began: Option<i64>) -> Option<String> {
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
            && self.newer.is_none()
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
            // A rollback reuses the old ReplicaSet, so its creation time does not tell when the rollback happened.
            _ if self.is_rollback => Some("rolled back to an older template".to_owned()),
            Some((rolled_out, since)) if rolled_out <= since => {
                Some(format!("{} before {what}", roughly(rolled_out, since)))
            }
            Some((rolled_out, since)) => {
                Some(format!("{} after {what}", roughly(since, rolled_out)))
            }
            None => None,
        };
        let newer = self.newer.as_deref().map(|newer| {
            let newer = clip(newer, 20);
            format!("revision {newer} is rolled out meanwhile")
        });
        let parts: Vec<String> = revision
            .into_iter()
            .chain(differences)
            .chain(self.note.clone())
            .chain(when)
            .chain(newer)
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn revision(set: &Value) -> Option<u64> {
    REVISIONS
        .iter()
        .find_map(|name| set["metadata"]["annotations"][name].as_str()?.parse().ok())
}

/// Returns the greatest number below `number` that a set has, or had before a rollback to it.
fn last_below(set: &Value, number: u64) -> Option<u64> {
    let annotations = &set["metadata"]["annotations"];
    let history = REVISIONS
        .iter()
        .filter_map(|name| annotations[format!("{name}{HISTORY_SUFFIX}")].as_str());
    history
        .flat_map(|numbers| numbers.split(','))
        .filter_map(|number| number.trim().parse().ok())
        .chain(revision(set))
        .filter(|known| *known < number)
        .max()
}

/// Returns the differences between two pod templates, without the values of variables.
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
    found.extend(of_volumes(before, after));
    found.extend(of_annotations(before, after));
    if found.is_empty() && before["spec"] != after["spec"] {
        found.push(format!(
            "other parts of the template ({})",
            other_parts(&before["spec"], &after["spec"])
        ));
    }
    found
        .iter()
        .map(|what| clip(what, 120))
        .take(DIFFERENCES_MAX)
        .collect()
}

/// Returns the volumes that now use another `ConfigMap` or Secret, since generators put a hash into the name.
fn of_volumes(before: &Value, after: &Value) -> Vec<String> {
    let (old, new) = (
        by_name(before, "/spec/volumes"),
        by_name(after, "/spec/volumes"),
    );
    new.iter()
        .filter_map(|(name, volume)| {
            let old = old.get(name)?;
            let (before, after) = (source(old), source(volume));
            (old != volume && before != after).then(|| {
                let arrow = arrow(before.as_deref(), after.as_deref());
                format!("volume {name}: {arrow}")
            })
        })
        .collect()
}

/// Returns a manual restart, and changed checksums, which charts add for the content of a `ConfigMap`.
fn of_annotations(before: &Value, after: &Value) -> Vec<String> {
    const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
    let at = |template: &Value| {
        template["metadata"]["annotations"]
            .as_object()
            .cloned()
            .unwrap_or_default()
    };
    let (old, new) = (at(before), at(after));
    new.iter()
        .filter(|(name, value)| old.get(*name) != Some(value))
        .filter_map(|(name, _)| match name.as_str() {
            RESTARTED => Some("restarted by kubectl".to_owned()),
            name if name.contains("checksum") => Some(format!("annotation {name}")),
            _ => None,
        })
        .take(2)
        .collect()
}

/// Returns the names of other differences, down to the second level.
fn other_parts(before: &Value, after: &Value) -> String {
    let empty = handler_sdk::serde_json::Map::new();
    let (old, new) = (
        before.as_object().unwrap_or(&empty),
        after.as_object().unwrap_or(&empty),
    );
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    let differing: Vec<&str> = names
        .filter(|name| old.get(*name) != new.get(*name))
        .map(String::as_str)
        .take(3)
        .collect();
    differing.join(", ")
}

/// Returns the source of a variable, a volume or all variables: `ConfigMap a`, `Secret b`.
fn source(value: &Value) -> Option<String> {
    [
        ("/valueFrom/configMapKeyRef/name", "ConfigMap"),
        ("/valueFrom/secretKeyRef/name", "Secret"),
        ("/configMapRef/name", "ConfigMap"),
        ("/secretRef/name", "Secret"),
        ("/configMap/name", "ConfigMap"),
        ("/secret/secretName", "Secret"),
        ("/persistentVolumeClaim/claimName", "claim"),
    ]
    .iter()
    .find_map(|(pointer, kind)| Some(format!("{kind} {}", text(value, pointer)?)))
}

fn arrow(before: Option<&str>, after: Option<&str>) -> String {
    format!("{} → {}", before.unwrap_or("none"), after.unwrap_or("none"))
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
    for (key, what) in [
        ("livenessProbe", "liveness probe"),
        ("startupProbe", "startup probe"),
    ] {
        if old[key] != new[key] {
            found.push(what.to_owned());
        }
    }
    let sources = |container: &Value| -> Vec<String> {
        items(container, "/envFrom")
            .iter()
            .filter_map(source)
            .collect()
    };
    let (before, after) = (sources(old), sources(new));
    if before != after {
        let only = |some: &[String], others: &[String]| {
            let some: Vec<&str> = some
                .iter()
                .filter(|one| !others.contains(one))
                .map(String::as_str)
                .collect();
            (!some.is_empty()).then(|| some.join(" and "))
        };
        let (gone, come) = (only(&before, &after), only(&after, &before));
        found.push(match (&gone, &come) {
            (None, None) => "order of the sources of variables".to_owned(),
            _ => format!("variables from {}", arrow(gone.as_deref(), come.as_deref())),
        });
    }
    let variables = changed_variables(old, new);
    if !variables.is_empty() {
        found.push(format!("variables {}", variables.join(", ")));
    }
    found
}

/// Returns the names of variables that differ; for those with a source, also the source.
fn changed_variables(old: &Value, new: &Value) -> Vec<String> {
    let (before, after) = (by_name(old, "/env"), by_name(new, "/env"));
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    names
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            let from = |variables: &BTreeMap<&str, &Value>| {
                variables.get(name).and_then(|variable| source(variable))
            };
            match (from(&before), from(&after)) {
                (None, None) => (*name).to_owned(),
                (before, after) if before == after => format!("{name} (another key)"),
                (before, after) => {
                    format!("{name} ({})", arrow(before.as_deref(), after.as_deref()))
                }
            }
        })
        .take(3)
        .collect()
}

#[cfg(test)]
#[path = "tests/changes.rs"]
mod tests;
