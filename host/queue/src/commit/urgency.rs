//! How urgent the deaths are that are not reported yet.

use std::collections::HashMap;

use alert_manager_core::alert::Priority;

/// The highest priority of the unreported deaths of each class.
#[derive(Debug, Default)]
pub(super) struct Urgency {
    of_class: HashMap<String, Priority>,
    /// True if some are from before this process started: any of them may be critical.
    has_earlier: bool,
}

impl Urgency {
    pub(super) fn new(has_earlier: bool) -> Self {
        Self {
            of_class: HashMap::new(),
            has_earlier,
        }
    }

    pub(super) fn note(&mut self, class: &str, priority: Priority) {
        let known = self.of_class.entry(class.to_owned()).or_insert(priority);
        *known = priority.min(*known);
    }

    pub(super) fn of(&self, class: &str) -> Priority {
        let known = self.of_class.get(class).filter(|_| !self.has_earlier);
        known.copied().unwrap_or(Priority::Critical)
    }

    pub(super) fn forget(&mut self, class: &str) {
        self.of_class.remove(class);
    }

    pub(super) fn all_reported(&mut self) {
        self.of_class.clear();
        self.has_earlier = false;
    }
}
