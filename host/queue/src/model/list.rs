//! Which deliveries are listed, or sent again.

use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, HandlerName, Labels, Timestamp};

use super::delivery::Delivery;
use super::reason::Reason;
use super::state::State;

/// A test of an alert's labels: the queue knows no matchers.
#[derive(Clone)]
pub struct LabelTest(Arc<dyn Fn(&Labels) -> bool + Send + Sync>);

impl LabelTest {
    /// Makes a test of a function.
    #[must_use]
    pub fn new(test: impl Fn(&Labels) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(test))
    }

    pub(crate) fn takes(&self, labels: &Labels) -> bool {
        (self.0)(labels)
    }
}

impl std::fmt::Debug for LabelTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LabelTest")
    }
}

/// Which deliveries to send again; an absent field does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of these.
    pub state: Selected,
    /// With this handler in its pipeline.
    pub handler: Option<HandlerName>,
    /// Ended for the reason of this name, or with this text in the last error.
    pub reason: Option<String>,
    /// Whose alert has labels that this takes.
    pub labels: Option<LabelTest>,
}

/// What state a delivery is in that is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selected {
    /// It is dead.
    #[default]
    Dead,
    /// It waits for another try, which is due at once.
    Retrying,
}

impl Selected {
    /// Returns it as deliveries are listed.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Dead => State::Dead,
            Self::Retrying => State::Retrying,
        }
    }
}

/// Which deliveries to list; an absent field does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Ended for this reason.
    pub reason: Option<Reason>,
    /// Of this alertname.
    pub alertname: Option<String>,
    /// With this handler in its pipeline.
    pub handler: Option<String>,
    /// Of this fingerprint.
    pub fingerprint: Option<alert_manager_core::alert::Fingerprint>,
    /// Accepted at or after this.
    pub from: Option<Timestamp>,
    /// Accepted before this.
    pub to: Option<Timestamp>,
    /// Whose alert has labels that this takes.
    pub labels: Option<LabelTest>,
    /// Older than this one.
    pub before: Option<DeliveryId>,
    /// At most this many, 1,000 at most.
    pub limit: u32,
}

/// Part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// What to give as `before` for the next part; absent after the last. A part may be short of the limit, or empty,
    /// and not be the last: labels are tested for a bounded number of deliveries at a time.
    pub next: Option<DeliveryId>,
}
