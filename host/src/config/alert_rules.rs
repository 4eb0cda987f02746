//! Reads alerting rules from files as Prometheus and the Prometheus Operator have them, and from Prometheus' configuration what
//! it does to the labels of every alert.

use std::collections::BTreeMap;
use std::path::Path;

use super::load::read;
use super::node::{Node, Value};
use super::parse::{Mistake, parse_all};
use crate::coverage::{AlertRule, Labelling, Relabelling};
use crate::findings::{Problem, Problems};

/// The most alerting rules of one file or server.
pub(crate) const RULES_MAX: usize = 20_000;

/// Reads the alerting rules of a file: groups as Prometheus reads them, or manifests of the kind `PrometheusRule`, also several
/// in one file or in a list.
///
/// # Errors
/// Everything that is wrong, at once.
pub(crate) fn alert_rules(path: &Path) -> Result<Vec<AlertRule>, Problems> {
    let text = read(path, "the rules cannot be read", "correct --rules")?;
    let file = path.display().to_string();
    let (documents, mistakes) = parse_all(&text);
    let mut found = Found {
        file: &file,
        rules: Vec::new(),
        has_groups: false,
        problems: mistakes
            .into_iter()
            .map(|one| problem(&file, one))
            .collect(),
    };
    for document in &documents {
        found.document(document);
    }
    if found.problems.is_empty() && !found.has_groups {
        found.problems.push(Problem {
            place: file.clone(),
            message: "the file has no rules".to_owned(),
            advice: "name files with `groups`, or manifests of the kind PrometheusRule; render templates first, as with \
                     `helm template`"
                .to_owned(),
        });
    }
    match found.problems.is_empty() {
        true => Ok(found.rules),
        false => Err(Problems(found.problems)),
    }
}

/// Reads what a configuration of Prometheus adds to the labels of every alert and takes from them; `None` if it is no YAML.
pub(crate) fn labelling(text: &str) -> Option<Labelling> {
    let (documents, mistakes) = parse_all(text);
    if !mistakes.is_empty() {
        return None;
    }
    let Some(document) = documents.first() else {
        return Some(Labelling::default());
    };
    let mut labelling = Labelling::default();
    if let Some(labels) = at(document, "global").and_then(|global| at(global, "external_labels")) {
        labelling.external = texts(labels).collect();
    }
    let alerting = at(document, "alerting");
    let one_by_one = alerting.and_then(|alerting| at(alerting, "alertmanagers"));
    let of = |node: &Node| relabellings(node).collect::<Vec<_>>();
    labelling.relabellings = alerting.map(of).unwrap_or_default();
    labelling
        .relabellings
        .extend(items(one_by_one).flat_map(of));
    Some(labelling)
}

fn relabellings(node: &Node) -> impl Iterator<Item = Relabelling> {
    items(at(node, "alert_relabel_configs")).map(|config| {
        let text = |key| at(config, key).and_then(Node::scalar);
        match text("action")
            .unwrap_or("replace")
            .to_ascii_lowercase()
            .as_str()
        {
            "labeldrop" => Relabelling::Drops(text("regex").unwrap_or("(.*)").to_owned()),
            "keep" | "drop" | "keepequal" | "dropequal" => Relabelling::DropsAlerts,
            "replace" | "hashmod" | "lowercase" | "uppercase" => match text("target_label") {
                Some(label) if !label.contains('$') => Relabelling::Sets(label.to_owned()),
                _ => Relabelling::Unknown,
            },
            _ => Relabelling::Unknown,
        }
    })
}

struct Found<'a> {
    file: &'a str,
    rules: Vec<AlertRule>,
    has_groups: bool,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn document(&mut self, document: &Node) {
        let kind = at(document, "kind").and_then(Node::scalar);
        match kind {
            Some("PrometheusRule") => {
                if let Some(spec) = at(document, "spec") {
                    self.groups(spec);
                }
            }
            Some(kind) if kind.ends_with("List") => {
                for item in items(at(document, "items")) {
                    self.document(item);
                }
            }
            // Another manifest of the same file.
            Some(_) => {}
            None => self.groups(document),
        }
    }

    fn groups(&mut self, node: &Node) {
        let Some(groups) = at(node, "groups") else {
            return;
        };
        self.has_groups = true;
        if !matches!(groups.value, Value::List(_) | Value::Null) {
            return self.fail(
                groups,
                "groups is no list",
                "begin each group with a hyphen",
            );
        }
        for group in items(Some(groups)) {
            let name = at(group, "name").and_then(Node::scalar).unwrap_or_default();
            let labels: BTreeMap<String, String> = at(group, "labels")
                .map(|labels| texts(labels).collect())
                .unwrap_or_default();
            for rule in items(at(group, "rules")) {
                self.rule(rule, name, &labels);
            }
        }
    }

    fn rule(&mut self, rule: &Node, group: &str, of_group: &BTreeMap<String, String>) {
        let Some(alert) = at(rule, "alert") else {
            if at(rule, "record").is_none() {
                self.fail(rule, "a rule has neither alert nor record", "name it");
            }
            return;
        };
        let Some(name) = alert.scalar().filter(|name| !name.is_empty()) else {
            return self.fail(alert, "alert is no name", "write it as in alert: DiskFull");
        };
        let Some(expr) = at(rule, "expr").and_then(Node::scalar) else {
            return self.fail(
                rule,
                &format!("the alert {name} has no expr"),
                "add its expression",
            );
        };
        if self.rules.len() >= RULES_MAX {
            if self.rules.len() == RULES_MAX && self.problems.is_empty() {
                self.fail(
                    rule,
                    &format!("the file has more than {RULES_MAX} alerting rules"),
                    "split it",
                );
            }
            return;
        }
        let mut labels = of_group.clone();
        labels.extend(at(rule, "labels").into_iter().flat_map(texts));
        self.rules.push(AlertRule {
            name: name.to_owned(),
            expr: resolved(at(rule, "expr")).unwrap_or_else(|| expr.to_owned()),
            labels,
            group: group.to_owned(),
            place: format!("{}:{}", self.file, rule.at),
        });
    }

    fn fail(&mut self, node: &Node, message: &str, advice: &str) {
        self.problems.push(Problem {
            place: format!("{}:{}", self.file, node.at),
            message: message.to_owned(),
            advice: advice.to_owned(),
        });
    }
}

