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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use reqwest::Method;

    use super::*;

    fn rules(rules: &[(&str, &str, u16)]) -> HttpRules {
        let rule = |&(method, url, status): &(&str, &str, u16)| HttpRule {
            method: method.to_owned(),
            url: url.to_owned(),
            answer: HttpAnswer {
                status,
                ..HttpAnswer::default()
            },
        };
        HttpRules::new("rules.yml".into(), rules.iter().map(rule).collect())
    }

    #[test]
    fn the_first_rule_that_fits_answers() {
        let rules = rules(&[
            ("GET", "https://a.example/x?q=1", 201),
            ("*", "https://a.example/*/y", 202),
            ("DELETE", "*", 204),
        ]);
        for (method, url, status) in [
            (Method::GET, "https://a.example/x?q=1", Some(201)),
            (Method::GET, "https://a.example/x", None),
            (Method::POST, "https://a.example/b/c/y", Some(202)),
            (Method::GET, "https://a.example/y", None),
            (Method::DELETE, "https://b.example/", Some(204)),
            (Method::PUT, "https://b.example/", None),
        ] {
            let answer = rules.answer(&method, &url.parse().unwrap());
            assert_eq!(answer.map(|answer| answer.status), status, "{method} {url}");
        }
    }

    #[test]
    fn a_request_without_an_answer_is_remembered_once_up_to_a_limit() {
        let rules = rules(&[]);
        let ask = |n: usize| {
            let url = format!("https://a.example/{n:03}").parse().unwrap();
            rules.why_none(&Method::HEAD, &url)
        };
        assert_eq!(ask(0), "no rule of rules.yml answers it");
        ask(0);
        let unanswered = rules.unanswered();
        assert_eq!(unanswered.len(), 1);
        assert_eq!(
            unanswered[0].rule,
            "- method: HEAD\n  url: \"https://a.example/000\"\n  status: 200\n  body: {}"
        );
        for n in 0..=UNANSWERED_MAX {
            ask(n);
        }
        assert_eq!(rules.unanswered().len(), UNANSWERED_MAX);
    }
}
