//! What is wrong with a configuration and the modules of its folder: each with its place and what to do.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::alert::HandlerName;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `file:line:column`, a flag or a variable.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if !self.advice.is_empty() {
            write!(f, " — {}", self.advice)?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the file. Never empty where it is an error.
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

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose configuration it is about, if one handler's.
    pub handler: Option<HandlerName>,
    /// Where, what, and what to do.
    pub problem: Problem,
    /// Lines of configuration to add or to change, if any.
    pub lines: String,
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
    /// Returns it in one line, without the lines to add.
    #[must_use]
    pub fn one_line(&self) -> String {
        self.problem.to_string()
    }
}

/// As it is printed.
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
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What can only fail.
    pub problems: Vec<Finding>,
    /// What is probably a mistake.
    pub warnings: Vec<Finding>,
}

impl Findings {
    /// Returns what is about this handler alone.
    #[must_use]
    pub fn about(&self, name: &HandlerName) -> Self {
        let of = |list: &[Finding]| {
            let about = |finding: &&Finding| finding.handler.as_ref() == Some(name);
            list.iter().filter(about).cloned().collect()
        };
        Self {
            problems: of(&self.problems),
            warnings: of(&self.warnings),
        }
    }

    /// Puts both lists into the order of the file; what is about no place in a file comes last.
    pub(crate) fn in_order(mut self) -> Self {
        let key = |finding: &Finding| (position(&finding.problem), finding.problem.message.clone());
        for list in [&mut self.problems, &mut self.warnings] {
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
