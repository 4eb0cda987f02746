//! The latest findings: logged once, kept for the API.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::alert::HandlerName;
use crate::findings::{Finding, Findings};

/// The findings of the latest review, and those of Slack's latest answers.
#[derive(Default)]
pub(crate) struct Latest {
    of_configuration: Found,
    online: Found,
}

/// The latest findings of one of the two.
#[derive(Default)]
struct Found {
    findings: ArcSwap<Findings>,
    /// The findings that are in the log.
    logged: Mutex<HashSet<Line>>,
}

/// A line in the log: the handler and the text.
type Line = (Option<HandlerName>, String);

impl Latest {
    /// Returns all findings.
    pub(crate) fn findings(&self) -> Arc<Findings> {
        let online = self.online.findings.load();
        if **online == Findings::default() {
            return self.of_configuration.findings.load_full();
        }
        let mut all = (**self.of_configuration.findings.load()).clone();
        all.problems.extend(online.problems.iter().cloned());
        all.warnings.extend(online.warnings.iter().cloned());
        all.notes.extend(online.notes.iter().cloned());
        Arc::new(all)
    }

    /// Sets the findings of a review, and logs those that are new.
    pub(crate) fn take(&self, findings: Findings) {
        self.of_configuration.take(findings);
    }

    /// Sets the findings from Slack's answers, and logs those that are new.
    pub(crate) fn take_online(&self, findings: Findings) {
        self.online.take(findings);
    }

    /// Removes the findings from Slack's answers, which were about another configuration.
    pub(crate) fn forget_online(&self) {
        self.online.take(Findings::default());
    }

    /// Makes all findings be logged again, as after a reload.
    pub(crate) fn log_all_again(&self) {
        for found in [&self.of_configuration, &self.online] {
            found.logged.lock().clear();
        }
    }

    /// Makes the findings about one handler be logged again, because its module was replaced.
    pub(crate) fn log_again(&self, name: &HandlerName) {
        for found in [&self.of_configuration, &self.online] {
            let mut logged = found.logged.lock();
            logged.retain(|(handler, _)| handler.as_ref() != Some(name));
        }
    }
}

impl Found {
    fn take(&self, findings: Findings) {
        let is_new = self.news(&findings);
        for finding in findings.problems.iter().filter(|one| is_new(one)) {
            let handler = finding.handler.as_ref().map(HandlerName::as_str);
            tracing::error!(handler, "{finding}");
        }
        for finding in findings.warnings.iter().filter(|one| is_new(one)) {
            let handler = finding.handler.as_ref().map(HandlerName::as_str);
            tracing::warn!(handler, "{finding}");
        }
        for finding in findings.notes.iter().filter(|one| is_new(one)) {
            let handler = finding.handler.as_ref().map(HandlerName::as_str);
            tracing::info!(handler, "{finding}");
        }
        self.findings.store(Arc::new(findings));
    }

    /// Returns a test of whether a finding is not in the log yet, and marks all of them as logged. Findings that are gone are
    /// removed, so that they are logged again if they come back.
    fn news(&self, findings: &Findings) -> impl Fn(&Finding) -> bool + use<> {
        let graver = findings.problems.iter().chain(&findings.warnings);
        let now = graver.chain(&findings.notes).map(line).collect();
        let before = std::mem::replace(&mut *self.logged.lock(), now);
        move |finding| !before.contains(&line(finding))
    }
}

fn line(finding: &Finding) -> Line {
    (finding.handler.clone(), finding.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Problem;

    fn finding(message: &str) -> Finding {
        Finding::from(Problem {
            place: String::new(),
            message: message.to_owned(),
            advice: String::new(),
        })
    }

    #[test]
    fn what_comes_back_is_logged_again_and_what_stays_is_not() {
        let found = Found::default();
        let logs = |message: &str, others: &[&str]| {
            let warnings = others.iter().map(|other| finding(other)).collect();
            let findings = Findings {
                problems: vec![finding(message)],
                warnings,
                notes: Vec::new(),
            };
            found.news(&findings)(&finding(message))
        };
        assert!(logs("a", &["b"]));
        assert!(!logs("a", &[]), "it is in the log");
        assert!(logs("b", &[]), "it had gone");
        assert!(logs("a", &[]), "so had this one");
        assert_eq!(found.logged.lock().len(), 1, "what is gone is not kept");
    }
}
