//! The log of one invocation: its lines in the story and in the server's log, within their limits, and the end of its
//! stderr.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::elapsed::micros;
use super::{LogLine, met};
use crate::limits;
use crate::limits::quota::{LimitName, Limits};
use crate::outbound::rates::Rates;
use crate::text::masked;
use alert_manager_core::alert::{Alert, DeliveryId, HandlerName};
use alert_manager_core::shapes;

/// The `tracing` field that has the handler's own fields, as a JSON array of pairs, since the names of `tracing` fields are
/// fixed at compile time.
pub const GUEST_FIELDS: &str = "guest.fields";

/// The source of log lines.
#[derive(Clone, Debug)]
pub(crate) struct LogSource {
    pub(crate) handler: HandlerName,
    /// The delivery and its alert; `None` during `describe`.
    pub(crate) about: Option<(DeliveryId, Arc<Alert>)>,
}

/// The limits of a log.
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

/// The log and the output of a guest.
pub(crate) struct GuestLog {
    source: LogSource,
    budget: LogBudget,
    /// When the invocation began.
    began: Instant,
    written: Mutex<Written>,
}

/// The lines that were written so far.
#[derive(Default)]
pub(super) struct Written {
    pub(super) lines: Vec<LogLine>,
    /// The number of lines that were dropped because a limit was met.
    pub(super) lines_dropped: u32,
    /// The limits that were met, with how often.
    pub(super) limits: Vec<(LimitName, u32)>,
    bytes: usize,
    stderr_tail: VecDeque<u8>,
}

impl GuestLog {
    pub(super) fn new(source: LogSource, budget: LogBudget) -> Self {
        Self {
            source,
            budget,
            began: Instant::now(),
            written: Mutex::default(),
        }
    }

    /// Returns the handler that logs.
    pub(crate) fn handler(&self) -> &HandlerName {
        &self.source.handler
    }

    /// Adds a line to the story and to the server's log. Past a limit it is only counted. Does not block.
    pub(crate) fn write(&self, level: &str, message: &str, fields: &[(String, String)]) {
        if self.written.lock().is_full(&self.budget) {
            // Checked before the line is built, so that a flood of lines is cheap.
            return;
        }
        let offset_us = Some(micros(self.began.elapsed()));
        let line = LogLine {
            offset_us,
            ..line(level, message, fields)
        };
        let fields = line.fields.iter();
        let bytes = fields.map(|(n, v)| n.len() + v.len()).sum::<usize>() + line.message.len();
        {
            let mut written = self.written.lock();
            if written.bytes + bytes > self.budget.bytes_max {
                written.drop_line(LimitName::LogBytes);
                return;
            }
            written.bytes += bytes;
            written.lines.push(line.clone());
            let LogBudget {
                per_second_max,
                rates,
                ..
            } = &self.budget;
            if !rates.may_log(*per_second_max, Instant::now()) {
                // The line stays in the story.
                met(&mut written.limits, LimitName::LogLinesPerSecond);
                return;
            }
        }
        self.emit(&line);
    }

    fn emit(&self, line: &LogLine) {
        let LogSource { handler, about } = &self.source;
        let (delivery, alertname) = match about {
            Some((delivery, alert)) => (delivery.to_string(), alert.name()),
            None => (String::new(), ""),
        };
        // Serializing strings cannot fail.
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

    /// Keeps the end of the guest's stderr, which has the message of a panic or Python's traceback.
    pub(crate) fn stderr(&self, bytes: &[u8]) {
        let mut written = self.written.lock();
        let tail = &bytes[bytes.len().saturating_sub(limits::STDERR_TAIL_BYTES_MAX)..];
        let kept = written.stderr_tail.len() + tail.len();
        let over = kept.saturating_sub(limits::STDERR_TAIL_BYTES_MAX);
        written.stderr_tail.drain(..over);
        written.stderr_tail.extend(tail);
    }

    /// Returns the end of the guest's stderr, with secrets masked.
    pub(crate) fn stderr_tail(&self) -> String {
        let mut written = self.written.lock();
        let tail = String::from_utf8_lossy(written.stderr_tail.make_contiguous());
        shapes::masked(tail.trim()).into_owned()
    }

    /// Takes the lines that were written.
    pub(super) fn take(&self) -> Written {
        std::mem::take(&mut *self.written.lock())
    }
}

/// Returns a line, cut and with secrets masked.
fn line(level: &str, message: &str, fields: &[(String, String)]) -> LogLine {
    let fields = fields.iter().take(limits::LOG_FIELDS_MAX);
    LogLine {
        level: level.to_owned(),
        offset_us: None,
        message: masked(message, limits::LOG_LINE_BYTES_MAX),
        fields: fields
            .map(|(name, value)| {
                let name = masked(name, limits::LOG_FIELD_NAME_BYTES_MAX);
                let mut value = masked(value, limits::LOG_LINE_BYTES_MAX);
                shapes::mask_named(&name, &mut value);
                (name, value)
            })
            .collect(),
    }
}

impl Written {
    /// Returns true if there are as many lines as allowed; counts one more as dropped.
    fn is_full(&mut self, budget: &LogBudget) -> bool {
        let is_full = self.lines.len() >= budget.lines_max;
        if is_full {
            self.drop_line(LimitName::LogLines);
        }
        is_full
    }

