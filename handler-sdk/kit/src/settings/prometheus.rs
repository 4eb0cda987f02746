//! The settings of handlers that ask Prometheus.

use handler_sdk::prelude::*;

use super::{CLUSTER, Origin};

pub(super) const PROMETHEUS_URL: Setting =
    Setting::origin("prometheus.url", "the default Prometheus server");
pub(super) const PROMETHEUS_CREDENTIAL: Setting = Setting::credential(
    "prometheus.credential",
    "the credential for the Prometheus servers; empty for none",
);
pub(super) const PROMETHEUS_LABEL: Setting = Setting::string(
    "prometheus.cluster_label",
    "the label of the cluster, if the default Prometheus server has the series of several clusters",
);
pub(super) const CLUSTER_PROMETHEUS: Setting = Setting::origin(
    "cluster.*.prometheus",
    "the Prometheus server of the cluster",
);

/// The settings of a handler that asks Prometheus alone, for [`Description::settings`].
pub const PROMETHEUS: [&Setting; 5] = [
    &PROMETHEUS_URL,
    &PROMETHEUS_CREDENTIAL,
    &PROMETHEUS_LABEL,
    &CLUSTER,
    &CLUSTER_PROMETHEUS,
];

/// Returns the Prometheus server of the alert's cluster, or why there is none, for people.
pub(crate) fn prometheus(cx: &Cx, alert: &Alert) -> Result<Origin, String> {
    let credential = || cx.setting(&PROMETHEUS_CREDENTIAL);
    let default = || {
        let url = cx
            .setting(&PROMETHEUS_URL)
            .ok_or("no server is configured (setting `prometheus.url`)")?;
        Ok(Origin::new(&url, credential()))
    };
    let Some(cluster) = alert.subject().label("cluster") else {
        return default();
    };
    if let Some(url) = cx.setting_for(&CLUSTER_PROMETHEUS, cluster) {
        return Ok(Origin::new(&url, credential()));
    }
    if let Some(label) = cx.setting(&PROMETHEUS_LABEL) {
        if !is_label(&label) {
            return Err("the setting `prometheus.cluster_label` is no label".to_owned());
        }
        let scope = Some((label, cluster.to_owned()));
        return Ok(Origin {
            scope,
            ..default()?
        });
    }
    match cx.setting(&CLUSTER) {
        Some(own) if own == cluster => default(),
        _ => Err(format!(
            "no server is configured for the cluster {cluster} (settings `cluster`, `cluster.NAME.prometheus`, `prometheus.cluster_label`)"
        )),
    }
}

fn is_label(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
