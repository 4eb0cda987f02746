//! What a review of configuration and modules found last: said once in the log, kept for whoever asks.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::alert::HandlerName;
use crate::review::{Finding, Findings};

/// The findings of the latest review, and what Slack and the granted origins said when they were asked.
#[derive(Default)]
pub(crate) struct Reviewed {
    of_configuration: ArcSwap<Findings>,
    online: ArcSwap<Findings>,
    /// What is in the log already.
    said: Mutex<HashSet<(Option<HandlerName>, String)>>,
}

impl Reviewed {
    /// Returns everything that was found.
    pub(crate) fn findings(&self) -> Arc<Findings> {
        let online = self.online.load();
        if **online == Findings::default() {
            return self.of_configuration.load_full();
        }
        let mut all = (**self.of_configuration.load()).clone();
        all.problems.extend(online.problems.iter().cloned());
        all.warnings.extend(online.warnings.iter().cloned());
        Arc::new(all)
    }

    /// Takes the findings of a review, and logs those that are new.
    pub(crate) fn take(&self, findings: Findings) {
        self.log(&findings);
        self.of_configuration.store(Arc::new(findings));
    }

    /// Takes what came of asking Slack, and logs what is new.
    pub(crate) fn take_online(&self, findings: Findings) {
        self.log(&findings);
        self.online.store(Arc::new(findings));
    }

    /// Has everything logged once more, as after a reload.
    pub(crate) fn say_all_again(&self) {
        self.said.lock().clear();
    }

    /// Has what is about one handler logged once more: another module has come.
    pub(crate) fn say_again(&self, name: &HandlerName) {
        self.said
            .lock()
            .retain(|(handler, _)| handler.as_ref() != Some(name));
    }

    fn log(&self, findings: &Findings) {
        let mut said = self.said.lock();
        let mut is_new =
            |finding: &Finding| said.insert((finding.handler.clone(), finding.to_string()));
        for finding in &findings.problems {
            if is_new(finding) {
                let handler = finding.handler.as_ref().map(HandlerName::as_str);
                tracing::error!(handler, "{finding}");
            }
        }
        for finding in &findings.warnings {
            if is_new(finding) {
                let handler = finding.handler.as_ref().map(HandlerName::as_str);
                tracing::warn!(handler, "{finding}");
            }
        }
    }
}
