//! What happened between two times.

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::{DeliveryId, Timestamp};

/// The response to `GET /api/v1/timeline`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// What happened, in the order of time.
    pub entries: Vec<Moment>,
    /// The number of deliveries that it is about.
    pub deliveries: u64,
    /// The value of `before` for the page of earlier deliveries; null if there are none.
    pub next: Option<DeliveryId>,
}

/// Something that happened with a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Lenient<What>,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The alert's name.
    pub alertname: String,
    /// `firing` or `resolved`.
    pub status: String,
    /// The handler whose call it was; null if it was none.
    pub handler: Option<String>,
    /// What exactly: of an effect the request and its result, of an end the reason.
    pub detail: String,
}

/// A kind of thing that happens with a delivery.
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
}

impl What {
    /// Returns its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Effect => "effect",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}
