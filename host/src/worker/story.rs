//! Keeps the story of an attempt within its limit. The story itself is [`crate::api::Attempt`]: the worker writes it, the queue
//! keeps it, and `explain` shows it.

use crate::alert::Labels;
use crate::api::{Attempt, StepTry};

/// The size limit of the story of one attempt, as JSON, in bytes.
pub(super) const STORY_BYTES_MAX: usize = 512 << 10;
/// The name of that limit in the metrics.
pub(super) const STORY_LIMIT: &str = "story_bytes";
/// Calls that are kept of a step whose story is cut.
const CUT_CALLS_MAX: usize = 20;
/// What is kept of the error of a step whose story is cut, in bytes.
const CUT_ERROR_BYTES_MAX: usize = 1 << 10;

/// A part of a step's story that can be left out, and its name.
type Cut = (&'static str, fn(&mut StepTry));

/// What is left out of a story that is too large, in this order: the largest and least needed first.
const CUTS: [Cut; 5] = [
    ("previews", |step| {
        for call in &mut step.trace.calls {
            call.preview = None;
            call.sent = None;
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

/// Returns an attempt as JSON of at most `bytes_max`, as far as leaving out the [`CUTS`] achieves it. What was left out is
/// named in the attempt.
pub(super) fn to_json(attempt: &mut Attempt, bytes_max: usize) -> Option<String> {
    // Only a value that JSON does not have fails here, and a story holds none.
    let mut json = serde_json::to_string(attempt).ok()?;
    for (what, cut) in CUTS {
        if json.len() <= bytes_max {
            break;
        }
        attempt.steps.iter_mut().for_each(cut);
        attempt.left_out.push(what.to_owned());
        json = serde_json::to_string(attempt).ok()?;
    }
    Some(json)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::{HandlerName, StepKind, Timestamp};
    use crate::api::{AttemptOutcome, Call, LogLine, StepOutcome, Trace};
    use crate::journal::CallKind;
    use crate::runtime::Answered;

    fn attempt(calls: usize, line: &str) -> Attempt {
        let call = Call {
            kind: CallKind::Slack.into(),
            request: "post to alerts".to_owned(),
            result: line.to_owned(),
            answered: Answered::Preview.into(),
            offset_us: Some(1),
            duration_us: 1,
            bytes_out: 0,
            bytes_in: 0,
            sent: None,
            preview: Some(line.into()),
            allow: None,
        };
        let log = LogLine {
            level: "info".to_owned(),
            offset_us: None,
            message: line.to_owned(),
            fields: Vec::new(),
        };
        Attempt {
            attempt: 1,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
            outcome: AttemptOutcome::Retry.into(),
            after_crash: false,
            steps: vec![StepTry {
                handler: HandlerName::new("h"),
                step: StepKind::Act.into(),
                module: None,
                started_at: Timestamp::UNIX_EPOCH,
                outcome: StepOutcome::Retry.into(),
                error: Some(line.repeat(100)),
                not_before: None,
                facts: Labels::from_iter([("fact".to_owned(), line.to_owned())]),
                blocks: Vec::new(),
                in_doubt: Vec::new(),
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
    fn a_story_within_the_limit_is_kept_whole() {
        let mut small = attempt(3, "x");
        let json = to_json(&mut small, STORY_BYTES_MAX).unwrap();
        assert_eq!(json, serde_json::to_string(&attempt(3, "x")).unwrap());
        assert!(!json.contains("left_out"));
    }

    #[test]
    fn a_story_that_is_too_large_loses_what_is_needed_least_and_says_so() {
        let line = "x".repeat(300);
        let mut large = attempt(1, &line);
        let whole = to_json(&mut large, usize::MAX).unwrap().len();
        let json = to_json(&mut large, whole - 1).unwrap();
        assert_eq!(large.left_out, ["previews"]);
        assert!(json.len() < whole && json.contains(r#""left_out":["previews"]"#));

        let mut larger = attempt(200, &line);
        let json = to_json(&mut larger, 16 << 10).unwrap();
        assert!(json.len() <= 16 << 10, "{}", json.len());
        let step = &larger.steps[0];
        assert_eq!(larger.left_out.len(), CUTS.len());
        assert_eq!(step.trace.calls.len(), CUT_CALLS_MAX);
        assert_eq!(
            (step.trace.calls_dropped, step.trace.logs_dropped),
            (180, 10)
        );
        assert!(step.outcome.is(StepOutcome::Retry));
    }
}
