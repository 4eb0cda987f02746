//! The JSON of the response to `GET /api/v1/deliveries/{id}`: a delivery with its story, the recorded trace of everything it did.
//!
//! The worker writes an [`Attempt`] for each lease, and the queue stores it as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Delivery, Lenient, is_zero};
use crate::alert::{Alert, Block, HandlerName, Labels, Priority, StepKind, Timestamp};
use crate::gate::GateName;
use crate::journal::{Begun, CallKind, Doubt, Entry};
use crate::queue::{self, StepStatus, WaitsFor};
use crate::runtime::{self, Answered};

/// A delivery with its story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// The delivery as in a list.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The alert, or the part of a body that is not one.
    pub alert: Source,
    /// The steps of the pipeline, with their states.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The time until which it waits.
    pub not_before: Option<Timestamp>,
    /// What it waits for now; null if it does not wait.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// The attempts; if there are many, the first and the last ones.
    #[serde(default)]
    pub story: Vec<Lenient<Attempt>>,
    /// The number of attempts between them that are not stored.
    #[serde(default)]
    pub attempts_omitted: u32,
    /// The recorded host calls.
    #[serde(default)]
    pub journal: Vec<JournalEntry>,
    /// How often the same event has arrived again since.
    #[serde(default)]
    pub duplicates: u64,
    /// The deliveries that it runs, or ran, in the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<queue::Members>,
    /// The timers that it has set and that are not due yet, the next one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<queue::OpenTimer>,
}

/// What a delivery waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What has to come: its turn at a `gate`, a `slot` of a handler, the `order` (an earlier delivery of the alert has to end), its
    /// `storm` (what runs for it now has to end), or its `time`.
    #[serde(rename = "for")]
    pub waits_for: String,
    /// The gate: a channel's name below `slack.channels`, or as `GET /api/v1/channels` names it; null if it is no gate.
    pub gate: Option<String>,
    /// With which priority.
    pub priority: Lenient<Priority>,
    /// Since when.
    pub since: Timestamp,
    /// How many go before it.
    pub ahead: u64,
    /// What has to recover, if it waits for that: `slack channel NAME`, `slack`, `origin URL` or `handler NAME`. It is due as soon as
    /// that has happened, and at its time otherwise.
    #[serde(default)]
    pub until_recovered: Option<String>,
}

impl From<queue::Waiting> for Waiting {
    fn from(waiting: queue::Waiting) -> Self {
        let (waits_for, gate) = match waiting.what {
            WaitsFor::Gate { name, label } => match name {
                GateName::SlackChannel(_) => ("gate", Some(label)),
                _ => ("gate", Some(name.to_string())),
            },
            WaitsFor::Permit(_) => ("slot", None),
            WaitsFor::Earlier(_) => ("order", None),
            WaitsFor::Generation(_) => ("storm", None),
            WaitsFor::Time(_) => ("time", None),
        };
        Self {
            waits_for: waits_for.to_owned(),
            gate,
            priority: waiting.priority.into(),
            since: waiting.since,
            ahead: waiting.ahead as u64,
            until_recovered: waiting.until_recovered.map(|what| what.to_string()),
        }
    }
}

/// The content of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// An alert.
    Alert(Box<Alert>),
    /// The sender's JSON of a part of a body that is not a valid alert.
    Refused(String),
    /// What a newer server knows, and this version does not.
    Unknown(Value),
}

impl From<Value> for Source {
    fn from(stored: Value) -> Self {
        serde_json::from_value(stored.clone()).unwrap_or(Self::Unknown(stored))
    }
}

