//! How everything stands.

use super::counts::Counts;
use super::waiting::{GateStatus, Open};

/// How everything stands: each delivery is counted once, as it was within the same few milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// How many deliveries are in which state.
    pub counts: Counts,
    /// What those wait for that are not settled.
    pub open: Open,
    /// The gates that were asked for, or closed, since the start, in the order of their names.
    pub gates: Vec<GateStatus>,
}
