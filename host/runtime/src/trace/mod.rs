//! The trace of one invocation, which the API calls its story: its host calls, its log lines and its use of resources.

pub(crate) mod elapsed;
pub(crate) mod log;
pub(crate) mod recorder;

use serde::{Deserialize, Serialize};

use crate::limits::quota::LimitName;
use alert_manager_core::journal::CallKind;

/// The trace of an invocation, with a bounded number of calls and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The host calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// The number of calls past the bound, which are not in `calls`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls_dropped: u32,
    /// The numbers of all calls, by interface and result. For metrics, not for the story.
    #[serde(skip)]
    pub counts: Vec<CallCount>,
    /// The limits that were met, with how often. For metrics, not for the story.
    #[serde(skip)]
    pub limits: Vec<(LimitName, u32)>,
    /// The log lines, including stdout and stderr.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
    /// The number of lines past the bound, which are not in `logs`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub logs_dropped: u32,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// The wall clock time from instantiation to the result, in microseconds.
    pub wall_us: u64,
    /// The peak of its memory, in bytes.
    pub memory_bytes: u64,
}

/// The number of host calls of one interface with one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCount {
    /// The interface.
    pub kind: CallKind,
    /// `ok` or `error` if the call was made now, else [`Answered::as_str`].
    pub result: &'static str,
    /// The number of calls.
    pub count: u32,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_nothing(bytes: &u64) -> bool {
    *bytes == 0
}

/// One host call, as the story shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The interface.
    pub kind: CallKind,
    /// The method and URL, the channel, or the key.
    pub request: String,
    /// The status or the error; in a dry run, what would have been sent.
    pub result: String,
    /// How it was answered.
    pub answered: Answered,
    /// When it began, in microseconds since the invocation began; absent for an effect that was not asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<u64>,
    /// The duration, in microseconds.
    pub duration_us: u64,
    /// The bytes that it took out of the sandbox.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub bytes_out: u64,
    /// The bytes that its reply brought into the sandbox.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub bytes_in: u64,
    /// The Slack message as it was sent, if Slack has it or may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<serde_json::Value>,
    /// The text and blocks of a Slack message that was shown instead of posted, or the URL and body of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<serde_json::Value>,
    /// The lines of configuration that would allow it, if it was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
}

/// How a host call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    /// It was made now.
    Live,
    /// With the reply that an earlier attempt recorded.
    Recorded,
    /// It was made now and may have happened before as well; or it got no clear answer and may have happened.
    Ambiguous,
    /// It was refused by a policy or a limit; nothing was sent.
    Denied,
    /// It is a recorded effect that this attempt did not ask for.
    Diverged,
    /// It was shown instead of made.
    Preview,
    /// Not made: its delivery waits for its turn.
    Parked,
}

impl Answered {
    /// Returns the name in metrics and stories.
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
    /// `trace`, `debug`, `info`, `warn` or `error`; `stdout` or `stderr` for output.
    pub level: String,
    /// When it was written, in microseconds since the invocation began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<u64>,
    /// The text.
    pub message: String,
    /// The fields: names with values.
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
