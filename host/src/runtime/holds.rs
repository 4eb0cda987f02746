//! What of Slack is held until the operator mends it: a channel that refuses the app, or all of Slack if the token is
//! refused.
//!
//! A hold is one for all handlers. While it lasts no call goes out, but for one probe after each pause; the first success
//! releases it. What waits meanwhile is the worker's and the queue's concern.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::alert::Timestamp;
use crate::config::Slack;
use crate::journal::Dependency;
use crate::secret::Secret;

/// The pause before the first probe: most mistakes last, but a wrong answer of Slack's does not.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two probes.
const PAUSE_MAX: Duration = Duration::from_secs(30);

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

/// What is held now.
#[derive(Debug)]
pub struct Holds {
    held: Mutex<BTreeMap<Option<String>, Held>>,
    /// Slack's id of each channel that a message went to.
    ids: Mutex<HashMap<String, String>>,
    version: watch::Sender<u64>,
}

#[derive(Debug)]
struct Held {
    hold: Hold,
    /// The token that was refused.
    token: Option<Secret>,
    pause: Duration,
    /// When one call may find out.
    probe_at: Instant,
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            ids: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }
}

impl Holds {
    /// Returns what is held, all of Slack first, then by channel.
    #[must_use]
    pub fn current(&self) -> Vec<Hold> {
        let held = self.held.lock();
        held.values().map(|held| held.hold.clone()).collect()
    }

    /// Returns a number that changes with each hold that is placed, changed or released.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Returns when the next probe of each hold is due.
    pub(crate) fn probes(&self) -> Vec<(Dependency, Instant)> {
        let held = self.held.lock();
        let probes = held
            .values()
            .map(|held| (held.hold.dependency(), held.probe_at));
        probes.collect()
    }

    /// Holds a channel, or all of Slack, or notes that a probe was refused too. Returns the hold.
    pub(super) fn place(
        &self,
        channel: Option<&str>,
        (code, advice): (&str, &str),
        token: Option<Secret>,
        now: Instant,
    ) -> Hold {
        let mut all = self.held.lock();
        let channel = channel.map(str::to_owned);
        let changed = match all.get_mut(&channel) {
            Some(held) => {
                held.pause = (held.pause * 2).min(PAUSE_MAX);
                held.probe_at = now + held.pause;
                held.token = token;
                let changed = held.hold.code != code;
                code.clone_into(&mut held.hold.code);
                advice.clone_into(&mut held.hold.advice);
                changed
            }
            None => {
                let hold = Hold {
                    channel: channel.clone(),
                    code: code.to_owned(),
                    advice: advice.to_owned(),
                    since: Timestamp::now(),
                };
                let held = Held {
                    hold,
                    token,
                    pause: PAUSE_MIN,
                    probe_at: now + PAUSE_MIN,
                };
                all.insert(channel.clone(), held);
                true
            }
        };
        let hold = all[&channel].hold.clone();
        drop(all);
        if changed {
            self.changed();
        }
        hold
    }

    /// Holds what was held before a restart, until a probe says otherwise.
    pub fn restore(&self, hold: Hold) {
        let mut all = self.held.lock();
        let restored = !all.contains_key(&hold.channel);
        all.entry(hold.channel.clone()).or_insert_with(|| Held {
            hold,
            token: None,
            pause: PAUSE_MIN,
            probe_at: Instant::now(),
        });
        drop(all);
        if restored {
            self.changed();
        }
    }

    /// Asks for a call to `channel`. While it is held, one caller after each pause is let through to find out.
    ///
    /// # Errors
    /// The hold that keeps the call from going out.
    pub(super) fn ask(&self, channel: &str, now: Instant) -> Result<(), Hold> {
        let mut all = self.held.lock();
        let keys = [None, Some(channel.to_owned())];
        for key in &keys {
            if let Some(held) = all.get(key)
                && now < held.probe_at
            {
                return Err(held.hold.clone());
            }
        }
        for key in &keys {
            if let Some(held) = all.get_mut(key) {
                // The others wait for what this one finds.
                held.probe_at = now + held.pause;
            }
        }
        Ok(())
    }

