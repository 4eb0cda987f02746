//! Lays out the log: its end in the message, the rest in the thread.

use handler_sdk::layout::clip;
use handler_sdk::prelude::*;
use handler_sdk::slack::Size;

use super::Log;
use super::fold::{Fold, fold, is_error};
use crate::line::fenced;

const LOG_LINES_MAX: usize = 12;
const LOG_CHARS_MAX: usize = 1_500;
/// A log that would be shorter than this is left out of the message.
const LOG_CHARS_MIN: usize = 120;
/// A line that represents several leaves space for their number.
const FOLDED_CHARS_MAX: usize = 300;

/// The end of a log as the message shows it.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) text: Mrkdwn,
    /// The indexes of the lines that it shows in full.
    whole: Vec<usize>,
}

impl Log {
    /// Returns the end of the log that fits: runs of nearly equal lines are folded, and the last error is kept.
    pub(crate) fn end(&self, room: Size) -> Shown {
        let title = self.heading("");
        let title_chars = title.as_str().chars().count() + 10;
        let chars = room.chars.saturating_sub(title_chars).min(LOG_CHARS_MAX);
        let lines = room.lines.saturating_sub(1).min(LOG_LINES_MAX);
        if self.lines.is_empty() || room.blocks == 0 || lines == 0 || chars < LOG_CHARS_MIN {
            return Shown::default();
        }
        let folds = fold(&self.lines);
        let shown = with_last_error(self, &folds, lines, chars);
        let text: Vec<&str> = shown.iter().map(|line| line.text.as_str()).collect();
        Shown {
            text: title.text("\n").then(fenced(&text.join("\n"))),
            whole: shown
                .iter()
                .filter(|line| line.is_whole)
                .map(|line| line.at)
                .collect(),
        }
    }

    /// Returns the lines of the log that the message does not show, in as many sections as needed.
    pub(crate) fn rest(&self, shown: &Shown) -> Blocks {
        const SECTION_CHARS: usize = 2_800;
        /// Enough for the longest log that is read, with two of its lines per section.
        const SECTIONS_MAX: usize = 30;
        let rest: Vec<Line> = (0..self.lines.len())
            .filter(|at| !shown.whole.contains(at))
            .map(|at| Line {
                at,
                text: self.lines[at].clone(),
                is_whole: true,
            })
            .collect();
        if rest.is_empty() {
            return Blocks::new();
        }
        let mut sections: Vec<Vec<Line>> = Vec::new();
        let mut left = rest.as_slice();
        while !left.is_empty() && sections.len() < SECTIONS_MAX {
            let lines = last_lines(left, usize::MAX, SECTION_CHARS);
            left = &left[..left.len() - lines.len()];
            sections.push(lines);
        }
        let more = if shown.whole.is_empty() {
            ""
        } else {
            "More of the "
        };
        let title = match left.len() {
            0 => self.heading(more),
            left => self.heading(more).text(format!(
                " without its first {left} lines, which are too long"
            )),
        };
        let start = Blocks::new().section(title);
        sections.iter().rev().fold(start, |blocks, lines| {
            let text: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
            blocks.section(fenced(&text.join("\n")))
        })
    }

    fn heading(&self, more: &str) -> Mrkdwn {
        let which = match (&self.title, self.is_of_crash) {
            (Some(title), _) => title,
            (None, true) => "before the crash",
            (None, false) => "(of the present container)",
        };
        let log = if more.is_empty() { "Log" } else { "log" };
        Mrkdwn::new().bold(format!("{more}{log} {}:", clip(which, 80)))
    }
}

/// A line to show.
#[derive(Debug, Clone)]
struct Line {
    /// Its index in the log.
    at: usize,
    text: String,
    /// False if it was cut.
    is_whole: bool,
}

fn line(log: &Log, fold: &Fold) -> Line {
    let text = &log.lines[fold.last];
    match fold.words() {
        None => Line {
            at: fold.last,
            text: text.clone(),
            is_whole: true,
        },
        Some(words) => Line {
            at: fold.last,
            text: format!("{} {words}", clip_spaced(text, FOLDED_CHARS_MAX)),
            is_whole: text.chars().count() <= FOLDED_CHARS_MAX,
        },
    }
}

/// Returns the line unchanged, including its blanks, unless it has to be cut.
fn clip_spaced(text: &str, chars_max: usize) -> String {
    match text.chars().count() <= chars_max {
        true => text.to_owned(),
        false => clip(text, chars_max),
    }
}

/// Returns the last lines that fit. If the last error is before them, it replaces the oldest of them.
fn with_last_error(log: &Log, folds: &[Fold], lines_max: usize, chars_max: usize) -> Vec<Line> {
    let all: Vec<Line> = folds.iter().map(|fold| line(log, fold)).collect();
    let shown = last_lines(&all, lines_max, chars_max);
    let first = shown.first().map_or(0, |line| line.at);
    let error = all
        .iter()
        .rev()
        .find(|line| is_error(&log.lines[line.at]))
        .filter(|line| line.at < first && lines_max >= 3);
    let Some(error) = error else {
        return shown;
    };
    let mut top = vec![error.clone()];
    top[0].text = clip_spaced(&error.text, chars_max / 2);
    top[0].is_whole = top[0].text == error.text && error.is_whole;
    if all.iter().any(|line| line.at > error.at && line.at < first) {
        top.push(Line {
            at: usize::MAX,
            text: "…".to_owned(),
            is_whole: false,
        });
    }
    let used: usize = top.iter().map(|line| escaped_chars(&line.text) + 1).sum();
    let below = last_lines(&all, lines_max - top.len(), chars_max.saturating_sub(used));
    top.extend(below);
    top
}

/// Returns the last lines that fit, measured after escaping, as Slack counts them.
fn last_lines(lines: &[Line], lines_max: usize, chars_max: usize) -> Vec<Line> {
    let mut left = chars_max;
    let mut shown: Vec<Line> = Vec::new();
    for line in lines.iter().rev().take(lines_max) {
        let chars = escaped_chars(&line.text) + 1;
        if chars <= left {
            left -= chars;
            shown.push(line.clone());
            continue;
        }
        if shown.is_empty() {
            // Not even the last line fits, so it is cut. Escaping makes at most five characters of one.
            let fitting = if line.text.chars().count() == escaped_chars(&line.text) {
                chars_max
            } else {
                chars_max / 5
            };
            shown.push(Line {
                at: line.at,
                text: clip(&line.text, fitting.saturating_sub(1)),
                is_whole: false,
            });
        }
        break;
    }
    shown.reverse();
    shown
}

fn escaped_chars(text: &str) -> usize {
    Mrkdwn::from(text).as_str().chars().count()
}
