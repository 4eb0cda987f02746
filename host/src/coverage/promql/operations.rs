//! What an operation between two parts keeps of their labels.

use std::collections::BTreeSet;

use super::Value;
use super::words::Word;
use crate::coverage::labels::{Series, What};

/// Which labels two sides have to have in common, and what is taken from the other side.
#[derive(Debug)]
pub(super) struct Matching {
    pub(super) is_on: bool,
    pub(super) labels: BTreeSet<String>,
    pub(super) many: Option<(Side, BTreeSet<String>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Returns what is known of the result of an operation.
pub(super) fn operation(
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
