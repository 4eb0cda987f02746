//! The gates of Slack's methods: which a call has to pass, and how long the next update of a message waits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alert_manager_core::gate::{GateAsk, GateName, GateRate};

use super::compose::{Author, Outgoing};
use super::handle::Slack;
use super::message_ref::PostedMessage;
use super::method::Method;
use super::settings::{Rate, Settings};

/// `chat.update` of the workspace: Slack takes some 50 a minute.
const UPDATES: GateRate = GateRate {
    per_second: 40.0 / 60.0,
    burst: 10,
};

/// `reactions.add` of the workspace.
const REACTIONS: GateRate = GateRate {
    per_second: 50.0 / 60.0,
    burst: 10,
};

/// How long after its post the message of a storm is first updated.
const FIRST_UPDATE_AFTER: Duration = Duration::from_secs(5);

/// The wait after an update: as long as the message is old, within these bounds, so that it doubles from one update to the next.
const UPDATE_WAIT_MIN: Duration = Duration::from_secs(10);
const UPDATE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The fact that says for which storm a message stands.
const STORM_FACT: &str = "storm.id";

impl Slack {
    /// Returns the gates that a call has to pass.
    pub(super) fn gates(&self, outgoing: &Outgoing) -> Vec<GateAsk> {
        let settings = self.settings();
        let ask = |name: GateName| {
            let rate = settings.gate_rate(&name);
            GateAsk::new(name, rate)
        };
        match outgoing.method {
            Method::PostMessage => vec![
                GateAsk {
                    label: outgoing.channel.clone(),
                    ..ask(GateName::SlackChannel(outgoing.target.clone()))
                },
                ask(GateName::SlackWorkspace),
            ],
            Method::Update => {
                let mut asks = vec![ask(GateName::SlackUpdates)];
                asks.extend(outgoing.about.as_ref().map(message_gate));
                asks
            }
            Method::AddReaction => vec![ask(GateName::SlackReactions)],
        }
    }

    /// Returns how long the message that was just posted or updated takes no update; `None` if it does at once.
    pub(super) fn pause_after(
        &self,
        author: Author<'_>,
        method: Method,
        message: &PostedMessage,
    ) -> Option<(GateAsk, Duration)> {
        let is_of_storm = || author.found.facts.get(STORM_FACT).is_some();
        let wait = match method {
            _ if !self.settings().has_own_rates() => return None,
            Method::PostMessage if is_of_storm() => FIRST_UPDATE_AFTER,
            Method::Update => {
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
                wait_after_update(&message.ts, since_1970.unwrap_or_default())
            }
            Method::PostMessage | Method::AddReaction => return None,
        };
        Some((message_gate(message), wait))
    }
}

impl Settings {
    /// Returns the rate of a gate; `None` if only what Slack says counts.
    #[must_use]
    pub fn gate_rate(&self, name: &GateName) -> Option<GateRate> {
        let rate = match name {
            GateName::SlackChannel(_) => gate_rate(self.rate),
            GateName::SlackWorkspace => gate_rate(self.workspace_rate),
            GateName::SlackUpdates => Some(UPDATES),
            GateName::SlackReactions => Some(REACTIONS),
            GateName::SlackMessage(_) => None,
        };
        rate.filter(|_| self.has_own_rates())
    }

    /// Returns whether calls have rates besides what Slack says: `rate.per_second: 0` turns all of them off.
    fn has_own_rates(&self) -> bool {
        gate_rate(self.rate).is_some()
    }
}

/// Returns the gate of the updates of one message, which is open unless an update has closed it.
fn message_gate(message: &PostedMessage) -> GateAsk {
    let name = format!("{} {}", message.channel_id, message.ts);
    GateAsk::new(GateName::SlackMessage(name), None)
}

fn gate_rate(rate: Rate) -> Option<GateRate> {
    (rate.per_second > 0.0).then_some(GateRate {
        per_second: rate.per_second,
        burst: rate.burst.max(1),
    })
}

/// Returns the wait after an update of a message. Its timestamp at Slack says when it was posted.
fn wait_after_update(ts: &str, now: Duration) -> Duration {
    let posted_at = ts
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let age = now.saturating_sub(posted_at.unwrap_or(now));
    age.clamp(UPDATE_WAIT_MIN, UPDATE_WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_update_to_update_up_to_a_minute() {
        let posted_at = 1_700_000_000;
        let wait = |age| {
            let now = Duration::from_secs(posted_at + age);
            wait_after_update(&format!("{posted_at}.000100"), now)
                .as_secs_f64()
                .round()
        };
        for (age, seconds) in [(5, 10.0), (15, 15.0), (30, 30.0), (60, 60.0), (9_000, 60.0)] {
            assert!((wait(age) - seconds).abs() < f64::EPSILON, "{age}");
        }
        let now = Duration::from_secs(posted_at);
        for ts in ["", "nan", "-1", "inf", "1e300", "2000000000.0"] {
            assert_eq!(wait_after_update(ts, now), UPDATE_WAIT_MIN, "{ts}");
        }
    }
}
