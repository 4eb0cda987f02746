//! The circuit breaker of Slack, shared by all handlers: one circuit for each channel, and one for the token.
//!
//! A circuit opens if Slack rejects a call for a reason that only the operator can fix: the channel does not accept the
//! app's messages, or the token is invalid. An open circuit is a [`SlackHold`]. While it lasts, one call after each pause is
//! sent as a probe, and every other call is refused without being sent. The first success closes the circuit. Meanwhile
//! deliveries wait in the queue; the worker wakes them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::slack::check::{ChannelState, SlackReport};
use crate::slack::codes::is_seen_by_check;
use crate::slack::hold::SlackHold;
use crate::slack::settings::Settings;
use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::Dependency;
use alert_manager_core::secret::Secret;

/// The pause before the first probe. It is short because a rejection by mistake is over soon; most last longer.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two probes.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The part of a call by which the breaker judges it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTarget<'a> {
    /// The settings under which the call is made. A reload may have replaced them since.
    pub(crate) settings: &'a Settings,
    /// The channel's name below `slack.channels`.
    pub(crate) channel: &'a str,
    /// Slack's ID of the channel of an existing message that the call updates, answers or reacts to.
    pub(crate) message_channel_id: Option<&'a str>,
}

/// Permission for one call, to be handed back with a rejection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallPermit {
    /// The call is the probe of the token's circuit.
    probes_token: bool,
    /// The call is the probe of the channel's circuit.
    probes_channel: bool,
    /// The number of closings before the call: a rejection is outdated if its circuit has closed since.
    closings: u64,
}

/// The effect of a rejection on the breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The circuit is open.
    Held(SlackHold),
    /// None, because the rejection is not about the current channel or token: a reload has replaced it, or the message is in
    /// another channel than the one that the name refers to now.
    OtherTarget,
    /// None, because the circuit has closed since the call began.
    Outdated,
}

/// Refuses calls that Slack would reject for the same reason as an earlier one, until the operator has fixed it.
#[derive(Debug)]
pub struct SlackBreaker {
    circuits: Mutex<Circuits>,
    version: watch::Sender<u64>,
}

/// What is open or closed as a unit. The token sorts first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Circuit {
    Token,
    /// By the channel's name below `slack.channels`.
    Channel(String),
}

impl Circuit {
    fn of(hold: &SlackHold) -> Self {
        hold.channel.clone().map_or(Self::Token, Self::Channel)
    }

    fn channel(&self) -> Option<&String> {
        match self {
            Self::Token => None,
            Self::Channel(name) => Some(name),
        }
    }
}

#[derive(Debug, Default)]
struct Circuits {
    open: BTreeMap<Circuit, OpenCircuit>,
    /// Slack's ID of each channel to which a message was posted, by the channel's name.
    channel_ids: HashMap<String, String>,
    /// The newest settings.
    settings: Option<Settings>,
    /// The number of circuits that have closed.
    closings: u64,
    /// The number of each circuit's last closing.
    last_closing: BTreeMap<Circuit, u64>,
}

#[derive(Debug)]
struct OpenCircuit {
    hold: SlackHold,
    /// The token that was rejected. A reload that brings another one closes the circuit.
    token: Option<Secret>,
    pause: Duration,
    /// When the next call may be sent as a probe.
    probe_at: Instant,
}

impl Circuits {
    /// Returns true if the call uses the current token.
    fn uses_current_token(&self, call: CallTarget<'_>) -> bool {
        self.settings.as_ref().is_none_or(|now| {
            now.api_url == call.settings.api_url && now.token == call.settings.token
        })
    }

    /// Returns true if the call goes to the channel that its name refers to now. An existing message counts only if its
    /// channel is known to be that one: it may have been posted before the operator gave the name to another channel.
    fn uses_current_channel(&self, call: CallTarget<'_>) -> bool {
        let target = call.settings.channels.get(call.channel);
        let is_current = self.settings.as_ref().is_none_or(|now| {
            now.api_url == call.settings.api_url && now.channels.get(call.channel) == target
        });
        let is_there = call.message_channel_id.is_none_or(|id| {
            let known = self.channel_ids.get(call.channel);
            [target, known].into_iter().flatten().any(|c| c == id)
        });
        is_current && is_there
    }

    /// Returns the circuits that a call goes through.
    fn of_call(&self, call: CallTarget<'_>) -> [Option<Circuit>; 2] {
        let token = self.uses_current_token(call).then_some(Circuit::Token);
        let channel = self
            .uses_current_channel(call)
            .then(|| Circuit::Channel(call.channel.to_owned()));
        [token, channel]
    }

    /// Returns the hold that blocks a call, if there is one.
    fn holding(&self, call: CallTarget<'_>, now: Instant) -> Option<SlackHold> {
        let circuits = self.of_call(call).into_iter().flatten();
        let mut open = circuits.filter_map(|circuit| self.open.get(&circuit));
        let holding = open.find(|open| now < open.probe_at)?;
        Some(holding.hold.clone())
    }

