//! The unsettled deliveries whose end may end a notice.

use std::collections::HashSet;

use alert_manager_core::alert::{DeliveryId, is_dead_letter_route};

/// The unsettled deliveries whose end may end a notice.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Deliveries that were queued again after they had died.
    revived: HashSet<DeliveryId>,
    /// Notices, which may take another way. They are few, and are looked through when the ways change.
    notices: HashSet<DeliveryId>,
}

impl Watched {
    /// Returns true if it was not watched before.
    pub(super) fn insert(&mut self, id: DeliveryId, route: &str) -> bool {
        if is_dead_letter_route(route) {
            self.notices.insert(id)
        } else {
            self.revived.insert(id)
        }
    }

    pub(super) fn remove(&mut self, id: DeliveryId) {
        self.revived.remove(&id);
        self.notices.remove(&id);
    }

    pub(super) fn contains(&self, id: DeliveryId) -> bool {
        self.revived.contains(&id) || self.notices.contains(&id)
    }

    /// Returns the notices that have not ended.
    pub(super) fn notices(&self) -> Vec<DeliveryId> {
        self.notices.iter().copied().collect()
    }

    /// Returns how many were revived, and how many are notices.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.revived.len(), self.notices.len())
    }
}
