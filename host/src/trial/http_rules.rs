//! The rules that answer the HTTP requests of a module that is tried.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use parking_lot::Mutex;
use url::Url;

use crate::api::Unanswered;
use crate::description::is_like;
use crate::policy::scalar;
use crate::runtime::{HttpAnswer, HttpAnswers};

/// Requests without an answer that are remembered: a loop in a handler asks more often than anybody adds rules.
const UNANSWERED_MAX: usize = 100;

/// One rule: which requests it answers, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpRule {
    /// The method in capitals; `*` for any.
    pub(crate) method: String,
    /// The URL; `*` in it stands for any text.
    pub(crate) url: String,
    /// What a request is answered.
    pub(crate) answer: HttpAnswer,
}

impl HttpRule {
    fn is_for(&self, method: &str, url: &str) -> bool {
        (self.method == "*" || self.method == method) && is_like(url, &self.url)
    }
}

/// The rules of a file, in its order. The first that fits answers.
#[derive(Debug, Default)]
pub(crate) struct HttpRules {
    /// The file, for what it lacks.
    pub(crate) file: Option<PathBuf>,
    /// The rules.
    pub(crate) rules: Vec<HttpRule>,
    /// The requests that none of them answered.
    unanswered: Mutex<BTreeSet<(String, String)>>,
}

impl HttpRules {
    /// Returns the rules of a file.
    pub(crate) fn new(file: PathBuf, rules: Vec<HttpRule>) -> Self {
        Self {
            file: Some(file),
            rules,
            unanswered: Mutex::default(),
        }
    }

    /// Returns the requests that no rule has answered, each once, with the rule that would answer it.
    pub(crate) fn unanswered(&self) -> Vec<Unanswered> {
        let unanswered = self.unanswered.lock();
        let each = unanswered.iter().map(|(method, url)| Unanswered {
            method: method.clone(),
            url: url.clone(),
            rule: rule_for(method, url),
        });
        each.collect()
    }
}

impl HttpAnswers for HttpRules {
    fn answer(&self, method: &reqwest::Method, url: &Url) -> Option<HttpAnswer> {
        let (method, url) = (method.as_str(), url.as_str());
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| rule.is_for(method, url))?;
        Some(rule.answer.clone())
    }

    fn why_none(&self, method: &reqwest::Method, url: &Url) -> String {
        let mut unanswered = self.unanswered.lock();
        if unanswered.len() < UNANSWERED_MAX {
            unanswered.insert((method.to_string(), url.to_string()));
        }
        match &self.file {
            Some(file) => format!("no rule of {} answers it", file.display()),
            None => "no rule answers it, since there is no --http FILE".to_owned(),
        }
    }
}

/// Returns a rule that would answer a request, to be pasted into a file of rules.
fn rule_for(method: &str, url: &str) -> String {
    let mut rule = String::new();
    if method != "GET" {
        let _ = writeln!(rule, "- method: {method}\n  url: {}", scalar(url));
    } else {
        let _ = writeln!(rule, "- url: {}", scalar(url));
    }
    rule.push_str("  status: 200\n  body: {}");
    rule
}