/// A step of the pipeline, with its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The handler.
    pub handler: HandlerName,
    /// The hook.
    pub kind: Lenient<StepKind>,
    /// Its state.
    pub status: Lenient<StepStatus>,
    /// The attempts used up, of those that the retry policy allows.
    pub attempts: u32,
    /// The tries that have begun.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// The lease up to which `tries` is counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted_to: u32,
    /// Traps, exits and exceeded limits; the second ends the step.
    #[serde(default)]
    pub traps: u32,
    /// Tries that ended because a dependency did not answer; they use up no attempt.
    #[serde(default)]
    pub unavailable: u32,
    /// True if a call of an earlier try may have happened; `doubts` lists it.
    #[serde(default)]
    pub interrupted: bool,
    /// The lease that a crash ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<u32>,
    /// The calls that may have happened without being recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Lenient<Doubt>>,
    /// The call that the last lease began, if it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Lenient<Begun>>,
    /// The time before which it is not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The dependencies that it waits for, one per line. It continues as soon as one of them has recovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// When it first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The time that an enrichment has used over all attempts, in milliseconds.
    #[serde(default)]
    pub used_ms: u64,
    /// Why the last attempt did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The facts that it returned.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub facts: Labels,
    /// The blocks that an enrichment returned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Lenient<Block>>,
    /// The same as `attempts`.
    #[serde(default)]
    pub attempts_used: u32,
    /// `enrich.attempts` or `retry.max_attempts`, as configured now.
    #[serde(default)]
    pub attempts_max: u32,
    /// The remaining attempts; 0 once the step has ended.
    #[serde(default)]
    pub tries_left: u32,
}

impl Step {
    /// Returns a step with its state; the retry policy allows `attempts_max` attempts.
    pub(crate) fn new(step: queue::Step, attempts_max: u32) -> Self {
        let tries_left = match step.status {
            StepStatus::Pending => attempts_max.saturating_sub(step.attempts),
            StepStatus::Done | StepStatus::Failed => 0,
        };
        let waits_for: Vec<_> = step.waits_for.iter().map(ToString::to_string).collect();
        Self {
            handler: step.handler,
            kind: step.kind.into(),
            status: step.status.into(),
            attempts: step.attempts,
            tries: step.tries,
            counted_to: step.counted_to,
            traps: step.traps,
            unavailable: step.unavailable,
            interrupted: step.interrupted,
            cut_off: step.cut_off,
            doubts: step.doubts.iter().cloned().map(Lenient::from).collect(),
            begun: step.begun.map(Lenient::from),
            not_before: step.not_before,
            waits_for: (!waits_for.is_empty()).then(|| waits_for.join("\n")),
            started_at: step.started_at,
            used_ms: step.used_ms,
            last_error: step.last_error,
            facts: step.facts,
            blocks: step.blocks.into_iter().map(Lenient::from).collect(),
            attempts_used: step.attempts,
            attempts_max,
            tries_left,
        }
    }
}

/// An attempt: one lease of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The number of the lease, from 1.
    pub attempt: u32,
    /// When a worker took the delivery.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How it ended.
    pub outcome: Lenient<AttemptOutcome>,
    /// True if the server crashed during the lease before this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_crash: bool,
    /// The steps that ran.
    pub steps: Vec<StepTry>,
    /// The parts that were left out because of the size limit of an attempt's story.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptOutcome {
    /// Every step is done.
    Done,
    /// The delivery is dead.
    Dead,
    /// A step is retried.
    Retry,
    /// It continues in the next lease; nothing failed.
    Yield,
    /// It waits for its turn; nothing failed.
    Parked,
}

/// One try of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTry {
    /// The handler.
    pub handler: HandlerName,
    /// The hook.
    pub step: Lenient<StepKind>,
    /// The module's version and the first digits of its hash; absent if none was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// How it ended.
    pub outcome: Lenient<StepOutcome>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The time before which it is not retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The facts that it returned.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub facts: Labels,
    /// The blocks that it returned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Lenient<Block>>,
    /// The calls that may have happened without being recorded, after this try. If the step has ended, they were not repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_doubt: Vec<Lenient<Doubt>>,
    /// Its host calls, log lines and resource usage.
    #[serde(flatten)]
    pub trace: Trace,
}

/// How a try of a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// It succeeded.
    Done,
    /// It is retried.
    Retry,
    /// It failed and is not retried.
    Failed,
    /// It waits for its turn, after a call that was made.
    Parked,
}

