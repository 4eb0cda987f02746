//! The number of an occurrence of an alert.

use std::fmt;

/// How often an alert has begun to fire with the same labels and the same `startsAt`, from 1.
///
/// The second occurrence begins if an alert fires again after its resolved alert was sent, for example because Prometheus
/// could not reach Alertmanager for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Occurrence(u32);

impl Occurrence {
    /// The first occurrence.
    pub const FIRST: Self = Self(1);
    /// The greatest number that can be counted to.
    pub const LAST: Self = Self(u32::MAX);

    /// Wraps a stored number.
    #[must_use]
    pub fn from_raw(raw: u32) -> Self {
        Self(raw.max(1))
    }

    /// Returns the number to store.
    #[must_use]
    pub fn as_raw(self) -> u32 {
        self.0
    }

    /// Returns the number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
