//! The JSON of deliveries in lists, and of the responses to a retry and to a cancellation.

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::{DeliveryId, HandlerName, Priority, Timestamp};
use crate::queue::{self, Reason, State};

/// A delivery in a list: one event on one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id. Ids sort by the order of acceptance.
    pub id: DeliveryId,
    /// Alertmanager's fingerprint of the labels; empty for a refused part of a body.
    pub fingerprint: String,
    /// The label `alertname`; empty if there is none.
    pub alertname: String,
    /// `firing` or `resolved`; empty for a refused part of a body.
    pub status: String,
    /// Its priority: `critical`, `warning` or `normal`.
    #[serde(default = "normal")]
    pub priority: Lenient<Priority>,
    /// Its state.
    pub state: Lenient<State>,
    /// The route's name; empty if no route matched.
    pub route: String,
    /// The handlers of the pipeline, in their order.
    pub handlers: Vec<HandlerName>,
    /// The number of attempts: leases under which a step ran.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// Why it was settled so; null until then.
    pub reason: Option<Lenient<Reason>>,
    /// Why it is dead or waits, for people.
    pub last_error: Option<String>,
    /// The delivery that runs, or ran, in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesced_into: Option<DeliveryId>,
    /// The storm that it belongs to: the first delivery that stood for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<DeliveryId>,
    /// The timer that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<queue::DueTimer>,
}

/// What a server of an earlier version does not say.
fn normal() -> Lenient<Priority> {
    Lenient::Known(Priority::Normal)
}

impl Delivery {
    /// Returns whether it is settled: done or dead.
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
            priority: delivery.priority.into(),
            state: delivery.state.into(),
            route: delivery.route,
            handlers: delivery.handlers,
            attempts: delivery.attempts,
            received_at: delivery.received_at,
            settled_at: delivery.settled_at,
            reason: delivery.reason.map(Lenient::from),
            last_error: delivery.last_error,
            coalesced_into: delivery.coalesced_into,
            storm: delivery.storm,
            timer: delivery.timer,
        }
    }
}

/// The response to `GET /api/v1/deliveries`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries<D = Delivery> {
    /// The deliveries, newest first.
    pub deliveries: Vec<D>,
    /// The value of `before` for the next page; null at the end.
    pub next: Option<DeliveryId>,
    /// The value of `after` for the page of newer ones; null on the first page.
    #[serde(default)]
    pub previous: Option<DeliveryId>,
    /// When the oldest delivery was accepted that was looked at: one request looks for a limited time. Null at the end.
    #[serde(default)]
    pub looked_back_to: Option<Timestamp>,
}

/// The response to `POST /api/v1/deliveries/{id}/cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The delivery's id.
    pub id: DeliveryId,
    /// Its state now, which is dead.
    pub state: Lenient<State>,
}

/// The response to `POST /api/v1/deliveries/{id}/retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentAgain {
    /// The delivery's id.
    pub id: DeliveryId,
    /// Its state before: a dead one is retried, one that waited for a retry runs now.
    pub was: Lenient<State>,
    /// Its state now.
    pub state: Lenient<State>,
}

/// The response to `POST /api/v1/deliveries/retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// The deliveries that are retried.
    #[serde(default)]
    pub retried: Vec<DeliveryId>,
    /// The first of the deliveries that are not retried.
    #[serde(default)]
    pub left: Vec<Left>,
    /// The number of deliveries that are not retried, by reason.
    #[serde(default)]
    pub left_counts: Vec<LeftCount>,
    /// The selected deliveries that were not processed; null if there are none.
    pub rest: Option<Rest>,
}

/// A delivery that is not retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The reason.
    pub error: String,
}

/// The number of deliveries that are not retried for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftCount {
    /// The reason.
    pub error: String,
    /// The number of deliveries.
    pub count: u64,
}

/// The selected deliveries that a request did not process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The value of `after` for the next request.
    pub after: DeliveryId,
    /// The number of deliveries.
    pub count: u64,
    /// The reason, for programs.
    pub reason: Lenient<RestReason>,
    /// The reason, for people.
    pub error: String,
}

/// Why a request did not process all selected deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestReason {
    /// The queue keeps the rest of its capacity for new alerts.
    Room,
    /// The time limit of a request was reached.
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
