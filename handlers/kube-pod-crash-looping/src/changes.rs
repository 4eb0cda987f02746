//! What the last rollout changed, from the workload's revisions. Pure.

use std::collections::BTreeMap;

use handler_sdk::layout::clip;
use handler_sdk::serde_json::Value;

use crate::findings::Change;
use crate::kube::{items, moment, text};
use crate::pod::controller;
use crate::words::{image_repository, image_tag, roughly, span};

/// Where a Deployment and an Argo Rollout number their sets.
const REVISIONS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "rollout.argoproj.io/revision",
];
/// A rollout that is older than this is not what broke the pod.
const RECENT_SECONDS: u64 = 7 * 86_400;
/// A rollout that was this long before the first crash may well be what broke it: to undo it is worth a thought.
const UNDO_SECONDS: u64 = 86_400;
const DIFFERENCES_MAX: usize = 6;

/// Compares a pod's `ReplicaSet` with the one of the revision before it, among all that `owner` owns.
pub(crate) fn of_sets(current: &Value, all: &[Value], owner: (&str, &str)) -> Change {
    let number = revision(current);
    let before = all
        .iter()
        .filter(|set| controller(set) == Some(owner) && revision(set) < number)
        .max_by_key(|set| revision(set));
    let rolled_out = moment(current, "/metadata/creationTimestamp");
    let mut change = Change {
        revision: number.map(|n| n.to_string()),
        rolled_out,
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
    /// Returns whether to undo the rollout is supported by what is known: it changed the pods, and the crashes began
    /// within a day after it.
    pub(crate) fn supports_undo(&self, alert_began: i64) -> bool {
        let since = self.first_crash.unwrap_or(alert_began);
        let is_before = self
            .rolled_out
            .is_some_and(|at| at <= since && span(at, since).as_secs() <= UNDO_SECONDS);
        self.is_spec_changed && !self.is_rollback && is_before
    }

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
    REVISIONS
        .iter()
        .find_map(|name| set["metadata"]["annotations"][name].as_str()?.parse().ok())
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

/// Volumes whose ConfigMap or Secret is another one now: generators put a hash into its name.
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

/// A restart by hand, and the checksums that charts put there for the content of a ConfigMap.
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

/// Names what differs, a level deep.
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

/// Returns where a variable, a volume or all variables come from: `ConfigMap a`, `Secret b`.
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

/// Returns the names of variables that differ; of those that come from elsewhere, from where.
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use handler_sdk::serde_json::json;

    use super::*;

    fn set(revision: &str, created: &str, container: Value) -> Value {
        json!({
            "metadata": { "annotations": { REVISIONS[0]: revision }, "creationTimestamp": created,
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
        let mut change = of_sets(&current, &all, ("Deployment", "d"));
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
    fn where_variables_come_from_is_told_and_their_values_are_not() {
        let template = |hash: &str, env: Value| {
            json!({ "metadata": { "annotations": { "checksum/config": hash } }, "spec": {
                "containers": [{ "name": "app", "image": "x", "env": env,
                    "envFrom": [{ "configMapRef": { "name": format!("app-env-{hash}") } }, { "secretRef": { "name": "s" } }] }],
                "volumes": [{ "name": "conf", "configMap": { "name": format!("app-conf-{hash}") } }] } })
        };
        let from = |secret: &str, key: &str| {
            json!([
                { "name": "DB", "valueFrom": { "secretKeyRef": { "name": secret, "key": key } } },
                { "name": "PLAIN", "value": secret },
            ])
        };
        assert_eq!(
            differences(
                &template("a", from("db-1", "url")),
                &template("b", from("db-2", "url"))
            ),
            [
                "variables from ConfigMap app-env-a → ConfigMap app-env-b",
                "variables DB (Secret db-1 → Secret db-2), PLAIN",
                "volume conf: ConfigMap app-conf-a → ConfigMap app-conf-b",
                "annotation checksum/config",
            ]
        );
        assert_eq!(
            differences(
                &template("a", from("db-1", "url")),
                &template("a", from("db-1", "dsn"))
            ),
            ["variables DB (another key)"]
        );
    }

    #[test]
    fn whatever_else_differs_is_named() {
        let template =
            |account: &str| json!({ "spec": { "serviceAccountName": account, "containers": [] } });
        assert_eq!(
            differences(&template("a"), &template("b")),
            ["other parts of the template (serviceAccountName)"]
        );
        assert!(differences(&template("a"), &template("a")).is_empty());
    }

    #[test]
    fn a_rollouts_sets_are_compared_too() {
        let set = |revision: &str, tag: &str| {
            json!({ "metadata": { "annotations": { REVISIONS[1]: revision }, "creationTimestamp": "2026-06-04T03:00:00Z",
                    "ownerReferences": [{ "controller": true, "kind": "Rollout", "name": "d" }] },
                "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": format!("r/app:{tag}") }] } } } })
        };
        let change = of_sets(
            &set("3", "b"),
            &[set("2", "a"), set("3", "b")],
            ("Rollout", "d"),
        );
        assert_eq!(change.told(None).unwrap(), "rev 3, image a → b");
    }

    #[test]
    fn to_undo_is_supported_by_a_change_before_the_first_crash_alone() {
        let change = Change {
            rolled_out: Some(1_000_000),
            is_spec_changed: true,
            ..Change::default()
        };
        assert!(change.supports_undo(1_000_600));
        assert!(
            !change.supports_undo(999_000),
            "it crashed before the rollout"
        );
        assert!(!change.supports_undo(1_200_000), "it ran well for days");
        let other = |change: Change| change.supports_undo(1_000_600);
        assert!(!other(Change {
            is_spec_changed: false,
            ..change.clone()
        }));
        assert!(!other(Change {
            is_rollback: true,
            ..change.clone()
        }));
        assert!(other(Change {
            first_crash: Some(1_000_100),
            ..change
        }));
    }

    #[test]
    fn another_deployments_sets_are_not_compared() {
        let current = set("2", "2026-06-04T03:00:00Z", container("r/app:2", "512Mi"));
        let others = [set("1", "2026-05-01T00:00:00Z", container("x", "1"))];
        let change = of_sets(&current, &others, ("Deployment", "other"));
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
        let change = of_sets(&new, &[old.clone(), new.clone()], ("Deployment", "d"));
        assert_eq!(
            change.told(Some(began)).unwrap(),
            "no rollout in the 21d before the alert (rev 42)"
        );

        let again = set("43", "2026-05-01T00:00:00Z", container("r/app:1", "1Gi"));
        let change = of_sets(&again, &[new, again.clone()], ("Deployment", "d"));
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
