//! The mock host: scripted beforehand, run, and asked what a handler did.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::checks;
use super::imports::Imports;
use super::replay::Replay;
use super::reply::Reply;
use super::sent::{LogLine, Post, Reaction, Request, Update};
use crate::bindings::alert_manager::handler::types::Call;
use crate::bindings::alert_manager::handler::{http, kv, slack};
use crate::handler::run_act;
use crate::http::{Method, method_name};
use crate::slack::MessageRef;
use crate::{Alert, Cx, Enrichment, Facts, Failure, Handler, Timestamp};

/// A host made of memory.
///
/// Its builder methods take and return it, so that a script reads from the top; a clone is another handle
/// to the same host, which lets a test script more between two runs.
#[derive(Debug, Clone, Default)]
pub struct Host {
    state: Rc<RefCell<State>>,
}

/// Which step runs: Slack is denied in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Enrich,
    Act,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Timestamp,
    call: Call,
    pub(super) config: BTreeMap<String, String>,
    routes: Vec<Route>,
    pub(super) requests: Vec<Request>,
    pub(super) slack_denied: Option<String>,
    /// Channels that Slack refuses, and its codes.
    slack_held: BTreeMap<String, String>,
    /// What the step has met of them.
    met_hold: Option<String>,
    /// Granted; absent if all are.
    channels: Option<BTreeSet<String>>,
    credentials: Option<BTreeSet<String>>,
    pub(super) slack_errors: VecDeque<Option<slack::Error>>,
    pub(super) messages: usize,
    pub(super) posts: Vec<Post>,
    pub(super) updates: Vec<Update>,
    pub(super) reactions: Vec<Reaction>,
    pub(super) kv: BTreeMap<String, (Vec<u8>, Option<Timestamp>)>,
    pub(super) kv_errors: VecDeque<kv::Error>,
    pub(super) logs: Vec<LogLine>,
    pub(super) counts: Counts,
    /// The record of each step of the event that runs now.
    replays: BTreeMap<Step, Replay>,
    event: String,
}

/// Calls of one attempt.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) http: Count,
    pub(super) slack: Count,
    pub(super) kv: Count,
    pub(super) log: Count,
}

/// How many there were so far.
#[derive(Debug, Default)]
pub(super) struct Count(u32);

impl Count {
    /// Counts one more; false if there were as many already.
    pub(super) fn take(&mut self, max: u32) -> bool {
        let may = self.0 < max;
        self.0 += u32::from(may);
        may
    }
}

#[derive(Debug)]
struct Route {
    method: Method,
    url: String,
    reply: Reply,
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
            kv: BTreeMap::new(),
            kv_errors: VecDeque::new(),
            logs: Vec::new(),
            counts: Counts::default(),
            replays: BTreeMap::new(),
            event: String::new(),
        }
    }
}

