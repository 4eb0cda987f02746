//! Counts what a transaction does, for the aggregates that are kept of it.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{DeliveryId, HandlerName, Timestamp};

use crate::model::{ActivityOf, Delivery, Reason, ReceivedAs, Verdict};
use crate::store::Txn;

use super::accept::Part;
use super::group::Work;

impl<T: Txn> Work<'_, '_, T> {
    /// Counts how the alerts and the refused parts of a body were received.
    pub(super) fn count_received(&mut self, part: &Part) {
        for verdict in &part.verdicts {
            let received = match verdict {
                Verdict::Accepted(_) => ReceivedAs::Accepted,
                Verdict::Duplicate(_) => ReceivedAs::Duplicate,
                Verdict::Stale => ReceivedAs::Stale,
            };
            self.tally.add(ActivityOf::Received(received), 1);
        }
        let rejected = part.refused.len() as u64;
        self.tally
            .add(ActivityOf::Received(ReceivedAs::Rejected), rejected);
    }

    /// Counts a delivery that is accepted on a route; an empty name is that of no route.
    pub(super) fn count_on(&mut self, route: &Arc<str>) {
        self.tally.add(ActivityOf::Route(Arc::clone(route)), 1);
    }

    /// Counts a delivery that has ended. `since` is when it was accepted, or retried.
    pub(super) fn count_settled(
        &mut self,
        handlers: &[HandlerName],
        reason: Reason,
        since: Timestamp,
    ) {
        let took = match reason {
            // They have not run.
            Reason::Unrouted | Reason::Backlog | Reason::Refused => None,
            _ => {
                let took_ms = self.now.as_millisecond() - since.as_millisecond();
                Some(Duration::from_millis(took_ms.max(0).unsigned_abs()))
            }
        };
        self.tally.note(ActivityOf::Settled(reason), took);
        for handler in handlers {
            let of = ActivityOf::Handler(handler.clone(), reason);
            self.tally.note(of, took);
        }
    }

    /// Counts a delivery that has died, as it is stored.
    pub(super) fn count_dead(&mut self, id: DeliveryId, dead: &Delivery, reason: Reason) {
        let origin = self.shared.scheduler.lock().origin_of(id);
        let since = origin.map_or(dead.received_at, |origin| origin.accepted_at);
        self.count_settled(&dead.handlers, reason, since);
    }
}
