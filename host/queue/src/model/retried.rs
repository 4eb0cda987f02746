//! What sending many deliveries again came to.

use alert_manager_core::alert::DeliveryId;

use super::errors::RetryError;

/// What sending dead ones again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Sent again.
    pub retried: Vec<DeliveryId>,
    /// Left dead, and why: the first 1,000 of them.
    pub left: Vec<(DeliveryId, RetryError)>,
    /// How many were left for each reason, but for the rest.
    pub left_counts: Vec<(RetryError, u64)>,
    /// What was not looked at.
    pub rest: Option<Rest>,
}

/// Dead deliveries that one request did not get to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// They come after this one.
    pub after: DeliveryId,
    /// How many there are.
    pub count: u64,
    /// Why.
    pub why: RestReason,
}

/// Why a request did not get to all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestReason {
    /// The queue keeps room for new alerts.
    #[error(
        "as many deliveries wait already as a retry of many may add (a quarter of webhook.queue_depth_max for each handler, half of it in all); send the rest when some of them are settled"
    )]
    Room,
    /// A request takes a bounded time.
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
