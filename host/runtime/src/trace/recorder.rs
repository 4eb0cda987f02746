//! Records what one invocation did, within bounds. It outlives the store, so that a trap or a timeout has a story too.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::log::{GuestLog, LogBudget, Speaker, Written};
use super::{Answered, Call, CallCount, Trace, met};
use crate::limits;
use crate::limits::quota::LimitName;
use crate::slack::hold::Hold;
use crate::text::cut;
use alert_manager_core::journal::{
    Begun, CallKind, CallName, Dependency, Doubts, NamedCall, Note, RecordUse, Replay,
};

/// Records one invocation while it runs.
pub(crate) struct Recorder {
    /// What the guest logs and prints.
    pub(crate) log: GuestLog,
    /// The attempt, as the story numbers it.
    attempt: u32,
    recording: Mutex<Recording>,
}

/// What was recorded of an invocation that has ended.
pub(crate) struct Kept {
    pub(crate) trace: Trace,
    /// What Slack refuses until the operator mends something, if a call met it.
    pub(crate) hold: Option<Hold>,
    /// What did not answer last.
    pub(crate) needs: Option<Dependency>,
    /// What answered.
    pub(crate) has: Vec<Dependency>,
    /// Which calls may have happened without a record.
    pub(crate) doubts: Doubts,
    /// What the step has on record, if it recorded anything.
    pub(crate) recorded: RecordUse,
    /// True if the step has an effect on record.
    pub(crate) has_effect: bool,
    /// True if a call was sent that changes something.
    pub(crate) has_sent: bool,
}

#[derive(Default)]
struct Recording {
    trace: Trace,
    in_flight: Option<InFlight>,
    hold: Option<Hold>,
    needs: Option<Dependency>,
    has: Vec<Dependency>,
    doubts: Doubts,
    /// True if a call of this attempt that was to change something has not succeeded.
    has_failed: bool,
    recorded: RecordUse,
    has_effect: bool,
    has_sent: bool,
}

struct InFlight {
    call: NamedCall,
    /// True if it may happen without a record.
    leaves_doubt: bool,
    /// How far the step was on record when it began.
    recorded_to: u32,
    since: Instant,
}

impl Recorder {
    pub(crate) fn new(speaker: Speaker, budget: LogBudget) -> Self {
        Self {
            log: GuestLog::new(speaker, budget),
            attempt: 1,
            recording: Mutex::default(),
        }
    }

    /// Makes it the recorder of this attempt; `doubts` is what earlier attempts left in doubt, and `has_effect` says whether one
    /// of them had an effect.
    pub(crate) fn of_attempt(mut self, attempt: u32, doubts: Doubts, has_effect: bool) -> Self {
        self.attempt = attempt;
        let recording = self.recording.get_mut();
        recording.doubts = doubts;
        recording.has_effect = has_effect;
        self
    }

    /// Notes a call that is about to be made, in case that no answer comes. `leaves_doubt` is true if it may then have changed
    /// something without a record.
    pub(crate) fn begin(&self, call: NamedCall, leaves_doubt: bool, recorded_to: u32) {
        let mut recording = self.recording.lock();
        recording.has_sent |= leaves_doubt;
        recording.in_flight = Some(InFlight {
            call,
            leaves_doubt,
            recorded_to,
            since: Instant::now(),
        });
    }

    /// Returns true if an effect by this name is ambiguous.
    pub(crate) fn is_in_doubt(&self, kind: CallKind, name: &CallName) -> bool {
        self.recording.lock().doubts.are_carried_by(kind, name)
    }

    /// Notes that an effect by this name is on record: what was in doubt goes with it.
    pub(crate) fn carried(&self, kind: CallKind, name: &CallName) {
        self.recording.lock().doubts.carried(kind, name);
    }

    /// Notes what the step has on record now.
    pub(crate) fn recorded(&self, replay: &Replay) {
        let mut recording = self.recording.lock();
        recording.recorded = replay.used();
        recording.has_effect = replay.has_effect();
    }

    /// Notes that a call ended without saying whether it happened.
    pub(crate) fn sent(&self, call: &NamedCall, why: &str, recorded_to: u32) {
        let mut recording = self.recording.lock();
        recording.doubts.sent(self.attempt, call, why, recorded_to);
        recording.has_failed = true;
    }

