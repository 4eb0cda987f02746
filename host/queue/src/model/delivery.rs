//! A delivery: one event on one route.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{DeliveryId, HandlerName, Timestamp};
use alert_manager_core::journal::Entry;

use super::progress::Progress;
use super::reason::Reason;
use super::state::State;

/// An identifier is the milliseconds since 1970, then this many bits of counter.
pub(crate) const ID_COUNTER_BITS: u32 = 22;

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
    /// How it stands.
    pub state: State,
    /// The route's name, empty if no route matched.
    pub route: String,
    /// In the order of the pipeline.
    pub handlers: Vec<HandlerName>,
    /// Attempts: leases under which a step ran, as the story has them. A lease that only waited is none.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
    /// When it died for the first time since it was accepted, or since a person sent it again: sent again by its sender, it
    /// may die once more, and is the same dead letter. Absent if it died before it ran, or if it was revived before
    /// that death was reported.
    #[serde(skip)]
    pub first_died_at: Option<Timestamp>,
    /// Why it ended; absent until then.
    pub reason: Option<Reason>,
    /// Why it is dead or waits, for people.
    pub last_error: Option<String>,
    /// The delivery that runs, or has run, in its place. Retention may have removed that.
    pub coalesced_into: Option<DeliveryId>,
    /// The storm that it belongs to: the first delivery that stood for it.
    pub storm: Option<DeliveryId>,
}

/// A delivery with everything that is known of it.
#[derive(Clone, Debug)]
pub struct Story {
    /// As it is listed.
    pub delivery: Delivery,
    /// The alert; the sender's JSON, as a string, for a refused body.
    pub alert: serde_json::Value,
    /// How far it is.
    pub progress: Progress,
    /// Not before this, if it waits.
    pub not_before: Option<Timestamp>,
    /// What was recorded of the leases, in order: the JSON of [`Settlement::story`]. Of many the first and the last.
    pub attempts: Vec<serde_json::Value>,
    /// How many leases between them are not kept.
    pub attempts_omitted: u32,
    /// What is recorded of its calls, by step; without the replies.
    pub journal: Vec<(u32, Entry)>,
    /// How many times the same event was sent again since.
    pub duplicates: u64,
    /// The deliveries that it runs, or has run, in the place of.
    pub members: Option<Members>,
}

/// The deliveries that another one runs in the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// How many.
    pub count: u64,
    /// The first 1,000 of them, the oldest first.
    pub ids: Vec<DeliveryId>,
}

/// What stands for routes that are not known, in the store.
const ANY_ROUTE: &str = "*";

/// Which other routes the alert of a delivery took when it was accepted. An earlier delivery of its fingerprint on any
/// further route is of an earlier configuration, and goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Beside {
    /// None.
    #[default]
    Nothing,
    /// These; its own may be among them.
    Routes(Arc<[Arc<str>]>),
    /// Not known: an earlier version accepted it. It waits for its own route alone.
    Anything,
}

impl Beside {
    /// Returns the routes of an alert as each of its deliveries has them.
    pub(crate) fn of(routes: impl ExactSizeIterator<Item = Arc<str>>) -> Self {
        match routes.len() {
            0 | 1 => Self::Nothing,
            _ => Self::Routes(routes.collect()),
        }
    }

    /// Returns the routes as they are stored: a JSON list, or nothing if there are none.
    pub(crate) fn to_text(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            // A list of strings: there is nothing in it that JSON cannot hold.
            Self::Routes(routes) => {
                let names: Vec<&str> = routes.iter().map(|route| &**route).collect();
                serde_json::to_string(&names).ok()
            }
            Self::Anything => Some(ANY_ROUTE.into()),
        }
    }

    /// The opposite of [`Self::to_text`].
    pub(crate) fn of_text(stored: Option<&str>) -> Self {
        match stored {
            None => Self::Nothing,
            Some(ANY_ROUTE) => Self::Anything,
            Some(json) => serde_json::from_str::<Vec<String>>(json)
                .map_or(Self::Anything, |names| {
                    Self::of(names.into_iter().map(Arc::from))
                }),
        }
    }

    /// Returns true if the alert took `route`, which is not the delivery's own.
    pub(crate) fn has(&self, route: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Routes(routes) => routes.iter().any(|other| **other == *route),
            Self::Anything => true,
        }
    }
}
