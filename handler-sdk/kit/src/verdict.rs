//! The verdict: what is wrong, how sure that is, and what to do next.

use serde::{Deserialize, Serialize};

use crate::line::Line;
use crate::step::Step;
use crate::words::lower_first;

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Confidence {
    /// The facts that were read prove it.
    Proves,
    /// They make it likely; another cause is possible, and the message says `Likely …`.
    Likely,
    /// They do not show the cause; the message says what is known.
    #[default]
    Unknown,
}

impl Confidence {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Proves => "proves",
            Self::Likely => "likely",
            Self::Unknown => "unknown",
        }
    }
}

/// What is wrong, in one sentence: a lead in bold and the rest. It claims no more than its facts prove; a handler's README has
/// the table of them.
///
/// ```
/// use handler_kit::Verdict;
///
/// let verdict = Verdict::likely("out-of-memory", "out of memory", "killed at 512Mi").short("OOMKilled (137)");
/// assert_eq!(verdict.to_string(), "Likely out of memory: killed at 512Mi.");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// How sure it is.
    pub confidence: Confidence,
    /// For programs: `out-of-memory`.
    pub kind: String,
    /// For a notification on a phone: `OOMKilled (137)`.
    pub short: String,
    /// For people, in bold; empty if the rest is the whole sentence.
    pub lead: String,
    /// For people, after the lead.
    pub rest: Line,
    /// What to do next, in this order.
    pub next: Vec<Step>,
}

impl Verdict {
    /// Returns a verdict that the facts prove. `kind` is for programs.
    pub fn proves(kind: &str, lead: &str, rest: impl Into<Line>) -> Self {
        Self::new(Confidence::Proves, kind, lead, rest.into())
    }

    /// Returns a verdict that the facts make likely; its lead begins with `Likely`.
    pub fn likely(kind: &str, lead: &str, rest: impl Into<Line>) -> Self {
        Self::new(
            Confidence::Likely,
            kind,
            &format!("Likely {lead}"),
            rest.into(),
        )
    }

    /// Returns what is known if the facts do not show the cause.
    pub fn unknown(kind: &str, lead: &str, rest: impl Into<Line>) -> Self {
        Self::new(Confidence::Unknown, kind, lead, rest.into())
    }

    /// Returns that something is gone: `The pod is gone: it was deleted`.
    pub fn gone(what: &str, how: impl Into<Line>) -> Self {
        Self::proves("gone", &format!("The {what} is gone"), how)
    }

    fn new(confidence: Confidence, kind: &str, lead: &str, rest: Line) -> Self {
        Self {
            confidence,
            kind: kind.to_owned(),
            short: lower_first(lead),
            lead: lead.to_owned(),
            rest: rest.ended(),
            next: Vec::new(),
        }
    }

    /// Sets what a notification on a phone shows; by default the lead.
    #[must_use]
    pub fn short(mut self, short: impl Into<String>) -> Self {
        self.short = short.into();
        self
    }

    /// Adds to the sentence.
    #[must_use]
    pub fn and(mut self, more: impl Into<Line>) -> Self {
        self.rest = self.rest.text(" ").then(more.into().ended());
        self
    }

    /// Adds to the sentence, if there is something.
    #[must_use]
    pub fn and_if(self, more: Option<impl Into<Line>>) -> Self {
        match more {
            Some(more) => self.and(more),
            None => self,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, step: impl Into<Step>) -> Self {
        self.next.push(step.into());
        self
    }

    /// Adds what to do next, if there is something.
    #[must_use]
    pub fn next_if(self, step: Option<impl Into<Step>>) -> Self {
        match step {
            Some(step) => self.next(step),
            None => self,
        }
    }

    /// Returns it as the verdict on a whole, of which `part` is the worst: `2/3 ready: checkout-1: its image can't be pulled: …`.
    #[must_use]
    pub fn within(self, whole: &str, part: &str) -> Self {
        let lead = lower_first(&self.lead);
        Self {
            short: format!("{whole}, {}", self.short),
            lead: whole.to_owned(),
            rest: Line::from(format!("{part}: {lead}: ")).then(self.rest),
            ..self
        }
    }

    /// Returns the sentence, with the lead in bold.
    pub(crate) fn sentence(&self) -> Line {
        match self.lead.as_str() {
            "" => self.rest.clone(),
            lead => Line::new()
                .bold(format!("{lead}:"))
                .text(" ")
                .then(self.rest.clone()),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.sentence())
    }
}
