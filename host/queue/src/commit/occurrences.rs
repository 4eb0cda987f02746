//! What history keeps of alerts: when each occurrence began and ended.

use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Status};
use alert_manager_core::plan::Plan;

use crate::rules::admission::Arrival;
use crate::store::{Began, Change, Txn};

use super::group::Work;

impl<T: Txn> Work<'_, '_, T> {
    /// Notes that an occurrence has begun, if the alert fires. `id` is its delivery on a route.
    pub(super) fn begin_occurrence(&mut self, new: &Arrival<'_>, plan: &Plan, id: DeliveryId) {
        if new.alert.status != Status::Firing {
            return;
        }
        let began = Began {
            id,
            alert: Arc::clone(&new.alert),
            route: self.state.texts.route(&plan.route),
            pipeline: self.state.texts.pipeline(&plan.handlers),
            at: self.now,
        };
        self.push(Change::Began(began));
    }

    /// Notes that an occurrence has ended, if the alert has resolved.
    pub(super) fn end_occurrence(&mut self, new: &Arrival<'_>) {
        if new.alert.status == Status::Resolved {
            self.push(Change::Over {
                alert: Arc::clone(&new.alert),
                ends_at: new.alert.ends_at.unwrap_or(self.now),
            });
        }
    }
}
