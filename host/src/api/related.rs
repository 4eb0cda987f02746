//! What is related to a delivery: why it took its route, the same alert earlier, and what is handled together with it.

use serde::{Deserialize, Serialize};

use super::{Delivery, Made, Verdict};
use crate::alert::Timestamp;

/// The response to `GET /api/v1/deliveries/{id}/related`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// Whether its alert takes each route as the routes are configured now; empty if it is no alert.
    pub routes: Vec<Verdict>,
    /// The last deliveries before it with the same fingerprint, newest first, at most 10.
    pub earlier: Vec<Earlier>,
    /// If fewer were found and not all deliveries were looked at within the time of a request: when the oldest was accepted that was;
    /// else null.
    #[serde(default)]
    pub earlier_looked_back_to: Option<Timestamp>,
    /// The first deliveries after it with the same fingerprint, newest first, at most 5.
    #[serde(default)]
    pub later: Vec<Delivery>,
    /// Deliveries that it runs in the place of, oldest first, at most 50.
    pub members: Vec<Delivery>,
}

/// An earlier delivery of the same alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The delivery.
    pub delivery: Delivery,
    /// What it did outside, by interface.
    pub made: Vec<Made>,
}
