//! Notices that a handler reads a setting that it does not declare.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use alert_manager_core::alert::HandlerName;
use alert_manager_core::description::{Description, Setting, is_declared, undeclared};

/// The most settings that are reported of one module.
const REPORTED_MAX: usize = 20;

/// What a module declares, and what of the rest was reported.
#[derive(Debug, Default)]
pub(crate) struct SettingReads {
    /// `None` if it declares nothing: then `check` verifies nothing.
    declared: Option<Vec<Setting>>,
    reported: Mutex<BTreeSet<String>>,
}

impl SettingReads {
    pub(crate) fn of(description: &Description) -> Self {
        Self {
            declared: description.settings.clone(),
            reported: Mutex::default(),
        }
    }

    /// Returns whether the module declares settings, and this is none of them: `check` and loading refuse a configuration that
    /// sets it.
    pub(super) fn is_undeclared(&self, key: &str) -> bool {
        self.declared
            .as_deref()
            .is_some_and(|declared| !is_declared(key, declared))
    }

    /// Logs, once for each setting, that it is not declared.
    pub(super) fn note(&self, handler: &HandlerName, key: &str) {
        if self.is_news(key) {
            let declared = self.declared.as_deref().unwrap_or_default();
            tracing::warn!(%handler, "{}", undeclared(handler, key, declared));
        }
    }

    fn is_news(&self, key: &str) -> bool {
        if !self.is_undeclared(key) {
            return false;
        }
        let mut reported = self.reported.lock();
        reported.len() < REPORTED_MAX && reported.insert(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_setting_that_is_not_declared_is_news_once_up_to_a_limit() {
        let setting = serde_json::json!({ "name": "cluster.*", "type": "string", "about": "" });
        let reads = SettingReads {
            declared: Some(vec![serde_json::from_value(setting).unwrap()]),
            ..SettingReads::default()
        };
        for (key, is_news) in [
            ("cluster.main", false),
            ("story_base", false),
            ("slack.thread_by", false),
            ("emoji.critical", false),
            ("runbook_base", false),
            ("chanel", true),
            ("chanel", false),
        ] {
            assert_eq!(reads.is_news(key), is_news, "{key}");
        }
        let more = (0..REPORTED_MAX).filter(|n| reads.is_news(&format!("other-{n}")));
        assert_eq!(more.count(), REPORTED_MAX - 1);
        assert!(
            !SettingReads::default().is_news("chanel"),
            "it declares nothing"
        );
    }
}
