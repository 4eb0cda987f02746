//! The answer to `GET /api/v1/handlers`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::{HandlerName, StepKind, Timestamp};
use crate::description::Setting;
use crate::runtime::{Hold, ModuleState};

/// Every file of the folder of handlers, refused ones too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handlers {
    /// One for each file.
    pub handlers: Vec<Handler>,
}

/// One file of the folder, and the handler in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handler {
    /// From `describe`; null if the file never served.
    pub name: Option<HandlerName>,
    /// From `describe`.
    pub version: Option<String>,
    /// From `describe`.
    pub summary: Option<String>,
    /// Of the module that serves, else of the file.
    pub sha256: Option<String>,
    /// Its name within the folder.
    pub file: String,
    /// How the file stands.
    pub state: Lenient<ModuleState>,
    /// A module of this name serves; with the state `refused` it is the version before.
    #[serde(default)]
    pub serving: bool,
    /// Set while its circuit breaker is open.
    pub paused: Option<Paused>,
    /// The alertnames that it serves if no route says otherwise; `*` is any.
    #[serde(default)]
    pub alerts: Vec<String>,
    /// The interfaces that it imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// The lines of configuration that would grant what is missing.
    pub missing_grants: Option<String>,
    /// What it can be set to, as it states itself; null if it does not say.
    pub settings: Option<Vec<Setting>>,
    /// What of its configuration can only fail, as `check` prints it.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What of its configuration is probably a mistake.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the operator granted.
    pub grants: Option<Grants>,
    /// By the names of `handlers.NAME.limits`, with `_bytes` added to sizes whose name does not say it.
    pub limits: Option<BTreeMap<String, Limit>>,
    /// Its deliveries.
    pub counts: Option<Counts>,
    /// What Slack refuses this handler until the operator corrects it.
    #[serde(default)]
    pub held: Vec<Held>,
    /// Why the file is refused, or why the handler is paused or held.
    pub last_error: Option<String>,
}

/// A handler that is not run for a while, because it failed several times in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Which hook.
    pub step: Lenient<StepKind>,
    /// When one delivery tries again.
    pub until: Timestamp,
    /// What failed.
    pub reason: String,
}

/// What a handler may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Origins, as they are configured.
    pub http: Vec<String>,
    /// Names of channels.
    pub slack: BTreeSet<String>,
    /// Names of credentials.
    pub credentials: BTreeSet<String>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// Bytes or a count.
    Amount(u64),
    /// A duration, as the configuration writes it: `500ms`.
    Time(String),
}

/// A handler's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Waiting now.
    pub queued: u64,
    /// Invocations now.
    pub running: u64,
    /// Actors that ended done since the start of the server.
    pub done: u64,
    /// Actors that ended dead since the start of the server.
    pub dead: u64,
}

/// Something that Slack refuses until the operator corrects it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The channel's name below `slack.channels`; null if the token is refused.
    pub channel: Option<String>,
    /// Slack's code.
    pub code: String,
    /// What to do.
    pub advice: String,
    /// When it was first refused.
    pub since: Timestamp,
}

impl From<Hold> for Held {
    fn from(hold: Hold) -> Self {
        Self {
            channel: hold.channel,
            code: hold.code,
            advice: hold.advice,
            since: hold.since,
        }
    }
}
