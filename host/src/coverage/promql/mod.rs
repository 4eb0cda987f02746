//! What an expression of PromQL proves about the labels of its series. It is no evaluator and no validator: an expression that
//! it does not read is one about whose labels nothing is said.
//!
//! The rules are those of Prometheus 3: its documentation of operators and functions, and for what a binary operation keeps,
//! the engine's `resultMetric`.

mod functions;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use super::labels::{Series, Test, What};
use crate::router::MatchOp;
use words::{Word, words};

/// Deeper than any expression; a bound for the recursion.
const DEPTH_MAX: usize = 64;

/// Returns what is known of the labels of an expression's series.
///
/// # Errors
/// What could not be read, for people.
pub(super) fn series(expression: &str) -> Result<Series, String> {
    let mut reader = Reader {
        words: words(expression)?,
        at: 0,
        depth: 0,
    };
    let value = reader.expression(0)?;
    match reader.peek() {
        None => Ok(value.into_series()),
        Some(word) => Err(format!("{} is not expected there", shown(word))),
    }
}

/// A part of an expression.
#[derive(Clone, Debug)]
enum Value {
    /// A number.
    Scalar,
    Text(String),
    Vector {
        series: Series,
        /// The matchers, if the part is a selector and nothing else.
        selector: Option<Vec<Test>>,
    },
}

impl Value {
    fn vector(series: Series) -> Self {
        Self::Vector {
            series,
            selector: None,
        }
    }

    fn into_series(self) -> Series {
        match self {
            Self::Vector { series, .. } => series,
            Self::Scalar | Self::Text(_) => Series::without_labels("a number has no labels"),
        }
    }
}

/// The operators of an operation between two parts, from the loosest on.
fn binding(word: &Word) -> Option<u8> {
    Some(match word {
        Word::Sign("==" | "!=" | ">" | "<" | ">=" | "<=") => 3,
        Word::Sign("+" | "-") => 4,
        Word::Sign("*" | "/" | "%") => 5,
        Word::Sign("^") => 7,
        Word::Name(name) => match name.to_ascii_lowercase().as_str() {
            "or" => 1,
            "and" | "unless" => 2,
            "atan2" => 5,
            _ => return None,
        },
        _ => return None,
    })
}

/// The binding of a sign before a part: looser than a power.
const OF_SIGN: u8 = 6;

/// Which labels two sides have to have in common, and what is taken from the other side.
#[derive(Debug)]
struct Matching {
    is_on: bool,
    labels: BTreeSet<String>,
    many: Option<(Side, BTreeSet<String>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

struct Reader {
    words: Vec<Word>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at)
    }

    fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_there = matches!(self.peek(), Some(Word::Sign(found)) if *found == sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn expects(&mut self, sign: &str) -> Result<(), String> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(match self.peek() {
                Some(word) => format!("{sign} is expected before {}", shown(word)),
                None => format!("{sign} is missing at the end"),
            }),
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_there =
            matches!(self.peek(), Some(Word::Name(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(is_there);
        is_there
    }

    fn is_before(&self, signs: &[&str]) -> bool {
        matches!(self.words.get(self.at + 1), Some(Word::Sign(sign)) if signs.contains(sign))
    }

    /// Reads operations that bind at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} levels deep"));
        }
        let mut left = match self.takes("-") || self.takes("+") {
            true => self.expression(OF_SIGN)?,
            false => self.part()?,
        };
        while let Some(binding) = self
            .peek()
            .and_then(binding)
            .filter(|binding| *binding >= least)
        {
            let operator = self.next();
            let matching = self.matching()?;
            // A power binds to the right.
            let right = self.expression(if binding == 7 { binding } else { binding + 1 })?;
            left = operation(operator.as_ref(), left, right, matching.as_ref());
        }
        self.depth -= 1;
        Ok(left)
    }

    /// Reads `bool`, `on` or `ignoring`, and `group_left` or `group_right`.
    fn matching(&mut self) -> Result<Option<Matching>, String> {
        self.takes_word("bool");
        let is_on = self.takes_word("on");
        if !is_on && !self.takes_word("ignoring") {
            return Ok(None);
        }
        let labels = self.names()?;
        let many = match (
            self.takes_word("group_left"),
            self.takes_word("group_right"),
        ) {
            (true, _) => Some(Side::Left),
            (_, true) => Some(Side::Right),
            _ => None,
        };
        let included = match matches!(self.peek(), Some(Word::Sign("("))) && many.is_some() {
            true => self.group_names()?,
            false => BTreeSet::new(),
        };
        Ok(Some(Matching {
            is_on,
            labels,
            many: many.map(|side| (side, included)),
        }))
    }

    /// Reads the names behind `group_left`; if the brackets have an expression, they are the other side.
    fn group_names(&mut self) -> Result<BTreeSet<String>, String> {
        let before = self.at;
        self.names().or_else(|_| {
            self.at = before;
            Ok(BTreeSet::new())
        })
    }

    /// Reads names of labels in brackets.
    fn names(&mut self) -> Result<BTreeSet<String>, String> {
        self.expects("(")?;
        let mut names = BTreeSet::new();
        while !self.takes(")") {
            match self.next() {
                Some(Word::Name(name) | Word::Text(name)) => names.insert(name),
                _ => return Err("a label is expected".to_owned()),
            };
            if !self.takes(",") {
                self.expects(")")?;
                break;
            }
        }
        Ok(names)
    }

    /// Reads a part with what may follow it: a range, an offset, a moment.
    fn part(&mut self) -> Result<Value, String> {
        let mut value = self.bare_part()?;
        loop {
            if self.takes("[") {
                while !self.takes("]") {
                    let word = self.next().ok_or("] is missing at the end")?;
                    if matches!(word, Word::Sign("[" | "{" | "}")) {
                        return Err("a duration is expected".to_owned());
                    }
                }
            } else if self.takes_word("offset") {
                let _ = self.takes("-") || self.takes("+");
                match self.next() {
                    Some(Word::Number) => {}
                    _ => return Err("a duration is expected after offset".to_owned()),
                }
            } else if self.takes("@") {
                let _ = self.takes("-") || self.takes("+");
                match self.next() {
                    Some(Word::Number) => {}
                    Some(Word::Name(name)) if ["start", "end"].contains(&name.as_str()) => {
                        self.expects("(")?;
                        self.expects(")")?;
                    }
                    _ => return Err("a time is expected after @".to_owned()),
                }
            } else {
                return Ok(value);
            }
            if let Value::Scalar | Value::Text(_) = value {
                value = Value::vector(Series::without_labels("a number has no labels"));
            }
        }
    }

    fn bare_part(&mut self) -> Result<Value, String> {
        match self.peek() {
            Some(Word::Number) => {
                self.at += 1;
                Ok(Value::Scalar)
            }
            Some(Word::Text(text)) => {
                let value = Value::Text(text.clone());
                self.at += 1;
                Ok(value)
            }
            Some(Word::Sign("(")) => {
                self.at += 1;
                let value = self.expression(0)?;
                self.expects(")")?;
                Ok(match value {
                    Value::Vector { series, .. } => Value::vector(series),
                    other => other,
                })
            }
            Some(Word::Sign("{")) => self.selector(),
            Some(Word::Name(name)) => {
                let name = name.clone();
                self.named(&name)
            }
            Some(word) => Err(format!("{} is not expected there", shown(word))),
            None => Err("it ends too early".to_owned()),
        }
    }

    fn named(&mut self, name: &str) -> Result<Value, String> {
        let lower = name.to_ascii_lowercase();
        let has_clause =
            || matches!(self.words.get(self.at + 1), Some(Word::Name(word)) if is_clause(word));
        if functions::AGGREGATIONS.contains(&lower.as_str())
            && (self.is_before(&["("]) || has_clause())
        {
            self.at += 1;
            return self.aggregation(&lower);
        }
        if self.is_before(&["("]) {
            self.at += 1;
            let arguments = self.arguments()?;
            return functions::called(name, arguments);
        }
        if ["inf", "nan"].contains(&lower.as_str()) {
            self.at += 1;
            return Ok(Value::Scalar);
        }
        self.at += 1;
        self.selector()
    }

    fn arguments(&mut self) -> Result<Vec<Value>, String> {
        self.expects("(")?;
        let mut arguments = Vec::new();
        while !self.takes(")") {
            arguments.push(self.expression(0)?);
            if !self.takes(",") {
                self.expects(")")?;
                break;
            }
        }
        Ok(arguments)
    }

    fn aggregation(&mut self, name: &str) -> Result<Value, String> {
        let before = self.clause()?;
        let arguments = self.arguments()?;
        let clause = match before {
            Some(clause) => Some(clause),
            None => self.clause()?,
        };
        functions::aggregated(name, arguments, clause.as_ref())
    }

    /// Reads `by (…)` or `without (…)`: whether it is `by`, and the labels.
    fn clause(&mut self) -> Result<Option<(bool, BTreeSet<String>)>, String> {
        let is_by = self.takes_word("by");
        if !is_by && !self.takes_word("without") {
            return Ok(None);
        }
        Ok(Some((is_by, self.names()?)))
    }

    /// Reads the matchers of a selector, if it has any.
    fn selector(&mut self) -> Result<Value, String> {
        let mut tests = Vec::new();
        if self.takes("{") {
            while !self.takes("}") {
                self.matcher(&mut tests)?;
                if !self.takes(",") {
                    self.expects("}")?;
                    break;
                }
            }
        }
        Ok(Value::Vector {
            series: Series::selected(&tests)?,
            selector: Some(tests),
        })
    }

    fn matcher(&mut self, tests: &mut Vec<Test>) -> Result<(), String> {
        let name = match self.next() {
            Some(Word::Name(name)) => name,
            Some(Word::Text(name)) => {
                // A name of a metric may be quoted.
                if !matches!(self.peek(), Some(Word::Sign("=" | "!=" | "=~" | "!~"))) {
                    return Ok(());
                }
                name
            }
            _ => return Err("a label is expected".to_owned()),
        };
        let op = match self.next() {
            Some(Word::Sign("=")) => MatchOp::Equal,
            Some(Word::Sign("!=")) => MatchOp::NotEqual,
            Some(Word::Sign("=~")) => MatchOp::Regex,
            Some(Word::Sign("!~")) => MatchOp::NotRegex,
            _ => return Err(format!("an operator is expected after {name}")),
        };
        let Some(Word::Text(value)) = self.next() else {
            return Err(format!("a quoted value is expected after {name}"));
        };
        tests.push(Test { name, op, value });
        Ok(())
    }
}

fn is_clause(word: &str) -> bool {
    ["by", "without"]
        .iter()
        .any(|clause| word.eq_ignore_ascii_case(clause))
}

fn shown(word: &Word) -> String {
    match word {
        Word::Name(name) => name.chars().take(40).collect(),
        Word::Number => "a number".to_owned(),
        Word::Text(_) => "a text".to_owned(),
        Word::Sign(sign) => (*sign).to_owned(),
    }
}

/// Returns what is known of the result of an operation.
fn operation(
    operator: Option<&Word>,
    left: Value,
    right: Value,
    matching: Option<&Matching>,
) -> Value {
    let (left, right) = match (left, right) {
        (Value::Vector { series: left, .. }, Value::Vector { series: right, .. }) => (left, right),
        (Value::Vector { series, .. }, _) | (_, Value::Vector { series, .. }) => {
            return Value::vector(series);
        }
        (left, _) => return left,
    };
    let word = match operator {
        Some(Word::Name(name)) => name.to_ascii_lowercase(),
        _ => String::new(),
    };
    Value::vector(match word.as_str() {
        "or" => left.or(&right),
        "unless" => left,
        "and" => left.met(&right, |label| is_matched(label, matching)),
        _ => joined(left, right, matching),
    })
}

/// Returns whether two series have the same value of a label if they belong together.
fn is_matched(label: &str, matching: Option<&Matching>) -> bool {
    match matching {
        Some(matching) => matching.is_on == matching.labels.contains(label),
        None => true,
    }
}

/// Returns the series of an arithmetic operation or a comparison between two vectors.
fn joined(left: Series, right: Series, matching: Option<&Matching>) -> Series {
    let is_on = matching.is_some_and(|matching| matching.is_on);
    let Some((side, included)) = matching.and_then(|matching| matching.many.as_ref()) else {
        let both = left.met(&right, |label| is_matched(label, matching));
        return match matching {
            Some(matching) if is_on => both.only(&matching.labels, "on"),
            Some(matching) => both.without(&matching.labels, "ignoring"),
            None => both,
        };
    };
    let (many, one) = match side {
        Side::Left => (left, right),
        Side::Right => (right, left),
    };
    let mut result = many.met(&one, |label| is_matched(label, matching));
    for label in included {
        let what: What = one.get(label);
        result.set(label, what);
    }
    result
}
