//! What is held until the operator mends it: a channel that refuses the app, or all of Slack if the token is refused.
//!
//! A hold is one for all handlers. While it lasts, no call is made but one probe after each pause; the first success releases
//! it. What waits meanwhile is up to the worker and the queue.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::slack::hold::Hold;
use crate::slack::settings::Settings;
use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::Dependency;
use alert_manager_core::secret::Secret;

/// The pause before the first probe: most mistakes last, but a wrong answer of Slack does not.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two probes.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a call is about, as holds judge it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTarget<'a> {
    /// The settings that it is made under: there may have been a reload since.
    pub(crate) settings: &'a Settings,
    /// Its channel's name below `slack.channels`.
    pub(crate) channel: &'a str,
    /// Slack's id of the channel of the message that it is about.
    pub(crate) at: Option<&'a str>,
}

/// Permission for one call, and what its outcome will say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallPermit {
    /// It is the probe of the token.
    probes_slack: bool,
    /// It is the probe of the channel.
    probes_channel: bool,
    /// How many holds had been released before it.
    releases: u64,
}

/// What becomes of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is held.
    Held(Hold),
    /// It says nothing about the channel that the name stands for now: the message is in another channel, or there was a reload.
    Elsewhere,
    /// It is out of date: another call succeeded, or there was a reload, since this one began.
    Outdated,
}

/// What is held now.
#[derive(Debug)]
pub struct Holds {
    table: Mutex<Table>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    held: BTreeMap<Option<String>, Held>,
    /// Slack's id of each channel that a message went to.
    ids: HashMap<String, String>,
    /// What channels' names stand for now, and which token is used.
    settings: Option<Settings>,
    releases: u64,
    /// How many there had been at the last one of each.
    last_release: BTreeMap<Option<String>, u64>,
}

#[derive(Debug)]
struct Held {
    hold: Hold,
    /// The token that was refused.
    token: Option<Secret>,
    pause: Duration,
    /// When one call may be the probe.
    probe_at: Instant,
}

impl Table {
    /// Returns true if the answer to a call says whether the token is good that is used now.
    fn is_of_slack(&self, call: CallTarget<'_>) -> bool {
        self.settings.as_ref().is_none_or(|now| {
            now.api_url == call.settings.api_url && now.token == call.settings.token
        })
    }

    /// Returns true if the answer to a call says whether the channel takes messages that its name stands for now. A message
    /// that was posted before the operator named another channel is still in the old one: unless it is known to be in the
    /// channel of now, it says nothing.
    fn is_of_channel(&self, call: CallTarget<'_>) -> bool {
        let target = call.settings.channels.get(call.channel);
        let is_current = self.settings.as_ref().is_none_or(|now| {
            now.api_url == call.settings.api_url && now.channels.get(call.channel) == target
        });
        let is_there = call.at.is_none_or(|id| {
            let known = self.ids.get(call.channel);
            [target, known].into_iter().flatten().any(|c| c == id)
        });
        is_current && is_there
    }

    fn release(&mut self, key: &Option<String>) -> bool {
        let was_held = self.held.remove(key).is_some();
        if was_held {
            self.outdate(key);
        }
        was_held
    }

    /// Makes the outcome of the calls in flight outdated.
    fn outdate(&mut self, key: &Option<String>) {
        self.releases += 1;
        self.last_release.insert(key.clone(), self.releases);
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }
}

impl Holds {
    /// Returns what is held, all of Slack first, then by channel.
    #[must_use]
    pub fn current(&self) -> Vec<Hold> {
        let table = self.table.lock();
        table.held.values().map(|held| held.hold.clone()).collect()
    }

    /// Returns a number that changes with each hold that is placed, changed or released.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Returns when the next probe of each hold is due.
    pub fn probes(&self) -> Vec<(Dependency, Instant)> {
        let table = self.table.lock();
        let probes = table
            .held
            .values()
            .map(|held| (held.hold.dependency(), held.probe_at));
        probes.collect()
    }

    /// Asks for a call. While its target is held, one caller after each pause is let through as a probe.
    ///
    /// # Errors
    /// The hold that is in the way.
    pub(crate) fn ask(&self, call: CallTarget<'_>, now: Instant) -> Result<CallPermit, Hold> {
        let mut table = self.table.lock();
        let slack = table.is_of_slack(call).then_some(None);
        let channel = table
            .is_of_channel(call)
            .then(|| Some(call.channel.to_owned()));
        for key in [&slack, &channel].into_iter().flatten() {
            if let Some(held) = table.held.get(key)
                && now < held.probe_at
            {
                return Err(held.hold.clone());
            }
        }
        let mut probes = |key: Option<Option<String>>| {
            let held = key.and_then(|key| table.held.get_mut(&key));
            held.is_some_and(|held| {
                // The others wait for the result of this one.
                held.probe_at = now + held.pause;
                true
            })
        };
        Ok(CallPermit {
            probes_slack: probes(slack),
            probes_channel: probes(channel),
            releases: table.releases,
        })
    }

