//! Output for people: tables, colours on a terminal, and no characters that a terminal would interpret.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::telemetry::log::Colours;
use crate::text::{visible, visible_json};

/// Writes to standard output; that a reader has closed it (`| head`) is not an error.
pub(super) fn out(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes one line to standard output.
pub(super) fn line(text: &str) {
    out(&format!("{text}\n"));
}

/// Writes one line to standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Shows progress, only on a terminal: the next such line, or an empty one, replaces it.
pub(super) fn progress(text: &str) {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{text}");
        let _ = stderr.flush();
    }
}

/// Prints an error and its causes.
pub(super) fn error(error: &anyhow::Error) {
    note(&format!(
        "{} {}",
        Paint::for_stderr().red("alert-manager:"),
        plain(&causes(error))
    ));
}

/// Returns an error followed by its causes, without those that its text contains already.
pub(super) fn causes(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.contains(&cause) {
            let _ = write!(told, ": {cause}");
        }
    }
    told
}

/// Writes a value as JSON.
pub(super) fn json(value: &Value) {
    line(&visible_json(&format!("{value:#}")));
}

/// Writes a value as JSON on one line.
pub(super) fn json_line(value: &Value) {
    line(&visible_json(&value.to_string()));
}

/// A status line on standard error that is overwritten. Only on a terminal.
#[derive(Debug)]
pub(super) struct Status {
    terminal: bool,
    shown: bool,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            shown: false,
        }
    }

    /// Replaces the line.
    pub(super) fn set(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", first_line(text, 78));
        }
    }

    /// Removes the line.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Colours, only on a terminal and only if `NO_COLOR` is not set (no-color.org).
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(Colours);

impl Paint {
    pub(super) fn for_stdout() -> Self {
        Self::when(std::io::stdout().is_terminal())
    }

    pub(super) fn for_stderr() -> Self {
        Self::when(std::io::stderr().is_terminal())
    }

    fn when(terminal: bool) -> Self {
        let wanted = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self(if wanted { Colours::On } else { Colours::Off })
    }

    pub(super) fn colours(self) -> Colours {
        self.0
    }

    pub(super) fn is_on(self) -> bool {
        self.0 == Colours::On
    }

    pub(super) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self.0 {
            Colours::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Colours::Off => text.to_owned(),
        }
    }
}

/// Returns `text` with unprintable characters escaped; newlines stay.
pub(super) fn plain(text: &str) -> String {
    visible(text, "\n", "    ")
}

/// Returns `text` on one line, so that a newline in it cannot forge other output.
pub(super) fn one_line(text: &str) -> String {
    visible(text, "\\n", " ")
}

/// Returns the first line of `text`, cut to `chars_max` characters.
pub(super) fn first_line(text: &str, chars_max: usize) -> String {
    let line = one_line(text.lines().next().unwrap_or_default());
    if line.chars().count() <= chars_max {
        return line;
    }
    let mut cut: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Returns rows under a header, each column as wide as its widest cell.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<_> = header.iter().map(|&name| name.to_owned()).collect();
    let all: Vec<_> = std::iter::once(header)
        .chain(rows.iter().cloned())
        .collect();
    self::rows(&all)
}

/// Returns rows, each column as wide as its widest cell.
pub(super) fn rows(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|cells| row(cells, &widths) + "\n")
        .collect()
}

/// Returns one row of a table.
pub(super) fn row(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let padding = width.saturating_sub(cell.chars().count()) + 2;
        let _ = write!(line, "{cell}{}", " ".repeat(padding));
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let denied = || std::io::Error::other("denied");
        let error = anyhow::Error::new(denied()).context("cannot read a.yml");
        assert_eq!(causes(&error), "cannot read a.yml: denied");
        let error =
            anyhow::Error::new(denied()).context("cannot read a.yml: denied; make it readable");
        assert_eq!(
            causes(&error),
            "cannot read a.yml: denied; make it readable"
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".into(), "long cell".into()], vec!["bcd".into()]];
        assert_eq!(table(&["X", "Y"], &rows), "X    Y\na    long cell\nbcd\n");
    }

    #[test]
    fn a_long_line_is_cut_with_an_ellipsis() {
        assert_eq!(first_line("abcdef\nmore", 4), "abc…");
        assert_eq!(first_line("abcd", 4), "abcd");
        assert_eq!(first_line("a\u{1b}[31m", 40), "a\\u{1b}[31m");
    }
}
