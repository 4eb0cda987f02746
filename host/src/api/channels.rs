//! The JSON of the response to `GET /api/v1/channels`: Slack's channels and the other gates, and what waits at each.

use serde::{Deserialize, Serialize};

use crate::alert::{Priority, Timestamp};
use crate::queue;

/// The gates that messages pass, and what waits at each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channels {
    /// The channels of `slack.channels`, by name.
    pub channels: Vec<Channel>,
    /// The other gates that something has asked for: of the workspace, of a method; that of a message while something waits at it
    /// or it is closed.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// What waits because Slack refuses the token; null if it does not.
    #[serde(default)]
    pub token_refused: Option<Refused>,
}

/// A channel, or all of Slack, that is held until the operator corrects what Slack refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Slack's error code.
    pub code: String,
    /// What to do.
    pub advice: String,
    /// When it was first refused.
    pub since: Timestamp,
    /// Deliveries that wait for it to be corrected.
    pub waiting: ByPriority,
}

/// A channel of Slack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// What Slack calls it: a name with `#`, or an id.
    pub slack: String,
    /// What waits because Slack refuses the channel; null if it does not.
    #[serde(default)]
    pub refused: Option<Refused>,
    /// Its gate.
    #[serde(flatten)]
    pub gate: Gate,
}

impl Channel {
    /// Returns how many deliveries wait: at its gate, or for Slack to accept the channel again.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let refused = self.refused.as_ref();
        self.gate.waiting.total() + refused.map_or(0, |refused| refused.waiting.total())
    }
}

/// A gate: what passes it, and what waits at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// A channel's name below `slack.channels`; else `slack workspace`, `slack updates`, `slack reactions` or
    /// `slack message CHANNEL TS`.
    pub name: String,
    /// How many calls pass in a second; null if only what Slack says counts.
    pub per_second: Option<f64>,
    /// How many calls pass at once, after a pause; null if only what Slack says counts.
    pub burst: Option<u32>,
    /// Deliveries that wait at it.
    pub waiting: ByPriority,
    /// For how many alerts these stand: in a storm, one delivery runs for many.
    #[serde(default)]
    pub alerts: u64,
    /// Since when the first of them has waited; null if none waits.
    pub waiting_since: Option<Timestamp>,
    /// When the next call passes; null if one passes now.
    pub next_token_at: Option<Timestamp>,
    /// Until when Slack has said to wait, or the message takes no update; null if it is open.
    pub closed_until: Option<Timestamp>,
}

/// Deliveries by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByPriority {
    /// Critical ones.
    pub critical: u64,
    /// Warnings.
    pub warning: u64,
    /// All others.
    pub normal: u64,
}

impl From<queue::ByPriority> for ByPriority {
    fn from(counts: queue::ByPriority) -> Self {
        Self {
            critical: counts.critical as u64,
            warning: counts.warning as u64,
            normal: counts.normal as u64,
        }
    }
}

impl ByPriority {
    /// Returns those of one priority.
    #[must_use]
    pub fn of(&self, priority: Priority) -> u64 {
        match priority {
            Priority::Critical => self.critical,
            Priority::Warning => self.warning,
            Priority::Normal => self.normal,
        }
    }

    /// Returns all of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.critical + self.warning + self.normal
    }
}
