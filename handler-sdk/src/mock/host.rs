//! The mock host: a test scripts it, runs a handler, and reads what the handler did.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use super::checks;
use super::declared::Declared;
use super::imports::MockImports;
use super::reply::Reply;
use super::sent::{LogLine, Post, Reaction, Request, Update, Upload};
use super::state::{EARLIER_MESSAGE, Route, State, Step};
use crate::bindings::alert_manager::handler::slack;
use crate::handler::run_act;
use crate::http::Method;
use crate::slack::MessageRef;
use crate::{Alert, Cx, Enrichment, Facts, Failure, Handler, Timestamp};

/// A mock host in memory.
///
/// Its builder methods take and return it, so that a script reads from top to bottom. A clone refers to the same host,
/// which lets a test add to the script between two runs.
#[derive(Debug, Clone, Default)]
pub struct Host {
    state: Rc<RefCell<State>>,
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

    /// Sets the number of the attempt. As on the real host, a later attempt for the same alert is answered from the record of
    /// the earlier ones, up to the last effect that succeeded: a message is not posted again, and until then the time is the
    /// recorded one. A host that has not run the alert before has no record.
    #[must_use]
    pub fn attempt(self, attempt: u32) -> Self {
        self.with(|state| state.call.attempt = attempt)
    }

    /// Begins another delivery with this id; by default all runs are the delivery `d-1`. A reminder and a resolved alert are
    /// deliveries of their own.
    #[must_use]
    pub fn delivery(self, id: &str) -> Self {
        self.with(|state| {
            state.call.delivery_id = id.to_owned();
            state.call.attempt = 1;
        })
    }

    /// Sets a setting of the operator.
    #[must_use]
    pub fn config(self, key: &str, value: impl Into<String>) -> Self {
        self.with(|state| {
            state.config.insert(key.to_owned(), value.into());
        })
    }

    /// Scripts the response to a GET request; a `*` in the URL matches any text.
    #[must_use]
    pub fn http_get(self, url: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        self.http(Method::Get, url, Reply::status(status, body))
    }

    /// Scripts the response to a request; a `*` in the URL matches any text. If several scripts match, the latest is used.
    /// A request that matches none is denied.
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

    /// Denies all calls to Slack.
    #[must_use]
    pub fn deny_slack(self) -> Self {
        self.with(|state| {
            state.slack_denied = Some("handlers.NAME.allow.slack: [CHANNEL]".to_owned());
        })
    }

