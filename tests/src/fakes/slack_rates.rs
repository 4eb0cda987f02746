//! Slack's rates: how often each method may be called, and what an app meets that calls it more often.
//!
//! Source: <https://docs.slack.dev/apis/web-api/rate-limits>. `chat.postMessage` takes one message a second for each channel, with
//! short bursts, and several hundred a minute for the workspace; the methods of tier 3, such as `chat.update` and
//! `reactions.add`, take 50 a minute. More is answered 429 with `Retry-After`, in whole seconds, and an app that does not wait
//! may be disabled. Where Slack gives no number (the burst, the workspace, when an app is disabled) the number here is ours, on
//! the strict side.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Messages of one channel at once, after a pause.
const CHANNEL_BURST: u32 = 6;
/// Messages of the workspace a minute.
const WORKSPACE_A_MINUTE: usize = 300;
/// Calls a minute of a method of tier 3.
const TIER_3_A_MINUTE: usize = 50;
/// Calls before the end of a `Retry-After` that Slack puts up with.
const IGNORED_MAX: u32 = 10;
/// How much earlier than asked a call may come: clocks are two, and the answer was on its way.
const EARLY: Duration = Duration::from_millis(50);

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered as usual.
    Taken,
    /// 429, with so many seconds in `Retry-After`.
    TooMany(u32),
    /// The app was disabled, since it went on calling.
    Disabled,
}

/// What the app has called lately.
#[derive(Debug)]
pub(super) struct Rates {
    /// Its times are this many times shorter than Slack's.
    speed: u32,
    channels: HashMap<String, Bucket>,
    workspace: Window,
    tier_3: HashMap<String, Window>,
    /// Until when the app was asked to wait, by method and channel.
    asked_to_wait: HashMap<(String, String), Instant>,
    ignored: u32,
}

/// So many at once, and one a second.
#[derive(Debug)]
struct Bucket {
    /// When all that was taken would have passed at the rate.
    through_at: Instant,
}

/// So many within a minute.
#[derive(Debug, Default)]
struct Window(VecDeque<Instant>);

impl Rates {
    /// `speed` is 1 for Slack's own times.
    pub(super) fn new(speed: u32) -> Self {
        Self {
            speed,
            channels: HashMap::new(),
            workspace: Window::default(),
            tier_3: HashMap::new(),
            asked_to_wait: HashMap::new(),
            ignored: 0,
        }
    }

    /// Judges a call that arrives now; `channel` is as the call names it.
    pub(super) fn judge(&mut self, method: &str, channel: &str, now: Instant) -> Verdict {
        if self.ignored > IGNORED_MAX {
            return Verdict::Disabled;
        }
        let key = (method.to_owned(), channel.to_owned());
        if let Some(until) = self.asked_to_wait.get(&key)
            && now + EARLY < *until
        {
            self.ignored += 1;
            return self.too_many(key, *until - now, now);
        }
        let wait = match method {
            "chat.postMessage" => self.take_post(channel, now),
            "chat.update" | "reactions.add" => {
                let window = self.tier_3.entry(method.to_owned()).or_default();
                window.take(TIER_3_A_MINUTE, MINUTE / self.speed, now)
            }
            _ => Ok(()),
        };
        match wait {
            Ok(()) => {
                self.asked_to_wait.remove(&key);
                Verdict::Taken
            }
            Err(wait) => self.too_many(key, wait, now),
        }
    }

    fn take_post(&mut self, channel: &str, now: Instant) -> Result<(), Duration> {
        let second = Duration::from_secs(1) / self.speed;
        let bucket = self.channels.entry(channel.to_owned());
        let bucket = bucket.or_insert(Bucket { through_at: now });
        let through_at = bucket.through_at.max(now);
        let ahead = through_at - now;
        let tolerance = second * (CHANNEL_BURST - 1);
        if ahead > tolerance {
            return Err(ahead - tolerance);
        }
        self.workspace
            .take(WORKSPACE_A_MINUTE, MINUTE / self.speed, now)?;
        bucket.through_at = through_at + second;
        Ok(())
    }

    fn too_many(&mut self, key: (String, String), wait: Duration, now: Instant) -> Verdict {
        // Retry-After has whole seconds. At a higher speed a second of it is one all the same: a client knows no other.
        let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        let until = now + Duration::from_secs(seconds.max(1).into());
        self.asked_to_wait.insert(key, until);
        Verdict::TooMany(seconds.max(1))
    }
}

impl Window {
    fn take(&mut self, max: usize, within: Duration, now: Instant) -> Result<(), Duration> {
        while self.0.front().is_some_and(|at| *at + within <= now) {
            self.0.pop_front();
        }
        match self.0.front() {
            Some(first) if self.0.len() >= max => Err(*first + within - now),
            _ => {
                self.0.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = "chat.postMessage";

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_channel_takes_a_burst_and_then_one_a_second_and_the_others_are_free() {
        let (mut rates, start) = (Rates::new(1), Instant::now());
        for _ in 0..CHANNEL_BURST {
            assert_eq!(rates.judge(POST, "#a", start), Verdict::Taken);
        }
        assert_eq!(rates.judge(POST, "#a", start), Verdict::TooMany(1));
        assert_eq!(rates.judge(POST, "#b", start), Verdict::Taken);
        for n in 1..20 {
            assert_eq!(rates.judge(POST, "#a", start + seconds(n)), Verdict::Taken);
        }
    }

    #[test]
    fn the_workspace_takes_its_own_number_a_minute() {
        let (mut rates, start) = (Rates::new(1), Instant::now());
        for n in 0..WORKSPACE_A_MINUTE {
            let channel = format!("#{n}");
            assert_eq!(rates.judge(POST, &channel, start), Verdict::Taken);
        }
        assert_eq!(rates.judge(POST, "#x", start), Verdict::TooMany(60));
        assert_eq!(rates.judge(POST, "#x", start + MINUTE), Verdict::Taken);
    }

    #[test]
    fn updates_are_fifty_in_any_minute() {
        let (mut rates, start) = (Rates::new(1), Instant::now());
        for n in 0..50 {
            let at = start + Duration::from_millis(n * 100);
            assert_eq!(rates.judge("chat.update", "C1", at), Verdict::Taken);
        }
        let verdict = rates.judge("chat.update", "C2", start + seconds(6));
        assert_eq!(verdict, Verdict::TooMany(54));
        let verdict = rates.judge("chat.update", "C2", start + seconds(60));
        assert_eq!(verdict, Verdict::Taken);
    }

    #[test]
    fn an_app_that_does_not_wait_is_disabled_for_good() {
        let (mut rates, start) = (Rates::new(1), Instant::now());
        for _ in 0..CHANNEL_BURST {
            rates.judge(POST, "#a", start);
        }
        for _ in 0..=IGNORED_MAX {
            assert_eq!(rates.judge(POST, "#a", start), Verdict::TooMany(1));
        }
        rates.judge(POST, "#a", start);
        let later = start + seconds(3_600);
        assert_eq!(rates.judge(POST, "#b", later), Verdict::Disabled);
    }

    #[test]
    fn one_that_waits_as_long_as_it_was_asked_to_is_not() {
        let (mut rates, mut now) = (Rates::new(1), Instant::now());
        let mut refused = 0;
        for _ in 0..200 {
            match rates.judge(POST, "#a", now) {
                Verdict::Taken => {}
                Verdict::TooMany(wait) => {
                    refused += 1;
                    now += seconds(wait.into());
                }
                Verdict::Disabled => panic!("it has waited each time"),
            }
        }
        assert!(refused > 50, "{refused}");
    }
}
