//! One thing that Slack refuses until the operator mends it.

use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::Dependency;

/// One thing that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The channel's name below `slack.channels`; absent if the token is refused, so that all of Slack is held.
    pub channel: Option<String>,
    /// Slack's code, as `not_in_channel`.
    pub code: String,
    /// What the operator can do.
    pub advice: String,
    /// When it was first refused.
    pub since: Timestamp,
}

impl Hold {
    /// Returns what a delivery waits for that meets this hold.
    #[must_use]
    pub fn dependency(&self) -> Dependency {
        match &self.channel {
            Some(channel) => Dependency::SlackChannel(channel.clone()),
            None => Dependency::Slack,
        }
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.channel {
            Some(channel) => write!(f, "Slack refuses the channel {channel}")?,
            None => f.write_str("Slack refuses the token")?,
        }
        write!(f, ": {}: {}", self.code, self.advice)
    }
}
