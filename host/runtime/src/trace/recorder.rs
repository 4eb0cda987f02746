//! Keeps what one invocation did and said, bounded, and outlives its store: a trap or a timeout still has a story.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Answered, Call, CallCount, LogLine, Trace};
use crate::limits;
use crate::limits::quota::{LimitName, Limits};
use crate::outbound::rates::Rates;
use crate::slack::holds::Hold;
use crate::text::{cut, masked};
use alert_manager_core::alert::{Alert, DeliveryId, HandlerName};
use alert_manager_core::journal::{
    Begun, CallKind, CallName, Dependency, Doubts, NamedCall, Note, RecordUse,
};
use alert_manager_core::shapes;

/// The field by which a handler's own fields reach the log, as a JSON array of pairs: an event's own names are fixed at
/// compile time.
pub const GUEST_FIELDS: &str = "guest.fields";

/// Who speaks, for the operator's log.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    pub(crate) handler: HandlerName,
    /// Its delivery and the alert; written out only where there is a line to log.
    pub(crate) about: Option<(DeliveryId, Arc<Alert>)>,
}

/// How much may be said.
#[derive(Clone, Debug)]
pub(crate) struct LogBudget {
    lines_max: usize,
    bytes_max: usize,
    per_second_max: u32,
    rates: Arc<Rates>,
}

impl LogBudget {
    pub(crate) fn new(limits: &Limits, rates: Arc<Rates>) -> Self {
        Self {
            lines_max: limits.log_lines_max,
            bytes_max: limits.log_bytes_max,
            per_second_max: limits.log_lines_per_second_max,
            rates,
        }
    }
}

/// The story of one invocation while it runs.
pub(crate) struct Recorder {
    speaker: Speaker,
    budget: LogBudget,
    /// As the story numbers it.
    attempt: u32,
    inner: Mutex<Inner>,
}

/// What is kept of an invocation when it has ended.
pub(crate) struct Kept {
    pub(crate) trace: Trace,
    /// What Slack refuses until the operator mends it, if a call met it.
    pub(crate) hold: Option<Hold>,
    /// What did not answer last.
    pub(crate) needs: Option<Dependency>,
    /// The rate limit of ours that a call was to wait for.
    pub(crate) rate: Option<String>,
    /// What answered.
    pub(crate) has: Vec<Dependency>,
    /// Which calls may have happened without a record.
    pub(crate) doubts: Doubts,
    /// What the step has on record, if it recorded anything.
    pub(crate) recorded: RecordUse,
}

#[derive(Default)]
struct Inner {
    trace: Trace,
    log_bytes: usize,
    stderr_tail: VecDeque<u8>,
    in_flight: Option<InFlight>,
    hold: Option<Hold>,
    needs: Option<Dependency>,
    rate: Option<String>,
    has: Vec<Dependency>,
    doubts: Doubts,
    /// A call of this attempt that was to change something has ended without a success.
    has_failed: bool,
    recorded: RecordUse,
}

struct InFlight {
    call: NamedCall,
    changes: bool,
    /// The step's record when it began.
    recorded_to: u32,
    since: Instant,
}

impl InFlight {
    /// Returns true if it may have happened without a record: a change to `kv` is committed together with its own.
    fn leaves_doubt(&self) -> bool {
        self.changes && self.call.kind != CallKind::Kv
    }
}

impl Recorder {
    pub(crate) fn new(speaker: Speaker, budget: LogBudget) -> Self {
        Self {
            speaker,
            budget,
            attempt: 1,
            inner: Mutex::default(),
        }
    }

    /// Makes it the recorder of this attempt, before which so much is in doubt.
    pub(crate) fn in_doubt(mut self, attempt: u32, doubts: Doubts) -> Self {
        self.attempt = attempt;
        self.inner.get_mut().doubts = doubts;
        self
    }