    /// Closes a circuit; returns false if it was not open.
    fn close(&mut self, circuit: &Circuit) -> bool {
        let was_open = self.open.remove(circuit).is_some();
        if was_open {
            self.closings += 1;
            self.last_closing.insert(circuit.clone(), self.closings);
        }
        was_open
    }
}

impl Default for SlackBreaker {
    fn default() -> Self {
        Self {
            circuits: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }
}

impl SlackBreaker {
    /// Returns the open circuits: the token's first, then by channel.
    #[must_use]
    pub fn holds(&self) -> Vec<SlackHold> {
        let circuits = self.circuits.lock();
        let open = circuits.open.values();
        open.map(|open| open.hold.clone()).collect()
    }

    /// Returns a number that changes if a circuit opens or closes, its reason changes, or its next probe is moved forward.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Returns when the next probe of each open circuit is due.
    pub fn probes(&self) -> Vec<(Dependency, Instant)> {
        let circuits = self.circuits.lock();
        let open = circuits.open.values();
        open.map(|open| (open.hold.dependency(), open.probe_at))
            .collect()
    }

    /// Returns the hold that blocks a call. Unlike [`Self::admit`], it lets no probe begin.
    pub(crate) fn hold_of(&self, call: CallTarget<'_>, now: Instant) -> Option<SlackHold> {
        self.circuits.lock().holding(call, now)
    }

    /// Decides whether a call may be sent now. If its circuit is open, one caller after each pause is admitted as the probe.
    ///
    /// # Errors
    /// The hold that blocks the call.
    pub(crate) fn admit(
        &self,
        call: CallTarget<'_>,
        now: Instant,
    ) -> Result<CallPermit, SlackHold> {
        let mut circuits = self.circuits.lock();
        if let Some(hold) = circuits.holding(call, now) {
            return Err(hold);
        }
        let [token, channel] = circuits.of_call(call);
        let mut probes = |circuit: Option<Circuit>| {
            let open = circuit.and_then(|circuit| circuits.open.get_mut(&circuit));
            open.is_some_and(|open| {
                // The other callers wait for the result of this probe.
                open.probe_at = now + open.pause;
                true
            })
        };
        Ok(CallPermit {
            probes_token: probes(token),
            probes_channel: probes(channel),
            closings: circuits.closings,
        })
    }

    /// Records that Slack rejected the token of a call, for this code and with this advice.
    pub(crate) fn token_rejected(
        &self,
        call: CallTarget<'_>,
        permit: CallPermit,
        reason: (&str, &str),
        token: Option<Secret>,
        now: Instant,
    ) -> Verdict {
        let is_current = self.circuits.lock().uses_current_token(call);
        if !is_current {
            return Verdict::OtherTarget;
        }
        let is_probe = permit.probes_token;
        self.open(Circuit::Token, is_probe, permit, reason, token, now)
    }

    /// Records that Slack rejected the channel of a call, for this code and with this advice.
    pub(crate) fn channel_rejected(
        &self,
        call: CallTarget<'_>,
        permit: CallPermit,
        reason: (&str, &str),
        now: Instant,
    ) -> Verdict {
        let is_current = self.circuits.lock().uses_current_channel(call);
        if !is_current {
            return Verdict::OtherTarget;
        }
        let circuit = Circuit::Channel(call.channel.to_owned());
        self.open(circuit, permit.probes_channel, permit, reason, None, now)
    }

    fn open(
        &self,
        circuit: Circuit,
        is_probe: bool,
        permit: CallPermit,
        (code, advice): (&str, &str),
        token: Option<Secret>,
        now: Instant,
    ) -> Verdict {
        let mut circuits = self.circuits.lock();
        let last_closing = circuits.last_closing.get(&circuit);
        if last_closing.is_some_and(|last| *last > permit.closings) {
            return Verdict::Outdated;
        }
        let (hold, changed) = match circuits.open.get_mut(&circuit) {
            Some(open) => {
                if is_probe {
                    open.pause = (open.pause * 2).min(PAUSE_MAX);
                    open.probe_at = now + open.pause;
                }
                open.token = token;
                let changed = open.hold.code != code;
                code.clone_into(&mut open.hold.code);
                advice.clone_into(&mut open.hold.advice);
                (open.hold.clone(), changed)
            }
            None => {
                let hold = SlackHold {
                    channel: circuit.channel().cloned(),
                    code: code.to_owned(),
                    advice: advice.to_owned(),
                    since: Timestamp::now(),
                };
                let open = OpenCircuit {
                    hold: hold.clone(),
                    token,
                    pause: PAUSE_MIN,
                    probe_at: now + PAUSE_MIN,
                };
                circuits.open.insert(circuit, open);
                (hold, true)
            }
        };
        drop(circuits);
        if changed {
            self.changed();
        }
        Verdict::Held(hold)
    }

