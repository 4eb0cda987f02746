//! The mock host: scripted beforehand, run, and asked what a handler did.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::imports::Imports;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(super) slack_errors: VecDeque<Option<slack::Error>>,
    pub(super) messages: usize,
    pub(super) posts: Vec<Post>,
    pub(super) updates: Vec<Update>,
    pub(super) reactions: Vec<Reaction>,
    pub(super) kv: BTreeMap<String, (Vec<u8>, Option<Timestamp>)>,
    pub(super) kv_errors: VecDeque<kv::Error>,
    pub(super) logs: Vec<LogLine>,
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
            slack_errors: VecDeque::new(),
            messages: 0,
            posts: Vec::new(),
            updates: Vec::new(),
            reactions: Vec::new(),
            kv: BTreeMap::new(),
            kv_errors: VecDeque::new(),
            logs: Vec::new(),
        }
    }
}

impl State {
    pub(super) fn reply_to(
        &mut self,
        request: &http::Request,
    ) -> Result<http::Response, http::Error> {
        let fits =
            |route: &Route| route.method == request.method && url_fits(&route.url, &request.url);
        // The latest script counts, so that a test can change its mind between two runs.
        match self.routes.iter().rev().find(|route| fits(route)) {
            Some(route) => route.reply.0.clone(),
            None => {
                let line = format!("{} {}", method_name(request.method), request.url);
                Err(http::Error::Denied(format!(
                    "the test scripted no answer to {line}"
                )))
            }
        }
    }

    /// Returns the blocks that a message shows.
    pub(super) fn blocks_of(&self, at: &str) -> Vec<serde_json::Value> {
        let updated = self.updates.iter().rev().find(|update| update.at.0 == at);
        let posted = self.posts.iter().find(|post| post.at.0 == at);
        updated
            .map(|update| &update.blocks)
            .or(posted.map(|post| &post.blocks))
            .cloned()
            .unwrap_or_default()
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

    /// Sets which attempt it is.
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
        H::enrich(&self.cx_of(Step::Enrich), alert, so_far)
    }

    /// Runs `act`, or `resolved` where the alert has, alone.
    ///
    /// # Errors
    /// The handler's failure.
    pub fn act<H: Handler>(&self, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        run_act::<H>(&self.cx_of(Step::Act), alert, found)
    }

    /// Returns the requests that were sent, denied ones too.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Returns the messages that were posted.
    pub fn posts(&self) -> Vec<Post> {
        self.state().posts.clone()
    }

    /// Returns the changes to messages.
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
        MessageRef("mock:earlier:0".to_owned())
    }

    /// Returns the context of an `act`, for a test of a function that takes one.
    pub fn cx(&self) -> Cx {
        self.cx_of(Step::Act)
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
