//! The JSON of the response to `GET /api/v1/handlers/{name}`: one handler, what it has done and used.

use serde::{Deserialize, Serialize};

use super::{Delivery, Handler, Lenient, Series, Use};
use crate::alert::{DeliveryId, Timestamp};
use crate::queue::Reason;

/// One handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerDetail {
    /// The files of this name: the one that serves, and one that was refused.
    pub files: Vec<Handler>,
    /// The versions that have served, the newest first.
    pub versions: Vec<Version>,
    /// What its last runs have used since the start of the server.
    pub used: Vec<Use>,
    /// Its key-value state.
    pub kv: KvUse,
    /// How its deliveries have ended over the time that was asked for.
    pub activity: Series,
    /// Why its last deliveries have died, the most frequent reason first.
    pub failures: Vec<Failures>,
    /// If not all dead deliveries were looked at within the time of a request: when the oldest was accepted that was; else null.
    #[serde(default)]
    pub failures_looked_back_to: Option<Timestamp>,
    /// The newest deliveries with it in their pipeline.
    pub newest: Vec<Delivery>,
    /// If there are fewer of these than would be shown, and not all deliveries were looked at: when the oldest was accepted that
    /// was; else null.
    #[serde(default)]
    pub newest_looked_back_to: Option<Timestamp>,
}

/// A version of a handler that has served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was swapped in.
    pub since: Timestamp,
    /// The version from `describe`.
    pub version: String,
    /// The digest of the module.
    pub sha256: String,
}

/// What a handler has in its key-value state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvUse {
    /// The number of keys; `limits.kv_keys` bounds it.
    pub keys: u64,
    /// The bytes of keys and values together; `limits.kv_bytes` bounds them.
    pub bytes: u64,
}

/// Dead deliveries with the same reason and the same first line of their error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The reason; null if a delivery does not say one.
    pub reason: Option<Lenient<Reason>>,
    /// The line.
    pub error: String,
    /// How many, of the last 200 dead ones.
    pub count: u64,
    /// The newest of them.
    pub newest: DeliveryId,
    /// When that was accepted.
    pub at: Timestamp,
}
