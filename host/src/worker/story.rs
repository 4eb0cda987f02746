//! What one lease did, as `explain` tells it: written by the worker, kept by the queue, read by people.

use serde::{Deserialize, Serialize};

use crate::alert::{Block, HandlerName, Labels, StepKind, Timestamp};
use crate::runtime::Trace;

/// One lease of a delivery: an attempt, in the words of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// 1 for the first lease.
    pub(super) attempt: u32,
    /// When a worker took it.
    pub(super) started_at: Timestamp,
    /// When it was given back.
    pub(super) ended_at: Timestamp,
    /// `done`, `dead`, `retry` or `yield`.
    pub(super) outcome: String,
    /// True where the server died under the lease before this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) after_crash: bool,
    /// What ran.
    pub(super) steps: Vec<StepStory>,
}

/// One try of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StepStory {
    /// Whose.
    pub(super) handler: HandlerName,
    /// Which hook.
    pub(super) step: StepKind,
    /// The module's version and the first digits of its hash; absent where none was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<String>,
    /// When it started.
    pub(super) started_at: Timestamp,
    /// `done`, `retry` or `failed`.
    pub(super) outcome: String,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Not before this, where it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<Timestamp>,
    /// What it found or did.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub(super) facts: Labels,
    /// What it found for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) blocks: Vec<Block>,
    /// Its host calls, log lines and use of the machine.
    #[serde(flatten)]
    pub(super) trace: Trace,
}
