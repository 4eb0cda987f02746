//! Text for people that keeps its moments, so that an age is right when the message is posted.

use std::fmt;

use handler_sdk::layout::clip;
use handler_sdk::mask;
use handler_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::words::between;

/// A line of a message: text, bold text, code, and ages.
///
/// Text is escaped and secrets in it are masked, whatever it comes from. An age is computed when the message is posted, which
/// may be minutes after it was found.
///
/// ```
/// use handler_kit::Line;
///
/// let line = Line::new().text("set in ").code("deployment/checkout").text(", ").ago(1_000);
/// assert_eq!(line.plain(1_120), "set in deployment/checkout, 2m ago");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Line(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Part {
    Text(String),
    Bold(String),
    Code(String),
    /// `12m ago`.
    Ago(i64),
    /// `12m`.
    Lasting(i64),
}

impl Line {
    /// Returns an empty line.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds text.
    #[must_use]
    pub fn text(self, text: impl AsRef<str>) -> Self {
        self.with(Part::Text(masked(text.as_ref())))
    }

    /// Adds bold text.
    #[must_use]
    pub fn bold(self, text: impl AsRef<str>) -> Self {
        self.with(Part::Bold(masked(text.as_ref())))
    }

    /// Adds text in a monospaced font.
    #[must_use]
    pub fn code(self, text: impl AsRef<str>) -> Self {
        self.with(Part::Code(masked(text.as_ref())))
    }

    /// Adds how long ago a moment is, `12m ago`; the moment is in seconds since 1970.
    #[must_use]
    pub fn ago(self, at: i64) -> Self {
        self.with(Part::Ago(at))
    }

    /// Adds how long something lasts, `12m`, that began at a moment; the moment is in seconds since 1970.
    #[must_use]
    pub fn lasting(self, since: i64) -> Self {
        self.with(Part::Lasting(since))
    }

    /// Adds how long ago a moment is, after other text, if the moment is known: `, 12m ago`.
    #[must_use]
    pub fn ago_if(self, before: &str, at: Option<i64>) -> Self {
        match at {
            Some(at) => self.text(before).ago(at),
            None => self,
        }
    }

    /// Adds how long something lasts, after other text, if it is known since when: `, for 12m`.
    #[must_use]
    pub fn lasting_if(self, before: &str, since: Option<i64>) -> Self {
        match since {
            Some(since) => self.text(before).lasting(since),
            None => self,
        }
    }

    /// Adds another line's content.
    #[must_use]
    pub fn then(mut self, other: impl Into<Self>) -> Self {
        self.0.extend(other.into().0);
        self
    }

    /// Returns whether it has no text.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|part| match part {
            Part::Text(text) | Part::Bold(text) | Part::Code(text) => text.trim().is_empty(),
            Part::Ago(_) | Part::Lasting(_) => false,
        })
    }

    /// Returns it without emphasis, at this moment.
    pub fn plain(&self, now: i64) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) | Part::Bold(text) | Part::Code(text) => text.clone(),
            Part::Ago(at) => format!("{} ago", between(*at, now)),
            Part::Lasting(since) => between(*since, now),
        });
        parts.collect()
    }

    /// Returns it as markup, at this moment, with each text cut to so many characters.
    pub(crate) fn shown(&self, now: i64, chars_max: usize) -> Mrkdwn {
        self.0.iter().fold(Mrkdwn::new(), |shown, part| match part {
            Part::Text(text) => shown.text(clipped(text, chars_max)),
            Part::Bold(text) => shown.bold(clip(text, chars_max)),
            Part::Code(text) => shown.code(clip(text, chars_max)),
            Part::Ago(at) => shown.text(format!("{} ago", between(*at, now))),
            Part::Lasting(since) => shown.text(between(*since, now)),
        })
    }

    /// Returns it as Markdown for other handlers, at this moment.
    pub(crate) fn markdown(&self, now: i64) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Bold(text) => format!("**{text}**"),
            part => Self(vec![part.clone()]).plain(now),
        });
        parts.collect()
    }

    /// Adds a full stop, unless it ends with a mark.
    #[must_use]
    pub(crate) fn ended(mut self) -> Self {
        match self.0.last_mut() {
            Some(Part::Text(text)) => {
                if !text.trim_end().ends_with(['.', '!', '?', '…']) {
                    text.truncate(text.trim_end().len());
                    text.push('.');
                }
                self
            }
            Some(_) => self.text("."),
            None => self,
        }
    }

    fn with(mut self, part: Part) -> Self {
        self.0.push(part);
        self
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

impl From<&String> for Line {
    fn from(text: &String) -> Self {
        Self::new().text(text)
    }
}

impl From<u64> for Line {
    fn from(number: u64) -> Self {
        Self::new().text(number.to_string())
    }
}

impl From<&Name> for Line {
    fn from(name: &Name) -> Self {
        Self::new().text(&**name)
    }
}

/// Shows it without emphasis, as if its moments were the present.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plain(0))
    }
}

fn masked(text: &str) -> String {
    mask::text(text).into_owned()
}

/// Cuts text on one line; unlike [`clip`], it keeps the blanks at both ends, since parts follow each other.
fn clipped(text: &str, chars_max: usize) -> String {
    let start = if text.starts_with(' ') { " " } else { "" };
    let end = if text.ends_with(' ') && text.len() > 1 {
        " "
    } else {
        ""
    };
    match clip(text, chars_max) {
        line if line.is_empty() => start.to_owned(),
        line => format!("{start}{line}{end}"),
    }
}

/// Returns text in fences without newlines of their own, which would count as lines.
pub(crate) fn fenced(text: &str) -> Mrkdwn {
    // A zero-width space keeps three backticks in the text from ending the block.
    let inert = Mrkdwn::from(text.replace("```", "``\u{200b}`"));
    Mrkdwn::raw("```").then(inert).then(Mrkdwn::raw("```"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_escaped_and_masked() {
        let line = Line::from("<!channel> token=abcdef123456").bold("<b>");
        assert_eq!(
            line.shown(0, 100).as_str(),
            "&lt;!channel&gt; token=[masked]*&lt;b&gt;*"
        );
    }

    #[test]
    fn an_age_is_that_of_the_moment_when_it_is_shown() {
        let line = Line::from("Error (1), ")
            .ago(1_000)
            .text(" and runs for ")
            .lasting(1_060);
        assert_eq!(line.plain(1_120), "Error (1), 2m ago and runs for 1m");
        assert_eq!(
            line.shown(1_180, 100).as_str(),
            "Error (1), 3m ago and runs for 2m"
        );
    }

    #[test]
    fn a_sentence_gets_one_full_stop() {
        for (text, ended) in [("a", "a."), ("a.", "a."), ("a? ", "a? "), ("a…", "a…")] {
            assert_eq!(Line::from(text).ended().plain(0), ended);
        }
        assert_eq!(Line::new().code("a").ended().plain(0), "a.");
    }
}