    /// Releases a hold, if there is one; returns true if there was.
    pub(super) fn release(&self, channel: Option<&str>) -> bool {
        let released = self.held.lock().remove(&channel.map(str::to_owned));
        if released.is_some() {
            self.changed();
        }
        released.is_some()
    }

    /// Notes Slack's id of a channel that took a message.
    pub(super) fn learn(&self, channel: &str, id: &str) {
        let mut ids = self.ids.lock();
        if ids.get(channel).is_none_or(|known| known != id) {
            ids.insert(channel.to_owned(), id.to_owned());
        }
    }

    /// Returns true unless it is known that the channel's name stands for another channel than `id` by now: a message of
    /// before the operator named another channel is still where it was.
    pub(super) fn is_at(&self, channel: &str, id: &str) -> bool {
        self.ids.lock().get(channel).is_none_or(|known| known == id)
    }

    /// Releases what other settings may have mended: channels that mean another one now, and Slack if the token is
    /// another one.
    pub(super) fn reconfigure(&self, old: &Slack, new: &Slack) {
        let elsewhere = old.api_url != new.api_url;
        let moved =
            |channel: &String| elsewhere || old.channels.get(channel) != new.channels.get(channel);
        self.ids.lock().retain(|channel, _| !moved(channel));
        let token = new.token.as_ref().and_then(|token| token.read().ok());
        let mut all = self.held.lock();
        let before = all.len();
        all.retain(|channel, held| match channel {
            Some(channel) => !moved(channel),
            None => !elsewhere && held.token == token,
        });
        let released = all.len() < before;
        drop(all);
        if released {
            self.changed();
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_channel_lets_one_probe_through_and_the_others_go_on() {
        let (holds, start) = (Holds::default(), Instant::now());
        let seen = holds.subscribe();
        holds.place(Some("alerts"), ("not_in_channel", "/invite"), None, start);
        assert!(seen.has_changed().is_ok_and(|changed| changed));
        assert!(holds.ask("alerts", start).is_err());
        assert!(holds.ask("oncall", start).is_ok());
        let later = start + PAUSE_MIN;
        assert!(holds.ask("alerts", later).is_ok(), "one finds out");
        assert!(holds.ask("alerts", later).is_err(), "and no other");
        assert!(holds.release(Some("alerts")));
        assert!(holds.ask("alerts", later).is_ok());
        assert_eq!(holds.current(), []);
    }

    #[test]
    fn probes_come_ever_later_but_never_after_more_than_half_a_minute() {
        let (holds, mut now) = (Holds::default(), Instant::now());
        for _ in 0..20 {
            holds.place(None, ("invalid_auth", "a valid token"), None, now);
            assert!(holds.ask("alerts", now).is_err());
            assert!(holds.ask("alerts", now + PAUSE_MAX).is_ok());
            now += PAUSE_MAX;
        }
        holds.place(None, ("invalid_auth", "a valid token"), None, now);
        let almost = now + PAUSE_MAX - Duration::from_millis(1);
        assert!(holds.ask("alerts", almost).is_err());
    }

    #[test]
    fn a_refused_token_holds_every_channel_and_another_reason_is_news() {
        let (holds, now) = (Holds::default(), Instant::now());
        holds.place(None, ("invalid_auth", "a valid token"), None, now);
        let since = holds.current()[0].since;
        let mut seen = holds.subscribe();
        seen.mark_unchanged();
        for channel in ["alerts", "oncall"] {
            let hold = holds.ask(channel, now).expect_err("all of Slack is held");
            assert_eq!((hold.channel, hold.code.as_str()), (None, "invalid_auth"));
        }
        holds.place(None, ("invalid_auth", "a valid token"), None, now);
        assert!(seen.has_changed().is_ok_and(|changed| !changed));
        holds.place(None, ("token_revoked", "a valid token"), None, now);
        assert!(seen.has_changed().is_ok_and(|changed| changed));
        assert_eq!(holds.current()[0].since, since);
    }
}
