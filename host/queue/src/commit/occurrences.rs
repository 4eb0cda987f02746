//! When the occurrences of alerts end. That they have begun, their deliveries say.

use std::sync::Arc;

use alert_manager_core::alert::{Event, Status};

use crate::rules::admission::Arrival;
use crate::store::{Change, StoreError, Txn};

use super::group::Work;

impl<T: Txn> Work<'_, '_, T> {
    /// Notes that an occurrence has ended, if the alert has resolved.
    pub(super) fn end_occurrence(
        &mut self,
        new: &Arrival<'_>,
        event: Event,
    ) -> Result<(), StoreError> {
        if new.alert.status == Status::Resolved {
            let ran_as = self.known(event)?.firing_memory().deliveries();
            self.push(Change::Over {
                alert: Arc::clone(&new.alert),
                ran_as,
                ends_at: new.alert.ends_at.unwrap_or(self.now),
            });
        }
        Ok(())
    }
}