    /// Opens the circuit of a hold that an earlier process placed. The next call is its probe.
    pub fn restore(&self, hold: SlackHold) {
        let mut circuits = self.circuits.lock();
        let circuit = Circuit::of(&hold);
        let restored = !circuits.open.contains_key(&circuit);
        let open = OpenCircuit {
            hold,
            token: None,
            pause: PAUSE_MIN,
            probe_at: Instant::now(),
        };
        circuits.open.entry(circuit).or_insert(open);
        drop(circuits);
        if restored {
            self.changed();
        }
    }

    /// Records that Slack accepted the token of a call, which closes the token's circuit.
    pub(crate) fn token_accepted(&self, call: CallTarget<'_>) {
        let mut circuits = self.circuits.lock();
        let closed = circuits.uses_current_token(call) && circuits.close(&Circuit::Token);
        drop(circuits);
        if closed {
            self.changed();
        }
    }

    /// Records that Slack accepted a message into the channel with this ID. Closes the circuit of the call's channel if the
    /// channel's name refers to that channel now, and returns true if it does.
    pub(crate) fn message_accepted(&self, call: CallTarget<'_>, id: &str) -> bool {
        let mut circuits = self.circuits.lock();
        if !circuits.uses_current_channel(call) {
            return false;
        }
        let known = circuits.channel_ids.get(call.channel);
        if call.message_channel_id.is_none() && known.is_none_or(|known| known != id) {
            let channel = call.channel.to_owned();
            circuits.channel_ids.insert(channel, id.to_owned());
        }
        let closed = circuits.close(&Circuit::Channel(call.channel.to_owned()));
        drop(circuits);
        if closed {
            self.changed();
        }
        true
    }

    /// Closes the circuits of what a check has found to be in order, under the settings with which it was made, if they were open
    /// when it `began`. One for which a message waits stays open: that message is its probe.
    pub fn release_checked(
        &self,
        settings: &Settings,
        report: &SlackReport,
        began: Timestamp,
        is_awaited: impl Fn(&Dependency) -> bool,
    ) {
        let is_fine = |circuit: &Circuit, hold: &SlackHold| match circuit {
            Circuit::Token => report.bot.is_ok(),
            Circuit::Channel(name) => {
                is_seen_by_check(&hold.code)
                    && report.channels.get(name) == Some(&ChannelState::Fine)
            }
        };
        let mut circuits = self.circuits.lock();
        let is_current = circuits.settings.as_ref().is_none_or(|now| {
            now.api_url == settings.api_url
                && now.token == settings.token
                && now.channels == settings.channels
        });
        let fine = circuits.open.iter().filter(|(circuit, open)| {
            let hold = &open.hold;
            is_current
                && hold.since < began
                && is_fine(circuit, hold)
                && !is_awaited(&hold.dependency())
        });
        let fine: Vec<_> = fine.map(|(circuit, _)| circuit.clone()).collect();
        for circuit in &fine {
            circuits.close(circuit);
        }
        drop(circuits);
        if !fine.is_empty() {
            self.changed();
        }
    }

    /// Takes new settings, and closes the circuits that they may have fixed: those of channels whose name refers to another
    /// channel now, and the token's if the token is another one.
    pub(crate) fn reconfigure(&self, new: &Settings) {
        let mut circuits = self.circuits.lock();
        let Some(old) = circuits.settings.replace(new.clone()) else {
            return;
        };
        let is_other_api = old.api_url != new.api_url;
        let is_moved =
            |name: &String| is_other_api || old.channels.get(name) != new.channels.get(name);
        circuits.channel_ids.retain(|channel, _| !is_moved(channel));
        let token = new.token.as_ref().and_then(|token| token.read().ok());
        let is_fixed = |circuit: &Circuit, open: &OpenCircuit| match circuit {
            Circuit::Channel(channel) => is_moved(channel),
            Circuit::Token => is_other_api || open.token != token,
        };
        let fixed = circuits.open.iter();
        let fixed = fixed.filter(|(circuit, open)| is_fixed(circuit, open));
        let fixed: Vec<_> = fixed.map(|(circuit, _)| circuit.clone()).collect();
        for circuit in &fixed {
            circuits.close(circuit);
        }
        drop(circuits);
        if !fixed.is_empty() {
            self.changed();
        }
    }

    /// Makes the next call of each open circuit a probe, however much of its pause is left. To be called if a person says
    /// that the cause is fixed, or asks for a retry.
    pub fn probe_now(&self) {
        let now = Instant::now();
        let mut circuits = self.circuits.lock();
        for open in circuits.open.values_mut() {
            open.pause = PAUSE_MIN;
            open.probe_at = now;
        }
        let is_any_open = !circuits.open.is_empty();
        drop(circuits);
        if is_any_open {
            self.changed();
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests;
