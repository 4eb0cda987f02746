//! The types of the HTTP API's JSON: the endpoints, which are in [`crate::http`], serialize them; the command line and the tests
//! deserialize them. What the command line prints as JSON by itself has its types here too.
//!
//! A client may be older than its server: it ignores unknown fields, and keeps values of an unknown kind as they are
//! ([`Lenient`]).

mod activity;
mod channels;
mod coverage;
mod deliveries;
mod handler;
mod handlers;
mod module;
mod now;
mod preview;
mod related;
mod replicas;
mod routes;
mod story;
mod timeline;
mod trial;
mod usage;
mod webhook;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::HandlerName;

pub use activity::{Activity, Amounts, Bucket, RouteUse, Series};
pub use channels::{ByPriority, Channel, Channels, Gate, Refused};
pub use coverage::{AlertCoverage, Answered, Coverage, RouteCoverage, TakenRoute};
pub use deliveries::{
    Cancelled, Deliveries, Delivery, Left, LeftCount, Rest, RestReason, Retried, SentAgain,
};
pub use handler::{Failures, HandlerDetail, KvUse, Version};
pub use handlers::{Counts, GrantUse, Grants, Handler, Handlers, Held, Limit, Paused};
pub use module::{Import, Inspection};
pub use now::{Heartbeat, Longest, Now, Open};
pub use preview::{Action, Made, Preview, Previewed};
pub use related::{Earlier, Related};
pub use replicas::{Disagreement, Replica, Replicas, Served, ServedBy};
pub(crate) use routes::not_reached;
pub use routes::{Explained, MatcherVerdict, Outcome, Route, Routes, Verdict};
pub use story::{
    Attempt, AttemptOutcome, Call, JournalEntry, LogLine, Source, Step, StepOutcome, StepTry,
    Story, Trace, Waiting,
};
pub use timeline::{Moment, Timeline, What};
pub use trial::{Kept, Trial, TrialOutcome, TrialRun, Unanswered, Used};
pub use usage::{Spread, Use};
pub use webhook::{Accepted, Counted, Rejected, Taken};

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What happened, and what to do. It is short and contains no secrets.
    pub error: String,
}

/// The response to `POST /-/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Always true: for a configuration that is refused, the response is an [`Error`].
    pub reloaded: bool,
    /// The keys, handlers and routes that have changed.
    #[serde(default)]
    pub changed: Vec<String>,
    /// The keys that take effect only after a restart.
    #[serde(default)]
    pub needs_restart: Vec<String>,
    /// The handlers that keep the settings that they had, since the new ones do not fit their modules. Everything else of the
    /// new configuration is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_settings: Vec<HandlerName>,
    /// Problems of the new configuration, as `check` prints them.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Warnings about the new configuration, as `check` prints them.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A value of a kind that this version knows, or the JSON of an unknown one, which a newer server wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lenient<T> {
    /// A value of a known kind.
    Known(T),
    /// The JSON of an unknown kind.
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
    /// Returns whether it is this value.
    pub fn is(&self, value: T) -> bool {
        *self == Self::Known(value)
    }
}

impl<T: Serialize> Lenient<T> {
    /// Returns a string without quotes, and any other value as JSON.
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

    #[test]
    fn what_a_newer_server_sends_is_kept_as_it_is() {
        fn is_kept<T: serde::de::DeserializeOwned + Serialize>(json: &str) {
            let value: T = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
        }
        is_kept::<Source>(r#"{"labels":{"alertname":"A"},"status":"silenced"}"#);
        is_kept::<Limit>(r#"{"per":"second"}"#);
        is_kept::<Lenient<Attempt>>(r#"{"attempt":{"number":1}}"#);
    }
}