    /// Keeps a line and passes it to the operator's log; past the bound it is counted alone. Never waits.
    pub(crate) fn log(&self, level: &str, message: &str, fields: &[(String, String)]) {
        if self.inner.lock().is_full(&self.budget) {
            // Before the line is put together: a flood is to cost next to nothing.
            return;
        }
        let line = LogLine {
            level: level.to_owned(),
            message: masked(message, limits::LOG_LINE_BYTES_MAX),
            fields: fields
                .iter()
                .take(limits::LOG_FIELDS_MAX)
                .map(|(name, value)| {
                    let name = masked(name, limits::LOG_FIELD_NAME_BYTES_MAX);
                    let mut value = masked(value, limits::LOG_LINE_BYTES_MAX);
                    shapes::mask_named(&name, &mut value);
                    (name, value)
                })
                .collect(),
        };
        let bytes = line.message.len()
            + line
                .fields
                .iter()
                .map(|(n, v)| n.len() + v.len())
                .sum::<usize>();
        {
            let mut inner = self.inner.lock();
            if inner.log_bytes + bytes > self.budget.bytes_max {
                inner.drop_line(LimitName::LogBytes);
                return;
            }
            inner.log_bytes += bytes;
            inner.trace.logs.push(line.clone());
            let LogBudget {
                per_second_max,
                rates,
                ..
            } = &self.budget;
            if !rates.may_log(*per_second_max, Instant::now()) {
                // The story has it.
                met(&mut inner.trace, LimitName::LogLinesPerSecond);
                return;
            }
        }
        self.emit(&line);
    }

    fn emit(&self, line: &LogLine) {
        let Speaker { handler, about } = &self.speaker;
        let (delivery, alertname) = match about {
            Some((delivery, alert)) => (delivery.to_string(), alert.name()),
            None => (String::new(), ""),
        };
        // Strings alone: there is nothing in them that JSON cannot hold.
        let fields = serde_json::to_string(&line.fields).unwrap_or_default();
        let message = &line.message;
        macro_rules! emit {
            ($level:ident) => {
                tracing::$level!(
                    target: "handler", %handler, delivery, alertname,
                    { GUEST_FIELDS } = fields, "{message}"
                )
            };
        }
        match line.level.as_str() {
            "trace" => emit!(trace),
            "debug" => emit!(debug),
            "warn" | "stderr" => emit!(warn),
            "error" => emit!(error),
            _ => emit!(info),
        }
    }

    /// Keeps the end of what was printed to stderr: a panic's message, Python's traceback.
    pub(crate) fn stderr(&self, bytes: &[u8]) {
        let mut inner = self.inner.lock();
        let tail = &bytes[bytes.len().saturating_sub(limits::STDERR_TAIL_BYTES_MAX)..];
        let over =
            (inner.stderr_tail.len() + tail.len()).saturating_sub(limits::STDERR_TAIL_BYTES_MAX);
        inner.stderr_tail.drain(..over);
        inner.stderr_tail.extend(tail);
    }

    /// Returns the end of what was printed to stderr.
    pub(crate) fn stderr_tail(&self) -> String {
        let mut inner = self.inner.lock();
        let tail = String::from_utf8_lossy(inner.stderr_tail.make_contiguous());
        shapes::masked(tail.trim()).into_owned()
    }

    /// Notes a call that is about to go out, in case that no answer comes.
    pub(crate) fn begin(&self, call: NamedCall, changes: bool, recorded_to: u32) {
        self.inner.lock().in_flight = Some(InFlight {
            call,
            changes,
            recorded_to,
            since: Instant::now(),
        });
    }

    /// Returns true if an effect by this name is ambiguous.
    pub(crate) fn is_in_doubt(&self, kind: CallKind, name: &CallName) -> bool {
        self.inner.lock().doubts.are_carried_by(kind, name)
    }

    /// Notes that an effect by this name is on record: it carries what was in doubt.
    pub(crate) fn carried(&self, kind: CallKind, name: &CallName) {
        self.inner.lock().doubts.carried(kind, name);
    }

    /// Notes what the step has on record now.
    pub(crate) fn recorded(&self, used: RecordUse) {
        self.inner.lock().recorded = used;
    }

    /// Notes that a call ended without saying whether it happened.
    pub(crate) fn sent(&self, call: &NamedCall, why: &str, recorded_to: u32) {
        let mut inner = self.inner.lock();
        inner.doubts.sent(self.attempt, call, why, recorded_to);
        inner.has_failed = true;
    }

    /// Notes that a call did not succeed.
    pub(crate) fn failed(&self, call: &NamedCall) {
        let mut inner = self.inner.lock();
        inner.doubts.failed(call);
        inner.has_failed = true;
    }

