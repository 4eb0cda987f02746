//! What happened between two times.

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::{DeliveryId, Timestamp};

/// The response to `GET /api/v1/timeline`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// What happened, in the order of time.
    pub entries: Vec<Moment>,
    /// The number of deliveries on this page.
    pub deliveries: u64,
    /// The value of `before` for the page of earlier deliveries; null if there are none.
    pub next: Option<DeliveryId>,
    /// When the oldest delivery was accepted that was looked at; null at the end.
    #[serde(default)]
    pub looked_back_to: Option<Timestamp>,
    /// True if more was done in this time than a page can have, so that only the newest of what people did is in it.
    #[serde(default)]
    pub is_cut: bool,
}

/// Something that happened with a delivery or a handler, or that a person did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Lenient<What>,
    /// The delivery; null if it is about none, or about several.
    pub delivery: Option<DeliveryId>,
    /// The alert's name; empty if there is none, or if retention has removed the delivery.
    pub alertname: String,
    /// `firing` or `resolved`; empty if there is no alert.
    pub status: String,
    /// The handler whose call it was, or whose version; null if it was none.
    pub handler: Option<String>,
    /// The person who did it; null if it was nobody.
    pub person: Option<String>,
    /// What exactly: of an effect the request and its result, of an end the reason.
    pub detail: String,
}

/// A kind of thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The alert was accepted.
    Received,
    /// A host call changed something outside.
    Effect,
    /// The delivery was done.
    Done,
    /// The delivery was dead-lettered or cancelled.
    Dead,
    /// A person retried deliveries.
    Retried,
    /// A person cancelled the delivery.
    Cancelled,
    /// A person reloaded the configuration and the folder.
    Reloaded,
    /// A version of a handler was swapped in.
    Swapped,
}

impl What {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Received,
        Self::Effect,
        Self::Done,
        Self::Dead,
        Self::Retried,
        Self::Cancelled,
        Self::Reloaded,
        Self::Swapped,
    ];

    /// Returns its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Effect => "effect",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Reloaded => "reloaded",
            Self::Swapped => "swapped",
        }
    }

    /// Returns the kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == name)
    }
}