    /// Grants only these channels; by default all are granted.
    #[must_use]
    pub fn channels<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::to_owned).collect();
        self.with(|state| state.channels = Some(names))
    }

    /// Grants only these credentials; by default all are granted.
    #[must_use]
    pub fn credentials<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::to_owned).collect();
        self.with(|state| state.credentials = Some(names))
    }

    /// Takes uploads, as a later server will. By default each is answered with [`Error::Unavailable`], as by a server of this
    /// version.
    ///
    /// [`Error::Unavailable`]: crate::slack::Error::Unavailable
    #[must_use]
    pub fn allow_uploads(self) -> Self {
        self.with(|state| state.are_uploads_allowed = true)
    }

    /// Makes Slack reject a channel until [`release_channel`](Self::release_channel), for example with `not_in_channel`.
    ///
    /// As on the real host, the call returns unavailable, and an `act` that then fails, with whatever kind of failure,
    /// waits for the channel.
    #[must_use]
    pub fn hold_channel(self, channel: &str, code: &str) -> Self {
        self.with(|state| {
            state.slack_held.insert(channel.to_owned(), code.to_owned());
        })
    }

    /// Ends the rejection that [`hold_channel`](Self::hold_channel) began, as if the operator had fixed its cause.
    #[must_use]
    pub fn release_channel(self, channel: &str) -> Self {
        self.with(|state| {
            state.slack_held.remove(channel);
        })
    }

    /// Makes the next call to Slack fail; repeated calls script the calls after it, in order.
    #[must_use]
    pub fn slack_error(self, error: crate::slack::Error) -> Self {
        self.slack_error_after(0, error)
    }

    /// Makes a call to Slack fail after so many that succeed, counted after those that are scripted already.
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

    /// Makes the next call to kv fail; repeated calls script the calls after it, in order.
    #[must_use]
    pub fn kv_error(self, error: crate::kv::Error) -> Self {
        self.with(|state| state.kv_errors.push_back(error))
    }

    /// Sets a value, as an earlier delivery of the handler could have done.
    #[must_use]
    pub fn kv(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(|state| state.kv_put(key, value.as_ref(), None))
    }

    /// Runs the handler for an alert: `enrich`, then `act` with what `enrich` found.
    ///
    /// As on the real host, a failed `enrich` does not stop the alert: `act` gets the fact `enrich_failed.NAME`.
    pub fn run<H: Handler>(&self, alert: &Alert) -> Run {
        self.run_after::<H>(alert, &Enrichment::new())
    }

    /// Runs the handler for an alert after other handlers have found something.
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

    /// Runs only `enrich`.
    ///
    /// # Errors
    /// The handler's failure.
    ///
    /// # Panics
    /// Panics at facts that the host refuses.
    pub fn enrich<H: Handler>(
        &self,
        alert: &Alert,
        so_far: &Enrichment,
    ) -> Result<Enrichment, Failure> {
        let so_far = self.with_given(so_far);
        self.begin::<H>(Step::Enrich, alert, &so_far);
        let added = H::enrich(&self.cx_of(Step::Enrich), alert, &so_far);
        if let Ok(added) = &added
            && let Err(why) = checks::facts(&added.facts)
        {
            panic!("the host refuses what `enrich` returned: {why}");
        }
        added
    }

    /// Runs only `act`, or `resolved` if the alert has resolved. As on the real host, facts with the host's names are dropped.
    ///
    /// # Errors
    /// The handler's failure.
    ///
    /// # Panics
    /// Panics at facts that the host refuses.
    pub fn act<H: Handler>(&self, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        let found = self.with_given(found);
        self.begin::<H>(Step::Act, alert, &found);
        self.state().met_hold = None;
        let result = run_act::<H>(&self.cx_of(Step::Act), alert, &found);
        let result = result.map(|facts| checks::without_hosts(facts.into_labels()));
        if let Ok(facts) = &result
            && let Err(why) = checks::facts(facts)
        {
            panic!("the host refuses what `act` returned: {why}");
        }
        let result = result.map(Facts::from_iter);
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

    /// Returns the changes to messages, with the blocks after each change.
    pub fn updates(&self) -> Vec<Update> {
        self.state().updates.clone()
    }

    /// Returns the emoji that were added.
    pub fn reactions(&self) -> Vec<Reaction> {
        self.state().reactions.clone()
    }

    /// Returns the files that were uploaded, which takes [`Host::allow_uploads`].
    pub fn uploads(&self) -> Vec<Upload> {
        self.state().uploads.clone()
    }

    /// Returns the lines that were logged.
    pub fn logs(&self) -> Vec<LogLine> {
        self.state().logs.clone()
    }

    /// Returns a stored value as text; `None` if it has expired.
    pub fn kept(&self, key: &str) -> Option<String> {
        self.state()
            .kv_live(key)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the keys that have a value, sorted, including expired ones.
    pub fn kept_keys(&self) -> Vec<String> {
        self.state().kv.keys().cloned().collect()
    }

    /// Returns a reference for a message of an earlier delivery, which no post of this host returns.
    pub fn earlier_message(&self) -> MessageRef {
        MessageRef(EARLIER_MESSAGE.to_owned())
    }

    /// Returns the context of an `act`, to test a function that takes one.
    pub fn cx(&self) -> Cx {
        self.cx_of(Step::Act)
    }

    /// Returns what the host gives, and after it what handlers found.
    fn with_given(&self, found: &Enrichment) -> Enrichment {
        let mut all = self.state().given.clone();
        for (name, value) in &found.facts {
            all = all.with_fact(name, value);
        }
        all.blocks.extend(found.blocks.iter().cloned());
        all
    }

    pub(super) fn begin<H: Handler>(&self, step: Step, alert: &Alert, found: &Enrichment) {
        self.state().declared = Some(Declared::of(&H::describe()));
        self.begin_for(step, alert, found);
    }

    /// Begins a step that runs no handler.
    pub(super) fn begin_for(&self, step: Step, alert: &Alert, found: &Enrichment) {
        let mut state = self.state();
        state.about = (alert.clone(), found.clone());
        let event = format!(
            "{} {} {:?} {:?}",
            state.call.delivery_id, alert.fingerprint, alert.starts_at, alert.status
        );
        state.begin(step, event);
    }

    pub(super) fn cx_of(&self, step: Step) -> Cx {
        let imports = MockImports::new(Rc::clone(&self.state), step);
        Cx::new(self.state().call.clone(), Box::new(imports))
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state());
        self
    }
}

/// The results of a handler's two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What `enrich` added, or its failure.
    pub enrichment: Result<Enrichment, Failure>,
    /// What `act` or `resolved` returned.
    pub result: Result<Facts, Failure>,
}

impl Run {
    /// Returns the facts of `act`.
    ///
    /// # Panics
    /// Panics if it failed.
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
    /// Panics if it did not fail.
    #[track_caller]
    pub fn failure(&self) -> &Failure {
        match &self.result {
            Ok(facts) => panic!("`act` succeeded: {facts:?}"),
            Err(failure) => failure,
        }
    }
}
