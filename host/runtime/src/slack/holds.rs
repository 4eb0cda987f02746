//! What of Slack is held until the operator mends it: a channel that refuses the app, or all of Slack if the token is
//! refused.
//!
//! A hold is one for all handlers. While it lasts no call goes out, but for one probe after each pause; the first success
//! releases it. What waits meanwhile is the worker's and the queue's concern.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::slack::settings::Settings;
use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::Dependency;
use alert_manager_core::secret::Secret;

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

/// A call that is to go out, or has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// What it goes out under: there may have been a reload since.
    pub(crate) settings: &'a Settings,
    /// Its channel's name below `slack.channels`.
    pub(crate) channel: &'a str,
    /// Slack's id of the channel that the message which it is about is in.
    pub(crate) at: Option<&'a str>,
}

/// Permission for one call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Permit {
    /// It finds out whether the token is good.
    probes_slack: bool,
    /// It finds out whether the channel takes messages.
    probes_channel: bool,
    /// How many holds had been released before it.
    releases: u64,
}

/// What a refusal comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is held.
    Held(Hold),
    /// It says nothing of what the name stands for now: the message is in another channel, or there was a reload.
    Elsewhere,
    /// What it says is out of date: another call went through, or there was a reload, since this one began.
    Outdated,
}

/// What is held now.
#[derive(Debug)]
pub struct Holds {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<Option<String>, Held>,
    /// Slack's id of each channel that a message went to.
    ids: HashMap<String, String>,
    /// What channels' names stand for now, and which token is used.
    settings: Option<Settings>,
    releases: u64,
    /// How many there had been with the last one of each.
    last_release: BTreeMap<Option<String>, u64>,
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

impl Inner {
    /// Returns true if the answer to a call says whether the token is good that is used now.
    fn is_of_slack(&self, call: Call<'_>) -> bool {
        self.settings.as_ref().is_none_or(|now| {
            now.api_url == call.settings.api_url && now.token == call.settings.token
        })
    }

    /// Returns true if the answer to a call says whether the channel takes messages that its name stands for now. A message
    /// of before the operator named another channel is still where it was: unless it is known to be in that channel, it
    /// says nothing.
    fn is_of_channel(&self, call: Call<'_>) -> bool {
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

    /// What was under way until now says nothing any more.
    fn outdate(&mut self, key: &Option<String>) {
        self.releases += 1;
        self.last_release.insert(key.clone(), self.releases);
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }
}

impl Holds {
    /// Returns what is held, all of Slack first, then by channel.
    #[must_use]
    pub fn current(&self) -> Vec<Hold> {
        let inner = self.inner.lock();
        inner.held.values().map(|held| held.hold.clone()).collect()
    }

    /// Returns a number that changes with each hold that is placed, changed or released.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Returns when the next probe of each hold is due.
    pub fn probes(&self) -> Vec<(Dependency, Instant)> {
        let inner = self.inner.lock();
        let probes = inner
            .held
            .values()
            .map(|held| (held.hold.dependency(), held.probe_at));
        probes.collect()
    }

    /// Asks for a call. While what it is for is held, one caller after each pause is let through to find out.
    ///
    /// # Errors
    /// The hold that keeps the call from going out.
    pub(crate) fn ask(&self, call: Call<'_>, now: Instant) -> Result<Permit, Hold> {
        let mut inner = self.inner.lock();
        let slack = inner.is_of_slack(call).then_some(None);
        let channel = inner
            .is_of_channel(call)
            .then(|| Some(call.channel.to_owned()));
        for key in [&slack, &channel].into_iter().flatten() {
            if let Some(held) = inner.held.get(key)
                && now < held.probe_at
            {
                return Err(held.hold.clone());
            }
        }
        let mut probes = |key: Option<Option<String>>| {
            let held = key.and_then(|key| inner.held.get_mut(&key));
            held.is_some_and(|held| {
                // The others wait for what this one finds.
                held.probe_at = now + held.pause;
                true
            })
        };
        Ok(Permit {
            probes_slack: probes(slack),
            probes_channel: probes(channel),
            releases: inner.releases,
        })
    }

    /// Notes that Slack refuses the token: all of it is held.
    pub(crate) fn refuse_token(
        &self,
        call: Call<'_>,
        permit: Permit,
        reason: (&str, &str),
        token: Option<Secret>,
        now: Instant,
    ) -> Refusal {
        let is_known = self.inner.lock().is_of_slack(call);
        if !is_known {
            return Refusal::Elsewhere;
        }
        self.place(None, permit.probes_slack, permit, reason, token, now)
    }

