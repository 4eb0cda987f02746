//! The operator's settings, read once for each step.

use handler_sdk::prelude::*;

use crate::kube::Server;

const DEFAULT_URL: &str = "https://kubernetes.default.svc";
const DEFAULT_CREDENTIAL: &str = "kubernetes";

/// Where the crashed container's log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    /// Its end in the message, more in the thread.
    Message,
    /// In the thread alone.
    Thread,
    /// Nowhere: it is not even read.
    Off,
}

/// The settings of one step.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) channel: String,
    pub(crate) logs: Logs,
    /// Whether the message says what to do next.
    pub(crate) has_next_steps: bool,
    /// What is wrong with them, for people: a bad setting holds back no notification.
    pub(crate) complaints: Vec<String>,
}

impl Settings {
    pub(crate) fn read(cx: &Cx) -> Self {
        let mut complaints = Vec::new();
        let logs = match cx.config_or("logs", "message").as_str() {
            "message" => Logs::Message,
            "thread" => Logs::Thread,
            // YAML's own `off` comes as it was written, JSON's as `false`.
            "off" | "false" => Logs::Off,
            other => {
                // The careful reading: somebody who misspells this may well have meant to keep logs out of Slack.
                complaints.push(format!(
                    "the setting `logs` is `{}`: taken for `off`; write message, thread or off",
                    other.chars().take(20).collect::<String>()
                ));
                Logs::Off
            }
        };
        let has_next_steps = match cx.config_or("next_steps", "on").as_str() {
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
            channel: cx.config_or("channel", "alerts"),
            logs,
            has_next_steps,
            complaints,
        }
    }
}

/// Returns the API server of the alert's cluster, or why there is none for it, for people.
pub(crate) fn server(cx: &Cx, alert: &Alert) -> Result<Server, String> {
    let credential = |key: &str| {
        let name = cx
            .config(key)
            .unwrap_or_else(|| cx.config_or("credential", DEFAULT_CREDENTIAL));
        Some(name).filter(|name| !name.is_empty())
    };
    let default = || {
        Server::new(
            &cx.config_or("kubernetes.url", DEFAULT_URL),
            credential("credential"),
        )
    };
    let Some(cluster) = alert.subject().label("cluster") else {
        return Ok(default());
    };
    if let Some(url) = cx.config(&format!("cluster.{cluster}.url")) {
        return Ok(Server::new(
            &url,
            credential(&format!("cluster.{cluster}.credential")),
        ));
    }
    match cx.config("cluster") {
        Some(own) if own == cluster => Ok(default()),
        _ => Err(format!(
            "no API server is configured for the cluster {cluster} (settings `cluster`, `cluster.NAME.url`)"
        )),
    }
}
