//! What could not be fetched, and why.

use std::cell::RefCell;

use handler_sdk::http::{Error, ErrorKind};
use handler_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Something that was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotFetched {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// The list of what was not fetched. Reads add to it by themselves.
#[derive(Debug, Default)]
pub(crate) struct Missing(RefCell<Vec<NotFetched>>);

impl Missing {
    /// Adds to the list, each pair once. Returns whether it is new.
    pub(crate) fn note(&self, what: &str, why: &str) -> bool {
        let new = NotFetched {
            what: what.to_owned(),
            why: why.to_owned(),
        };
        let mut list = self.0.borrow_mut();
        let is_new = !list.contains(&new);
        if is_new {
            list.push(new);
        }
        is_new
    }

    /// Returns what was noted last.
    pub(crate) fn last(&self) -> Option<NotFetched> {
        self.0.borrow().last().cloned()
    }

    pub(crate) fn into_list(self) -> Vec<NotFetched> {
        self.0.into_inner()
    }
}

/// Returns what was not fetched, grouped by the reason: `log, events: forbidden (403)`.
pub(crate) fn in_words(missing: &[NotFetched]) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for NotFetched { what, why } in missing {
        match groups.iter_mut().find(|(known, _)| known == why) {
            Some((_, whats)) => whats.push(what),
            None => groups.push((why, vec![what])),
        }
    }
    groups
        .into_iter()
        .map(|(why, whats)| format!("{}: {why}", whats.join(", ")))
        .collect()
}

/// The error of a read.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    /// A short reason for the message: `forbidden (403)`.
    pub(crate) why: String,
    pub(crate) status: Option<u16>,
    /// True if further requests to the server would fail too.
    pub(crate) ends_all: bool,
    /// True if a request was made.
    pub(crate) is_of_request: bool,
    /// The failure that the step would return.
    pub(crate) failure: Failure,
}

impl Unread {
    /// Returns an error of the handler's own, which ends nothing.
    pub(crate) fn because(why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            failure: Failure::permanent(why.clone()),
            why,
            status: None,
            ends_all: false,
            is_of_request: false,
        }
    }

    /// Returns an error whose reason has been noted already.
    pub(crate) fn silent() -> Self {
        Self::because("")
    }

    /// Returns whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        !self.failure.is_permanent()
    }

    /// Returns the error of a request to a server; `system` is `Kubernetes` or `Prometheus`, `server` what it is called.
    pub(crate) fn of(error: Error, system: &str, server: &str) -> Self {
        let status = error.status();
        let (why, ends_all) = match error.kind() {
            ErrorKind::Denied(_) => (format!("{system} not granted"), true),
            ErrorKind::Unreachable(_) => (format!("{server} is unreachable"), true),
            ErrorKind::Timeout => (format!("{server} did not answer in time"), true),
            ErrorKind::BudgetExhausted(_) => {
                ("this step's limit of requests is used up".to_owned(), true)
            }
            ErrorKind::TooLarge(_) => ("the answer is too large".to_owned(), false),
            ErrorKind::Unreadable(_) => (format!("the answer is no JSON of {system}"), false),
            ErrorKind::Status { status, .. } => match status {
                401 => ("credential refused (401)".to_owned(), true),
                403 => ("forbidden (403)".to_owned(), false),
                404 => ("not found (404)".to_owned(), false),
                429 => (format!("{server} asks to wait (429)"), true),
                500.. => (format!("{server} answered {status}"), true),
                _ => (format!("answered {status}"), false),
            },
            _ => (format!("{server} is unavailable"), true),
        };
        Self {
            why,
            status,
            ends_all,
            is_of_request: true,
            failure: error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_for_one_reason_is_named_together_and_once() {
        let missing = Missing::default();
        for (what, why) in [("log", "a"), ("events", "a"), ("node", "b"), ("log", "a")] {
            missing.note(what, why);
        }
        assert_eq!(
            in_words(&missing.into_list()),
            ["log, events: a", "node: b"]
        );
    }
}