    /// Returns what the store has to know before this call begins, if anything.
    pub(crate) fn note(&self, call: NamedCall, recorded_to: u32) -> Option<Note> {
        let inner = self.inner.lock();
        inner.has_failed.then(|| Note {
            doubts: inner.doubts.clone(),
            begun: Begun {
                attempt: self.attempt,
                call,
                since_seq: recorded_to,
            },
        })
    }

    /// Keeps a call that was answered. `is_ok` is what the guest heard.
    pub(crate) fn call(&self, call: Call, is_ok: bool) {
        let mut inner = self.inner.lock();
        inner.in_flight = None;
        push_call(&mut inner.trace, call, is_ok);
    }

    /// Counts a call that was turned away before it was looked at, and the limit that it met.
    pub(crate) fn turned_away(&self, kind: CallKind, limit: LimitName) {
        let mut inner = self.inner.lock();
        count(&mut inner.trace, kind, Answered::Denied.as_str());
        met(&mut inner.trace, limit);
    }

    /// Counts a limit that was met.
    pub(crate) fn met(&self, limit: LimitName) {
        met(&mut self.inner.lock().trace, limit);
    }

    /// Notes that a call met a hold. What did not answer before it is not what the step failed for.
    pub(crate) fn meets(&self, hold: Hold) {
        let mut inner = self.inner.lock();
        inner.hold = Some(hold);
        inner.needs = None;
    }

    /// Notes that a call waits for a rate limit of ours.
    pub(crate) fn waits_for_rate(&self, why: String) {
        self.inner.lock().rate = Some(why);
    }

    /// Notes that a call needs what does not answer, or has not yet: that it answered before wakes nobody.
    pub(crate) fn needs(&self, dependency: Dependency) {
        let mut inner = self.inner.lock();
        inner.has.retain(|had| *had != dependency);
        inner.needs = Some(dependency);
    }

    /// Notes that a call has ended, and that it is not for this that a step may have to wait.
    pub(crate) fn needs_no_more(&self, dependency: &Dependency) {
        let mut inner = self.inner.lock();
        if inner.needs.as_ref() == Some(dependency) {
            inner.needs = None;
        }
    }

    /// Notes that something answered as it should.
    pub(crate) fn has(&self, dependency: Dependency) {
        self.needs_no_more(&dependency);
        let mut inner = self.inner.lock();
        if inner
            .hold
            .as_ref()
            .is_some_and(|hold| hold.dependency() == dependency)
        {
            inner.hold = None;
        }
        if !inner.has.contains(&dependency) {
            inner.has.push(dependency);
        }
    }

    /// Ends the story: a call still out is told as unanswered, and, where it may have changed
    /// something, as ambiguous.
    pub(crate) fn finish(&self) -> Kept {
        const UNANSWERED: &str = "no answer when the invocation ended";
        let mut inner = self.inner.lock();
        if let Some(out) = inner.in_flight.take() {
            let leaves_doubt = out.leaves_doubt();
            if leaves_doubt {
                inner
                    .doubts
                    .sent(self.attempt, &out.call, UNANSWERED, out.recorded_to);
            }
            push_call(
                &mut inner.trace,
                Call {
                    kind: out.call.kind,
                    request: out.call.request,
                    result: UNANSWERED.to_owned(),
                    answered: if leaves_doubt {
                        Answered::Ambiguous
                    } else {
                        Answered::Live
                    },
                    duration_us: micros(out.since.elapsed()),
                    preview: None,
                },
                false,
            );
        }
        Kept {
            trace: std::mem::take(&mut inner.trace),
            hold: inner.hold.take(),
            needs: inner.needs.take(),
            rate: inner.rate.take(),
            has: std::mem::take(&mut inner.has),
            doubts: std::mem::take(&mut inner.doubts),
            recorded: inner.recorded,
        }
    }
}

impl Inner {
    /// Returns true where no more lines are kept, and counts the one that was to be.
    fn is_full(&mut self, budget: &LogBudget) -> bool {
        let is_full = self.trace.logs.len() >= budget.lines_max;
        if is_full {
            self.drop_line(LimitName::LogLines);
        }
        is_full
    }

    fn drop_line(&mut self, limit: LimitName) {
        self.trace.logs_dropped = self.trace.logs_dropped.saturating_add(1);
        met(&mut self.trace, limit);
    }
}

