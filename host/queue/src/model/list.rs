//! Which deliveries are listed or retried.

use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, HandlerName, Labels, Priority, Timestamp};

use super::delivery::Delivery;
use super::reason::Reason;
use super::state::State;
use super::waiting::Waits;

/// A test of an alert's labels. The queue does not know matchers.
#[derive(Clone)]
pub struct LabelTest {
    test: Arc<dyn Fn(&Labels) -> bool + Send + Sync>,
    /// Labels that every alert has that passes.
    has: Vec<(String, String)>,
}

impl LabelTest {
    /// Returns a test that calls a function.
    #[must_use]
    pub fn new(test: impl Fn(&Labels) -> bool + Send + Sync + 'static) -> Self {
        Self {
            test: Arc::new(test),
            has: Vec::new(),
        }
    }

    /// Says that no alert passes without this label: such alerts are passed over without being parsed.
    #[must_use]
    pub fn has(mut self, name: &str, value: &str) -> Self {
        self.has.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn takes(&self, labels: &Labels) -> bool {
        (self.test)(labels)
    }

    pub(crate) fn has_all(&self) -> &[(String, String)] {
        &self.has
    }
}

impl std::fmt::Debug for LabelTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LabelTest")
    }
}

/// Which deliveries to retry. An absent field selects any.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// In this state.
    pub state: Selected,
    /// With this handler in its pipeline.
    pub handler: Option<HandlerName>,
    /// With this reason, or with this text in the last error.
    pub reason: Option<String>,
    /// With labels that pass this test.
    pub labels: Option<LabelTest>,
}

/// The state of a delivery that is retried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selected {
    /// It is dead.
    #[default]
    Dead,
    /// It waits for another try, and becomes due.
    Retrying,
}

impl Selected {
    /// Returns the state as it is listed.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Dead => State::Dead,
            Self::Retrying => State::Retrying,
        }
    }
}

/// Which deliveries to list. An absent field selects any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// With this reason.
    pub reason: Option<Reason>,
    /// With this priority.
    pub priority: Option<Priority>,
    /// With this alertname.
    pub alertname: Option<String>,
    /// On this route.
    pub route: Option<String>,
    /// With this handler in its pipeline.
    pub handler: Option<String>,
    /// With this fingerprint.
    pub fingerprint: Option<alert_manager_core::alert::Fingerprint>,
    /// Accepted at or after this.
    pub from: Option<Timestamp>,
    /// Accepted before this.
    pub to: Option<Timestamp>,
    /// Not ended before this: ended since, or not settled.
    pub ended_from: Option<Timestamp>,
    /// Not handled by another one in its place.
    pub is_own: bool,
    /// That wait for this now.
    pub waits: Option<Waits>,
    /// One of these, which are not settled.
    pub ids: Option<Vec<DeliveryId>>,
    /// With labels that pass this test.
    pub labels: Option<LabelTest>,
    /// With a smaller identifier than this one.
    pub before: Option<DeliveryId>,
    /// With a larger identifier than this one: the page has those next to it.
    pub after: Option<DeliveryId>,
    /// The largest number to return, up to 1,000.
    pub limit: u32,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// The `before` of the next page; absent after the last. A page that is not the last may have fewer deliveries than the limit,
    /// or none, since only [`Bounds::labels_tested_max`](super::Bounds) have their labels tested, and what no index finds is looked
    /// for during [`Bounds::scan_max`](super::Bounds).
    pub next: Option<DeliveryId>,
    /// The `after` of the page with newer ones; absent on the first page.
    pub previous: Option<DeliveryId>,
    /// When the oldest delivery was accepted that was looked at; absent after the last page.
    pub looked_back_to: Option<Timestamp>,
}
