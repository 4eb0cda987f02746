//! An open circuit of [`super::breaker::SlackBreaker`].

use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::Dependency;

/// A channel, or all of Slack, to which nothing is sent until the operator fixes the reason for which Slack rejects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackHold {
    /// The channel's name below `slack.channels`; `None` if the token is rejected, which blocks all of Slack.
    pub channel: Option<String>,
    /// Slack's error code, such as `not_in_channel`.
    pub code: String,
    /// What the operator can do.
    pub advice: String,
    /// When Slack first rejected it.
    pub since: Timestamp,
}

impl SlackHold {
    /// Returns the dependency that deliveries wait for while the hold lasts.
    #[must_use]
    pub fn dependency(&self) -> Dependency {
        match &self.channel {
            Some(channel) => Dependency::SlackChannel(channel.clone()),
            None => Dependency::Slack,
        }
    }
}

impl std::fmt::Display for SlackHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.channel {
            Some(channel) => write!(f, "Slack refuses the channel {channel}")?,
            None => f.write_str("Slack refuses the token")?,
        }
        write!(f, ": {}: {}", self.code, self.advice)
    }
}
