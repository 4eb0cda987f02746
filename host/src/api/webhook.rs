//! The answer to `POST /webhook`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::is_zero;
use crate::alert::{DeliveryId, Fingerprint, HandlerName};

/// The answer to a body of alerts, written once everything that it counts as accepted is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// What became of the alerts, counted.
    #[serde(flatten)]
    pub counted: Counted,
    /// What was stored: one delivery for each alert and route.
    pub deliveries: Vec<Taken<'static>>,
    /// The deliveries that the duplicates belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicate_of: Vec<Taken<'static>>,
}

/// What became of the alerts of a body, but for the deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Alerts that were accepted and are stored.
    pub accepted: u64,
    /// Events that are known and need not run again.
    pub duplicates: u64,
    /// Firings that came after their own resolved: not run.
    pub stale: u64,
    /// Parts of the body that are no alerts, kept as dead deliveries.
    pub rejected: Vec<Rejected>,
    /// Such parts beyond those that are listed. They are not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected_more: u64,
}

/// A part of a body that is no alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its index in the body's list, from 0.
    pub index: usize,
    /// Why, with the name of the field.
    pub error: String,
    /// The dead delivery that keeps its JSON.
    pub id: DeliveryId,
    /// True if the same part came before and is kept as that delivery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// A delivery that an alert came to, or that a duplicate belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken<'a> {
    /// Its identity.
    pub id: DeliveryId,
    /// Alertmanager's fingerprint of the labels.
    pub fingerprint: Fingerprint,
    /// The label `alertname`; empty if there is none.
    pub alertname: Cow<'a, str>,
    /// The handlers of the pipeline, in their order; absent for what a duplicate belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handlers: Option<Cow<'a, [HandlerName]>>,
}
