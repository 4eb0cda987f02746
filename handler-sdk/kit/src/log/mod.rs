//! The end of a log: prepared for people, and quoted.

mod fold;
pub(crate) mod shown;

use handler_sdk::layout::clip;
use handler_sdk::mask;
use serde::{Deserialize, Serialize};

/// Longer lines are cut at the end, since the error is at the beginning.
const LINE_CHARS_MAX: usize = 1_000;
const QUOTED_CHARS_MAX: usize = 160;
/// An error further from the end than this may be unrelated.
const ERROR_LINES_MAX: usize = 20;

/// The texts with which the kubelet reports, with status 200 and instead of the log, that it has no log (kubelet,
/// `kuberuntime_container.go`; cri-client, `logs.go`; Docker's engine).
const EXCUSES: [&str; 6] = [
    "unable to retrieve container logs for ",
    "failed to try resolving symlinks in path \"/var/log/",
    "failed to open log file \"/var/log/",
    "failed to tail ",
    "failed to get parse function: unsupported log format",
    "Error grabbing logs: ",
];

/// The end of a log, with secrets masked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// The lines, the newest last.
    pub lines: Vec<String>,
    /// True if it is the log of a container that ended, false if it is that of the one that runs.
    pub is_of_crash: bool,
    /// True if the newest lines are missing, because the lines are too long.
    pub is_cut: bool,
    /// What the title says about it: `of migrate`. By default, whether it is of the container that ended.
    pub title: Option<String>,
    /// True if the settings allow to show its lines in the message.
    pub(crate) may_be_quoted: bool,
}

impl Log {
    /// Returns a log of these lines that may be quoted, for the tests of verdicts.
    #[cfg(not(target_family = "wasm"))]
    pub fn of_lines<L: Into<String>>(lines: impl IntoIterator<Item = L>) -> Self {
        Self {
            lines: lines.into_iter().map(Into::into).collect(),
            may_be_quoted: true,
            ..Self::default()
        }
    }

    /// Marks it as not for the message, for the tests of verdicts.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn not_for_the_message(mut self) -> Self {
        self.may_be_quoted = false;
        self
    }

    /// Sets what the title says: `of migrate` makes `Log of migrate`.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Marks it as the log of a container that ended.
    #[must_use]
    pub(crate) const fn of_crash(mut self) -> Self {
        self.is_of_crash = true;
        self
    }

    /// Returns the last line, or the last error if that is near the end, as a clause: `its last line: …`. `None` if it is
    /// empty or not for the message.
    pub fn quoted(&self) -> Option<String> {
        let (last, before) = self.lines.split_last().filter(|_| self.may_be_quoted)?;
        // A program that shuts down in order logs more after the error.
        let error = before
            .iter()
            .rev()
            .take(ERROR_LINES_MAX)
            .find(|line| fold::is_error(line))
            .filter(|_| !fold::is_error(last));
        Some(match error {
            Some(error) => format!("its last error: {}", clip(error, QUOTED_CHARS_MAX)),
            None => format!("its last line: {}", clip(last, QUOTED_CHARS_MAX)),
        })
    }
}

/// Returns the log that the kubelet returned; `None` if that is only an error of the kubelet.
pub(crate) fn of_kubelet(text: &str, is_cut: bool, may_be_quoted: bool) -> Option<Log> {
    let is_excuse = |line: &String| EXCUSES.iter().any(|excuse| line.starts_with(excuse));
    let mut lines = lines(text);
    if lines.last().is_some_and(is_excuse) {
        lines.pop();
        if lines.is_empty() {
            return None;
        }
    }
    Some(Log {
        lines,
        is_cut,
        may_be_quoted,
        ..Log::default()
    })
}

/// Returns the lines with secrets masked, and without terminal escapes.
fn lines(text: &str) -> Vec<String> {
    let plain = without_escapes(text);
    // Masked as a whole, since a PEM key has several lines.
    let masked = mask::text(&plain);
    let mut lines: Vec<String> = masked.lines().map(str::trim_end).map(cut).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn cut(line: &str) -> String {
    if line.chars().count() <= LINE_CHARS_MAX {
        line.to_owned()
    } else {
        clip(line, LINE_CHARS_MAX)
    }
}

/// Removes terminal escapes completely: of `ESC [ 31 m` the text `[31m` would remain.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\u{1b}' {
            plain.push(next);
        } else if chars.next() == Some('[') {
            // The parameters end with the first letter or one of `@[\]^_`{|}~`.
            chars.by_ref().find(|char| ('@'..='~').contains(char));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_masked_cut_and_without_colours() {
        let log = format!(
            "\u{1b}[31mERROR\u{1b}[0m password=hunter2\n{}\n\n",
            "x".repeat(5_000)
        );
        let shown = lines(&log);
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[0], "ERROR password=[masked]");
        assert_eq!(shown[1].chars().count(), LINE_CHARS_MAX);
    }

    #[test]
    fn a_key_over_many_lines_is_masked() {
        let shown =
            lines("a\n-----BEGIN PRIVATE KEY-----\nMIIE\nAbCd\n-----END PRIVATE KEY-----\nb\n");
        assert!(shown.iter().all(|line| !line.contains("AbCd")), "{shown:?}");
        assert_eq!(
            (
                shown.first().map(String::as_str),
                shown.last().map(String::as_str)
            ),
            (Some("a"), Some("b"))
        );
    }
}