    /// Notes that Slack refuses a call's channel: it is held, if that is the channel that its name stands for.
    pub(crate) fn refuse_channel(
        &self,
        call: Call<'_>,
        permit: Permit,
        reason: (&str, &str),
        now: Instant,
    ) -> Refusal {
        let is_known = self.inner.lock().is_of_channel(call);
        if !is_known {
            return Refusal::Elsewhere;
        }
        let channel = Some(call.channel.to_owned());
        self.place(channel, permit.probes_channel, permit, reason, None, now)
    }

    fn place(
        &self,
        key: Option<String>,
        is_probe: bool,
        permit: Permit,
        (code, advice): (&str, &str),
        token: Option<Secret>,
        now: Instant,
    ) -> Refusal {
        let mut inner = self.inner.lock();
        let last_release = inner.last_release.get(&key);
        if last_release.is_some_and(|last| *last > permit.releases) {
            return Refusal::Outdated;
        }
        let (hold, changed) = match inner.held.get_mut(&key) {
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
                inner.held.insert(key, held);
                (hold, true)
            }
        };
        drop(inner);
        if changed {
            self.changed();
        }
        Refusal::Held(hold)
    }

    /// Holds what was held before a restart, until a probe says otherwise.
    pub fn restore(&self, hold: Hold) {
        let mut inner = self.inner.lock();
        let restored = !inner.held.contains_key(&hold.channel);
        let held = Held {
            hold,
            token: None,
            pause: PAUSE_MIN,
            probe_at: Instant::now(),
        };
        inner.held.entry(held.hold.channel.clone()).or_insert(held);
        drop(inner);
        if restored {
            self.changed();
        }
    }

    /// Notes that Slack took the token of a call: Slack is held no longer.
    pub(crate) fn take_token(&self, call: Call<'_>) {
        let mut inner = self.inner.lock();
        let released = inner.is_of_slack(call) && inner.release(&None);
        drop(inner);
        if released {
            self.changed();
        }
    }

    /// Notes that a message went to the channel with this id, which is held no longer if its name stands for it. Returns
    /// true if it does.
    pub(crate) fn take_message(&self, call: Call<'_>, id: &str) -> bool {
        let mut inner = self.inner.lock();
        if !inner.is_of_channel(call) {
            return false;
        }
        if call.at.is_none() && inner.ids.get(call.channel).is_none_or(|known| known != id) {
            inner.ids.insert(call.channel.to_owned(), id.to_owned());
        }
        let released = inner.release(&Some(call.channel.to_owned()));
        drop(inner);
        if released {
            self.changed();
        }
        true
    }

    /// Notes the settings from now on, and releases what they may have mended: channels that mean another one now, and Slack
    /// if the token is another one.
    pub(crate) fn reconfigure(&self, new: &Settings) {
        let mut inner = self.inner.lock();
        let Some(old) = inner.settings.replace(new.clone()) else {
            return;
        };
        let elsewhere = old.api_url != new.api_url;
        let moved = |name: &str| elsewhere || old.channels.get(name) != new.channels.get(name);
        inner.ids.retain(|channel, _| !moved(channel));
        let token = new.token.as_ref().and_then(|token| token.read().ok());
        let mended = |(key, held): (&Option<String>, &Held)| match key {
            Some(channel) => moved(channel),
            None => elsewhere || held.token != token,
        };
        let keys = inner.held.iter().filter(|(key, held)| mended((key, held)));
        let mended: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
        for key in &mended {
            inner.release(key);
        }
        drop(inner);
        if !mended.is_empty() {
            self.changed();
        }
    }

