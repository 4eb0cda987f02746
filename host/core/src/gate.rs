//! Gates: rates that several handlers share, and that let a host call pass or have its delivery wait for its turn.
//!
//! The runtime names the gates of a call, the queue decides which delivery is next (`Ledger::pass` of the journal).

use std::fmt;
use std::str::FromStr;

/// What a rate is shared by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateName {
    /// New messages of one of Slack's channels, by what Slack calls it.
    SlackChannel(String),
    /// New messages of the workspace.
    SlackWorkspace,
    /// Updates of messages of the workspace.
    SlackUpdates,
    /// Reactions of the workspace.
    SlackReactions,
    /// Updates of one message: the channel's id and the message's timestamp.
    SlackMessage(String),
}

/// The stored and displayed form: `slack channel #alerts`, `slack workspace`, `slack updates`, `slack reactions`,
/// `slack message C0123456 1700000000.000100`.
impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlackChannel(channel) => write!(f, "slack channel {channel}"),
            Self::SlackWorkspace => f.write_str("slack workspace"),
            Self::SlackUpdates => f.write_str("slack updates"),
            Self::SlackReactions => f.write_str("slack reactions"),
            Self::SlackMessage(message) => write!(f, "slack message {message}"),
        }
    }
}

/// The error for text that names no gate known to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a gate")]
pub struct NotAGate;

impl FromStr for GateName {
    type Err = NotAGate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("slack ").ok_or(NotAGate)? {
            "workspace" => Ok(Self::SlackWorkspace),
            "updates" => Ok(Self::SlackUpdates),
            "reactions" => Ok(Self::SlackReactions),
            other => match other.split_once(' ') {
                Some(("channel", channel)) => Ok(Self::SlackChannel(channel.to_owned())),
                Some(("message", message)) => Ok(Self::SlackMessage(message.to_owned())),
                _ => Err(NotAGate),
            },
        }
    }
}

/// How much passes a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateRate {
    /// On average; above 0.
    pub per_second: f64,
    /// At once, after a pause; at least 1.
    pub burst: u32,
}

/// One gate that a call has to pass.
#[derive(Clone, Debug, PartialEq)]
pub struct GateAsk {
    /// Which.
    pub name: GateName,
    /// For people and metrics: the channel's name below `slack.channels`, else the gate's own name.
    pub label: String,
    /// Absent if only what Slack said about waiting counts.
    pub rate: Option<GateRate>,
}

impl GateAsk {
    /// Returns an ask for a gate that is called by its own name.
    #[must_use]
    pub fn new(name: GateName, rate: Option<GateRate>) -> Self {
        Self {
            label: name.to_string(),
            name,
            rate,
        }
    }
}

/// Whether a call may be made now.
#[derive(Clone, Debug, PartialEq)]
pub enum Pass {
    /// It may: a token of each gate is taken.
    Granted,
    /// Its delivery waits for its turn.
    Parked(Parked),
    /// It need not be made: a later update of the same message waits.
    Superseded,
}

/// What a delivery waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// The gate that it waits at.
    pub gate: GateAsk,
    /// All gates that the call has to pass, that one among them.
    pub asks: Vec<GateAsk>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_survives_being_stored() {
        for (gate, text) in [
            (
                GateName::SlackChannel("#on call".into()),
                "slack channel #on call",
            ),
            (GateName::SlackWorkspace, "slack workspace"),
            (GateName::SlackUpdates, "slack updates"),
            (GateName::SlackReactions, "slack reactions"),
            (
                GateName::SlackMessage("C1 17.5".into()),
                "slack message C1 17.5",
            ),
        ] {
            assert_eq!(gate.to_string(), text);
            assert_eq!(text.parse(), Ok(gate));
        }
        for other in ["slack", "slack canvas", "github", ""] {
            assert_eq!(other.parse::<GateName>(), Err(NotAGate));
        }
    }
}
