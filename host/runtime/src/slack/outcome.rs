//! How one call of Slack ended.

use std::time::Duration;

use super::codes::Reported;
use crate::outbound::change::Change;

/// What Slack did with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(super) channel_id: String,
    pub(super) ts: String,
    /// Why the message went out as plain text.
    pub(super) degraded: Option<String>,
}

/// Why Slack did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlackFailure {
    /// The request is at fault: Slack's code, and what to change.
    Invalid(String),
    /// The message to change is gone or too old.
    NotFound,
    /// Try again after this long.
    RateLimited(Duration),
    /// Nothing happened, and the next try may succeed.
    Unavailable(String),
    /// Done or not: unknown; why, and how it is reported to the handler.
    Unknown(String, Reported),
    /// The token is refused, or none can be read: all of Slack is held until the operator mends it.
    SlackHeld { code: String, advice: String },
    /// The channel does not take the app's messages: it is held until the operator mends it.
    ChannelHeld { code: String, advice: String },
}

impl SlackFailure {
    /// Returns what is known of the change that was asked for.
    pub(super) fn change(&self) -> Change {
        match self {
            Self::Unknown(..) => Change::Unknown,
            _ => Change::Refused,
        }
    }
}
