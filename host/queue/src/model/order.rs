//! Ordering keys: a delivery waits for earlier ones of the same fingerprint on the same route.

use alert_manager_core::alert::{DeliveryId, Fingerprint};

use super::delivery::OtherRoutes;
use super::list::Selected;
use super::state::State;
use super::timer::Cause;

/// A delivery and its ordering key. Those with the same key run in the order of their identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) id: DeliveryId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) route: String,
    pub(crate) cause: Cause,
}

/// A delivery that was accepted after a given one, and may be behind it on its ordering key. Parts of bodies that were refused
/// are none.
#[derive(Clone, Debug)]
pub(crate) struct Follower<'s> {
    pub(crate) id: DeliveryId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) route: &'s str,
    pub(crate) state: State,
    /// How many leases it has had.
    pub(crate) leases: u32,
    /// The other routes of its alert as they are stored: decoded only if they are needed.
    pub(crate) other_routes: Option<&'s str>,
    pub(crate) cause: Cause,
}

impl Follower<'_> {
    /// Returns true if it does not wait for earlier deliveries of its fingerprint on `route` that have this cause: if it has
    /// another cause, or no route, so that it does not run, or if its alert took `route` as well as its own.
    pub(crate) fn ignores(&self, route: &str, cause: &Cause) -> bool {
        self.cause != *cause
            || self.route.is_empty()
            || (route != self.route && OtherRoutes::of_text(self.other_routes).has(route))
    }

    /// Returns true if it has run, or has begun to.
    pub(crate) fn has_run(&self) -> bool {
        has_run(self.state, self.leases)
    }
}

/// Returns true if a delivery in this state, with this number of leases, has run or has begun to. It has then overtaken
/// earlier ones that are dead.
pub(crate) fn has_run(state: State, leases: u32) -> bool {
    match state {
        State::Done => true,
        State::Dead => false,
        State::Queued | State::Running | State::Retrying => leases > 0,
    }
}

/// The deliveries that one request retries.
#[derive(Debug)]
pub(crate) struct RetryBatch {
    /// The state in which they were selected.
    pub(crate) state: Selected,
    /// In the order of acceptance.
    pub(crate) positions: Vec<Position>,
    /// The last delivery that was read, whether or not its labels were selected.
    pub(crate) scanned_to: Option<DeliveryId>,
    /// How many deliveries come after that one, for another request.
    pub(crate) remaining: u64,
}