    /// Has the next call of each find out, whatever pause it is in: a person says that it is mended, or asks for a try.
    pub fn try_now(&self) {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        for held in inner.held.values_mut() {
            held.pause = PAUSE_MIN;
            held.probe_at = now;
        }
        let is_any = !inner.held.is_empty();
        drop(inner);
        if is_any {
            self.changed();
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::slack::settings::Rate;
    use alert_manager_core::secret::SecretSource;

    const REASON: (&str, &str) = ("not_in_channel", "/invite");

    fn settings(alerts: &str) -> Settings {
        let channels = [("alerts", alerts), ("oncall", "#oncall")];
        Settings {
            token: Some(SecretSource::value(Secret::new("xoxb-one"))),
            preview: false,
            channels: channels.map(|(n, c)| (n.to_owned(), c.to_owned())).into(),
            rate: Rate {
                per_second: 0.0,
                burst: 1,
            },
            api_url: "https://slack.example.com/api/".parse().unwrap(),
            proxy: None,
            via_proxy: false,
        }
    }

    fn post<'a>(settings: &'a Settings, channel: &'a str) -> Call<'a> {
        Call {
            settings,
            channel,
            at: None,
        }
    }

    fn update<'a>(settings: &'a Settings, at: &'a str) -> Call<'a> {
        Call {
            at: Some(at),
            ..post(settings, "alerts")
        }
    }

    /// Returns what is held once a call to the channel was refused.
    fn held(settings: &Settings, now: Instant) -> Holds {
        let holds = Holds::default();
        holds.reconfigure(settings);
        let call = post(settings, "alerts");
        let permit = holds.ask(call, now).unwrap();
        let refusal = holds.refuse_channel(call, permit, REASON, now);
        assert!(matches!(refusal, Refusal::Held(_)));
        holds
    }

    fn pause(holds: &Holds) -> Duration {
        holds.inner.lock().held.values().next().unwrap().pause
    }

    #[test]
    fn a_held_channel_lets_one_probe_through_and_the_others_go_on() {
        let (settings, start) = (settings("#alerts"), Instant::now());
        let holds = held(&settings, start);
        let (alerts, oncall) = (post(&settings, "alerts"), post(&settings, "oncall"));
        for _ in 0..50 {
            assert!(holds.ask(alerts, start).is_err(), "probes alone");
        }
        assert!(holds.ask(oncall, start).is_ok());
        let later = start + PAUSE_MIN;
        assert!(holds.ask(alerts, later).is_ok(), "one finds out");
        assert!(holds.ask(alerts, later).is_err(), "and no other");
        let seen = holds.subscribe();
        assert!(holds.take_message(alerts, "C1"));
        assert!(seen.has_changed().unwrap());
        assert!(holds.ask(alerts, later).is_ok());
        assert_eq!(holds.current(), []);
    }

    #[test]
    fn who_asks_for_a_try_has_one_at_once() {
        let (settings, now) = (settings("#alerts"), Instant::now());
        let holds = held(&settings, now);
        let call = post(&settings, "alerts");
        let mut at = now;
        for _ in 0..10 {
            at += PAUSE_MAX;
            let permit = holds.ask(call, at).unwrap();
            holds.refuse_channel(call, permit, REASON, at);
        }
        assert_eq!(pause(&holds), PAUSE_MAX);
        let seen = holds.subscribe();
        holds.try_now();
        assert!(seen.has_changed().unwrap(), "the prober hears of it");
        let now = Instant::now();
        assert!(holds.ask(call, now).is_ok());
        assert!(holds.ask(call, now).is_err(), "one finds out");
        assert_eq!(pause(&holds), PAUSE_MIN);
    }

    #[test]
    fn probes_come_ever_later_but_never_after_more_than_half_a_minute() {
        let (settings, mut now) = (settings("#alerts"), Instant::now());
        let holds = held(&settings, now);
        let call = post(&settings, "alerts");
        for _ in 0..20 {
            assert!(holds.ask(call, now).is_err());
            now += PAUSE_MAX;
            let permit = holds.ask(call, now).unwrap();
            holds.refuse_channel(call, permit, REASON, now);
        }
        let almost = now + PAUSE_MAX - Duration::from_millis(1);
        assert!(holds.ask(call, almost).is_err());
        assert!(holds.ask(call, now + PAUSE_MAX).is_ok());
    }

    #[test]
    fn refusals_of_calls_that_were_under_way_together_count_as_one() {
        let (settings, now) = (settings("#alerts"), Instant::now());
        let (holds, call) = (Holds::default(), post(&settings, "alerts"));
        let permits = [(); 8].map(|()| holds.ask(call, now).unwrap());
        for permit in permits {
            holds.refuse_channel(call, permit, REASON, now);
        }
        assert_eq!(pause(&holds), PAUSE_MIN);
        let permit = holds.ask(call, now + PAUSE_MIN).unwrap();
        holds.refuse_channel(call, permit, REASON, now + PAUSE_MIN);
        assert_eq!(pause(&holds), PAUSE_MIN * 2, "a probe's");
    }

    #[test]
    fn what_was_refused_before_a_release_places_no_hold() {
        let (settings, now) = (settings("#alerts"), Instant::now());
        let call = post(&settings, "alerts");
        let holds = Holds::default();
        let late = holds.ask(call, now).unwrap();
        let first = holds.ask(call, now).unwrap();
        holds.refuse_channel(call, first, REASON, now);
        holds.ask(call, now + PAUSE_MIN).unwrap();
        holds.take_message(call, "C1");
        let refusal = holds.refuse_channel(call, late, REASON, now + PAUSE_MIN);
        assert_eq!(refusal, Refusal::Outdated);
        assert_eq!(holds.current(), []);
        let next = holds.ask(call, now + PAUSE_MIN).unwrap();
        let refusal = holds.refuse_channel(call, next, REASON, now + PAUSE_MIN);
        assert!(matches!(refusal, Refusal::Held(_)), "news");
    }

    #[test]
    fn what_began_under_other_settings_neither_places_nor_releases_a_hold() {
        let (old, mut new, now) = (settings("C1"), settings("C2"), Instant::now());
        new.token = Some(SecretSource::value(Secret::new("xoxb-two")));
        let holds = held(&old, now);
        let call = post(&old, "alerts");
        let permit = holds.ask(call, now + PAUSE_MIN).unwrap();
        holds.reconfigure(&new);
        assert_eq!(holds.current(), [], "it means another channel");
        for refusal in [
            holds.refuse_channel(call, permit, REASON, now),
            holds.refuse_token(call, permit, REASON, None, now),
        ] {
            assert_eq!(refusal, Refusal::Elsewhere);
        }
        assert_eq!(holds.current(), []);
        let there = post(&new, "alerts");
        let permit = holds.ask(there, now).unwrap();
        holds.refuse_channel(there, permit, REASON, now);
        holds.refuse_token(there, permit, REASON, None, now);
        assert!(holds.ask(call, now).is_ok(), "it goes elsewhere");
        assert!(!holds.take_message(call, "C1"));
        holds.take_token(call);
        assert_eq!(holds.current().len(), 2);
    }

    #[test]
    fn a_message_that_is_not_known_to_be_where_the_name_points_says_nothing_of_it() {
        for target in ["C2", "#alerts"] {
            let (settings, now) = (settings(target), Instant::now());
            let holds = held(&settings, now);
            let old = update(&settings, "C1");
            let permit = holds.ask(old, now).expect("it is not held");
            assert!(!holds.take_message(old, "C1"));
            let refusal = holds.refuse_channel(old, permit, REASON, now);
            assert_eq!(refusal, Refusal::Elsewhere);
            assert_eq!(holds.current().len(), 1);
            let probe = holds.ask(post(&settings, "alerts"), now + PAUSE_MIN);
            assert!(probe.is_ok(), "it was not the probe");
        }
    }

    #[test]
    fn a_message_that_is_where_the_name_points_is_held_and_releases() {
        let now = Instant::now();
        let by_id = settings("C2");
        let holds = held(&by_id, now);
        assert!(holds.ask(update(&by_id, "C2"), now).is_err());
        let by_name = settings("#alerts");
        let holds = Holds::default();
        holds.reconfigure(&by_name);
        assert!(holds.take_message(post(&by_name, "alerts"), "C2"));
        let there = update(&by_name, "C2");
        let permit = holds.ask(there, now).unwrap();
        let refusal = holds.refuse_channel(there, permit, REASON, now);
        assert!(matches!(refusal, Refusal::Held(_)));
        assert!(holds.take_message(there, "C2"));
        assert_eq!(holds.current(), []);
    }

    #[test]
    fn a_refused_token_holds_every_channel_and_another_reason_is_news() {
        let (settings, now) = (settings("#alerts"), Instant::now());
        let (holds, call) = (Holds::default(), post(&settings, "alerts"));
        let permit = holds.ask(call, now).unwrap();
        let refuse = |code| holds.refuse_token(call, permit, (code, "a valid token"), None, now);
        refuse("invalid_auth");
        let since = holds.current()[0].since;
        let mut seen = holds.subscribe();
        seen.mark_unchanged();
        for channel in ["alerts", "oncall"] {
            let hold = holds.ask(post(&settings, channel), now);
            let hold = hold.expect_err("all of Slack is held");
            assert_eq!((hold.channel, hold.code.as_str()), (None, "invalid_auth"));
        }
        refuse("invalid_auth");
        assert!(!seen.has_changed().unwrap());
        refuse("token_revoked");
        assert!(seen.has_changed().unwrap());
        assert_eq!(holds.current()[0].since, since);
    }
}