fn problem(file: &str, mistake: Mistake) -> Problem {
    Problem {
        place: format!("{file}:{}", mistake.at),
        message: mistake.message,
        advice: format!(
            "{}; templates have to be rendered first, as with `helm template`",
            mistake.advice
        ),
    }
}

fn at<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    Some(&entry.value).filter(|value| !value.is_null())
}

fn items(node: Option<&Node>) -> std::slice::Iter<'_, Node> {
    match node.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter(),
        _ => [].iter(),
    }
}

/// Returns the scalars of a mapping.
fn texts(node: &Node) -> impl Iterator<Item = (String, String)> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), resolved(Some(&entry.value))?)))
}

/// Returns a text as YAML resolves it.
fn resolved(node: Option<&Node>) -> Option<String> {
    match &node?.value {
        Value::Scalar(_, serde_json::Value::String(text)) => Some(text.clone()),
        Value::Scalar(written, _) => Some(written.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(text: &str) -> Result<Vec<AlertRule>, Problems> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.yml");
        std::fs::write(&file, text).unwrap();
        alert_rules(&file)
    }

    #[test]
    fn rules_are_read_from_groups_and_from_manifests() {
        let rules = read(
            "groups:\n- name: a\n  labels: { team: core, severity: info }\n  rules:\n  - record: job:up\n    expr: up\n  - alert: Down\n    \
             expr: |\n      up == 0\n    labels: { severity: critical }\n---\nkind: Service\n---\nkind: PrometheusRule\nspec:\n  groups:\n  - \
             name: b\n    rules: [{ alert: Gone, expr: absent(up) }]\n",
        )
        .unwrap();
        let names: Vec<_> = rules
            .iter()
            .map(|rule| (rule.name.as_str(), rule.expr.trim(), rule.group.as_str()))
            .collect();
        assert_eq!(
            names,
            [("Down", "up == 0", "a"), ("Gone", "absent(up)", "b")]
        );
        let labels: Vec<_> = rules[0]
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(labels, ["severity=critical", "team=core"]);
    }

    #[test]
    fn what_are_no_rules_is_said_with_its_place() {
        for (text, said) in [
            ("a: [", "this is not YAML"),
            ("", "the file has no rules"),
            ("kind: Service\n", "kind PrometheusRule"),
            ("groups: { a: 1 }\n", ":1:9: groups is no list"),
            (
                "groups:\n- rules:\n  - alert: A\n",
                ":3:5: the alert A has no expr",
            ),
            (
                "groups:\n- rules:\n  - expr: up\n",
                "neither alert nor record",
            ),
            (
                "groups:\n- rules:\n  - { alert: [A], expr: up }\n",
                "alert is no name",
            ),
            ("{{- if .Values.rules }}\ngroups: []\n", "helm template"),
        ] {
            let problems = read(text).unwrap_err().to_string();
            assert!(problems.contains(said), "{text:?}: {problems}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_or_has_too_many_rules_is_refused() {
        let huge = read(&format!("# {}\n", "x".repeat(5 << 20))).unwrap_err();
        assert!(huge.to_string().contains("larger than 4 MiB"), "{huge}");
        let many = "  - { alert: A, expr: up }\n".repeat(RULES_MAX + 2);
        let many = read(&format!("groups:\n- rules:\n{many}")).unwrap_err();
        assert_eq!(many.0.len(), 1);
        assert!(many.to_string().contains("more than 20000"), "{many}");
    }

    #[test]
    fn the_servers_own_labels_are_read_from_its_configuration() {
        let read = labelling(
            "global:\n  external_labels: { cluster: main, shard: 1 }\nalerting:\n  alert_relabel_configs:\n  - { action: labeldrop, \
             regex: replica }\n  alertmanagers:\n  - alert_relabel_configs: [{ target_label: env, replacement: x }, { action: labelmap \
             }, { action: drop }]\n",
        )
        .unwrap();
        let external: Vec<_> = read
            .external
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(external, ["cluster=main", "shard=1"]);
        assert_eq!(
            read.relabellings,
            [
                Relabelling::Drops("replica".to_owned()),
                Relabelling::Sets("env".to_owned()),
                Relabelling::Unknown,
                Relabelling::DropsAlerts,
            ]
        );
        assert!(labelling("a: [").is_none());
        assert_eq!(labelling(""), Some(Labelling::default()));
    }
}
