//! The operator's settings, read once per step.

use handler_sdk::prelude::*;

use crate::kube::Server;

const CHANNEL: Setting =
    Setting::channel("channel", "the Slack channel, by its name in the grants").default("alerts");
const LOGS: Setting = Setting::one_of(
    "logs",
    // YAML's `off` arrives as written, that of JSON as `false`.
    &["message", "thread", "off", "false"],
    "where the crashed container's log goes: message (its end there, more in the thread), thread, or off (it is not even read)",
)
.default("message");
const NEXT_STEPS: Setting = Setting::one_of(
    "next_steps",
    &["on", "off", "true", "false"],
    "whether the message says what to do next, in commands to copy",
)
.default("on");
const URL: Setting = Setting::origin("kubernetes.url", "the default API server")
    .default("https://kubernetes.default.svc");
const CREDENTIAL: Setting = Setting::credential(
    "credential",
    "the credential for the default API server; empty for none",
)
.default("kubernetes");
const CLUSTER: Setting = Setting::string("cluster", "which cluster the default API server is");
const CLUSTER_URL: Setting = Setting::origin("cluster.*.url", "the API server of the cluster");
const CLUSTER_CREDENTIAL: Setting = Setting::credential(
    "cluster.*.credential",
    "the credential for the cluster's API server, `credential` if not set; empty for none",
);

/// The handler's own settings, in addition to those of the layout.
pub(crate) const SETTINGS: [&Setting; 8] = [
    &CHANNEL,
    &LOGS,
    &NEXT_STEPS,
    &URL,
    &CREDENTIAL,
    &CLUSTER,
    &CLUSTER_URL,
    &CLUSTER_CREDENTIAL,
];

/// Where the crashed container's log is shown.
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
    /// Whether the message has next steps.
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
                    other.chars().take(20).collect::<String>()
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
                    other.chars().take(20).collect::<String>()
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

/// Returns the API server of the alert's cluster, or why there is none, for people.
pub(crate) fn server(cx: &Cx, alert: &Alert) -> Result<Server, String> {
    let default_credential = || cx.setting(&CREDENTIAL);
    let given = |credential: Option<String>| credential.filter(|name| !name.is_empty());
    let default = || {
        let url = cx.setting(&URL).unwrap_or_default();
        Server::new(&url, given(default_credential()))
    };
    let Some(cluster) = alert.subject().label("cluster") else {
        return Ok(default());
    };
    if let Some(url) = cx.setting_for(&CLUSTER_URL, cluster) {
        let own = cx.setting_for(&CLUSTER_CREDENTIAL, cluster);
        return Ok(Server::new(&url, given(own.or_else(default_credential))));
    }
    match cx.setting(&CLUSTER) {
        Some(own) if own == cluster => Ok(default()),
        _ => Err(format!(
            "no API server is configured for the cluster {cluster} (settings `cluster`, `cluster.NAME.url`)"
        )),
    }
}