    fn drop_line(&mut self, limit: LimitName) {
        self.lines_dropped = self.lines_dropped.saturating_add(1);
        met(&mut self.limits, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_within(budget: LogBudget) -> GuestLog {
        let source = LogSource {
            handler: HandlerName::new("test"),
            about: None,
        };
        GuestLog::new(source, budget)
    }

    fn log() -> GuestLog {
        log_within(LogBudget::new(&Limits::default(), Arc::default()))
    }

    #[test]
    fn a_flood_of_lines_is_counted_and_dropped() {
        let log = log();
        (0..1_000).for_each(|_| log.write("info", "again", &[]));
        let written = log.take();
        assert_eq!(written.lines.len(), 200);
        assert_eq!(written.lines_dropped, 800);
        assert_eq!(written.limits, [(LimitName::LogLines, 800)]);
    }

    #[test]
    fn a_line_over_the_rate_is_in_the_story_and_not_in_the_servers_log() {
        let rates = Arc::<Rates>::default();
        let limits = Limits {
            log_lines_per_second_max: 1,
            ..Limits::default()
        };
        let met: u32 = (0..3)
            .map(|_| {
                let log = log_within(LogBudget::new(&limits, Arc::clone(&rates)));
                (0..100).for_each(|_| log.write("info", "again", &[]));
                let written = log.take();
                assert_eq!((written.lines.len(), written.lines_dropped), (100, 0));
                written.limits.iter().map(|(_, count)| count).sum::<u32>()
            })
            .sum();
        assert!((280..=289).contains(&met), "{met}");
    }

    #[test]
    fn long_lines_use_up_the_bytes() {
        let log = log();
        (0..100).for_each(|_| log.write("info", &"x".repeat(10_000), &[]));
        let written = log.take();
        assert_eq!(written.lines.len(), 16);
        assert_eq!(written.limits, [(LimitName::LogBytes, 84)]);
    }

    #[test]
    fn secrets_are_masked_also_if_the_line_is_cut_within_one() {
        let log = log();
        let token = format!("CLOJARS_{}", "fcdf65d226beb9215468".repeat(3));
        let filled = "x".repeat(limits::LOG_LINE_BYTES_MAX - 30);
        log.write("info", &format!("{filled} {token}"), &[]);
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let secret = "Zx81kqP0v7Tn3Lw9";
        let fields = [
            field("token", &token),
            field("db_password", secret),
            field("pod", secret),
        ];
        log.write("info", &format!("got {token}"), &fields);
        log.stderr(format!("panicked: {token}").as_bytes());
        assert_eq!(log.stderr_tail(), "panicked: [masked]");
        let lines = log.take().lines;
        assert!(lines[0].message.ends_with(" [masked]"));
        assert_eq!(lines[1].message, "got [masked]");
        let values: Vec<_> = lines[1].fields.iter().map(|(_, v)| v.as_str()).collect();
        assert_eq!(values, ["[masked]", "[masked]", secret]);
    }

    #[test]
    fn only_the_end_of_stderr_is_kept() {
        let log = log();
        log.stderr(&vec![b'a'; 10_000]);
        log.stderr(b"the last words\n");
        let tail = log.stderr_tail();
        assert!(tail.len() <= limits::STDERR_TAIL_BYTES_MAX);
        assert!(tail.ends_with("aathe last words"));
    }
}
