//! The JSON of the response to `GET /api/v1/handlers`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ByPriority, Disagreement, Lenient, Use};
use crate::alert::{HandlerName, StepKind, Timestamp};
use crate::description::Setting;
use crate::runtime::{GrantKind, ModuleState, SlackHold};

/// The files of the handlers' folder, including refused ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handlers {
    /// An entry for each file.
    pub handlers: Vec<Handler>,
    /// The handlers that do not serve in the same version on all replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disagreements: Vec<Disagreement>,
}

/// A file of the folder, and its handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handler {
    /// The handler's name from `describe`; null if the file never served.
    pub name: Option<HandlerName>,
    /// The version from `describe`.
    pub version: Option<String>,
    /// The summary from `describe`.
    pub summary: Option<String>,
    /// The digest of the module that serves, or else of the file.
    pub sha256: Option<String>,
    /// The file's name in the folder.
    pub file: String,
    /// The state of the file.
    pub state: Lenient<ModuleState>,
    /// True if a module of this name serves; with the state `refused`, it is the previous version.
    #[serde(default)]
    pub serving: bool,
    /// The pause; set while the handler's circuit breaker is open.
    pub paused: Option<Paused>,
    /// The alertnames that are routed to it if the configuration has no routes; `*` for any.
    #[serde(default)]
    pub alerts: Vec<String>,
    /// The interfaces that it imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// The lines of configuration that would grant what is missing.
    pub missing_grants: Option<String>,
    /// The settings that the module declares; null if it declares none.
    pub settings: Option<Vec<Setting>>,
    /// True if the settings in use are those of an earlier configuration, since the current ones do not fit the module.
    #[serde(default)]
    pub keeps_settings: bool,
    /// Problems of its configuration, as `check` prints them.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Warnings about its configuration, as `check` prints them.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The operator's grants.
    pub grants: Option<Grants>,
    /// The limits by their names in `handlers.NAME.limits`, with `_bytes` added to sizes whose name lacks it.
    pub limits: Option<BTreeMap<String, Limit>>,
    /// The numbers of its deliveries.
    pub counts: Option<Counts>,
    /// What its last runs have used since the start of the server.
    #[serde(default)]
    pub used: Vec<Use>,
    /// The channels, and the token, that Slack rejects for this handler.
    #[serde(default)]
    pub held: Vec<Held>,
    /// Why the file is refused, or why the handler is paused or held.
    pub last_error: Option<String>,
}

impl Handler {
    /// Returns how many of its deliveries have died since the start of the server, if none was handled.
    #[must_use]
    pub fn only_failures(&self) -> Option<u64> {
        let counts = self.counts.as_ref()?;
        (counts.done == 0 && counts.dead > 0).then_some(counts.dead)
    }
}

/// The pause of a handler that failed several times in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The hook that is not run.
    pub step: Lenient<StepKind>,
    /// When one delivery tries again.
    pub until: Timestamp,
    /// The last failure.
    pub reason: String,
}

/// What a handler may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// The origins, as configured.
    pub http: Vec<String>,
    /// The names of channels.
    pub slack: BTreeSet<String>,
    /// The names of credentials.
    pub credentials: BTreeSet<String>,
    /// Each of these, and when it was used.
    #[serde(default)]
    pub uses: Vec<GrantUse>,
    /// Since when uses are counted: the creation of the store, or its first start with a version that keeps them.
    #[serde(default)]
    pub uses_since: Option<Timestamp>,
}

/// A grant, and when it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUse {
    /// What it lets the handler use.
    pub kind: Lenient<GrantKind>,
    /// The grant, as in `http`, `slack` or `credentials`.
    pub grant: String,
    /// The number of calls that used it.
    pub calls: u64,
    /// When the first of them was made; null if there was none.
    pub first_used: Option<Timestamp>,
    /// When the last of them was made; null if there was none.
    pub last_used: Option<Timestamp>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// A number of bytes or a count.
    Amount(u64),
    /// A duration as in the configuration: `500ms`.
    Time(String),
    /// What a newer server knows, and this version does not.
    Unknown(serde_json::Value),
}

/// The numbers of a handler's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Deliveries that wait now.
    pub queued: u64,
    /// The same by priority.
    #[serde(default)]
    pub waiting: ByPriority,
    /// Since when the first of them has waited; null if none waits.
    #[serde(default)]
    pub waiting_since: Option<Timestamp>,
    /// Deliveries in whose place one of the others waits or runs: they are coalesced into it.
    #[serde(default)]
    pub coalesced: u64,
    /// Current invocations.
    pub running: u64,
    /// Actors that ended done since the start of the server.
    pub done: u64,
    /// Actors that ended dead since the start of the server.
    pub dead: u64,
    /// Since when `done` and `dead` are counted: the start of the server.
    #[serde(default)]
    pub since: Option<Timestamp>,
}

/// A channel or the token that Slack rejects until the operator corrects it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The channel's name below `slack.channels`; null if the token is refused.
    pub channel: Option<String>,
    /// Slack's error code.
    pub code: String,
    /// What to do.
    pub advice: String,
    /// When it was first rejected.
    pub since: Timestamp,
}

impl From<SlackHold> for Held {
    fn from(hold: SlackHold) -> Self {
        Self {
            channel: hold.channel,
            code: hold.code,
            advice: hold.advice,
            since: hold.since,
        }
    }
}
