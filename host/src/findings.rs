//! Findings about a configuration and the modules of its folder, each with its place and advice.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::alert::HandlerName;

/// A problem of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `file:line:column`, a flag or a variable; empty if it has none.
    pub place: String,
    /// The message.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)?;
        if !self.advice.is_empty() {
            write!(f, " — {}", self.advice)?;
        }
        Ok(())
    }
}

/// The problems, in the order of the file. Never empty if it is returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// A problem, a warning or a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The handler whose configuration it is about, if it is about one.
    pub handler: Option<HandlerName>,
    /// The place, the message and the advice.
    pub problem: Problem,
    /// Lines of configuration to add or to change, if any.
    pub lines: String,
    /// True if the handler is not given these settings: they do not fit what its module declares.
    pub is_misfit: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        if !self.lines.is_empty() {
            write!(f, "\n{}", self.lines)?;
        }
        Ok(())
    }
}

impl Finding {
    /// Returns it on one line, without the lines of configuration.
    #[must_use]
    pub fn one_line(&self) -> String {
        self.problem.to_string()
    }
}

/// Serialized as it is printed.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        Self {
            handler: None,
            problem,
            lines: String::new(),
            is_misfit: false,
        }
    }
}

/// All findings, by their grades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Configuration that cannot work.
    pub problems: Vec<Finding>,
    /// Configuration that is probably not intended.
    pub warnings: Vec<Finding>,
    /// Configuration that a sensible operator may well intend, with a consequence that not everybody expects.
    pub notes: Vec<Finding>,
}

impl Findings {
    /// Returns the findings about this handler.
    #[must_use]
    pub fn about(&self, name: &HandlerName) -> Self {
        let of = |list: &[Finding]| {
            let about = |finding: &&Finding| finding.handler.as_ref() == Some(name);
            list.iter().filter(about).cloned().collect()
        };
        Self {
            problems: of(&self.problems),
            warnings: of(&self.warnings),
            notes: of(&self.notes),
        }
    }

    /// Sorts each list by the position in the file; findings without a position come last.
    pub(crate) fn in_order(mut self) -> Self {
        let key = |finding: &Finding| (position(&finding.problem), finding.problem.message.clone());
        for list in [&mut self.problems, &mut self.warnings, &mut self.notes] {
            list.sort_by_key(key);
            list.dedup();
        }
        self
    }
}

/// Returns line and column of `file:line:column`.
pub(crate) fn position(problem: &Problem) -> (usize, usize) {
    let mut parts = problem.place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let column = number();
    let line = number();
    line.zip(column).unwrap_or((usize::MAX, usize::MAX))
}
