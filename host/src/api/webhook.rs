//! The JSON of the response to `POST /webhook`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::is_zero;
use crate::alert::{DeliveryId, Fingerprint, HandlerName};

/// The response to a body of alerts, sent once all alerts that it counts as accepted are durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The numbers of alerts by result.
    #[serde(flatten)]
    pub counted: Counted,
    /// The deliveries that were stored, one for each alert and route.
    #[serde(default)]
    pub deliveries: Vec<Taken<'static>>,
    /// The deliveries that the duplicates belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicate_of: Vec<Taken<'static>>,
}

/// The results for the alerts of a body, without the deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Alerts that were accepted and are stored.
    #[serde(default)]
    pub accepted: u64,
    /// Events that are known and do not run again.
    #[serde(default)]
    pub duplicates: u64,
    /// Firing alerts that arrived after their own resolved alert and do not run.
    #[serde(default)]
    pub stale: u64,
    /// Parts of the body that are not valid alerts, stored as dead deliveries.
    #[serde(default)]
    pub rejected: Vec<Rejected>,
    /// The number of further such parts, which are not stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected_more: u64,
}

/// A part of a body that is not a valid alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its index in the body's list, from 0.
    pub index: usize,
    /// The reason, with the name of the field.
    pub error: String,
    /// The dead delivery that stores its JSON. Absent if another replica has the term, and makes the delivery later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DeliveryId>,
    /// True if the same part was received before and is stored as that delivery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// A delivery of an alert, or one that a duplicate belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken<'a> {
    /// Its id.
    pub id: DeliveryId,
    /// Alertmanager's fingerprint of the labels.
    pub fingerprint: Fingerprint,
    /// The label `alertname`; empty if there is none.
    pub alertname: Cow<'a, str>,
    /// The handlers of the pipeline, in their order; absent for the delivery that a duplicate belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handlers: Option<Cow<'a, [HandlerName]>>,
}
