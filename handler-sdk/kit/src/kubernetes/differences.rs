//! What differs between two pod templates, without the values of variables.

use std::collections::BTreeMap;

use handler_sdk::layout::clip;
use handler_sdk::serde_json::Value;

use super::object::{items, text};
use crate::words::{image_repository, image_tag};

const DIFFERENCES_MAX: usize = 6;

/// Returns the differences between two pod templates, without the values of variables.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<String> {
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
mod tests {
    use handler_sdk::serde_json::json;

    use super::*;

    #[test]
    fn where_variables_come_from_is_reported_and_their_values_are_not() {
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
}
