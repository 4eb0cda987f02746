//! The result of one call of Slack's Web API.

use std::time::Duration;

use super::codes::Reported;
use crate::outbound::change::Change;

/// A call that Slack accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(super) channel_id: String,
    pub(super) ts: String,
    /// Slack's error code for the blocks, if the message was posted as plain text.
    pub(super) degraded: Option<String>,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlackFailure {
    /// The request is at fault: Slack's code, and what to change.
    Invalid(String),
    /// The message to change is gone or too old.
    NotFound,
    /// Try again after this long.
    RateLimited(Duration),
    /// Nothing was changed, and a retry may succeed.
    Unavailable(String),
    /// The change may have been made; why that is not known, and how it is reported to the handler.
    Unknown(String, Reported),
    /// The token is rejected, or cannot be read: all of Slack is held until the operator fixes that.
    SlackHeld { code: String, advice: String },
    /// The channel does not accept the app's messages: it is held until the operator fixes that.
    ChannelHeld { code: String, advice: String },
}

impl SlackFailure {
    /// Returns whether the requested change was made.
    pub(super) fn change(&self) -> Change {
        match self {
            Self::Unknown(..) => Change::Unknown,
            Self::Invalid(_)
            | Self::NotFound
            | Self::RateLimited(_)
            | Self::Unavailable(_)
            | Self::SlackHeld { .. }
            | Self::ChannelHeld { .. } => Change::Refused,
        }
    }
}
