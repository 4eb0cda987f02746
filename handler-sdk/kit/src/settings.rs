//! The settings that handlers share: the channel, the next steps, the log, the API servers and the Prometheus servers.

use handler_sdk::layout::clip;
use handler_sdk::prelude::*;

const CHANNEL: Setting =
    Setting::channel("channel", "the Slack channel, by its name in the grants").default("alerts");
const NEXT_STEPS: Setting = Setting::one_of(
    "next_steps",
    &["on", "off", "true", "false"],
    "whether the message says what to do next, in commands to copy",
)
.default("on");
const LOGS: Setting = Setting::one_of(
    "logs",
    // YAML's `off` arrives as written, that of JSON as `false`.
    &["message", "thread", "off", "false"],
    "where the container's log goes: message (its end there, more in the thread), thread, or off (it is not even read)",
)
.default("message");

/// The settings of every message.
pub(crate) const MESSAGE: [&Setting; 2] = [&CHANNEL, &NEXT_STEPS];

/// The setting of a handler that reads logs, for [`Description::settings`].
pub const LOG: [&Setting; 1] = [&LOGS];

const CLUSTER: Setting = Setting::string("cluster", "the cluster of the default servers");

const KUBERNETES_URL: Setting = Setting::origin("kubernetes.url", "the default API server")
    .default("https://kubernetes.default.svc");
const CREDENTIAL: Setting = Setting::credential(
    "credential",
    "the credential for the default API server; empty for none",
)
.default("kubernetes");
const CLUSTER_URL: Setting = Setting::origin("cluster.*.url", "the API server of the cluster");
const CLUSTER_CREDENTIAL: Setting = Setting::credential(
    "cluster.*.credential",
    "the credential for the cluster's API server, `credential` if not set; empty for none",
);

/// The settings of a handler that reads from Kubernetes alone, for [`Description::settings`].
pub const KUBERNETES: [&Setting; 5] = [
    &KUBERNETES_URL,
    &CREDENTIAL,
    &CLUSTER,
    &CLUSTER_URL,
    &CLUSTER_CREDENTIAL,
];

const PROMETHEUS_URL: Setting = Setting::origin("prometheus.url", "the default Prometheus server");
const PROMETHEUS_CREDENTIAL: Setting = Setting::credential(
    "prometheus.credential",
    "the credential for the Prometheus servers; empty for none",
);
const PROMETHEUS_LABEL: Setting = Setting::string(
    "prometheus.cluster_label",
    "the label of the cluster, if the default Prometheus server has the series of several clusters",
);
const CLUSTER_PROMETHEUS: Setting = Setting::origin(
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

/// The settings of a handler that reads from Kubernetes and asks Prometheus, for [`Description::settings`].
pub const KUBERNETES_AND_PROMETHEUS: [&Setting; 9] = [
    &KUBERNETES_URL,
    &CREDENTIAL,
    &CLUSTER,
    &CLUSTER_URL,
    &CLUSTER_CREDENTIAL,
    &PROMETHEUS_URL,
    &PROMETHEUS_CREDENTIAL,
    &PROMETHEUS_LABEL,
    &CLUSTER_PROMETHEUS,
];

/// Where a log is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    /// Its end in the message, more in the thread.
    Message,
    /// Only in the thread.
    Thread,
    /// Nowhere; the log is not even read.
    Off,
}

/// The settings of one step.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) channel: String,
    pub(crate) logs: Logs,
    pub(crate) has_next_steps: bool,
    /// What is wrong with the settings, for people: a bad setting does not stop a notification.
    pub(crate) complaints: Vec<String>,
}

impl Settings {
    pub(crate) fn read(cx: &Cx) -> Self {
        let mut complaints = Vec::new();
        let logs = match cx.setting(&LOGS).unwrap_or_default().as_str() {
            "message" => Logs::Message,
            "thread" => Logs::Thread,
            "off" | "false" => Logs::Off,
            other => {
                // The safe choice: a person who misspells the value may have wanted to keep logs out of Slack.
                complaints.push(format!(
                    "the setting `logs` is `{}`: taken for `off`; write message, thread or off",
                    clip(other, 20)
                ));
                Logs::Off
            }
        };
        let has_next_steps = match cx.setting(&NEXT_STEPS).unwrap_or_default().as_str() {
            "on" | "true" => true,
            "off" | "false" => false,
            other => {
                complaints.push(format!(
                    "the setting `next_steps` is `{}`: taken for `on`; write on or off",
                    clip(other, 20)
                ));
                true
            }
        };
        Self {
            channel: cx.setting(&CHANNEL).unwrap_or_default(),
            logs,
            has_next_steps,
            complaints,
        }
    }
}

/// A server to ask, and the credential that the host adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) url: String,
    pub(crate) credential: Option<String>,
    /// The matcher that restricts a query to the alert's cluster, as label and value, if the server has those of several.
    pub(crate) scope: Option<(String, String)>,
}

impl Origin {
    fn new(url: &str, credential: Option<String>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            credential: credential.filter(|name| !name.is_empty()),
            scope: None,
        }
    }
}

/// Returns the API server of the alert's cluster, or why there is none, for people.
pub(crate) fn kubernetes(cx: &Cx, alert: &Alert) -> Result<Origin, String> {
    let credential = || cx.setting(&CREDENTIAL);
    let default = || {
        Origin::new(
            &cx.setting(&KUBERNETES_URL).unwrap_or_default(),
            credential(),
        )
    };
    let Some(cluster) = alert.subject().label("cluster") else {
        return Ok(default());
    };
    if let Some(url) = cx.setting_for(&CLUSTER_URL, cluster) {
        let own = cx.setting_for(&CLUSTER_CREDENTIAL, cluster);
        return Ok(Origin::new(&url, own.or_else(credential)));
    }
    match cx.setting(&CLUSTER) {
        Some(own) if own == cluster => Ok(default()),
        _ => Err(format!(
            "no API server is configured for the cluster {cluster} (settings `cluster`, `cluster.NAME.url`)"
        )),
    }
}

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
