//! The JSON of the response to `GET /api/v1/activity`: how much was received and what became of it, over time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::Timestamp;

/// What was received and what became of it, from aggregates that are kept as it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The last hour.
    pub last_hour: Amounts,
    /// The last day.
    pub last_day: Amounts,
    /// Over the time that was asked for.
    pub series: Series,
}

/// What was counted over a time, in buckets of the same length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// How long the time is: `1h`, `1d`, `7d` or `90d`.
    pub over: String,
    /// How long a bucket is, in seconds.
    pub bucket_seconds: u64,
    /// The buckets, the oldest first; the last one is not over.
    pub buckets: Vec<Bucket>,
}

/// What was counted in a part of a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The beginning of that part.
    pub from: Timestamp,
    /// What was counted.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// What was counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Alerts by how they were received: `accepted`, `duplicate`, `stale`, `rejected`. Without those of which there were none.
    pub received: BTreeMap<String, u64>,
    /// Deliveries by the reason for which they have ended. Without those of which there were none.
    pub settled: BTreeMap<String, u64>,
    /// The time, in milliseconds, from acceptance to the end that about half of the deliveries that were handled did not exceed;
    /// null if there were none.
    pub p50_ms: Option<u64>,
    /// The same for 99 of 100.
    pub p99_ms: Option<u64>,
}

impl Amounts {
    /// Returns how many alerts were received like this.
    #[must_use]
    pub fn received_as(&self, name: &str) -> u64 {
        self.received.get(name).copied().unwrap_or(0)
    }

    /// Returns how many deliveries have ended for this reason.
    #[must_use]
    pub fn ended_as(&self, reason: &str) -> u64 {
        self.settled.get(reason).copied().unwrap_or(0)
    }
}

/// What a route has received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteUse {
    /// Deliveries that were accepted in the last hour.
    pub last_hour: u64,
    /// In the last day.
    pub last_day: u64,
    /// The beginning of the last minute, or hour if it is more than two days ago, in which there was one; null if there was none
    /// in 90 days.
    pub last: Option<Timestamp>,
}
