//! Why a delivery ended, as it is stored and listed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::state::State;

/// Why a delivery is done or dead, for programs. `last_error` says it for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Done: every actor of its pipeline succeeded.
    Handled,
    /// Done: no route matched, so nothing ran.
    Unrouted,
    /// Done: another delivery was handled in its place.
    Coalesced,
    /// Done: a notice that was not sent, since its delivery was no longer dead.
    Outdated,
    /// Dead: an actor of its pipeline failed for good.
    Failed,
    /// Dead: it was not done within `retry.max_age`.
    Expired,
    /// Dead: a person cancelled it.
    Cancelled,
    /// Dead: one of its handlers had half of the queue when it was accepted, so it has not run.
    Backlog,
    /// Dead: it is a part of a body that is not a valid alert.
    Refused,
    /// Dead: the server died three times while this delivery ran alone.
    Died,
}

impl Reason {
    /// All reasons: of done deliveries, then of dead ones.
    pub const ALL: [Self; 10] = [
        Self::Handled,
        Self::Unrouted,
        Self::Coalesced,
        Self::Outdated,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Backlog,
        Self::Refused,
        Self::Died,
    ];

    /// Returns its name in the API, in labels and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Unrouted => "unrouted",
            Self::Coalesced => "coalesced",
            Self::Outdated => "outdated",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Backlog => "backlog",
            Self::Refused => "refused",
            Self::Died => "died",
        }
    }

    /// Returns the state of deliveries with this reason: done or dead.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Handled | Self::Unrouted | Self::Coalesced | Self::Outdated => State::Done,
            Self::Failed
            | Self::Expired
            | Self::Cancelled
            | Self::Backlog
            | Self::Refused
            | Self::Died => State::Dead,
        }
    }

    /// Returns true if deliveries with this reason are dead letters: dead, except those that a person cancelled, which nobody needs
    /// to look at.
    #[must_use]
    pub fn is_dead_letter(self) -> bool {
        self.state() == State::Dead && self != Self::Cancelled
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is the name of no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reason: {} are known", names())]
pub struct UnknownReason;

fn names() -> String {
    Reason::ALL.map(Reason::as_str).join(", ")
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_reason_is_known_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.as_str());
        }
        assert_eq!("Failed".parse::<Reason>(), Err(UnknownReason));
    }
}
