//! What a handler's deliveries have become.

use super::Answers;
use crate::alert::{DeliveryId, Timestamp};
use crate::api::Delivery;
use crate::http::error::ApiError;
use crate::queue::{Filter, State};

/// How many dead deliveries are looked at for the reasons of failures.
const FAILURES_MAX: u32 = 200;

/// How many of the newest deliveries are listed.
const NEWEST_MAX: u32 = 20;

/// Dead deliveries with the same first line of their error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Failures {
    /// The line.
    pub(in crate::http) error: String,
    /// How many, of those that were looked at.
    pub(in crate::http) count: u64,
    /// The newest of them.
    pub(in crate::http) newest: DeliveryId,
    /// When that was accepted.
    pub(in crate::http) at: Timestamp,
}

impl Answers {
    /// Returns the newest deliveries with a handler in their pipeline.
    pub(in crate::http) async fn newest_of(
        &self,
        handler: &str,
    ) -> Result<Vec<Delivery>, ApiError> {
        let filter = Filter {
            handler: Some(handler.to_owned()),
            limit: NEWEST_MAX,
            ..Filter::default()
        };
        Ok(self.deliveries(filter).await?.deliveries)
    }

    /// Returns why the last deliveries with a handler in their pipeline have died, the most frequent reason first.
    pub(in crate::http) async fn failures_of(
        &self,
        handler: &str,
    ) -> Result<Vec<Failures>, ApiError> {
        let filter = Filter {
            handler: Some(handler.to_owned()),
            state: Some(State::Dead),
            limit: FAILURES_MAX,
            ..Filter::default()
        };
        let dead = self.deliveries(filter).await?.deliveries;
        Ok(grouped(&dead))
    }
}

/// Groups deliveries, newest first, by the first line of their error.
fn grouped(dead: &[Delivery]) -> Vec<Failures> {
    let mut groups: Vec<Failures> = Vec::new();
    for delivery in dead {
        let error = delivery.last_error.as_deref().unwrap_or_default();
        let error = error.lines().next().unwrap_or_default();
        match groups.iter_mut().find(|group| group.error == error) {
            Some(group) => group.count += 1,
            None => groups.push(Failures {
                error: error.to_owned(),
                count: 1,
                newest: delivery.id,
                at: delivery.received_at,
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}
