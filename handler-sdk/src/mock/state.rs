//! The state of the mock host: its script, what the handler did, and the record of each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::checks;
use super::declared::Declared;
use super::replay::Replay;
use super::reply::Reply;
use super::sent::{LogLine, OpenTimer, Post, Reaction, Request, Update, Upload};
use crate::bindings::alert_manager::handler::types::Call;
use crate::bindings::alert_manager::handler::{history, http, kv, slack, timer};
use crate::http::{Method, method_name};
use crate::{Alert, Enrichment, Timestamp};

/// The step that runs; Slack is denied during `enrich`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Enrich,
    Act,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) call: Call,
    pub(super) config: BTreeMap<String, String>,
    /// The settings that the handler declares; `None` if no handler is run.
    pub(super) declared: Option<Declared>,
    pub(super) routes: Vec<Route>,
    pub(super) requests: Vec<Request>,
    pub(super) slack_denied: Option<String>,
    /// Channels that Slack rejects, with its error codes.
    pub(super) slack_held: BTreeMap<String, String>,
    /// The error of such a channel that the current step has met.
    pub(super) met_hold: Option<String>,
    /// The granted channels; `None` if all are granted.
    pub(super) channels: Option<BTreeSet<String>>,
    pub(super) credentials: Option<BTreeSet<String>>,
    pub(super) slack_errors: VecDeque<Option<slack::Error>>,
    pub(super) messages: usize,
    pub(super) posts: Vec<Post>,
    pub(super) updates: Vec<Update>,
    pub(super) reactions: Vec<Reaction>,
    pub(super) are_uploads_allowed: bool,
    pub(super) uploads: Vec<Upload>,
    pub(super) kv: BTreeMap<String, (Vec<u8>, Option<Timestamp>)>,
    pub(super) kv_errors: VecDeque<kv::Error>,
    pub(super) past: Vec<Given>,
    pub(super) history_errors: VecDeque<history::Error>,
    pub(super) timers: Vec<Set>,
    pub(super) timer_errors: VecDeque<timer::Error>,
    /// How many timers have run.
    pub(super) timers_run: u32,
    /// What the current step is given.
    pub(super) about: (Alert, Enrichment),
    pub(super) logs: Vec<LogLine>,
    /// What the host itself gives to each step, before what other handlers found.
    pub(super) given: Enrichment,
    pub(super) counts: Counts,
    /// The record of each step, by the event.
    replays: BTreeMap<(String, Step), Replay>,
    /// The event that is run.
    event: String,
}

/// The calls of one attempt.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) http: Count,
    pub(super) slack: Count,
    pub(super) kv: Count,
    pub(super) history: Count,
    pub(super) timer: Count,
    pub(super) log: Count,
}

/// A count of calls.
#[derive(Debug, Default)]
pub(super) struct Count(u32);

impl Count {
    /// Adds one; returns false if the count had reached `max`.
    pub(super) fn take(&mut self, max: u32) -> bool {
        let may = self.0 < max;
        self.0 += u32::from(may);
        may
    }
}

#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) reply: Reply,
}

/// An occurrence that a test has given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) alert: Alert,
    pub(super) starts_at: Timestamp,
    pub(super) ends_at: Option<Timestamp>,
}

/// A timer that is set.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) open: OpenTimer,
    pub(super) alert: Alert,
    pub(super) found: Enrichment,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now: Timestamp::from_seconds(1_700_000_000),
            call: Call {
                delivery_id: "d-1".to_owned(),
                attempt: 1,
                time_left_ms: 30_000,
                dry_run: false,
            },
            config: BTreeMap::new(),
            declared: None,
            routes: Vec::new(),
            requests: Vec::new(),
            slack_denied: None,
            slack_held: BTreeMap::new(),
            met_hold: None,
            channels: None,
            credentials: None,
            slack_errors: VecDeque::new(),
            messages: 0,
            posts: Vec::new(),
            updates: Vec::new(),
            reactions: Vec::new(),
            are_uploads_allowed: false,
            uploads: Vec::new(),
            kv: BTreeMap::new(),
            kv_errors: VecDeque::new(),
            past: Vec::new(),
            history_errors: VecDeque::new(),
            timers: Vec::new(),
            timer_errors: VecDeque::new(),
            timers_run: 0,
            about: (Alert::new("Test"), Enrichment::new()),
            logs: Vec::new(),
            given: Enrichment::new(),
            counts: Counts::default(),
            replays: BTreeMap::new(),
            event: String::new(),
        }
    }
}

impl State {
    /// Returns the response to a request that is made now, and its status.
    pub(super) fn reply_to(
        &self,
        request: &http::Request,
    ) -> (Result<http::Response, http::Error>, Option<u16>) {
        match self.scripted(request) {
            Err(error) => (Err(error), None),
            Ok(mut response) => {
                let status = Some(response.status);
                if request.method == Method::Head {
                    response.body.clear();
                }
                if response.body.len() > checks::RESPONSE_BYTES_MAX as usize {
                    return (
                        Err(http::Error::TooLarge(checks::RESPONSE_BYTES_MAX)),
                        status,
                    );
                }
                (Ok(response), status)
            }
        }
    }

