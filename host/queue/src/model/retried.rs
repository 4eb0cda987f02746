//! The result of a request to retry many deliveries.

use alert_manager_core::alert::DeliveryId;

use super::errors::RetryError;

/// The result of a request to retry many deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Those that are queued again, or due.
    pub retried: Vec<DeliveryId>,
    /// Those that were not retried, and why: the first 1,000.
    pub left: Vec<(DeliveryId, RetryError)>,
    /// How many were not retried for each reason, without `rest`.
    pub left_counts: Vec<(RetryError, u64)>,
    /// Those that the request did not get to; absent if there are none.
    pub rest: Option<Rest>,
}

/// Deliveries that a request did not get to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// They come after this one.
    pub after: DeliveryId,
    /// How many there are.
    pub count: u64,
    /// Why the request ended.
    pub why: RestReason,
}

/// Why a request ended before it got to all deliveries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestReason {
    /// The queue has no room for more: it keeps some for new alerts.
    #[error(
        "as many deliveries wait already as a retry of many may add (a quarter of webhook.queue_depth_max for each handler, half of it in all); send the rest when some of them are settled"
    )]
    Room,
    /// The request has reached its time limit.
    #[error("this request has reached its time limit; send the rest with another")]
    Time,
    /// The store cannot write.
    #[error("{0}")]
    Store(String),
}

impl RestReason {
    /// Returns the word for it in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Time => "time",
            Self::Store(_) => "store",
        }
    }
}
