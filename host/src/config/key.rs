//! What the configuration's keys are: a description of each, which its decoder goes by and the reference prints.

use std::time::Duration;

use crate::runtime::{LimitKey, Unit};
use crate::units::{format_duration, format_size};

/// A key of the configuration. A decoder can read only keys that are described.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the mapping that it belongs to.
    pub name: &'static str,
    /// How its value is written.
    pub written: Written,
    /// What it sets: one or more sentences.
    pub about: &'static str,
    /// A value as in the file, of a key that holds one; not its default.
    pub example: &'static str,
    default: Default,
}

/// How a value is written.
#[derive(Clone, Copy, Debug)]
pub enum Written {
    /// A text.
    Text,
    /// A path, relative to the file's folder.
    Path,
    /// A scalar with a form of its own, which this says in the sentence "it should be …".
    Scalar(&'static str),
    /// `true` or `false`.
    Boolean,
    /// A duration.
    Duration,
    /// A duration of more than 0.
    Time,
    /// A size in bytes.
    Size,
    /// A size of more than 0.
    Bytes,
    /// A size between two bounds, in bytes.
    SizeBetween(u64, u64),
    /// A whole number of at least 1.
    Count,
    /// A number, how many a second; 0 is off.
    PerSecond,
    /// A limit with its unit, its minimum and its maximum.
    Limit(Unit, u64, u64),
    /// A list of texts.
    Texts,
    /// A mapping with these keys.
    Mapping(&'static [Key]),
    /// This scalar, or a mapping with these keys.
    ScalarOrMapping(&'static str, &'static [Key]),
    /// A mapping from names, which the operator chooses, to mappings with these keys.
    Named(&'static [Key]),
    /// A mapping from names, which the operator chooses, to texts.
    NamedTexts,
    /// A list of mappings with these keys.
    Items(&'static [Key]),
    /// A list of these scalars, or of mappings with these keys.
    ScalarsOrItems(&'static str, &'static [Key]),
    /// A mapping from names to values of any kind.
    Settings,
}

impl Written {
    /// Returns the end of the sentence "it should be …", for a value that is a scalar.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Scalar(what) => (*what).to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Duration => "a duration such as 30s, 5m or 1h30m".to_owned(),
            Self::Time | Self::Limit(Unit::Time, ..) => {
                "a duration of more than 0, such as 500ms, 30s or 5m".to_owned()
            }
            Self::Size => "a size such as 64MiB or 2GiB".to_owned(),
            Self::Bytes | Self::Limit(Unit::Size, ..) => {
                "a size such as 64MiB, more than 0".to_owned()
            }
            Self::SizeBetween(least, most) => {
                format!(
                    "a size from {} to {}",
                    format_size(*least),
                    format_size(*most)
                )
            }
            Self::Count | Self::Limit(Unit::Count, ..) => "a whole number, 1 or more".to_owned(),
            Self::PerSecond => "a number, 0 or more; 0 is off".to_owned(),
            Self::Limit(Unit::Rate, ..) => "a whole number a second; 0 is off".to_owned(),
            Self::Text | Self::Path | Self::Texts => "a text".to_owned(),
            Self::Mapping(_)
            | Self::ScalarOrMapping(..)
            | Self::Named(_)
            | Self::NamedTexts
            | Self::Items(_)
            | Self::ScalarsOrItems(..)
            | Self::Settings => "another kind of value".to_owned(),
        }
    }

    /// Returns whether it is a size in bytes.
    pub(super) fn is_size(&self) -> bool {
        use Written::{Bytes, Limit, Size, SizeBetween};
        matches!(self, Size | Bytes | SizeBetween(..) | Limit(Unit::Size, ..))
    }

    /// Returns whether it is a number with a unit: a size or a duration.
    pub(super) fn has_unit(&self) -> bool {
        use Written::{Duration, Limit, Time};
        self.is_size() || matches!(self, Duration | Time | Limit(Unit::Time, ..))
    }

    /// Returns the keys below it.
    #[must_use]
    pub fn keys(&self) -> &'static [Key] {
        match self {
            Self::Mapping(keys)
            | Self::ScalarOrMapping(_, keys)
            | Self::Named(keys)
            | Self::Items(keys)
            | Self::ScalarsOrItems(_, keys) => keys,
            _ => &[],
        }
    }
}

/// What a key is if the file does not have it.
#[derive(Clone, Copy, Debug)]
enum Default {
    /// Absent: nothing is set.
    Absent,
    /// As written here.
    Text(&'static str),
    /// That of the settings' type, as it would be written.
    Of(fn() -> String),
    /// That of a limit.
    Limit(fn() -> u64, Unit),
}

impl Key {
    pub(super) const fn new(name: &'static str, written: Written, about: &'static str) -> Self {
        Self {
            name,
            written,
            about,
            example: "",
            default: Default::Absent,
        }
    }

    /// Describes a limit by its line in the runtime's table.
    pub(super) const fn limit<S>(limit: &LimitKey<S>) -> Self {
        Self {
            name: limit.name,
            written: Written::Limit(limit.unit, limit.least, limit.most),
            about: limit.about,
            example: match limit.unit {
                Unit::Size if limit.least <= 1 << 10 => "1KiB",
                Unit::Size if limit.least <= 4 << 20 => "4MiB",
                Unit::Size => "1GiB",
                Unit::Time => "200ms",
                Unit::Count | Unit::Rate => "3",
            },
            default: Default::Limit(limit.default, limit.unit),
        }
    }

    pub(super) const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Default::Text(default);
        self
    }

    pub(super) const fn default_of(mut self, default: fn() -> String) -> Self {
        self.default = Default::Of(default);
        self
    }

    /// Returns its default as it would be written in the file; None if nothing is set by default.
    #[must_use]
    pub fn shown_default(&self) -> Option<String> {
        match self.default {
            Default::Absent => None,
            Default::Text(text) => Some(text.to_owned()),
            Default::Of(shown) => Some(shown()),
            Default::Limit(amount, unit) => Some(shown_amount(amount(), unit)),
        }
    }
}

/// Returns a limit's amount as it is written in the file.
#[must_use]
pub fn shown_amount(amount: u64, unit: Unit) -> String {
    match unit {
        Unit::Size => format_size(amount),
        Unit::Time => format_duration(Duration::from_millis(amount)),
        Unit::Count | Unit::Rate => amount.to_string(),
    }
}

/// Describes the limits of a table.
pub(super) const fn limits<S, const N: usize>(table: &[LimitKey<S>]) -> [Key; N] {
    let mut keys = [Key::new("", Written::Text, ""); N];
    let mut index = 0;
    while index < N {
        keys[index] = Key::limit(&table[index]);
        index += 1;
    }
    keys
}