    /// Notes that a call did not succeed.
    pub(crate) fn failed(&self, call: &NamedCall) {
        let mut recording = self.recording.lock();
        recording.doubts.failed(call);
        recording.has_failed = true;
    }

    /// Returns the note that the store has to have before this call begins, if any.
    pub(crate) fn note(&self, call: NamedCall, recorded_to: u32) -> Option<Note> {
        let recording = self.recording.lock();
        recording.has_failed.then(|| Note {
            doubts: recording.doubts.clone(),
            begun: Begun {
                attempt: self.attempt,
                call,
                since_seq: recorded_to,
            },
        })
    }

    /// Keeps a call that was answered. `is_ok` is true if the guest learns of a success.
    pub(crate) fn call(&self, call: Call, is_ok: bool) {
        let mut recording = self.recording.lock();
        recording.in_flight = None;
        push_call(&mut recording.trace, call, is_ok);
    }

    /// Counts a call that was refused before it was looked at, and the limit that it met.
    pub(crate) fn refused(&self, kind: CallKind, limit: LimitName) {
        let mut recording = self.recording.lock();
        count(&mut recording.trace, kind, Answered::Denied.as_str());
        met(&mut recording.trace.limits, limit);
    }

    /// Counts a limit that was met.
    pub(crate) fn met(&self, limit: LimitName) {
        met(&mut self.recording.lock().trace.limits, limit);
    }

    /// Notes that a call met a hold. If something did not answer before it, that is not why the step failed.
    pub(crate) fn meets(&self, hold: Hold) {
        let mut recording = self.recording.lock();
        recording.hold = Some(hold);
        recording.needs = None;
    }

    /// Notes that a call needs what does not answer, or has not answered yet, even if it answered before.
    pub(crate) fn needs(&self, dependency: Dependency) {
        let mut recording = self.recording.lock();
        recording.has.retain(|had| *had != dependency);
        recording.needs = Some(dependency);
    }

    /// Notes that a call has ended, and that the step does not have to wait for this.
    pub(crate) fn needs_no_more(&self, dependency: &Dependency) {
        let mut recording = self.recording.lock();
        if recording.needs.as_ref() == Some(dependency) {
            recording.needs = None;
        }
    }

    /// Notes that something answered as it should.
    pub(crate) fn has(&self, dependency: Dependency) {
        self.needs_no_more(&dependency);
        let mut recording = self.recording.lock();
        if recording
            .hold
            .as_ref()
            .is_some_and(|hold| hold.dependency() == dependency)
        {
            recording.hold = None;
        }
        if !recording.has.contains(&dependency) {
            recording.has.push(dependency);
        }
    }

    /// Ends the recording: a call in flight is unanswered, and ambiguous if it may have changed something.
    pub(crate) fn finish(&self) -> Kept {
        const UNANSWERED: &str = "no answer when the invocation ended";
        let mut recording = self.recording.lock();
        if let Some(out) = recording.in_flight.take() {
            if out.leaves_doubt {
                recording
                    .doubts
                    .sent(self.attempt, &out.call, UNANSWERED, out.recorded_to);
            }
            push_call(
                &mut recording.trace,
                Call {
                    kind: out.call.kind,
                    request: out.call.request,
                    result: UNANSWERED.to_owned(),
                    answered: match out.leaves_doubt {
                        true => Answered::Ambiguous,
                        false => Answered::Live,
                    },
                    duration_us: micros(out.since.elapsed()),
                    preview: None,
                },
                false,
            );
        }
        let mut trace = std::mem::take(&mut recording.trace);
        let Written {
            lines,
            lines_dropped,
            limits,
            ..
        } = self.log.take();
        (trace.logs, trace.logs_dropped) = (lines, lines_dropped);
        trace.limits.extend(limits);
        Kept {
            trace,
            hold: recording.hold.take(),
            needs: recording.needs.take(),
            has: std::mem::take(&mut recording.has),
            doubts: std::mem::take(&mut recording.doubts),
            recorded: recording.recorded,
            has_effect: recording.has_effect,
            has_sent: recording.has_sent,
        }
    }
}

