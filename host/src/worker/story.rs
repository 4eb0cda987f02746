//! The story of a lease: the recorded trace that the worker writes, the queue stores and `explain` shows.

use serde::{Deserialize, Serialize};

use crate::alert::{Block, HandlerName, Labels, StepKind, Timestamp};
use crate::journal::Doubts;
use crate::runtime::Trace;

/// One lease of a delivery, which the API calls an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// The number of the lease, from 1.
    pub(super) attempt: u32,
    /// When a worker took it.
    pub(super) started_at: Timestamp,
    /// When it ended.
    pub(super) ended_at: Timestamp,
    /// `done`, `dead`, `retry` or `yield`.
    pub(super) outcome: String,
    /// True if the server crashed during the lease before this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) after_crash: bool,
    /// The steps that ran.
    pub(super) steps: Vec<StepStory>,
    /// The parts that were left out to keep within [`STORY_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out: Vec<String>,
}

/// The size limit of the story of one attempt, as JSON, in bytes.
pub(super) const STORY_BYTES_MAX: usize = 512 << 10;
/// The name of that limit in metrics.
pub(super) const STORY_LIMIT: &str = "story_bytes";
/// How many calls of a step are kept if its story is cut.
const CUT_CALLS_MAX: usize = 20;
/// To how many bytes the error of a step is cut if its story is cut.
const CUT_ERROR_BYTES_MAX: usize = 1 << 10;

/// A part of a step's story that can be left out, with its name.
type Cut = (&'static str, fn(&mut StepStory));

/// The parts that are left out of a story that is too large, in this order.
const CUTS: [Cut; 5] = [
    ("previews", |step| {
        for call in &mut step.trace.calls {
            call.preview = None;
        }
    }),
    ("blocks", |step| step.blocks.clear()),
    ("log lines", |step| {
        let dropped = u32::try_from(step.trace.logs.len()).unwrap_or(u32::MAX);
        step.trace.logs_dropped = step.trace.logs_dropped.saturating_add(dropped);
        step.trace.logs.clear();
    }),
    ("facts", |step| step.facts = Labels::default()),
    ("calls and errors", |step| {
        let calls = &mut step.trace.calls;
        let dropped = calls.len().saturating_sub(CUT_CALLS_MAX);
        calls.truncate(CUT_CALLS_MAX);
        let dropped = u32::try_from(dropped).unwrap_or(u32::MAX);
        step.trace.calls_dropped = step.trace.calls_dropped.saturating_add(dropped);
        if let Some(error) = &mut step.error {
            error.truncate(error.floor_char_boundary(CUT_ERROR_BYTES_MAX));
        }
    }),
];

impl Attempt {
    /// Returns it as JSON. If it is too large, parts are left out and named, the largest and least important first.
    pub(super) fn tell(&mut self, bytes_max: usize) -> Option<String> {
        // Only types that cannot be written as JSON would fail, and the story has none.
        let mut json = serde_json::to_string(self).ok()?;
        for (what, cut) in CUTS {
            if json.len() <= bytes_max {
                break;
            }
            self.steps.iter_mut().for_each(cut);
            self.left_out.push(what.to_owned());
            json = serde_json::to_string(self).ok()?;
        }
        Some(json)
    }
}

/// One attempt of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StepStory {
    /// The handler.
    pub(super) handler: HandlerName,
    /// The hook.
    pub(super) step: StepKind,
    /// The module's version and the first digits of its digest; absent if none was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<String>,
    /// When it started.
    pub(super) started_at: Timestamp,
    /// `done`, `retry` or `failed`.
    pub(super) outcome: String,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// When it is retried at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<Timestamp>,
    /// The facts that it returned.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub(super) facts: Labels,
    /// The blocks that it found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) blocks: Vec<Block>,
    /// The calls in doubt after this attempt. If the step has ended, they were not repeated.
    #[serde(default, skip_serializing_if = "Doubts::is_empty")]
    pub(super) in_doubt: Doubts,
    /// Its host calls, log lines and resource usage.
    #[serde(flatten)]
    pub(super) trace: Trace,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::journal::CallKind;
    use crate::runtime::{Answered, Call, LogLine};

    fn attempt(calls: usize, line: &str) -> Attempt {
        let call = Call {
            kind: CallKind::Slack,
            request: "post to alerts".to_owned(),
            result: line.to_owned(),
            answered: Answered::Preview,
            duration_us: 1,
            preview: Some(line.into()),
        };
        let log = LogLine {
            level: "info".to_owned(),
            message: line.to_owned(),
            fields: Vec::new(),
        };
        Attempt {
            attempt: 1,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
            outcome: "retry".to_owned(),
            after_crash: false,
            steps: vec![StepStory {
                handler: HandlerName::new("h"),
                step: StepKind::Act,
                module: None,
                started_at: Timestamp::UNIX_EPOCH,
                outcome: "retry".to_owned(),
                error: Some(line.repeat(100)),
                not_before: None,
                facts: Labels::from_iter([("fact".to_owned(), line.to_owned())]),
                blocks: Vec::new(),
                in_doubt: Doubts::default(),
                trace: Trace {
                    calls: vec![call; calls],
                    logs: vec![log; 10],
                    ..Trace::default()
                },
            }],
            left_out: Vec::new(),
        }
    }

    #[test]
    fn a_story_within_the_bound_is_told_whole() {
        let mut small = attempt(3, "x");
        let json = small.tell(STORY_BYTES_MAX).unwrap();
        assert_eq!(json, serde_json::to_string(&attempt(3, "x")).unwrap());
        assert!(!json.contains("left_out"));
    }

    #[test]
    fn a_story_that_is_too_large_loses_what_is_needed_least_and_says_so() {
        let line = "x".repeat(300);
        let mut large = attempt(1, &line);
        let whole = large.tell(usize::MAX).unwrap().len();
        let json = large.tell(whole - 1).unwrap();
        assert_eq!(large.left_out, ["previews"]);
        assert!(json.len() < whole && json.contains(r#""left_out":["previews"]"#));

        let mut larger = attempt(200, &line);
        let json = larger.tell(16 << 10).unwrap();
        assert!(json.len() <= 16 << 10, "{}", json.len());
        let step = &larger.steps[0];
        assert_eq!(larger.left_out.len(), CUTS.len());
        assert_eq!(step.trace.calls.len(), CUT_CALLS_MAX);
        assert_eq!(
            (step.trace.calls_dropped, step.trace.logs_dropped),
            (180, 10)
        );
        assert_eq!(step.outcome, "retry");
    }
}
