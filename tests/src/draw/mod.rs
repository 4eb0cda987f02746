//! Draws messages as Slack does: Block Kit and mrkdwn as HTML. What it does not know is an error and never left out, so
//! that a message that cannot be drawn fails a test.
//!
//! Sources: docs.slack.dev/reference/block-kit and docs.slack.dev/messaging/formatting-message-text.

mod block;
mod html;
mod mrkdwn;
mod page;

#[cfg(test)]
mod tests;

pub use page::{Scenario, page};

/// What cannot be drawn.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown(String);

impl Unknown {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot draw {}", self.0)
    }
}

impl std::error::Error for Unknown {}
