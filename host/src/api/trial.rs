//! The JSON of `alert-manager test --json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Lenient, StepTry};
use crate::alert::{Alert, HandlerName, Labels};

/// What a module did with an alert, with nothing going out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The handler's name from `describe`.
    pub handler: HandlerName,
    /// The version from `describe`.
    pub version: String,
    /// The module's SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// `failed` if a step of any run did not succeed.
    pub outcome: Lenient<TrialOutcome>,
    /// What it did, for the alert and then, if that was asked for, for its end.
    pub runs: Vec<TrialRun>,
    /// What is in its key-value store afterwards.
    pub kept: Vec<Kept>,
    /// The requests that no rule answered.
    pub unanswered: Vec<Unanswered>,
    /// The configurations that would allow what was denied, each once.
    pub allow: Vec<String>,
    /// What is different on a server with this configuration.
    pub notes: Vec<String>,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialOutcome {
    /// Every step succeeded.
    Done,
    /// A step did not succeed.
    Failed,
}

/// The steps that ran for one event of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRun {
    /// The alert.
    pub alert: Alert,
    /// The name of the route whose settings it had; null if no route of the configuration sends the alert to the handler.
    pub route: Option<String>,
    /// The facts that its first step was given.
    pub given: Labels,
    /// The steps, as in the story of a delivery. Each was tried once.
    pub steps: Vec<StepTry>,
    /// What the steps used.
    pub used: Used,
}

/// What the steps of a run used together; of the memory, the most that one of them had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The time from instantiation to the result, in microseconds.
    pub wall_us: u64,
    /// The CPU time, in microseconds.
    pub cpu_us: u64,
    /// The peak of the memory, in bytes.
    pub memory_bytes: u64,
    /// The host calls, by interface.
    pub host_calls: BTreeMap<String, u64>,
}

/// A value of the key-value store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The key.
    pub key: String,
    /// The value's size.
    pub bytes: u64,
    /// The value; null if it is no text.
    pub value: Option<String>,
}

/// A request that no rule answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// A rule that would answer it, in YAML.
    pub rule: String,
}
