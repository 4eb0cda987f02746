//! Records one invocation, within bounds. The recorder outlives the wasmtime store, so that the story also has invocations
//! that trapped or timed out.

use std::time::Instant;

use parking_lot::Mutex;

use super::elapsed::micros;
use super::log::{GuestLog, LogBudget, LogSource, Written};
use super::{Answered, Call, CallCount, Trace, met};
use crate::limits;
use crate::limits::quota::LimitName;
use crate::slack::hold::SlackHold;
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
    /// When the invocation began.
    began: Instant,
    recording: Mutex<Recording>,
}

/// The recording of an invocation that has ended.
pub(crate) struct FinishedRecording {
    pub(crate) trace: Trace,
    /// The hold that blocked a call, unless its dependency answered a later one.
    pub(crate) hold: Option<SlackHold>,
    /// The last dependency that did not answer.
    pub(crate) unanswered: Option<Dependency>,
    /// The dependencies that answered.
    pub(crate) answered: Vec<Dependency>,
    /// The calls that may have happened without a record.
    pub(crate) doubts: Doubts,
    /// The size of the step's record; zero if it recorded nothing.
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
    hold: Option<SlackHold>,
    unanswered: Option<Dependency>,
    answered: Vec<Dependency>,
    doubts: Doubts,
    /// True if an effect of this attempt has not succeeded.
    has_failed: bool,
    recorded: RecordUse,
    has_effect: bool,
    has_sent: bool,
}

struct InFlight {
    call: NamedCall,
    /// True if it may happen without a record.
    leaves_doubt: bool,
    /// The sequence number up to which the step was recorded when the call began.
    recorded_to: u32,
    since: Instant,
}

impl Recorder {
    pub(crate) fn new(source: LogSource, budget: LogBudget) -> Self {
        Self {
            log: GuestLog::new(source, budget),
            attempt: 1,
            began: Instant::now(),
            recording: Mutex::default(),
        }
    }

    /// Sets the number of the attempt, the calls that earlier attempts left in doubt, and whether one of them had an effect.
    pub(crate) fn for_attempt(mut self, attempt: u32, doubts: Doubts, has_effect: bool) -> Self {
        self.attempt = attempt;
        let recording = self.recording.get_mut();
        recording.doubts = doubts;
        recording.has_effect = has_effect;
        self
    }

    /// Records that a call begins. If it gets no answer and `leaves_doubt` is true, it may have changed something without a
    /// record.
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

    /// Records that an effect by this name is on record, which settles the doubts about it.
    pub(crate) fn effect_recorded(&self, kind: CallKind, name: &CallName) {
        self.recording.lock().doubts.carried(kind, name);
    }

    /// Sets what the step has on record.
    pub(crate) fn set_recorded(&self, replay: &Replay) {
        let mut recording = self.recording.lock();
        recording.recorded = replay.used();
        recording.has_effect = replay.has_effect();
    }

    /// Records that a call ended, and that it is not known whether it happened.
    pub(crate) fn outcome_unknown(&self, call: &NamedCall, why: &str, recorded_to: u32) {
        let mut recording = self.recording.lock();
        recording.doubts.sent(self.attempt, call, why, recorded_to);
        recording.has_failed = true;
    }

    /// Records that a call changed nothing.
    pub(crate) fn failed(&self, call: &NamedCall) {
        let mut recording = self.recording.lock();
        recording.doubts.failed(call);
        recording.has_failed = true;
    }

