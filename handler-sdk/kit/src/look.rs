//! What a handler asks: the alert, and the servers of its cluster.

use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;

use handler_sdk::http::Response;
use handler_sdk::prelude::*;
use handler_sdk::subject::Subject;

use crate::missing::{Missing, NotFetched, Unread};
use crate::name::Name;
use crate::settings::{self, Origin, Settings};

const KUBERNETES: &str = "Kubernetes";
const PROMETHEUS: &str = "Prometheus";

const TIMEOUT_MIN: Duration = Duration::from_millis(250);
const TIMEOUT_MAX: Duration = Duration::from_secs(3);

/// One look at the world around an alert: its subject, the API server and the Prometheus server of its cluster.
///
/// A read that fails is noted, with the reason, and the message says so: the handler only gets `None` or an empty list. After
/// a failure that further requests would share (unreachable, not granted, credential refused), none is made. If the first
/// request to a server fails for a transient reason, the step is tried once more.
///
/// For an alert with a label `cluster`, only the servers that are configured for that cluster are asked: facts about the wrong
/// cluster would be worse than none.
#[derive(Debug)]
pub struct Look<'a> {
    cx: &'a Cx,
    alert: &'a Alert,
    pub(crate) settings: Settings,
    missing: Missing,
    /// Each is known once it is asked: a handler declares only the settings of those that it asks.
    kubernetes: OnceCell<Server>,
    prometheus: OnceCell<Server>,
    calls: Calls,
    /// The failure of the first request to a server, if a retry may succeed.
    first_failure: RefCell<Option<Failure>>,
}

/// The requests of one look. Each gets an equal share of the step's time, because the clock does not advance within a step,
/// so a handler cannot find out how much time is left.
#[derive(Debug)]
struct Calls {
    max: u32,
    made: Cell<u32>,
    share: Duration,
}

/// A server, as far as it is known.
#[derive(Debug)]
pub(crate) struct Server {
    /// What it is called in messages: `the API server`.
    called: &'static str,
    /// [`KUBERNETES`] or [`PROMETHEUS`].
    system: &'static str,
    /// The line of the log if there is no server to ask.
    not_asked: &'static str,
    origin: Result<Origin, String>,
    /// True if a request has been made.
    is_asked: Cell<bool>,
    /// Why no more requests are made.
    over: RefCell<Option<String>>,
}

impl Server {
    fn new(
        (system, called): (&'static str, &'static str),
        not_asked: &'static str,
        origin: Result<Origin, String>,
    ) -> Self {
        Self {
            called,
            system,
            not_asked,
            origin,
            is_asked: Cell::new(false),
            over: RefCell::new(None),
        }
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref().ok()
    }
}

impl<'a> Look<'a> {
    /// Returns a look that makes at most `calls_max` requests, of a handler that has the setting `logs` or not.
    pub(crate) fn new(cx: &'a Cx, alert: &'a Alert, (calls_max, has_logs): (u32, bool)) -> Self {
        Self::with(cx, alert, calls_max, Settings::read(cx, has_logs))
    }

    fn with(cx: &'a Cx, alert: &'a Alert, calls_max: u32, settings: Settings) -> Self {
        for complaint in &settings.complaints {
            cx.log().warn(complaint, &[]);
        }
        // The first request, on which everything depends, has twice the time of any other.
        let share = cx.call().time_left() / calls_max.saturating_add(1);
        Self {
            cx,
            alert,
            settings,
            missing: Missing::default(),
            kubernetes: OnceCell::new(),
            prometheus: OnceCell::new(),
            calls: Calls {
                max: calls_max,
                made: Cell::new(0),
                share: share.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            },
            first_failure: RefCell::new(None),
        }
    }

    /// Finds out what a handler that only enriches adds: runs `find`, which makes at most `calls_max` requests, and adds the
    /// fact `not_fetched.HANDLER` with what could not be read.
    ///
    /// # Errors
    /// Returns the failure of `find`, or a transient failure of the first request to a server, on the first attempt.
    pub fn enrich(
        cx: &'a Cx,
        alert: &'a Alert,
        (handler, calls_max): (&str, u32),
        find: impl FnOnce(&Self) -> Result<Enrichment, Failure>,
    ) -> Result<Enrichment, Failure> {
        let look = Self::with(cx, alert, calls_max, Settings::none());
        let found = find(&look)?;
        let missing = crate::missing::in_words(&look.into_missing()?);
        Ok(match missing.is_empty() {
            true => found,
            false => found.with_fact(format!("not_fetched.{handler}"), missing.join("; ")),
        })
    }

