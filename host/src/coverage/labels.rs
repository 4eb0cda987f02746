//! What is known of the labels of an alert, and what that proves about a matcher.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::Labels;
use crate::router::{MatchOp, Matcher};

/// A matcher of an expression, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) op: MatchOp,
    pub(super) value: String,
}

/// What is known of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing: it has any value, or is missing.
    Any,
    /// It is missing; why, for people.
    Missing(String),
    /// It has one of these values; an empty one means that it is missing.
    OneOf(BTreeSet<String>),
    /// Its value meets all of these matchers, which are of the same label.
    Such(Vec<Matcher>),
}

/// What a label proves about a matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It matches.
    Always,
    /// It is not known.
    Maybe,
    /// It does not match; why, for people.
    Never(String),
}

impl What {
    pub(super) fn one(value: &str) -> Self {
        Self::OneOf([value.to_owned()].into())
    }

    /// Returns what is known of a label that is known in two ways.
    fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Any, known) | (known, Self::Any) => known.clone(),
            (Self::Missing(why), _) | (_, Self::Missing(why)) => Self::Missing(why.clone()),
            (Self::OneOf(left), Self::OneOf(right)) => {
                let both: BTreeSet<_> = left.intersection(right).cloned().collect();
                match both.is_empty() {
                    // No series has it: the alert never fires, which is not said here.
                    true => self.clone(),
                    false => Self::OneOf(both),
                }
            }
            (one @ Self::OneOf(_), _) | (_, one @ Self::OneOf(_)) => one.clone(),
            (Self::Such(_), Self::Such(_)) => self.clone(),
        }
    }

    /// Returns what is known of a label that is known in one way or the other.
    fn or(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::OneOf(left), Self::OneOf(right)) => {
                Self::OneOf(left.union(right).cloned().collect())
            }
            (Self::Missing(_), Self::OneOf(values)) | (Self::OneOf(values), Self::Missing(_)) => {
                let missing = std::iter::once(String::new());
                Self::OneOf(values.iter().cloned().chain(missing).collect())
            }
            (Self::Missing(_), Self::Missing(_)) => self.clone(),
            (left, right) if left == right => left.clone(),
            _ => Self::Any,
        }
    }

    /// Returns what the label proves about a matcher of it.
    pub(super) fn proves(&self, matcher: &Matcher) -> Proof {
        let name = matcher.name();
        match self {
            Self::Any => Proof::Maybe,
            Self::Missing(why) => match holds(matcher, "") {
                true => Proof::Always,
                false => Proof::Never(format!("it has no label {name}: {why}")),
            },
            Self::OneOf(values) => {
                let matching = values.iter().filter(|value| holds(matcher, value)).count();
                match matching {
                    0 => Proof::Never(format!("its {name} is {}", in_words(values))),
                    all if all == values.len() => Proof::Always,
                    _ => Proof::Maybe,
                }
            }
            Self::Such(tests) => {
                if tests.contains(matcher) {
                    return Proof::Always;
                }
                let refused = |value: &str| tests.iter().find(|test| !holds(test, value));
                let refuses = match matcher.op() {
                    MatchOp::Equal => refused(matcher.value()),
                    MatchOp::NotEqual if refused(matcher.value()).is_some() => {
                        return Proof::Always;
                    }
                    MatchOp::NotEqual | MatchOp::Regex | MatchOp::NotRegex => None,
                };
                match refuses {
                    Some(test) => Proof::Never(format!("the expression selects only {test}")),
                    None => Proof::Maybe,
                }
            }
        }
    }
}

fn in_words(values: &BTreeSet<String>) -> String {
    const SHOWN_MAX: usize = 3;
    let shown: Vec<_> = values
        .iter()
        .take(SHOWN_MAX)
        .map(|value| format!("{value:?}"))
        .collect();
    let always = if values.len() == 1 {
        "always "
    } else {
        "one of "
    };
    let more = match values.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{always}{}{more}", shown.join(", "))
}

/// Returns whether a matcher matches a value of its label.
fn holds(matcher: &Matcher, value: &str) -> bool {
    matcher.matches(&[(matcher.name(), value)].into_iter().collect::<Labels>())
}

/// What is known of the labels of the series of an expression, or of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    named: BTreeMap<String, What>,
    /// What is known of each label that is not named.
    others: What,
}

impl Series {
    /// Returns what is known if nothing is.
    pub(super) fn any() -> Self {
        Self {
            named: BTreeMap::new(),
            others: What::Any,
        }
    }

    pub(super) fn without_labels(why: &str) -> Self {
        Self {
            named: BTreeMap::new(),
            others: What::Missing(why.to_owned()),
        }
    }

