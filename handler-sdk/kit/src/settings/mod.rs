//! The settings that handlers share: the channel, the next steps, the log, the API servers and the Prometheus servers.

mod kubernetes;
mod prometheus;

use handler_sdk::layout::clip;
use handler_sdk::prelude::*;

pub use kubernetes::KUBERNETES;
pub(crate) use kubernetes::kubernetes;
pub use prometheus::PROMETHEUS;
pub(crate) use prometheus::prometheus;

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

/// The setting of a handler that reads logs.
pub(crate) const LOG: [&Setting; 1] = [&LOGS];

const CLUSTER: Setting = Setting::string("cluster", "the cluster of the default servers");

/// The settings of a handler that reads from Kubernetes and asks Prometheus.
pub(crate) const KUBERNETES_AND_PROMETHEUS: [&Setting; 9] = [
    &kubernetes::KUBERNETES_URL,
    &kubernetes::CREDENTIAL,
    &CLUSTER,
    &kubernetes::CLUSTER_URL,
    &kubernetes::CLUSTER_CREDENTIAL,
    &prometheus::PROMETHEUS_URL,
    &prometheus::PROMETHEUS_CREDENTIAL,
    &prometheus::PROMETHEUS_LABEL,
    &prometheus::CLUSTER_PROMETHEUS,
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
    /// Returns those of a handler that posts nothing, and so has none of them.
    pub(crate) const fn none() -> Self {
        Self {
            channel: String::new(),
            logs: Logs::Off,
            has_next_steps: false,
            complaints: Vec::new(),
        }
    }

    /// Reads the settings; that of the log only if the handler has it.
    pub(crate) fn read(cx: &Cx, has_logs: bool) -> Self {
        let mut complaints = Vec::new();
        let logs = has_logs.then(|| cx.setting(&LOGS).unwrap_or_default());
        let logs = match logs.as_deref().unwrap_or("off") {
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
