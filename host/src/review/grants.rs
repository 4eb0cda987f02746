//! Finds grants that a handler cannot use, since its module does not import what they are for.

use crate::alert::HandlerName;

use super::{FindingText, Review};

impl Review<'_> {
    /// Notes what is granted to a handler whose module cannot ask for it: a later version may, or another handler was meant.
    pub(super) fn unused_grants(&mut self, name: &HandlerName) {
        let mut modules = self.modules.iter();
        let Some(module) = modules.find(|module| module.name.as_ref() == Some(name)) else {
            return;
        };
        let imports = |interface: &str| module.imports.iter().any(|import| import == interface);
        let grants = &self.config.handlers.of(name).grants;
        let granted = [
            ("http", "http", grants.http.is_empty()),
            ("slack", "slack", grants.slack.is_empty()),
            ("credentials", "http", grants.credentials.is_empty()),
        ];
        let granted = granted.into_iter().filter(|(_, _, is_empty)| !is_empty);
        let unused: Vec<_> = granted
            .filter(|(_, interface, _)| !imports(interface))
            .collect();
        for (key, interface, _) in unused {
            let path = format!("handlers.{name}.allow.{key}");
            let message = format!(
                "{path} grants what {name} cannot use: its module does not import {interface}"
            );
            let said = FindingText::new(message, "take it out, unless a later version needs it");
            self.note(Some(name), &path, said);
        }
    }
}
