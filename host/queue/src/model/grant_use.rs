//! When each grant of a handler was used. The queue keeps it, and does not know what grants are.

use alert_manager_core::alert::{HandlerName, Timestamp};

/// The uses of one grant of one handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantUsed {
    /// The handler.
    pub handler: HandlerName,
    /// What the grant lets it use.
    pub kind: String,
    /// The grant, as it is written in the configuration.
    pub grant: String,
    /// The number of calls that used it.
    pub calls: u64,
    /// When the first of them was made.
    pub first: Timestamp,
    /// When the last of them was made.
    pub last: Timestamp,
}

/// The uses of all grants that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantsUsed {
    /// Since when uses are kept.
    pub since: Timestamp,
    /// At most 10,000: those that were used last.
    pub uses: Vec<GrantUsed>,
}
