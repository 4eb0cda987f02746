//! The JSON of `alert-manager inspect --json`.

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::{HandlerName, StepKind};
use crate::description::Setting;

/// What a module is, found out without running more of it than `describe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The handler's name from `describe`.
    pub name: HandlerName,
    /// The version from `describe`.
    pub version: String,
    /// The summary from `describe`.
    pub summary: String,
    /// The file's SHA-256 in hexadecimal digits, as `handlers.NAME.sha256` takes it.
    pub sha256: String,
    /// The file's size in bytes.
    pub bytes: u64,
    /// The version of the contract that it was built for.
    pub contract: String,
    /// The alertnames that are routed to it if the configuration has no routes; `*` for any.
    pub alerts: Vec<String>,
    /// The hooks that are called.
    pub steps: Vec<Lenient<StepKind>>,
    /// `one` if one run may stand for many alerts of a storm, else `each`.
    pub storm: String,
    /// The interfaces of the contract that its code imports. It cannot call any other.
    pub imports: Vec<Import>,
    /// The settings that it declares; null if it declares none, so that none are checked.
    pub settings: Option<Vec<Setting>>,
    /// An entry of `handlers` for the configuration, with what has to be granted and set.
    pub configuration: String,
}

/// An interface that a module imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name in the contract.
    pub name: String,
    /// What a handler can do with it.
    pub about: String,
}