    /// Returns the note that the store must have before this call begins; `None` if no effect of this attempt has failed.
    pub(crate) fn note_before(&self, call: NamedCall, recorded_to: u32) -> Option<Note> {
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

    /// Returns how long after the invocation a call began.
    pub(crate) fn offset_us(&self, began: Instant) -> Option<u64> {
        Some(micros(began.saturating_duration_since(self.began)))
    }

    /// Adds a call that has ended. `is_ok` is true if the guest gets a success.
    pub(crate) fn add_call(&self, call: Call, is_ok: bool) {
        let mut recording = self.recording.lock();
        recording.in_flight = None;
        push_call(&mut recording.trace, call, is_ok);
    }

    /// Counts a call that was refused because of a limit, without adding it to the calls.
    pub(crate) fn count_refused(&self, kind: CallKind, limit: LimitName) {
        let mut recording = self.recording.lock();
        count(&mut recording.trace, kind, Answered::Denied.as_str());
        met(&mut recording.trace.limits, limit);
    }

    /// Counts a limit that was met.
    pub(crate) fn limit_hit(&self, limit: LimitName) {
        met(&mut self.recording.lock().trace.limits, limit);
    }

    /// Records that a hold blocked a call. A dependency that did not answer before is then not the reason why the step
    /// fails.
    pub(crate) fn held_by(&self, hold: SlackHold) {
        let mut recording = self.recording.lock();
        recording.hold = Some(hold);
        recording.unanswered = None;
    }

    /// Records that a dependency has not answered, or not yet, even if it answered an earlier call.
    pub(crate) fn unanswered(&self, dependency: Dependency) {
        let mut recording = self.recording.lock();
        recording.answered.retain(|known| *known != dependency);
        recording.unanswered = Some(dependency);
    }

    /// Records that a call has ended, and that the step need not wait for this dependency.
    pub(crate) fn not_awaited(&self, dependency: &Dependency) {
        let mut recording = self.recording.lock();
        if recording.unanswered.as_ref() == Some(dependency) {
            recording.unanswered = None;
        }
    }

    /// Records that a dependency answered and works.
    pub(crate) fn answered(&self, dependency: Dependency) {
        self.not_awaited(&dependency);
        let mut recording = self.recording.lock();
        if recording
            .hold
            .as_ref()
            .is_some_and(|hold| hold.dependency() == dependency)
        {
            recording.hold = None;
        }
        if !recording.answered.contains(&dependency) {
            recording.answered.push(dependency);
        }
    }

    /// Ends the recording. A call in flight is unanswered, and ambiguous if it leaves doubt.
    pub(crate) fn finish(&self) -> FinishedRecording {
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
                    offset_us: self.offset_us(out.since),
                    duration_us: micros(out.since.elapsed()),
                    bytes_out: 0,
                    bytes_in: 0,
                    sent: None,
                    preview: None,
                    allow: None,
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
        FinishedRecording {
            trace,
            hold: recording.hold.take(),
            unanswered: recording.unanswered.take(),
            answered: std::mem::take(&mut recording.answered),
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

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use alert_manager_core::alert::HandlerName;

    use crate::limits::quota::Limits;

    fn recorder() -> Recorder {
        let source = LogSource {
            handler: HandlerName::new("test"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        Recorder::new(source, budget)
    }

    #[test]
    fn a_step_waits_for_the_last_dependency_that_did_not_answer() {
        let origin = |host: &str| Dependency::Origin(format!("https://{host}"));
        let hold = || SlackHold {
            channel: Some("alerts".into()),
            code: "not_in_channel".into(),
            advice: "/invite".into(),
            since: alert_manager_core::alert::Timestamp::UNIX_EPOCH,
        };
        let met = |calls: &dyn Fn(&Recorder)| {
            let recorder = recorder();
            calls(&recorder);
            let kept = recorder.finish();
            (kept.answered, kept.unanswered, kept.hold.is_some())
        };
        let answers_then_fails = met(&|r| {
            r.unanswered(origin("a"));
            r.answered(origin("a"));
            r.unanswered(origin("b"));
            r.answered(origin("b"));
            r.unanswered(origin("a"));
        });
        assert_eq!(
            answers_then_fails,
            (vec![origin("b")], Some(origin("a")), false)
        );
        let fails_then_answers = met(&|r| {
            r.unanswered(origin("a"));
            r.unanswered(origin("a"));
            r.answered(origin("a"));
        });
        assert_eq!(fails_then_answers, (vec![origin("a")], None, false));
        let fails_before_a_hold = met(&|r| {
            r.unanswered(origin("a"));
            r.held_by(hold());
        });
        assert_eq!(fails_before_a_hold, (Vec::new(), None, true));
        let fails_after_a_hold = met(&|r| {
            r.held_by(hold());
            r.unanswered(origin("a"));
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
            offset_us: None,
            duration_us: 0,
            bytes_out: 0,
            bytes_in: 0,
            sent: None,
            preview: None,
            allow: None,
        };
        for n in 0..300 {
            recorder.add_call(call(Answered::Live), n % 3 != 0);
        }
        recorder.add_call(call(Answered::Recorded), false);
        recorder.count_refused(CallKind::Http, LimitName::HttpCalls);
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
            let recorder = recorder().for_attempt(4, Doubts::default(), false);
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
