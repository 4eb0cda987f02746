//! The JSON of the HTTP API as types: the endpoints write them, the command line and the tests read them. The endpoints
//! themselves are in [`crate::http`].
//!
//! A client may be older than the server that it asks: it ignores a field that it does not know, and keeps a value of a kind
//! that it does not know as it is ([`Lenient`]).

mod deliveries;
mod handlers;
mod story;
mod webhook;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use deliveries::{
    Cancelled, Deliveries, Delivery, Left, LeftCount, Rest, RestReason, Retried, SentAgain,
};
pub use handlers::{Counts, Grants, Handler, Handlers, Held, Limit, Paused};
pub use story::{
    Attempt, AttemptOutcome, Call, JournalEntry, LogLine, Source, Step, StepOutcome, StepTry,
    Story, Trace,
};
pub use webhook::{Accepted, Counted, Rejected, Taken};

/// An answer other than success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What happened, and what to do. Short, and free of secrets.
    pub error: String,
}

/// The answer to `POST /-/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Always true: a configuration that is refused is answered with an [`Error`].
    pub reloaded: bool,
    /// The keys, handlers and routes that have changed.
    #[serde(default)]
    pub changed: Vec<String>,
    /// The keys that take effect after a restart only.
    #[serde(default)]
    pub needs_restart: Vec<String>,
    /// What of the new configuration can only fail, as `check` prints it.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What of it is probably a mistake.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A value of a kind that this version knows, or the JSON of one that it does not: a newer server wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lenient<T> {
    /// Of a kind that is known.
    Known(T),
    /// Of another kind.
    Unknown(Value),
}

impl<T> Lenient<T> {
    /// Returns the value if its kind is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T: PartialEq> Lenient<T> {
    /// Returns true if it is this value.
    pub fn is(&self, value: T) -> bool {
        *self == Self::Known(value)
    }
}

impl<T: Serialize> Lenient<T> {
    /// Returns a word as it stands in the JSON; of what is no word, its JSON.
    pub fn to_text(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(word)) => word,
            Ok(json) => json.to_string(),
            Err(_) => String::new(),
        }
    }
}

impl<T> From<T> for Lenient<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero<N: Default + PartialEq>(count: &N) -> bool {
    *count == N::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::queue::State;

    #[test]
    fn a_word_that_is_not_known_is_kept() {
        for (json, text, is_known) in [("\"done\"", "done", true), ("\"parked\"", "parked", false)]
        {
            let state: Lenient<State> = serde_json::from_str(json).unwrap();
            assert_eq!(state.known().is_some(), is_known);
            assert_eq!(state.to_text(), text);
            assert_eq!(serde_json::to_string(&state).unwrap(), json);
        }
    }
}
