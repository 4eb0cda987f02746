//! Deliveries as they are listed, and the answers to sending them again and to cancelling one.

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::{DeliveryId, HandlerName, Timestamp};
use crate::queue::{self, Reason, State};

/// One event on one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its identity. Identifiers sort by the order of acceptance.
    pub id: DeliveryId,
    /// Alertmanager's fingerprint of the labels; empty for a refused part of a body.
    pub fingerprint: String,
    /// The label `alertname`; empty if there is none.
    pub alertname: String,
    /// `firing` or `resolved`; empty for a refused part of a body.
    pub status: String,
    /// Where it stands.
    pub state: Lenient<State>,
    /// The route's name; empty if no route matched.
    pub route: String,
    /// The handlers of the pipeline, in their order.
    pub handlers: Vec<HandlerName>,
    /// Attempts: leases under which a step ran.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
    /// Why it ended; null until then.
    pub reason: Option<Lenient<Reason>>,
    /// Why it is dead or waits, for people.
    pub last_error: Option<String>,
}

impl Delivery {
    /// Returns true if it has ended, done or dead.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.state.known(), Some(State::Done | State::Dead))
    }
}

impl From<queue::Delivery> for Delivery {
    fn from(delivery: queue::Delivery) -> Self {
        Self {
            id: delivery.id,
            fingerprint: delivery.fingerprint,
            alertname: delivery.alertname,
            status: delivery.status,
            state: delivery.state.into(),
            route: delivery.route,
            handlers: delivery.handlers,
            attempts: delivery.attempts,
            received_at: delivery.received_at,
            settled_at: delivery.settled_at,
            reason: delivery.reason.map(Lenient::from),
            last_error: delivery.last_error,
        }
    }
}

/// The answer to `GET /api/v1/deliveries`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries<D = Delivery> {
    /// Newest first.
    pub deliveries: Vec<D>,
    /// What to give as `before` for the next page; null at the end.
    pub next: Option<DeliveryId>,
}

/// The answer to `POST /api/v1/deliveries/{id}/cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Which delivery.
    pub id: DeliveryId,
    /// Where it stands now: it is dead.
    pub state: Lenient<State>,
}

/// The answer to `POST /api/v1/deliveries/{id}/retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentAgain {
    /// Which delivery.
    pub id: DeliveryId,
    /// Where it stood: a dead one is sent again, one that waited for another try runs now.
    pub was: Lenient<State>,
    /// Where it stands now.
    pub state: Lenient<State>,
}

/// The answer to `POST /api/v1/deliveries/retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Those that were sent again.
    pub retried: Vec<DeliveryId>,
    /// Those that were not, the first of them.
    pub left: Vec<Left>,
    /// How many were not, by reason.
    pub left_counts: Vec<LeftCount>,
    /// What was not looked at; null if nothing.
    pub rest: Option<Rest>,
}

/// A delivery that was not sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Which.
    pub id: DeliveryId,
    /// Why.
    pub error: String,
}

/// How many deliveries were not sent again for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftCount {
    /// Why.
    pub error: String,
    /// How many.
    pub count: u64,
}

/// The selected deliveries that a request did not get to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// What to give as `after` to go on.
    pub after: DeliveryId,
    /// How many there are.
    pub count: u64,
    /// Why, for programs.
    pub reason: Lenient<RestReason>,
    /// Why, for people.
    pub error: String,
}

/// Why a request did not get to all selected deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestReason {
    /// The queue keeps the rest of its capacity for new alerts.
    Room,
    /// A request takes a bounded time.
    Time,
    /// The store cannot be written.
    Store,
}

impl From<queue::Retried> for Retried {
    fn from(outcome: queue::Retried) -> Self {
        let left = outcome.left.into_iter().map(|(id, why)| Left {
            id,
            error: why.to_string(),
        });
        let counts = outcome.left_counts.into_iter();
        let counts = counts.map(|(why, count)| LeftCount {
            error: why.to_string(),
            count,
        });
        Self {
            retried: outcome.retried,
            left: left.collect(),
            left_counts: counts.collect(),
            rest: outcome.rest.map(Rest::from),
        }
    }
}

impl From<queue::Rest> for Rest {
    fn from(rest: queue::Rest) -> Self {
        let reason = match &rest.why {
            queue::RestReason::Room => RestReason::Room,
            queue::RestReason::Time => RestReason::Time,
            queue::RestReason::Store(_) => RestReason::Store,
        };
        Self {
            after: rest.after,
            count: rest.count,
            reason: reason.into(),
            error: rest.why.to_string(),
        }
    }
}