    fn scripted(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        checks::request(request).map_err(http::Error::InvalidRequest)?;
        let fits =
            |route: &Route| route.method == request.method && url_fits(&route.url, &request.url);
        // The latest script is used, so that a test can replace one between two runs.
        let Some(route) = self.routes.iter().rev().find(|route| fits(route)) else {
            let line = format!("{} {}", method_name(request.method), request.url);
            return Err(http::Error::Denied(format!(
                "the test scripted no answer to {line}"
            )));
        };
        if let (Some(granted), Some(credential)) = (&self.credentials, &request.credential)
            && !granted.contains(credential)
        {
            return Err(http::Error::Denied(format!(
                "the test does not grant the credential {credential}"
            )));
        }
        checks::headers(&request.headers).map_err(http::Error::InvalidRequest)?;
        route.reply.0.clone()
    }

    /// Returns the record of a step.
    pub(super) fn replay(&mut self, step: Step) -> &mut Replay {
        let record = self.replays.entry((self.event.clone(), step));
        record.or_default()
    }

    /// Returns the time for a step: as on the real host, the recorded time as long as effects are left to replay.
    pub(super) fn clock(&mut self, step: Step) -> Timestamp {
        let now = self.now;
        let replay = self.replay(step);
        replay.clock().unwrap_or_else(|| replay.latest().max(now))
    }

    /// Begins an attempt of a step for an event; the first attempt of an event has no record.
    pub(super) fn begin(&mut self, step: Step, event: String) {
        if self.call.attempt <= 1 {
            self.replays.remove(&(event.clone(), step));
        }
        self.event = event;
        self.counts = Counts::default();
        self.replay(step).begin();
    }

    /// Denies a channel that is not granted.
    pub(super) fn check_channel(&self, channel: &str) -> Result<(), slack::Error> {
        if let Some(grant) = &self.slack_denied {
            return Err(slack::Error::Denied(grant.clone()));
        }
        match &self.channels {
            Some(granted) if !granted.contains(channel) => Err(slack::Error::Denied(format!(
                "handlers.NAME.allow.slack: [{channel}]"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the channel of a message; `None` for a message of an earlier delivery, which fits every channel.
    pub(super) fn channel_of(&self, at: &str) -> Result<Option<String>, slack::Error> {
        if at == EARLIER_MESSAGE {
            return Ok(None);
        }
        let posted = self.posts.iter().find(|post| post.at.0 == at);
        posted
            .map(|post| Some(post.channel.clone()))
            .ok_or(slack::Error::NotFound)
    }

    /// Returns the next scripted error, or the error of a channel that Slack rejects.
    pub(super) fn next_slack_error(&mut self, channel: Option<&str>) -> Result<(), slack::Error> {
        if let Some((channel, code)) = channel.and_then(|name| self.slack_held.get_key_value(name))
        {
            let why = format!("Slack refuses the channel {channel}: {code}");
            self.met_hold = Some(why.clone());
            return Err(slack::Error::Unavailable(why));
        }
        match self.slack_errors.pop_front().flatten() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Sets a value if the quota allows it.
    pub(super) fn kv_put_within(
        &mut self,
        key: &str,
        value: &[u8],
        ttl_seconds: Option<u32>,
    ) -> Result<(), kv::Error> {
        let others = self.kv.iter().filter(|(known, (_, ends_at))| {
            *known != key && ends_at.is_none_or(|ends_at| self.now < ends_at)
        });
        let (keys, bytes) = others.fold(
            (1, key.len() + value.len()),
            |(keys, bytes), (k, (v, _))| (keys + 1, bytes + k.len() + v.len()),
        );
        if keys > checks::KV_KEYS_MAX || bytes > checks::KV_BYTES_MAX {
            return Err(kv::Error::QuotaExceeded);
        }
        self.kv_put(key, value, ttl_seconds);
        Ok(())
    }

    pub(super) fn kv_live(&self, key: &str) -> Option<Vec<u8>> {
        let (value, ends_at) = self.kv.get(key)?;
        ends_at
            .is_none_or(|ends_at| self.now < ends_at)
            .then(|| value.clone())
    }

    pub(super) fn kv_put(&mut self, key: &str, value: &[u8], ttl_seconds: Option<u32>) {
        let ends_at = ttl_seconds.map(|seconds| self.now.plus(Duration::from_secs(seconds.into())));
        self.kv.insert(key.to_owned(), (value.to_vec(), ends_at));
    }
}

/// A reference that no post of this host returns.
pub(super) const EARLIER_MESSAGE: &str = "mock:earlier:0";

/// Returns whether a URL matches a pattern: `*` matches any text; a pattern without one must be equal.
fn url_fits(pattern: &str, url: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == url,
        Some((start, rest)) => url.strip_prefix(start).is_some_and(|url| {
            url.char_indices()
                .map(|(at, _)| at)
                .chain([url.len()])
                .any(|at| url_fits(rest, &url[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::url_fits;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, url) in [
            ("a", "a"),
            ("a*", "a"),
            ("*", ""),
            ("a*c*e", "abcde"),
            ("*/pods/*", "https://k/pods/x"),
        ] {
            assert!(url_fits(pattern, url), "{pattern} {url}");
        }
        for (pattern, url) in [("a", "ab"), ("a*c", "abd"), ("*b", "abc"), ("", "a")] {
            assert!(!url_fits(pattern, url), "{pattern} {url}");
        }
    }
}
