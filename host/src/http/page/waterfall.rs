//! The attempts of a delivery as rows with bars: steps, their host calls and their log lines, in the order of time.

use std::time::Duration;

use super::filters::span;
use super::slack::{Sent, Standing};
use crate::alert::Timestamp;
use crate::api::{Attempt, Call, JournalEntry, Lenient, LogLine, StepTry, Story};
use crate::journal::CallKind;
use crate::runtime::Answered;

/// The width of the drawing of a bar; the stylesheet stretches it.
const WIDTH: u128 = 1_000;

/// The least width of a bar, so that the shortest call is seen.
const BAR_MIN: u128 = 4;

/// An attempt.
pub(super) struct Attempted<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) steps: Vec<Tried<'a>>,
}

/// A try of a step.
pub(super) struct Tried<'a> {
    pub(super) step: &'a StepTry,
    pub(super) place: Place,
    pub(super) rows: Vec<Row<'a>>,
}

impl Tried<'_> {
    /// Returns the peak of its memory.
    pub(super) fn memory(&self) -> String {
        format!("{} KiB of memory", self.step.trace.memory_bytes >> 10)
    }
}

/// What happened within a step.
pub(super) struct Row<'a> {
    pub(super) place: Place,
    pub(super) what: What<'a>,
}

pub(super) enum What<'a> {
    Call {
        call: &'a Call,
        /// What its record has of the answer.
        answer: Option<&'a str>,
    },
    Log(&'a LogLine),
}

/// When something happened within its attempt.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Since the attempt began; absent if that is not known.
    offset: Option<Duration>,
    took: Option<Duration>,
    /// The duration of the attempt.
    whole: Duration,
}

impl Place {
    /// Returns how long after the attempt it began; empty if that is not known.
    pub(super) fn offset(&self) -> String {
        self.offset.map(span).unwrap_or_default()
    }

    pub(super) fn took(&self) -> String {
        self.took.map(span).unwrap_or_default()
    }

    /// Returns the left end and the width of its bar.
    pub(super) fn bar(&self) -> Option<(u128, u128)> {
        let (offset, took) = (self.offset?, self.took?);
        let whole = self.whole.as_micros().max(1);
        let start = (offset.as_micros() * WIDTH / whole).min(WIDTH - BAR_MIN);
        let width = (took.as_micros() * WIDTH / whole).clamp(BAR_MIN, WIDTH - start);
        Some((start, width))
    }
}

impl What<'_> {
    /// Returns the class of its bar.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Call { call, .. } => match call.answered.known() {
                Some(Answered::Ambiguous | Answered::Denied | Answered::Diverged) => "warn",
                Some(Answered::Recorded | Answered::Parked) => "still",
                _ => "some",
            },
            Self::Log(_) => "still",
        }
    }
}

impl Call {
    /// Returns what is special about how it was answered, in words.
    pub(super) fn mark(&self) -> &'static str {
        match self.answered.known() {
            Some(Answered::Live) | None => "",
            Some(Answered::Recorded) => "replayed: answered from the record, not made again",
            Some(Answered::Ambiguous) => "ambiguous: it may have happened more than once, or not",
            Some(Answered::Denied) => "denied: nothing was sent",
            Some(Answered::Diverged) => "on record, and not asked for by this attempt",
            Some(Answered::Preview) => "shown instead of sent",
            Some(Answered::Parked) => "not made yet: it waits for its turn",
        }
    }

    /// Returns what went out and what came in; empty if that is not known.
    pub(super) fn size(&self) -> String {
        match (self.bytes_out, self.bytes_in) {
            (0, 0) => String::new(),
            (out, 0) => format!("{out} B out"),
            (0, back) => format!("{back} B in"),
            (out, back) => format!("{out} B out, {back} B in"),
        }
    }

    /// Returns the message or the request that was kept with it, as JSON.
    pub(super) fn kept(&self) -> Option<String> {
        let kept = self.sent.as_ref().or(self.preview.as_ref())?;
        serde_json::to_string_pretty(kept).ok()
    }
}

/// Returns the attempts of a story that this version knows.
pub(super) fn attempts(story: &Story) -> Vec<Attempted<'_>> {
    let known = story.story.iter().filter_map(Lenient::known);
    known.map(|attempt| attempted(attempt, story)).collect()
}

fn attempted<'a>(attempt: &'a Attempt, story: &'a Story) -> Attempted<'a> {
    let whole = between(attempt.started_at, attempt.ended_at);
    let steps = attempt.steps.iter().map(|step| {
        let begun = between(attempt.started_at, step.started_at);
        let place = |offset: Option<Duration>, took| Place {
            offset: offset.map(|offset| begun + offset),
            took,
            whole,
        };
        let wall = Duration::from_micros(step.trace.wall_us);
        Tried {
            place: place(Some(Duration::ZERO), Some(wall)),
            rows: rows(step, story, place),
            step,
        }
    });
    Attempted {
        steps: steps.collect(),
        attempt,
    }
}

fn rows<'a>(
    step: &'a StepTry,
    story: &'a Story,
    place: impl Fn(Option<Duration>, Option<Duration>) -> Place,
) -> Vec<Row<'a>> {
    let own = story
        .steps
        .iter()
        .position(|one| one.handler == step.handler && one.kind == step.step);
    let mut recorded: Vec<_> = story
        .journal
        .iter()
        .filter(|entry| usize::try_from(entry.step).ok() == own)
        .collect();
    let calls = step.trace.calls.iter().map(|call| Row {
        place: place(
            call.offset_us.map(Duration::from_micros),
            Some(Duration::from_micros(call.duration_us)),
        ),
        what: What::Call {
            answer: answer_of(&mut recorded, call),
            call,
        },
    });
    let mut rows: Vec<_> = calls.collect();
    rows.extend(step.trace.logs.iter().map(|line| Row {
        place: place(line.offset_us.map(Duration::from_micros), None),
        what: What::Log(line),
    }));
    // Those of earlier versions have no offset: they stay in their order, calls before lines, at the end.
    rows.sort_by_key(|row| row.place.offset.unwrap_or(Duration::MAX));
    rows
}

/// Takes the record of a call, and returns what it has of the answer.
fn answer_of<'a>(recorded: &mut Vec<&'a JournalEntry>, call: &Call) -> Option<&'a str> {
    let is_its = |entry: &&JournalEntry| {
        (&entry.kind, &entry.request, &entry.result) == (&call.kind, &call.request, &call.result)
    };
    let at = recorded.iter().position(is_its)?;
    recorded.remove(at).answer.as_deref()
}

/// Returns the Slack messages of a story, in the order in which they were sent.
pub(super) fn messages(story: &Story) -> impl Iterator<Item = Sent<'_>> {
    let attempts = story.story.iter().filter_map(Lenient::known);
    let steps = attempts.flat_map(|attempt| &attempt.steps);
    steps.flat_map(|step| {
        let calls = step.trace.calls.iter();
        calls.filter_map(move |call| message(step.started_at, call))
    })
}

fn message(began: Timestamp, call: &Call) -> Option<Sent<'_>> {
    if !call.kind.is(CallKind::Slack) {
        return None;
    }
    let offset = Duration::from_micros(call.offset_us.unwrap_or_default());
    let (message, standing) = match (&call.sent, &call.preview) {
        (Some(sent), _) if sent["ts"].is_null() => (sent, Standing::Unknown),
        (Some(sent), _) => (sent, Standing::Posted),
        (None, Some(preview)) => (preview, Standing::Preview),
        (None, None) => return None,
    };
    Some(Sent {
        at: began.checked_add(offset).unwrap_or(began),
        standing,
        message,
    })
}

fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}
