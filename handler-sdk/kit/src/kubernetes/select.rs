//! Selectors: which objects a list contains.

use handler_sdk::serde_json::Value;

use super::object::{Object, items, text};
use crate::name::Name;

/// Which objects a list contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    fields: Option<String>,
    labels: Option<String>,
}

impl Select {
    /// Selects all objects.
    pub const fn all() -> Self {
        Self {
            fields: None,
            labels: None,
        }
    }

    /// Selects the objects with this value of a field, such as `spec.nodeName`.
    pub fn field(field: &'static str, value: &Name) -> Self {
        Self {
            fields: Some(format!("{field}={value}")),
            labels: None,
        }
    }

    /// Selects the events about an object of this kind and name.
    pub fn about(kind: &str, name: &Name) -> Self {
        Self {
            fields: Some(format!(
                "involvedObject.kind={kind},involvedObject.name={name}"
            )),
            labels: None,
        }
    }

    /// Selects the objects with this value of a label, such as `job-name`.
    pub fn label(label: &'static str, value: &Name) -> Self {
        Self {
            fields: None,
            labels: Some(format!("{label}={value}")),
        }
    }

    /// Selects the pods of a workload, by its `spec.selector`; `None` if it has none, which would select all.
    pub fn pods_of(workload: &Object) -> Option<Self> {
        Self::of_selector(&workload.value()["spec"]["selector"], |_| true)
    }

    /// Selects the other revisions of a `ReplicaSet`: each has its own hash, the other labels are those of their owner.
    pub(super) fn revisions_of(set: &Object) -> Option<Self> {
        Self::of_selector(&set.value()["spec"]["selector"], |label| {
            !label.ends_with("pod-template-hash")
        })
    }

    fn of_selector(selector: &Value, is_wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let labels = selector["matchLabels"].as_object().into_iter().flatten();
        let mut parts: Vec<String> = labels
            .filter(|(name, _)| is_wanted(name))
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
            .collect();
        for expression in items(selector, "/matchExpressions") {
            let Some(key) = text(expression, "/key").filter(|key| is_wanted(key)) else {
                continue;
            };
            let values = items(expression, "/values").iter();
            let values: Vec<&str> = values.filter_map(Value::as_str).collect();
            parts.push(match text(expression, "/operator")? {
                "In" => format!("{key} in ({})", values.join(",")),
                "NotIn" => format!("{key} notin ({})", values.join(",")),
                "Exists" => key.to_owned(),
                "DoesNotExist" => format!("!{key}"),
                _ => return None,
            });
        }
        (!parts.is_empty()).then(|| Self {
            fields: None,
            labels: Some(parts.join(",")),
        })
    }

    pub(super) fn query(&self) -> Vec<(&'static str, &str)> {
        let fields = self
            .fields
            .as_deref()
            .map(|fields| ("fieldSelector", fields));
        let labels = self
            .labels
            .as_deref()
            .map(|labels| ("labelSelector", labels));
        fields.into_iter().chain(labels).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use handler_sdk::serde_json::json;

    use super::*;

    #[test]
    fn a_workloads_selector_is_used_with_its_expressions() {
        let workload =
            |selector: Value| Object::new(json!({ "spec": { "selector": selector } }), true);
        let both = workload(json!({
            "matchLabels": { "app": "a" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["x", "y"] },
                { "key": "canary", "operator": "DoesNotExist" },
            ],
        }));
        let select = Select::pods_of(&both).unwrap();
        assert_eq!(
            select.query(),
            [("labelSelector", "app=a,tier in (x,y),!canary")]
        );
        assert_eq!(
            Select::pods_of(&workload(json!({}))),
            None,
            "it would select all"
        );
    }
}
