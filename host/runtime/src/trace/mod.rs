//! The trace of one invocation, which the API calls its story: what it called, what it logged and what it used.

pub(crate) mod log;
pub(crate) mod recorder;

use serde::{Deserialize, Serialize};

use crate::limits::quota::LimitName;
use alert_manager_core::journal::CallKind;

/// What an invocation did, for the story. Bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Host calls in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// Host calls past the bound, not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls_dropped: u32,
    /// Host calls by their result, those past the bound too. For metrics, not for the story.
    #[serde(skip)]
    pub counts: Vec<CallCount>,
    /// Which limits were met how often. For metrics: the story has the calls, the lines and the error.
    #[serde(skip)]
    pub limits: Vec<(LimitName, u32)>,
    /// What it logged, stdout and stderr too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
    /// Lines past the bound, not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub logs_dropped: u32,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// From instantiation to the result, in microseconds.
    pub wall_us: u64,
    /// The most memory that it held, in bytes.
    pub memory_bytes: u64,
}

/// Host calls of one interface with one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCount {
    /// Which interface.
    pub kind: CallKind,
    /// `ok`, `error`, or the word of [`Answered`] if it was not made now.
    pub result: &'static str,
    /// How many.
    pub count: u32,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// One host call, as the story shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Which interface.
    pub kind: CallKind,
    /// The method and URL, the channel, the key.
    pub request: String,
    /// The status, the error; in a dry run, what would have been sent.
    pub result: String,
    /// How it was answered.
    pub answered: Answered,
    /// In microseconds.
    pub duration_us: u64,
    /// Slack's text and blocks, if the message was shown instead of sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<serde_json::Value>,
}

/// How a host call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    /// It was made now.
    Live,
    /// From the record of an earlier attempt.
    Recorded,
    /// It was made now and may have happened before; or it was not clearly answered and may have happened.
    Ambiguous,
    /// Refused by policy or a limit; nothing was sent.
    Denied,
    /// A recorded effect that this attempt did not make again.
    Diverged,
    /// Shown instead of sent.
    Preview,
    /// Not made: its delivery waits for its turn.
    Parked,
}

impl Answered {
    /// Returns the word for metrics and stories.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Recorded => "recorded",
            Self::Ambiguous => "ambiguous",
            Self::Denied => "denied",
            Self::Diverged => "diverged",
            Self::Preview => "preview",
            Self::Parked => "parked",
        }
    }
}

/// One line of a guest's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `trace` to `error`; `stdout` and `stderr` for what it printed.
    pub level: String,
    /// The text.
    pub message: String,
    /// Names with values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// Counts a limit that was met.
fn met(limits: &mut Vec<(LimitName, u32)>, limit: LimitName) {
    match limits.iter_mut().find(|(known, _)| *known == limit) {
        Some((_, count)) => *count = count.saturating_add(1),
        None => limits.push((limit, 1)),
    }
}
