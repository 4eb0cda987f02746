//! Queries of the dashboard and of the rules, against the metrics that a real server has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use tests::modules::workspace;
use tests::process::finished;

/// Returns each metric's labels, as the server registers them.
fn registered() -> BTreeMap<String, BTreeSet<String>> {
    let table = workspace().join("host/src/telemetry/metrics/table.rs");
    let source = fs::read_to_string(table).unwrap();
    let metric = Regex::new(r#"^    [a-z_]+: [A-Za-z]+, "([a-z_]+)" \["#).unwrap();
    let label = Regex::new(r#"(?:named|one_of)\("([a-z0-9_]+)""#).unwrap();
    source
        .lines()
        .filter_map(|line| {
            let name = format!("alert_manager_{}", &metric.captures(line)?[1]);
            let labels = label.captures_iter(line).map(|found| found[1].to_owned());
            Some((name, labels.collect()))
        })
        .collect()
}

/// Returns what a query asks for that no server has.
fn unknown(query: &str) -> Vec<String> {
    let registered = registered();
    let selector = Regex::new(r"\b((?:alert_manager|process)_[a-z_]+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"([a-z0-9_]+)\s*(?:=~|!~|!=|=)").unwrap();
    let grouping = Regex::new(r"\bby \(([^)]*)\)").unwrap();
    let mut problems = Vec::new();
    let mut known = BTreeSet::from(["job", "instance", "le"].map(str::to_owned));
    for found in selector.captures_iter(query) {
        let name = &found[1];
        let process = [
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ];
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        let Some(labels) = registered
            .get(family)
            .cloned()
            .or_else(|| process.contains(&name).then(BTreeSet::new))
        else {
            problems.push(format!("there is no metric {name}"));
            continue;
        };
        let own: BTreeSet<_> = labels
            .iter()
            .cloned()
            .chain(["job", "instance"].map(str::to_owned))
            .collect();
        let asked = found.get(2).map_or("", |labels| labels.as_str());
        for asked in label.captures_iter(asked) {
            if !own.contains(&asked[1]) {
                problems.push(format!("{name} has no label {}", &asked[1]));
            }
        }
        known.extend(labels);
    }
    for found in grouping.captures_iter(query) {
        for name in found[1].split(',').map(str::trim) {
            if !known.contains(name) {
                problems.push(format!("no metric of {query} has the label {name}"));
            }
        }
    }
    problems
}

fn dashboard() -> Value {
    let text = fs::read_to_string(workspace().join("docs/grafana-dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every query, Grafana's variables put in.
fn queries() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| {
            let query = target["expr"].as_str().unwrap();
            query
                .replace("$__rate_interval", "5m")
                .replace("$job", ".+")
                .replace("$instance", ".+")
        })
        .collect()
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_the_server_has() {
    let queries = queries();
    assert!(queries.len() > 20, "{}", queries.len());
    let problems: Vec<_> = queries.iter().flat_map(|query| unknown(query)).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let all = queries.join("\n");
    let missing: Vec<_> = registered()
        .into_keys()
        .filter(|name| !all.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
    assert_eq!(
        unknown("alert_manager_none"),
        ["there is no metric alert_manager_none"]
    );
    assert_eq!(
        unknown("alert_manager_queue_depth{handler=\"x\"}"),
        ["alert_manager_queue_depth has no label handler"]
    );
}

#[test]
fn every_panel_has_its_data_source_by_the_variable_and_says_what_it_shows() {
    let dashboard = dashboard();
    for panel in dashboard["panels"].as_array().unwrap() {
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        assert!(
            panel["description"].as_str().is_some_and(|d| !d.is_empty()),
            "{panel}"
        );
    }
}

#[test]
fn the_rules_ask_for_labels_that_the_server_has() {
    let rules =
        fs::read_to_string(workspace().join("host/deploy/alert-manager.rules.yml")).unwrap();
    let rules: String = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    let expressions = rules
        .split("expr:")
        .skip(1)
        .map(|rest| rest.split("labels:").next().unwrap());
    let problems: Vec<_> = expressions.flat_map(unknown).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn promtool_parses_every_query_of_the_dashboard() {
    let folder = tempfile::tempdir().unwrap();
    let rules: String = queries()
        .iter()
        .enumerate()
        .map(|(index, query)| {
            format!(
                "  - record: query:{index}\n    expr: {}\n",
                Value::from(query.as_str())
            )
        })
        .collect();
    let file = folder.path().join("queries.yml");
    fs::write(
        &file,
        format!("groups:\n- name: dashboard\n  rules:\n{rules}"),
    )
    .unwrap();
    match Command::new("promtool")
        .args(["check", "rules"])
        .arg(&file)
        .output()
    {
        Ok(output) => {
            let checked = finished(output);
            assert_eq!(
                checked.code,
                Some(0),
                "{}{}",
                checked.stdout,
                checked.stderr
            );
        }
        Err(_) => tests::skipped(
            "SKIPPED: promtool did not parse the dashboard's queries, since it is not installed. On Debian: apt-get install --no-install-recommends prometheus",
        ),
    }
}
