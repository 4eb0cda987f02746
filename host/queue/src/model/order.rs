//! Deliveries as they stand on their ordering keys.

use alert_manager_core::alert::{DeliveryId, Fingerprint};

use super::delivery::Beside;
use super::list::Selected;
use super::state::State;

/// Where a delivery stands: behind the earlier ones of its fingerprint on its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderingKey {
    pub(crate) id: DeliveryId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) route: String,
}

/// A delivery that held an alert, as it may be later than another one on its ordering key.
#[derive(Clone, Debug)]
pub(crate) struct OnKey<'s> {
    pub(crate) id: DeliveryId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) route: &'s str,
    pub(crate) state: State,
    pub(crate) leases: u32,
    /// The other routes of its alert as they are stored: read if they are needed.
    pub(crate) beside: Option<&'s str>,
}

impl OnKey<'_> {
    /// Returns true if it does not wait for an earlier one of its fingerprint that is on `of`. What no route wanted did not
    /// run, and nothing waits for what is on a route that its own alert took too.
    pub(crate) fn is_apart_from(&self, of: &str) -> bool {
        self.route.is_empty() || (of != self.route && Beside::of_text(self.beside).has(of))
    }

    /// Returns true if it is done or has begun: one before it has been passed then.
    pub(crate) fn has_run(&self) -> bool {
        has_run(self.state, self.leases)
    }
}

/// Returns true if a delivery in this state, leased so often, is done or has begun: one before it has been passed then.
pub(crate) fn has_run(state: State, leases: u32) -> bool {
    match state {
        State::Done => true,
        State::Dead => false,
        State::Queued | State::Running | State::Retrying => leases > 0,
    }
}

/// What one request sends again.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// In this state when they were looked at.
    pub(crate) state: Selected,
    /// In the order of acceptance.
    pub(crate) keys: Vec<OrderingKey>,
    /// The last one that was looked at, whatever its labels.
    pub(crate) looked_to: Option<DeliveryId>,
    /// How many there are after that, for another request.
    pub(crate) beyond: u64,
}