    /// Returns what the matchers of a selector prove.
    ///
    /// # Errors
    /// If one is none.
    pub(super) fn selected(tests: &[Test]) -> Result<Self, String> {
        let mut by_name: BTreeMap<&str, Vec<Matcher>> = BTreeMap::new();
        for test in tests {
            let matcher = Matcher::new(&test.name, test.op, &test.value)
                .map_err(|error| error.to_string())?;
            by_name.entry(&test.name).or_default().push(matcher);
        }
        let known = by_name
            .into_iter()
            .map(|(name, matchers)| (name.to_owned(), known(matchers)));
        Ok(Self {
            named: known.collect(),
            others: What::Any,
        })
    }

    pub(super) fn get(&self, label: &str) -> What {
        self.named.get(label).unwrap_or(&self.others).clone()
    }

    pub(super) fn set(&mut self, label: &str, what: What) {
        self.named.insert(label.to_owned(), what);
    }

    /// Sets a label if the series does not have it.
    pub(super) fn set_if_missing(&mut self, label: &str, value: &str) {
        let what = match self.get(label) {
            What::Missing(_) => What::one(value),
            What::OneOf(values) if values.contains("") => {
                let values = values.into_iter().filter(|one| !one.is_empty());
                What::OneOf(values.chain([value.to_owned()]).collect())
            }
            // It may be missing, and then has this value.
            What::Such(tests) if tests.iter().all(|test| holds(test, "")) => What::Any,
            known => known,
        };
        self.set(label, what);
    }

    /// Takes away these labels.
    pub(super) fn take_away(&mut self, labels: &BTreeSet<String>, why: &str) {
        for label in labels {
            self.set(label, What::Missing(why.to_owned()));
        }
    }

    /// Returns only these labels; `how` is how the expression says so.
    pub(super) fn only(&self, labels: &BTreeSet<String>, how: &str) -> Self {
        let list = labels
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let mut kept =
            Self::without_labels(&format!("the expression drops it with {how} ({list})"));
        for label in labels {
            kept.set(label, self.get(label));
        }
        kept
    }

    /// Returns all but these labels.
    pub(super) fn without(mut self, labels: &BTreeSet<String>, how: &str) -> Self {
        for label in labels {
            self.set(
                label,
                What::Missing(format!("the expression drops it with {how} ({label})")),
            );
        }
        self
    }

    /// Returns what is known if a series is of one or the other.
    pub(super) fn or(&self, other: &Self) -> Self {
        self.combined(other, What::or)
    }

    /// Returns what is known of these series, if others have the same values of the labels that `is_matched`.
    pub(super) fn met(&self, other: &Self, is_matched: impl Fn(&str) -> bool) -> Self {
        let mut met = self.clone();
        for label in self.named.keys().chain(other.named.keys()) {
            if is_matched(label) {
                met.set(label, self.get(label).and(&other.get(label)));
            }
        }
        met
    }

    fn combined(&self, other: &Self, how: impl Fn(&What, &What) -> What) -> Self {
        let labels: BTreeSet<&String> = self.named.keys().chain(other.named.keys()).collect();
        let named = labels
            .into_iter()
            .map(|label| (label.clone(), how(&self.get(label), &other.get(label))));
        Self {
            named: named.collect(),
            others: how(&self.others, &other.others),
        }
    }
}

/// Returns what the matchers of one label prove.
fn known(matchers: Vec<Matcher>) -> What {
    let Some(values) = matchers.iter().find_map(values) else {
        return What::Such(matchers);
    };
    let values: BTreeSet<String> = values
        .into_iter()
        .filter(|value| matchers.iter().all(|matcher| holds(matcher, value)))
        .collect();
    match values.is_empty() {
        // It selects nothing.
        true => What::Any,
        false => What::OneOf(values),
    }
}

/// Returns the values that a matcher allows, if they can be listed.
fn values(matcher: &Matcher) -> Option<Vec<String>> {
    match matcher.op() {
        MatchOp::Equal => Some(vec![matcher.value().to_owned()]),
        MatchOp::Regex => {
            let text = matcher.value();
            let inner = text
                .strip_prefix('(')
                .and_then(|text| text.strip_suffix(')'))
                .unwrap_or(text);
            let parts: Vec<&str> = inner.split('|').collect();
            let are_plain = !inner.contains([
                '\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$',
            ]);
            are_plain.then(|| parts.into_iter().map(str::to_owned).collect())
        }
        MatchOp::NotEqual | MatchOp::NotRegex => None,
    }
}