    /// Returns the context: its log, the key-value store, the alert's history.
    pub const fn cx(&self) -> &'a Cx {
        self.cx
    }

    /// Returns the alert.
    pub const fn alert(&self) -> &'a Alert {
        self.alert
    }

    /// Returns the time of this step, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.cx.now().seconds
    }

    /// Returns the subject of the alert.
    pub fn subject(&self) -> Subject<'a> {
        self.alert.subject()
    }

    /// Returns a label of the alert's subject: `exported_pod` before `pod`; `None` if it is missing or the exporter's own.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.subject().label(name)
    }

    /// Returns the alert's summary, unless it describes the exporter instead of the subject.
    pub fn summary(&self) -> Option<&'a str> {
        let subject = self.subject();
        self.alert.summary().filter(|text| !subject.is_misled(text))
    }

    /// Returns a label of the subject as a name of Kubernetes. If it is missing or no such name, that is noted.
    pub fn name(&self, label: &str) -> Option<Name> {
        let name = match self.label(label) {
            None => Err(format!("the alert has no label `{label}`")),
            Some(text) => Name::of(text)
                .ok_or_else(|| format!("the label `{label}` is no name of Kubernetes")),
        };
        name.map_err(|why| self.not_asked(self.kubernetes_server(), &why))
            .ok()
    }

    /// Notes that something is missing, for a reason that no read gives.
    pub fn missing(&self, what: &str, why: &str) {
        self.missing.note(what, why);
    }

    /// Notes what is missing for the same reason as the last read that failed, since it depends on that read.
    pub fn missing_too<'w>(&self, whats: impl IntoIterator<Item = &'w str>) {
        let last = self.missing.last();
        // If there is no server to ask, that has been said of all.
        let is_of_read = |what: &str| ![KUBERNETES, PROMETHEUS].contains(&what);
        if let Some(last) = last.filter(|last| is_of_read(&last.what)) {
            for what in whats {
                self.missing.note(what, &last.why);
            }
        }
    }

    pub(crate) fn kubernetes_server(&self) -> &Server {
        self.kubernetes.get_or_init(|| {
            Server::new(
                (KUBERNETES, "the API server"),
                "Kubernetes was not asked",
                settings::kubernetes(self.cx, self.alert),
            )
        })
    }

    pub(crate) fn prometheus_server(&self) -> &Server {
        self.prometheus.get_or_init(|| {
            Server::new(
                (PROMETHEUS, "Prometheus"),
                "Prometheus was not asked",
                settings::prometheus(self.cx, self.alert),
            )
        })
    }

    /// Returns the list of what was not fetched.
    ///
    /// # Errors
    /// Returns a transient failure of the first request to a server, on the first attempt: another one may get an answer.
    pub(crate) fn into_missing(self) -> Result<Vec<NotFetched>, Failure> {
        match self.first_failure.into_inner() {
            Some(failure) if self.cx.call().attempt <= 1 => Err(failure),
            _ => Ok(self.missing.into_list()),
        }
    }

    /// Sends a GET request. `path` has only encoded text.
    pub(crate) fn get(
        &self,
        server: &Server,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response, Unread> {
        if let Some(why) = server.over.borrow().as_deref() {
            return Err(Unread::because(why));
        }
        let origin = match &server.origin {
            Ok(origin) => origin,
            Err(why) => {
                self.not_asked(server, why);
                return Err(Unread::silent());
            }
        };
        if self.calls.made.get() >= self.calls.max {
            let why = format!("the limit of {} requests is used up", self.calls.max);
            return Err(Unread::because(why));
        }
        self.calls.made.set(self.calls.made.get() + 1);
        let is_first = !server.is_asked.replace(true);
        let share = self.calls.share;
        let mut request = self
            .cx
            .http()
            .get(format!("{}{path}", origin.url))
            .timeout(if is_first { share * 2 } else { share });
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(credential) = &origin.credential {
            request = request.credential(credential);
        }
        let answer = request.send().and_then(Response::error_for_status);
        answer.map_err(|error| {
            let unread = self.unread(server, error);
            if unread.ends_all {
                *server.over.borrow_mut() = Some(unread.why.clone());
            }
            if is_first && unread.is_transient() {
                *self.first_failure.borrow_mut() = Some(unread.failure.clone());
            }
            unread
        })
    }

    /// Notes and logs, once for each reason, that a server is not asked.
    fn not_asked(&self, server: &Server, why: &str) {
        if self.missing.note(server.system, why) {
            self.cx.log().warn(server.not_asked, &[("why", &why)]);
        }
    }

    /// Returns why a server's answer is of no use.
    pub(crate) fn unread(&self, server: &Server, error: handler_sdk::http::Error) -> Unread {
        Unread::of(error, server.system, server.called)
    }

    /// Returns what was read; notes why not, for the message, and logs what the credential needs to be allowed.
    pub(crate) fn noted<T>(&self, what: &str, needs: &str, read: Result<T, Unread>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(unread) => {
                if !unread.why.is_empty() {
                    self.missing.note(what, &unread.why);
                }
                if unread.is_of_request {
                    let why = unread.failure.message();
                    let fields: [(&str, &dyn std::fmt::Display); 3] =
                        [("what", &what), ("why", &why), ("needs", &needs)];
                    self.cx.log().warn("not fetched", &fields);
                }
                None
            }
        }
    }
}
