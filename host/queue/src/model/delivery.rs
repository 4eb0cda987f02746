//! A delivery: one event on one route.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{DeliveryId, HandlerName, Priority, Timestamp};
use alert_manager_core::journal::{CallKind, Entry};

use super::clock::from_millis;
use super::progress::Progress;
use super::reason::Reason;
use super::state::State;
use super::timer::{DueTimer, OpenTimer};

/// The number of low bits of an identifier that are a counter. The others are milliseconds since 1970.
pub(crate) const ID_COUNTER_BITS: u32 = 22;

/// Returns when the delivery with an identifier was accepted: not before this, and hardly later.
#[must_use]
pub fn time_of(id: DeliveryId) -> Timestamp {
    from_millis(id.as_raw() >> ID_COUNTER_BITS)
}

/// A delivery, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its identity.
    pub id: DeliveryId,
    /// The alert's fingerprint, empty for a refused body.
    pub fingerprint: String,
    /// The alert's name.
    pub alertname: String,
    /// `firing` or `resolved`, empty for a refused body.
    pub status: String,
    /// Its priority.
    pub priority: Priority,
    /// Its state.
    pub state: State,
    /// The route's name, empty if no route matched.
    pub route: String,
    /// The handlers of its pipeline, in order.
    pub handlers: Vec<HandlerName>,
    /// How many attempts it has had: leases under which a step ran.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
    /// When it first died since it was accepted, or since a person retried it. If a re-send revives it and it dies again, it is the
    /// same dead letter. Absent if it died before it ran, or if it was revived before its death was reported.
    #[serde(skip)]
    pub first_died_at: Option<Timestamp>,
    /// Why it ended; absent if it has not.
    pub reason: Option<Reason>,
    /// Why it is dead or was not successful yet, for people.
    pub last_error: Option<String>,
    /// The delivery that runs, or has run, in its place. Retention may have removed that.
    pub coalesced_into: Option<DeliveryId>,
    /// The storm that it belongs to: the first delivery that stood for it.
    pub storm: Option<DeliveryId>,
    /// The timer that it was made for; absent if an alert was sent.
    pub timer: Option<DueTimer>,
}

/// A delivery with what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The delivery.
    pub delivery: Delivery,
    /// How many effects it has on record, by interface.
    pub effects: Vec<(CallKind, u64)>,
}

/// A delivery with its story: everything that is stored of it.
#[derive(Clone, Debug)]
pub struct Story {
    /// As it is listed.
    pub delivery: Delivery,
    /// The alert; the sender's JSON, as a string, for a refused body.
    pub alert: serde_json::Value,
    /// The state of its steps.
    pub progress: Progress,
    /// When it may run again; absent if it does not wait.
    pub not_before: Option<Timestamp>,
    /// The recorded attempts, in order: the JSON of [`Settlement::story`](super::Settlement::story). If there are many, the first and
    /// the last ones.
    pub attempts: Vec<serde_json::Value>,
    /// How many leases between them have no story any more.
    pub attempts_omitted: u32,
    /// The recorded calls with their step, without the replies.
    pub journal: Vec<(u32, Entry)>,
    /// How many times the same event was sent again and did not run again.
    pub duplicates: u64,
    /// The deliveries that it runs, or has run, in the place of.
    pub members: Option<Members>,
    /// The timers that it has set and that are not due yet, the next one first.
    pub timers: Vec<OpenTimer>,
}

/// The deliveries that another one runs in the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// How many.
    pub count: u64,
    /// The first 1,000 of them, the oldest first.
    pub ids: Vec<DeliveryId>,
}

/// [`OtherRoutes::Any`], as it is stored.
const ANY_ROUTE: &str = "*";

/// The other routes that the alert of a delivery took when it was accepted. Its deliveries on these routes do not wait for each
/// other. An earlier delivery of the fingerprint on any further route comes from an earlier configuration, and runs first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum OtherRoutes {
    /// None.
    #[default]
    None,
    /// These; the delivery's own may be among them.
    Known(Arc<[Arc<str>]>),
    /// Any route: the delivery waits for its own route alone. So do notices and alarms, and deliveries of earlier versions, which
    /// did not store the other routes.
    Any,
}

impl OtherRoutes {
    /// Returns what each delivery of an alert with these routes has.
    pub(crate) fn of(routes: impl ExactSizeIterator<Item = Arc<str>>) -> Self {
        match routes.len() {
            0 | 1 => Self::None,
            _ => Self::Known(routes.collect()),
        }
    }

    /// Returns the routes as they are stored: a JSON list, or nothing if there are none.
    pub(crate) fn to_text(&self) -> Option<String> {
        match self {
            Self::None => None,
            // A list of strings is always valid JSON.
            Self::Known(routes) => {
                let names: Vec<&str> = routes.iter().map(|route| &**route).collect();
                serde_json::to_string(&names).ok()
            }
            Self::Any => Some(ANY_ROUTE.into()),
        }
    }

    /// Decodes what [`Self::to_text`] returned.
    pub(crate) fn of_text(stored: Option<&str>) -> Self {
        match stored {
            None => Self::None,
            Some(ANY_ROUTE) => Self::Any,
            Some(json) => serde_json::from_str::<Vec<String>>(json).map_or(Self::Any, |names| {
                Self::of(names.into_iter().map(Arc::from))
            }),
        }
    }

    /// Returns true if the alert took `route`, which is not the delivery's own.
    pub(crate) fn has(&self, route: &str) -> bool {
        match self {
            Self::None => false,
            Self::Known(routes) => routes.iter().any(|other| **other == *route),
            Self::Any => true,
        }
    }
}
