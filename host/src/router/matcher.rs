//! Matchers with Alertmanager's syntax and semantics: those of 0.34 in its default mode, in which two parsers read each
//! text (matcher/compat/parse.go).

mod classic;
mod utf8;

use std::fmt;

use super::re2::{Re2, Re2Error};
use crate::alert::Labels;

/// A test of one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    test: Test,
}

/// The operator of a matcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

#[derive(Clone, Debug)]
enum Test {
    /// Compares with the matcher's value.
    Literal,
    Regex(Re2),
}

/// A matcher as parsed, before its expression is compiled.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    name: String,
    op: MatchOp,
    value: String,
}

/// The error for a matcher that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MatcherError {
    message: String,
    is_of_expression: bool,
}

impl MatcherError {
    fn of_text(text: &str, why: &str) -> Self {
        Self {
            message: format!("{text:?} is not a matcher: {why}; write it as alertname=\"Name\""),
            is_of_expression: false,
        }
    }

    fn of_expression(expression: &str, why: &Re2Error) -> Self {
        Self {
            message: format!("the regular expression {expression:?} is refused: {why}"),
            is_of_expression: true,
        }
    }
}

impl MatchOp {
    /// Returns the operator's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

impl Matcher {
    /// Returns the matcher `name="value"`.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            op: MatchOp::Equal,
            value: value.to_owned(),
            test: Test::Literal,
        }
    }

    /// Returns a matcher; a regular expression must match the whole value.
    ///
    /// # Errors
    /// Returns an error if RE2 rejects the expression, or it needs too much memory.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        // An expression without operators matches only itself.
        let test = match op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Literal,
            MatchOp::Regex | MatchOp::NotRegex if regex::escape(value) == value => Test::Literal,
            MatchOp::Regex | MatchOp::NotRegex => Test::Regex(
                Re2::whole(value).map_err(|why| MatcherError::of_expression(value, &why))?,
            ),
        };
        Ok(Self {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
            test,
        })
    }

    /// Parses the matchers in a text: `a="b"`, `a=b, c=~"d|e"`, `{a="b", c!~d}`; an empty text or list has none.
    ///
    /// If both of Alertmanager's parsers accept a text, the classic one's result is used.
    ///
    /// # Errors
    /// Returns what was expected, and where.
    pub fn parse(text: &str) -> Result<Vec<Self>, MatcherError> {
        let classic = classic::read(text);
        let utf8 = utf8::read(text);
        if classic.is_ok() && classic == utf8 {
            return classic.and_then(Self::compiled);
        }
        let utf8 = utf8.and_then(Self::compiled);
        match (classic.and_then(Self::compiled), utf8) {
            (Ok(matchers), _) | (Err(_), Ok(matchers)) => Ok(matchers),
            // If the text is well-formed and its expression is not, the error of the expression is the useful one.
            (Err(classic), Err(utf8)) => Err(if classic.is_of_expression {
                classic
            } else {
                utf8
            }),
        }
    }

    fn compiled(written: Vec<Written>) -> Result<Vec<Self>, MatcherError> {
        let written = written.iter();
        written
            .map(|matcher| Self::new(&matcher.name, matcher.op, &matcher.value))
            .collect()
    }

    /// Returns the alertname that the label of that name must have, if this is such a matcher.
    #[must_use]
    pub fn alertname(&self) -> Option<&str> {
        let is_one = self.name == "alertname" && self.op == MatchOp::Equal;
        is_one.then_some(&*self.value)
    }

    /// Returns the label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the operator.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// Returns the value that labels are compared with.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns whether it matches. A missing label is treated as empty.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).unwrap_or_default();
        let same = match &self.test {
            Test::Literal => value == self.value,
            Test::Regex(regex) => regex.is_match(value),
        };
        match self.op {
            MatchOp::Equal | MatchOp::Regex => same,
            MatchOp::NotEqual | MatchOp::NotRegex => !same,
        }
    }
}

/// Alertmanager's format: the value is quoted, the name only if necessary.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_classic = self.name.chars().enumerate().all(|(i, c)| {
            c.is_ascii_alphabetic() || c == '_' || c == ':' || (i > 0 && c.is_ascii_digit())
        });
        if is_classic && !self.name.is_empty() {
            f.write_str(&self.name)?;
        } else {
            write_quoted(f, &self.name)?;
        }
        f.write_str(self.op.as_str())?;
        write_quoted(f, &self.value)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            _ => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