impl From<StepStatus> for StepOutcome {
    fn from(status: StepStatus) -> Self {
        match status {
            StepStatus::Done => Self::Done,
            StepStatus::Pending => Self::Retry,
            StepStatus::Failed => Self::Failed,
        }
    }
}

/// What an invocation did. Its size is limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The host calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// The number of further host calls, which are not stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls_dropped: u32,
    /// The lines that it logged or wrote to stdout and stderr.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
    /// The number of further lines, which are not stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub logs_dropped: u32,
    /// The CPU time, in microseconds.
    #[serde(default)]
    pub cpu_us: u64,
    /// The time from instantiation to the result, in microseconds.
    #[serde(default)]
    pub wall_us: u64,
    /// The peak of its memory, in bytes.
    #[serde(default)]
    pub memory_bytes: u64,
}

impl From<runtime::Trace> for Trace {
    fn from(trace: runtime::Trace) -> Self {
        Self {
            calls: trace.calls.into_iter().map(Call::from).collect(),
            calls_dropped: trace.calls_dropped,
            logs: trace.logs.into_iter().map(LogLine::from).collect(),
            logs_dropped: trace.logs_dropped,
            cpu_us: trace.cpu_us,
            wall_us: trace.wall_us,
            memory_bytes: trace.memory_bytes,
        }
    }
}

/// One host call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The interface.
    pub kind: Lenient<CallKind>,
    /// The method and URL, the channel, or the key.
    pub request: String,
    /// The status or the error.
    pub result: String,
    /// How it was answered.
    pub answered: Lenient<Answered>,
    /// When it began, in microseconds since its step began; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<u64>,
    /// Its duration, in microseconds.
    pub duration_us: u64,
    /// The bytes that it took out of the sandbox.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_out: u64,
    /// The bytes that its reply brought into the sandbox.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_in: u64,
    /// The Slack message as it was sent, if Slack has it or may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Value>,
    /// The Slack message, if it was shown instead of posted, or the URL and body of a request that was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Value>,
    /// The lines of configuration that would allow it, if it was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
}

impl From<runtime::Call> for Call {
    fn from(call: runtime::Call) -> Self {
        Self {
            kind: call.kind.into(),
            request: call.request,
            result: call.result,
            answered: call.answered.into(),
            offset_us: call.offset_us,
            duration_us: call.duration_us,
            bytes_out: call.bytes_out,
            bytes_in: call.bytes_in,
            sent: call.sent,
            preview: call.preview,
            allow: call.allow,
        }
    }
}

/// One line of a handler's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `trace` to `error`; `stdout` and `stderr` for what it printed.
    pub level: String,
    /// When it was written, in microseconds since its step began; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<u64>,
    /// The text.
    pub message: String,
    /// The fields: names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

impl From<runtime::LogLine> for LogLine {
    fn from(line: runtime::LogLine) -> Self {
        Self {
            level: line.level,
            offset_us: line.offset_us,
            message: line.message,
            fields: line.fields,
        }
    }
}

/// A recorded host call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The index of its step in `steps`.
    pub step: u32,
    /// The interface.
    pub kind: Lenient<CallKind>,
    /// True if it changed something outside and succeeded.
    pub effect: bool,
    /// True if it may have happened before.
    pub ambiguous: bool,
    /// The method and URL, the channel, or the key.
    pub request: String,
    /// The status or the error.
    pub result: String,
    /// When it was answered.
    pub at: Timestamp,
    /// The beginning of the body of an HTTP answer, with secrets masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl From<(u32, Entry)> for JournalEntry {
    fn from((step, entry): (u32, Entry)) -> Self {
        let is_http = entry.kind == CallKind::Http;
        let answer = is_http.then(|| runtime::recorded_body(&entry.reply));
        Self {
            step,
            answer: answer.flatten(),
            kind: entry.kind.into(),
            effect: entry.effect,
            ambiguous: entry.in_doubt,
            request: entry.request,
            result: entry.result,
            at: entry.at,
        }
    }
}