fn push_call(trace: &mut Trace, mut call: Call, is_ok: bool) {
    let result = match (call.answered, is_ok) {
        (Answered::Live, true) => "ok",
        (Answered::Live, false) => "error",
        (answered, _) => answered.as_str(),
    };
    count(trace, call.kind, result);
    if trace.calls.len() >= limits::TRACE_CALLS_MAX {
        trace.calls_dropped = trace.calls_dropped.saturating_add(1);
        return;
    }
    for line in [&mut call.request, &mut call.result] {
        line.truncate(cut(line, limits::TRACE_LINE_BYTES_MAX).len());
    }
    trace.calls.push(call);
}

fn count(trace: &mut Trace, kind: CallKind, result: &'static str) {
    let known = trace
        .counts
        .iter_mut()
        .find(|known| known.kind == kind && known.result == result);
    match known {
        Some(known) => known.count = known.count.saturating_add(1),
        None => trace.counts.push(CallCount {
            kind,
            result,
            count: 1,
        }),
    }
}

/// Returns microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use alert_manager_core::alert::HandlerName;

    use crate::limits::quota::Limits;

    fn recorder() -> Recorder {
        let speaker = Speaker {
            handler: HandlerName::new("test"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        Recorder::new(speaker, budget)
    }

    #[test]
    fn what_a_step_met_is_what_it_met_last() {
        let origin = |host: &str| Dependency::Origin(format!("https://{host}"));
        let hold = || Hold {
            channel: Some("alerts".into()),
            code: "not_in_channel".into(),
            advice: "/invite".into(),
            since: alert_manager_core::alert::Timestamp::UNIX_EPOCH,
        };
        let met = |calls: &dyn Fn(&Recorder)| {
            let recorder = recorder();
            calls(&recorder);
            let kept = recorder.finish();
            (kept.has, kept.needs, kept.hold.is_some())
        };
        let answers_then_fails = met(&|r| {
            r.needs(origin("a"));
            r.has(origin("a"));
            r.needs(origin("b"));
            r.has(origin("b"));
            r.needs(origin("a"));
        });
        assert_eq!(
            answers_then_fails,
            (vec![origin("b")], Some(origin("a")), false)
        );
        let fails_then_answers = met(&|r| {
            r.needs(origin("a"));
            r.needs(origin("a"));
            r.has(origin("a"));
        });
        assert_eq!(fails_then_answers, (vec![origin("a")], None, false));
        let fails_before_a_hold = met(&|r| {
            r.needs(origin("a"));
            r.meets(hold());
        });
        assert_eq!(fails_before_a_hold, (Vec::new(), None, true));
        let fails_after_a_hold = met(&|r| {
            r.meets(hold());
            r.needs(origin("a"));
        });
        assert_eq!(fails_after_a_hold, (Vec::new(), Some(origin("a")), true));
    }

    #[test]
    fn calls_are_counted_by_result_past_the_bound_too() {
        let recorder = recorder();
        let call = |answered| Call {
            kind: CallKind::Kv,
            request: String::new(),
            result: String::new(),
            answered,
            duration_us: 0,
            preview: None,
        };
        for n in 0..300 {
            recorder.call(call(Answered::Live), n % 3 != 0);
        }
        recorder.call(call(Answered::Recorded), false);
        recorder.refused(CallKind::Http, LimitName::HttpCalls);
        let trace = recorder.finish().trace;
        assert_eq!(trace.calls.len(), limits::TRACE_CALLS_MAX);
        let counts: Vec<_> = trace
            .counts
            .iter()
            .map(|counted| (counted.kind, counted.result, counted.count))
            .collect();
        let expected = [
            (CallKind::Kv, "error", 100),
            (CallKind::Kv, "ok", 200),
            (CallKind::Kv, "recorded", 1),
            (CallKind::Http, "denied", 1),
        ];
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_call_without_an_answer_is_ambiguous_if_it_leaves_doubt() {
        for leaves_doubt in [true, false] {
            let recorder = recorder().of_attempt(4, Doubts::default(), false);
            let call = NamedCall {
                kind: CallKind::Http,
                name: CallName::Key("k".to_owned()),
                request: "a call".to_owned(),
            };
            recorder.begin(call, leaves_doubt, 7);
            let kept = recorder.finish();
            let answered = kept.trace.calls[0].answered;
            assert_eq!(answered == Answered::Ambiguous, leaves_doubt);
            let left = kept.doubts.iter().map(|d| (d.attempt, d.since_seq));
            let expected: &[_] = if leaves_doubt { &[(4, 7)] } else { &[] };
            assert_eq!(left.collect::<Vec<_>>(), expected);
        }
    }
}