impl State {
    /// Returns the answer to a request that is made now, and the status that came with it.
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
        // The latest script counts, so that a test can change its mind between two runs.
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
        self.replays.entry(step).or_default()
    }

    /// Returns the time that a step is told: as on the real host that of its record while effects are left to replay.
    pub(super) fn clock(&mut self, step: Step) -> Timestamp {
        let now = self.now;
        let replay = self.replay(step);
        replay.clock().unwrap_or_else(|| replay.latest().max(now))
    }

    /// Begins an attempt of a step for an event: the first of an event has no record.
    fn begin(&mut self, step: Step, event: String) {
        if self.event != event {
            self.replays.clear();
            self.event = event;
        }
        if self.call.attempt <= 1 {
            self.replays.remove(&step);
        }
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

    /// Returns the channel of a message; none of an earlier delivery's, which is in whatever channel it is needed in.
    pub(super) fn channel_of(&self, at: &str) -> Result<Option<String>, slack::Error> {
        if at == EARLIER_MESSAGE {
            return Ok(None);
        }
        let posted = self.posts.iter().find(|post| post.at.0 == at);
        posted
            .map(|post| Some(post.channel.clone()))
            .ok_or(slack::Error::NotFound)
    }

    /// Takes the next scripted error, unless the channel is held.
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

    /// Keeps a value within the quota.
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

/// Names a message that no post of this host returns.
const EARLIER_MESSAGE: &str = "mock:earlier:0";

/// A `*` stands for any text; without one the whole URL must be the same.
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

impl Host {
    /// Returns a host that grants Slack and kv, answers no request, and has no settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time.
    #[must_use]
    pub fn now(self, now: Timestamp) -> Self {
        self.with(|state| state.now = now)
    }

    /// Sets which attempt it is. As on the real host a later one of the same alert is answered from the record of those
    /// before it, up to the last effect that succeeded: what was posted is not posted again, and until then the time is what
    /// it was. A host that has run nothing of the alert has no record.
    #[must_use]
    pub fn attempt(self, attempt: u32) -> Self {
        self.with(|state| state.call.attempt = attempt)
    }

    /// Sets one of the operator's settings.
    #[must_use]
    pub fn config(self, key: &str, value: impl Into<String>) -> Self {
        self.with(|state| {
            state.config.insert(key.to_owned(), value.into());
        })
    }

    /// Scripts the answer to a GET request; a `*` in the URL stands for any text.
    #[must_use]
    pub fn http_get(self, url: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        self.http(Method::Get, url, Reply::status(status, body))
    }

    /// Scripts the answer to a request; a `*` in the URL stands for any text. Of several that fit, the one
    /// that was scripted last counts. What nothing fits is denied.
    #[must_use]
    pub fn http(self, method: Method, url: &str, reply: Reply) -> Self {
        self.with(|state| {
            state.routes.push(Route {
                method,
                url: url.to_owned(),
                reply,
            });
        })
    }

    /// Denies Slack altogether.
    #[must_use]
    pub fn deny_slack(self) -> Self {
        self.with(|state| {
            state.slack_denied = Some("handlers.NAME.allow.slack: [CHANNEL]".to_owned());
        })
    }

    /// Grants these channels alone; without this, all are granted.
    #[must_use]
    pub fn channels<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::to_owned).collect();
        self.with(|state| state.channels = Some(names))
    }

    /// Grants these credentials alone; without this, all are granted.
    #[must_use]
    pub fn credentials<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::to_owned).collect();
        self.with(|state| state.credentials = Some(names))
    }

    /// Lets Slack refuse a channel, as with `not_in_channel`, until the operator mends it.
    ///
    /// As on the real host the call is unavailable, and an `act` that then fails, whatever its failure says, is one that
    /// waits for the channel.
    #[must_use]
    pub fn hold_channel(self, channel: &str, code: &str) -> Self {
        self.with(|state| {
            state.slack_held.insert(channel.to_owned(), code.to_owned());
        })
    }

    /// Lets the operator mend what [`hold_channel`](Self::hold_channel) refuses.
    #[must_use]
    pub fn release_channel(self, channel: &str) -> Self {
        self.with(|state| {
            state.slack_held.remove(channel);
        })
    }

    /// Lets the next call to Slack fail, and so on in the order of the script.
    #[must_use]
    pub fn slack_error(self, error: crate::slack::Error) -> Self {
        self.slack_error_after(0, error)
    }

    /// Lets so many calls to Slack succeed that no error is scripted for yet, and then one fail.
    #[must_use]
    pub fn slack_error_after(self, calls: usize, error: crate::slack::Error) -> Self {
        use crate::slack::Error;
        let error = match error {
            Error::Denied(grant) => slack::Error::Denied(grant),
            Error::Invalid(why) => slack::Error::Invalid(why),
            Error::NotFound => slack::Error::NotFound,
            Error::RateLimited(wait) => {
                slack::Error::RateLimited(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))
            }
            Error::Unavailable(why) => slack::Error::Unavailable(why),
            Error::Timeout => slack::Error::Timeout,
            Error::BudgetExhausted(limit) => slack::Error::BudgetExhausted(limit),
        };
        self.with(|state| {
            state.slack_errors.extend(std::iter::repeat_n(None, calls));
            state.slack_errors.push_back(Some(error));
        })
    }

    /// Lets the next call to kv fail, and so on in the order of the script.
    #[must_use]
    pub fn kv_error(self, error: crate::kv::Error) -> Self {
        self.with(|state| state.kv_errors.push_back(error))
    }

    /// Keeps a value, as an earlier delivery of the handler might have.
    #[must_use]
    pub fn kv(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(|state| state.kv_put(key, value.as_ref(), None))
    }

    /// Runs the whole way of an alert: `enrich`, then `act` with what it found.
    ///
    /// As on the real host a failed `enrich` holds nothing back: `act` is given the fact
    /// `enrich_failed.NAME`.
    pub fn run<H: Handler>(&self, alert: &Alert) -> Run {
        self.run_after::<H>(alert, &Enrichment::new())
    }

    /// Runs the whole way of an alert after other handlers have found something.
    pub fn run_after<H: Handler>(&self, alert: &Alert, so_far: &Enrichment) -> Run {
        let enrichment = self.enrich::<H>(alert, so_far);
        let mut found = so_far.clone();
        match &enrichment {
            Ok(added) => {
                for (name, value) in &added.facts {
                    found = found.with_fact(name, value);
                }
                found.blocks.extend(added.blocks.iter().cloned());
            }
            Err(failure) => {
                found = found.with_fact(
                    format!("enrich_failed.{}", H::describe().name),
                    failure.message(),
                );
            }
        }
        let result = self.act::<H>(alert, &found);
        Run { enrichment, result }
    }

    /// Runs `enrich` alone.
    ///
    /// # Errors
    /// The handler's failure.
    pub fn enrich<H: Handler>(
        &self,
        alert: &Alert,
        so_far: &Enrichment,
    ) -> Result<Enrichment, Failure> {
        self.begin(Step::Enrich, alert);
        H::enrich(&self.cx_of(Step::Enrich), alert, so_far)
    }

    /// Runs `act`, or `resolved` where the alert has, alone.
    ///
    /// # Errors
    /// The handler's failure.
    pub fn act<H: Handler>(&self, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        self.begin(Step::Act, alert);
        self.state().met_hold = None;
        let result = run_act::<H>(&self.cx_of(Step::Act), alert, found);
        match self.state().met_hold.take() {
            Some(why) if result.is_err() => Err(Failure::unavailable(why)),
            _ => result,
        }
    }

    /// Returns the requests that were sent, denied ones too.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Returns the messages that were posted.
    pub fn posts(&self) -> Vec<Post> {
        self.state().posts.clone()
    }

    /// Returns the changes to messages, with the blocks that then stand there.
    pub fn updates(&self) -> Vec<Update> {
        self.state().updates.clone()
    }

    /// Returns the emoji that were added.
    pub fn reactions(&self) -> Vec<Reaction> {
        self.state().reactions.clone()
    }

    /// Returns the lines that were logged.
    pub fn logs(&self) -> Vec<LogLine> {
        self.state().logs.clone()
    }

    /// Returns a kept value as text, unless it is past its time.
    pub fn kept(&self, key: &str) -> Option<String> {
        self.state()
            .kv_live(key)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the keys with a value, sorted, those past their time too.
    pub fn kept_keys(&self) -> Vec<String> {
        self.state().kv.keys().cloned().collect()
    }

    /// Returns a reference that no post of this host returns, for a message of an earlier delivery.
    pub fn earlier_message(&self) -> MessageRef {
        MessageRef(EARLIER_MESSAGE.to_owned())
    }

    /// Returns the context of an `act`, for a test of a function that takes one.
    pub fn cx(&self) -> Cx {
        self.cx_of(Step::Act)
    }

    fn begin(&self, step: Step, alert: &Alert) {
        let event = format!(
            "{} {:?} {:?}",
            alert.fingerprint, alert.starts_at, alert.status
        );
        self.state().begin(step, event);
    }

    fn cx_of(&self, step: Step) -> Cx {
        Cx::new(
            self.state().call.clone(),
            Imports {
                host: self.clone(),
                step,
            },
        )
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state());
        self
    }
}

/// What a handler's two steps returned.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What `enrich` added, or why it failed.
    pub enrichment: Result<Enrichment, Failure>,
    /// What `act` or `resolved` returned.
    pub result: Result<Facts, Failure>,
}

impl Run {
    /// Returns the facts of `act`.
    ///
    /// # Panics
    /// Where it failed.
    #[track_caller]
    pub fn facts(&self) -> &Facts {
        match &self.result {
            Ok(facts) => facts,
            Err(failure) => panic!("`act` failed: {failure:?}"),
        }
    }

    /// Returns the failure of `act`.
    ///
    /// # Panics
    /// Where it did not fail.
    #[track_caller]
    pub fn failure(&self) -> &Failure {
        match &self.result {
            Ok(facts) => panic!("`act` succeeded: {facts:?}"),
            Err(failure) => failure,
        }
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