fn met(trace: &mut Trace, limit: LimitName) {
    let known = trace.limits.iter_mut().find(|(known, _)| *known == limit);
    match known {
        Some((_, count)) => *count = count.saturating_add(1),
        None => trace.limits.push((limit, 1)),
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

    fn recorder() -> Recorder {
        let speaker = Speaker {
            handler: HandlerName::new("test"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        Recorder::new(speaker, budget)
    }

    #[test]
    fn a_flood_of_lines_is_counted_and_dropped() {
        let recorder = recorder();
        for _ in 0..1_000 {
            recorder.log("info", "again", &[]);
        }
        let trace = recorder.finish().trace;
        assert_eq!(trace.logs.len(), 200);
        assert_eq!(trace.logs_dropped, 800);
        assert_eq!(trace.limits, [(LimitName::LogLines, 800)]);
    }

    #[test]
    fn what_goes_over_the_rate_is_in_the_story_and_not_in_the_servers_log() {
        let rates = Arc::<Rates>::default();
        let limits = Limits {
            log_lines_per_second_max: 1,
            ..Limits::default()
        };
        let met: u32 = (0..3)
            .map(|_| {
                let recorder = Recorder {
                    budget: LogBudget::new(&limits, Arc::clone(&rates)),
                    ..recorder()
                };
                (0..100).for_each(|_| recorder.log("info", "again", &[]));
                let trace = recorder.finish().trace;
                assert_eq!((trace.logs.len(), trace.logs_dropped), (100, 0));
                trace.limits.iter().map(|(_, count)| count).sum::<u32>()
            })
            .sum();
        assert!((280..=289).contains(&met), "{met}");
    }

    #[test]
    fn long_lines_use_up_the_bytes() {
        let recorder = recorder();
        (0..100).for_each(|_| recorder.log("info", &"x".repeat(10_000), &[]));
        let trace = recorder.finish().trace;
        assert_eq!(trace.logs.len(), 16);
        assert_eq!(trace.limits, [(LimitName::LogBytes, 84)]);
    }

    #[test]
    fn no_line_holds_a_secret_also_where_it_is_cut_within_one() {
        let recorder = recorder();
        let token = format!("CLOJARS_{}", "fcdf65d226beb9215468".repeat(3));
        let filled = "x".repeat(limits::LOG_LINE_BYTES_MAX - 30);
        recorder.log("info", &format!("{filled} {token}"), &[]);
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let secret = "Zx81kqP0v7Tn3Lw9";
        let fields = [
            field("token", &token),
            field("db_password", secret),
            field("pod", secret),
        ];
        recorder.log("info", &format!("got {token}"), &fields);
        recorder.stderr(format!("panicked: {token}").as_bytes());
        assert_eq!(recorder.stderr_tail(), "panicked: [masked]");
        let trace = recorder.finish().trace;
        assert!(trace.logs[0].message.ends_with(" [masked]"));
        assert_eq!(trace.logs[1].message, "got [masked]");
        let values: Vec<_> = trace.logs[1]
            .fields
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(values, ["[masked]", "[masked]", secret]);
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
    fn the_end_of_stderr_is_what_is_kept() {
        let recorder = recorder();
        recorder.stderr(&vec![b'a'; 10_000]);
        recorder.stderr(b"the last words\n");
        let tail = recorder.stderr_tail();
        assert!(tail.len() <= limits::STDERR_TAIL_BYTES_MAX);
        assert!(tail.ends_with("aathe last words"));
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
        recorder.turned_away(CallKind::Http, LimitName::HttpCalls);
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
    fn a_change_without_an_answer_is_ambiguous_and_neither_a_read_nor_kv_is() {
        for (kind, changes, is_ambiguous) in [
            (CallKind::Slack, true, true),
            (CallKind::Http, true, true),
            (CallKind::Http, false, false),
            (CallKind::Kv, true, false),
        ] {
            let recorder = recorder().in_doubt(4, Doubts::default());
            let call = NamedCall {
                kind,
                name: CallName::Key("k".to_owned()),
                request: "a call".to_owned(),
            };
            recorder.begin(call, changes, 7);
            let kept = recorder.finish();
            let answered = kept.trace.calls[0].answered;
            assert_eq!(answered == Answered::Ambiguous, is_ambiguous, "{kind:?}");
            let left = kept.doubts.iter().map(|d| (d.attempt, d.since_seq));
            let expected: &[_] = if is_ambiguous { &[(4, 7)] } else { &[] };
            assert_eq!(left.collect::<Vec<_>>(), expected, "{kind:?}");
        }
    }
}
