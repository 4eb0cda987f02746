//! Earlier occurrences of alerts.

use serde::{Deserialize, Serialize};

use crate::alert::{DeliveryId, Timestamp};

/// Which occurrences a handler asks for: those of alerts with the name of its delivery's alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// The labels whose values are those of its alert. A label that its alert lacks is lacking there too.
    pub same: Vec<String>,
    /// They began to fire then or later.
    pub since: Timestamp,
}

/// One occurrence of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastOccurrence {
    /// Its delivery, which may have been removed since.
    pub delivery: DeliveryId,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it resolved; absent if it has not.
    pub ends_at: Option<Timestamp>,
    /// The state of its delivery, as the API names it.
    pub state: String,
}

/// The occurrences that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// How many there are.
    pub count: u32,
    /// The newest of them, at most [`PAST_LISTED_MAX`], newest first.
    pub occurrences: Vec<PastOccurrence>,
}

/// How many occurrences are listed at most.
pub const PAST_LISTED_MAX: usize = 50;
