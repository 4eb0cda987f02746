//! Bodies that senders post.

use serde_json::{Value, json};

/// Returns the README's alert, word for word.
#[must_use]
pub fn readme() -> Value {
    fixture(include_str!("../fixtures/readme-alert.json"))
}

/// Returns an Alertmanager group.
#[must_use]
pub fn alertmanager_group() -> Value {
    fixture(include_str!("../fixtures/alertmanager-group.json"))
}

/// Returns a body of Grafana's.
#[must_use]
pub fn grafana() -> Value {
    fixture(include_str!("../fixtures/grafana.json"))
}

/// Returns a body as Prometheus posts it to its Alertmanagers.
#[must_use]
pub fn prometheus_v2() -> Value {
    fixture(include_str!("../fixtures/prometheus-v2.json"))
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).expect("a fixture is JSON")
}

/// Returns an alert that fires, with these labels beside its name.
#[must_use]
pub fn firing(alertname: &str, labels: &[(&str, &str)]) -> Value {
    alert(alertname, "firing", labels)
}

/// Returns the end of [`firing`]'s alert.
#[must_use]
pub fn resolved(alertname: &str, labels: &[(&str, &str)]) -> Value {
    let mut alert = alert(alertname, "resolved", labels);
    alert["endsAt"] = json!("2026-01-02T03:14:05Z");
    alert
}

fn alert(alertname: &str, status: &str, labels: &[(&str, &str)]) -> Value {
    let mut all = serde_json::Map::new();
    all.insert("alertname".into(), json!(alertname));
    for (name, value) in labels {
        all.insert((*name).into(), json!(value));
    }
    json!({
        "status": status,
        "labels": all,
        "annotations": { "summary": format!("{alertname} is {status}.") },
        "startsAt": "2026-01-02T03:04:05.678Z",
    })
}
