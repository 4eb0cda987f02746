//! Slack: messages as a handler writes them, made harmless and sent when it is their turn, or shown in preview. What Slack
//! refuses until the operator mends it is held.

mod answer;
mod api;
mod codes;
pub(crate) mod compose;
mod gates;
pub(crate) mod handle;
pub(crate) mod hold;
pub(crate) mod holds;
pub(crate) mod message_ref;
mod method;
mod outcome;
pub(crate) mod preview;
mod sanitize;
pub(crate) mod send;
pub(crate) mod settings;
mod standing;

pub(crate) use api::SlackApi;
pub(crate) use method::Method;
pub use standing::{Bot, ChannelState, SlackReport, SlackTrouble};

/// Why Slack was not called, or what it refused, as the handler learns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlackError {
    /// Not granted; with the configuration that would grant it.
    Denied(String),
    /// Slack refuses it as it is, or it is not well formed: what to change.
    Invalid(String),
    /// The message is gone, or too old to be changed.
    NotFound,
    /// How long Slack has said to wait. The invocation ends with it, so that no handler learns of it.
    RateLimited(std::time::Duration),
    /// Slack, or the way to it, is out of order; worth a retry.
    Unavailable(String),
    /// Posted or not: unknown.
    Timeout,
}
