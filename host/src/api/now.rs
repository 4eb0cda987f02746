//! The JSON of the response to `GET /api/v1/now`: what happens, what waits, and what needs a person.

use serde::{Deserialize, Serialize};

use super::{Channels, Delivery, Handler, Waiting};
use crate::alert::Timestamp;

/// What happens now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Now {
    /// When this was so.
    pub at: Timestamp,
    /// The deliveries that are not settled.
    pub open: Open,
    /// Dead letters: dead deliveries, except those that a person cancelled.
    pub dead: u64,
    /// Deliveries that were settled with another one that was handled in their place, since the start of the server.
    pub coalesced: u64,
    /// When the oldest delivery that is not settled was accepted; null if there is none.
    pub oldest: Option<Timestamp>,
    /// Those that have waited longest.
    pub longest: Vec<Longest>,
    /// Slack's channels and the other gates.
    pub channels: Channels,
    /// The handlers that are refused, paused, held, or not granted what they import, and those with problems.
    pub handlers: Vec<Handler>,
    /// The number of handlers that serve.
    pub handlers_serving: u64,
    /// The heartbeats that are expected.
    pub heartbeats: Vec<Heartbeat>,
    /// Why the store cannot be written; null if it can.
    pub store_error: Option<String>,
    /// The newest deliveries.
    pub newest: Vec<Delivery>,
}

/// The deliveries that are not settled, by what they wait for. Each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// A worker has them.
    pub running: u64,
    /// They wait for their turn at a gate, such as that of a Slack channel.
    pub at_gates: u64,
    /// They wait for a slot of their handler.
    pub for_slots: u64,
    /// They wait for an earlier delivery of their alert, or for what runs of their storm.
    pub behind_others: u64,
    /// They wait for the time of their next attempt.
    pub for_time: u64,
    /// Another one waits or runs in their place.
    pub coalesced: u64,
}

impl Open {
    /// Returns all that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.at_gates + self.for_slots + self.behind_others + self.for_time + self.coalesced
    }
}

/// A delivery that has waited long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Longest {
    /// The delivery.
    pub delivery: Delivery,
    /// What it waits for.
    pub waiting: Waiting,
}

/// A heartbeat that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its name below `heartbeats`.
    pub name: String,
    /// The longest time between two of them.
    pub every: String,
    /// When the last one arrived; null if none has since the start of the server.
    #[serde(default)]
    pub arrived_at: Option<Timestamp>,
    /// Since when it is missing; null if it is not.
    pub missing_since: Option<Timestamp>,
}
