//! The log as it is shown: its end in the message, all that was read in the thread.

use handler_sdk::prelude::*;

use crate::findings::Log;
use crate::message::Source;
use crate::settings::Logs;
use crate::words::clip;

const LOG_LINES_MAX: usize = 12;
const LOG_CHARS_MAX: usize = 1_500;
/// A log that is shown shorter than this says less than the line that announces it.
const LOG_CHARS_MIN: usize = 120;

impl Source<'_> {
    /// Returns the end of the log within so many characters, and whether that is all of it.
    pub(crate) fn log(&self, chars_left: usize) -> (Mrkdwn, bool) {
        let Some(log) = self.findings.and_then(|findings| findings.log.as_ref()) else {
            return (Mrkdwn::new(), true);
        };
        if log.lines.is_empty() || self.settings.logs == Logs::Off {
            return (Mrkdwn::new(), true);
        }
        let title = log_title(log);
        let title_chars = title.as_str().chars().count() + 10;
        let room = chars_left.saturating_sub(title_chars).min(LOG_CHARS_MAX);
        if self.settings.logs == Logs::Thread || room < LOG_CHARS_MIN {
            return (Mrkdwn::new(), false);
        }
        let shown = last_lines(&log.lines, LOG_LINES_MAX, room);
        let is_whole =
            shown.len() == log.lines.len() && shown.iter().zip(&log.lines).all(|(a, b)| a == b);
        (title.text("\n").then(fenced(&shown.join("\n"))), is_whole)
    }

    /// Returns the whole log that was read, in as many sections as it takes.
    pub(crate) fn whole_log(&self) -> Blocks {
        const SECTION_CHARS: usize = 2_800;
        const SECTIONS_MAX: usize = 12;
        let Some(log) = self.findings.and_then(|findings| findings.log.as_ref()) else {
            return Blocks::new();
        };
        let mut sections: Vec<Vec<String>> = Vec::new();
        let mut end = log.lines.len();
        while end > 0 && sections.len() < SECTIONS_MAX {
            let lines = last_lines(&log.lines[..end], usize::MAX, SECTION_CHARS);
            end -= lines.len();
            sections.push(lines);
        }
        let start = Blocks::new().section(log_title(log));
        sections.iter().rev().fold(start, |blocks, lines| {
            blocks.section(fenced(&lines.join("\n")))
        })
    }
}

fn log_title(log: &Log) -> Mrkdwn {
    let which = if log.is_previous {
        "Log before the crash:"
    } else {
        "Log (of the present container):"
    };
    Mrkdwn::new().bold(which)
}

/// Returns the last lines that fit, measured as Slack counts them: escaped.
fn last_lines(lines: &[String], lines_max: usize, chars_max: usize) -> Vec<String> {
    let mut left = chars_max;
    let mut shown: Vec<String> = Vec::new();
    for line in lines.iter().rev().take(lines_max) {
        let chars = escaped_chars(line) + 1;
        if chars <= left {
            left -= chars;
            shown.push(line.clone());
            continue;
        }
        if shown.is_empty() {
            // Not even the last line fits: its beginning is what there is room for. Escaping makes at most five of one.
            let fitting = if line.chars().count() == escaped_chars(line) {
                chars_max
            } else {
                chars_max / 5
            };
            shown.push(clip(line, fitting.saturating_sub(1)));
        }
        break;
    }
    shown.reverse();
    shown
}

fn escaped_chars(text: &str) -> usize {
    Mrkdwn::from(text).as_str().chars().count()
}

/// Fences without line ends of their own, which would count as lines.
fn fenced(text: &str) -> Mrkdwn {
    // A zero-width space keeps three backticks of the text from ending the block.
    let inert = Mrkdwn::from(text.replace("```", "``\u{200b}`"));
    Mrkdwn::raw("```").then(inert).then(Mrkdwn::raw("```"))
}