    /// Notes that Slack refuses the token: all of it is held.
    pub(crate) fn refuse_token(
        &self,
        call: CallTarget<'_>,
        permit: CallPermit,
        reason: (&str, &str),
        token: Option<Secret>,
        now: Instant,
    ) -> Refused {
        let is_known = self.table.lock().is_of_slack(call);
        if !is_known {
            return Refused::Elsewhere;
        }
        self.place(None, permit.probes_slack, permit, reason, token, now)
    }

    /// Notes that Slack refuses a call's channel: it is held, if that is the channel that its name stands for.
    pub(crate) fn refuse_channel(
        &self,
        call: CallTarget<'_>,
        permit: CallPermit,
        reason: (&str, &str),
        now: Instant,
    ) -> Refused {
        let is_known = self.table.lock().is_of_channel(call);
        if !is_known {
            return Refused::Elsewhere;
        }
        let channel = Some(call.channel.to_owned());
        self.place(channel, permit.probes_channel, permit, reason, None, now)
    }

    fn place(
        &self,
        key: Option<String>,
        is_probe: bool,
        permit: CallPermit,
        (code, advice): (&str, &str),
        token: Option<Secret>,
        now: Instant,
    ) -> Refused {
        let mut table = self.table.lock();
        let last_release = table.last_release.get(&key);
        if last_release.is_some_and(|last| *last > permit.releases) {
            return Refused::Outdated;
        }
        let (hold, changed) = match table.held.get_mut(&key) {
            Some(held) => {
                if is_probe {
                    held.pause = (held.pause * 2).min(PAUSE_MAX);
                    held.probe_at = now + held.pause;
                }
                held.token = token;
                let changed = held.hold.code != code;
                code.clone_into(&mut held.hold.code);
                advice.clone_into(&mut held.hold.advice);
                (held.hold.clone(), changed)
            }
            None => {
                let hold = Hold {
                    channel: key.clone(),
                    code: code.to_owned(),
                    advice: advice.to_owned(),
                    since: Timestamp::now(),
                };
                let held = Held {
                    hold: hold.clone(),
                    token,
                    pause: PAUSE_MIN,
                    probe_at: now + PAUSE_MIN,
                };
                table.held.insert(key, held);
                (hold, true)
            }
        };
        drop(table);
        if changed {
            self.changed();
        }
        Refused::Held(hold)
    }

    /// Holds what was held before a restart, until a probe succeeds.
    pub fn restore(&self, hold: Hold) {
        let mut table = self.table.lock();
        let restored = !table.held.contains_key(&hold.channel);
        let held = Held {
            hold,
            token: None,
            pause: PAUSE_MIN,
            probe_at: Instant::now(),
        };
        table.held.entry(held.hold.channel.clone()).or_insert(held);
        drop(table);
        if restored {
            self.changed();
        }
    }

    /// Notes that Slack accepted the token of a call, which releases it.
    pub(crate) fn take_token(&self, call: CallTarget<'_>) {
        let mut table = self.table.lock();
        let released = table.is_of_slack(call) && table.release(&None);
        drop(table);
        if released {
            self.changed();
        }
    }

    /// Notes that a message was posted to the channel with this id, which releases the channel if its name stands for it.
    /// Returns true if it does.
    pub(crate) fn take_message(&self, call: CallTarget<'_>, id: &str) -> bool {
        let mut table = self.table.lock();
        if !table.is_of_channel(call) {
            return false;
        }
        if call.at.is_none() && table.ids.get(call.channel).is_none_or(|known| known != id) {
            table.ids.insert(call.channel.to_owned(), id.to_owned());
        }
        let released = table.release(&Some(call.channel.to_owned()));
        drop(table);
        if released {
            self.changed();
        }
        true
    }

    /// Notes new settings, and releases what they may have mended: channels whose name stands for another one now, and Slack if
    /// the token is another one.
    pub(crate) fn reconfigure(&self, new: &Settings) {
        let mut table = self.table.lock();
        let Some(old) = table.settings.replace(new.clone()) else {
            return;
        };
        let elsewhere = old.api_url != new.api_url;
        let moved = |name: &str| elsewhere || old.channels.get(name) != new.channels.get(name);
        table.ids.retain(|channel, _| !moved(channel));
        let token = new.token.as_ref().and_then(|token| token.read().ok());
        let mended = |(key, held): (&Option<String>, &Held)| match key {
            Some(channel) => moved(channel),
            None => elsewhere || held.token != token,
        };
        let keys = table.held.iter().filter(|(key, held)| mended((key, held)));
        let mended: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
        for key in &mended {
            table.release(key);
        }
        drop(table);
        if !mended.is_empty() {
            self.changed();
        }
    }

    /// Makes the next call of each a probe, whatever is left of its pause: a person says that it is mended, or asks for a try.
    pub fn try_now(&self) {
        let now = Instant::now();
        let mut table = self.table.lock();
        for held in table.held.values_mut() {
            held.pause = PAUSE_MIN;
            held.probe_at = now;
        }
        let is_any = !table.held.is_empty();
        drop(table);
        if is_any {
            self.changed();
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests;
