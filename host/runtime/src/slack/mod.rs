//! Slack: sanitizes the messages of handlers and posts them within each channel's rate limit, or shows them in preview. A
//! circuit breaker holds back calls that Slack rejects until the operator fixes the cause.

mod answer;
mod api;
pub(crate) mod breaker;
mod check;
mod codes;
pub(crate) mod compose;
pub(crate) mod handle;
pub(crate) mod hold;
pub(crate) mod message_ref;
mod method;
mod outcome;
pub(crate) mod pacer;
pub(crate) mod preview;
mod sanitize;
pub(crate) mod send;
pub(crate) mod settings;

pub(crate) use api::SlackApi;
pub use check::{Bot, ChannelState, SlackReport, TokenProblem};
pub(crate) use method::Method;

/// The error that a handler gets for a call of Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlackError {
    /// Not granted. The text has the configuration that would grant it.
    Denied(String),
    /// The request is at fault. The text says what to change.
    Invalid(String),
    /// The message does not exist, or is too old to be changed.
    NotFound,
    /// The wait until the channel accepts another message.
    RateLimited(std::time::Duration),
    /// Slack cannot be reached, does not work or is held. A retry may succeed.
    Unavailable(String),
    /// The message may have been posted.
    Timeout,
}
