//! Slack's channels and the other gates, with what waits for its turn at each.

use super::Answers;
use crate::api::{ByPriority, Channel, Channels, Gate, Refused};
use crate::gate::GateName;
use crate::queue::GateStatus;
use crate::runtime::SlackSettings;

impl Answers {
    /// Returns the channels of `slack.channels`, and every other gate, as they are now.
    pub(in crate::http) async fn channels(&self) -> Channels {
        self.channels_of(&self.overview().await.gates)
    }

    pub(in crate::http) fn channels_of(&self, gates: &[GateStatus]) -> Channels {
        let slack = self.slack.load();
        let holds = self.slack_breaker.holds();
        let refused = |channel: Option<&String>| {
            let hold = holds.iter().find(|hold| hold.channel.as_ref() == channel)?;
            Some(Refused {
                code: hold.code.clone(),
                advice: hold.advice.clone(),
                since: hold.since,
                waiting: self.queue.waiting_for(&hold.dependency()).into(),
            })
        };
        let channels = slack.channels.iter().map(|(name, target)| {
            let known = gates.iter().find(|gate| is_of(gate, target));
            Channel {
                slack: target.clone(),
                refused: refused(Some(name)),
                gate: match known {
                    Some(known) => gate(name.clone(), known),
                    None => unused(name.clone(), &slack),
                },
            }
        });
        let is_other =
            |known: &&GateStatus| !slack.channels.values().any(|target| is_of(known, target));
        let others = gates.iter().filter(is_other).filter(|gate| is_shown(gate));
        Channels {
            channels: channels.collect(),
            gates: others
                .map(|other| gate(other.name.to_string(), other))
                .collect(),
            token_refused: refused(None),
        }
    }
}

/// Returns whether a gate is listed. There is one for each message that was updated: it is so only while something waits at it, or
/// it is closed.
fn is_shown(gate: &GateStatus) -> bool {
    let is_message = matches!(gate.name, GateName::SlackMessage(_));
    !is_message || gate.waiting.total() > 0 || gate.closed_until.is_some()
}

fn is_of(gate: &GateStatus, target: &str) -> bool {
    matches!(&gate.name, GateName::SlackChannel(channel) if channel == target)
}

fn gate(name: String, status: &GateStatus) -> Gate {
    Gate {
        name,
        per_second: status.rate.map(|rate| rate.per_second),
        burst: status.rate.map(|rate| rate.burst),
        waiting: status.waiting.into(),
        alerts: status.alerts as u64,
        waiting_since: status.waiting_since,
        next_token_at: status.next_token_at,
        closed_until: status.closed_until,
    }
}

/// Returns the gate of a channel to which nothing was posted yet.
fn unused(name: String, slack: &SlackSettings) -> Gate {
    let rate = Some(slack.rate).filter(|rate| rate.per_second > 0.0);
    Gate {
        name,
        per_second: rate.map(|rate| rate.per_second),
        burst: rate.map(|rate| rate.burst),
        waiting: ByPriority::default(),
        alerts: 0,
        waiting_since: None,
        next_token_at: None,
        closed_until: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Timestamp;
    use crate::queue;

    #[test]
    fn the_gate_of_a_message_is_listed_while_something_waits_at_it_or_it_is_closed() {
        let message = || GateName::SlackMessage("C1 1.5".into());
        let gate = |name: GateName, normal, closed_until| GateStatus {
            label: name.to_string(),
            name,
            rate: None,
            waiting: queue::ByPriority {
                normal,
                ..queue::ByPriority::default()
            },
            alerts: normal,
            waiting_since: None,
            next_token_at: None,
            closed_until,
        };
        let later = Some(Timestamp::UNIX_EPOCH);
        assert!(!is_shown(&gate(message(), 0, None)));
        assert!(is_shown(&gate(message(), 1, None)));
        assert!(is_shown(&gate(message(), 0, later)));
        assert!(is_shown(&gate(GateName::SlackUpdates, 0, None)));
    }
}
