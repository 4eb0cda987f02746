//! What is to be done about an alert.

use std::sync::Arc;
use std::time::Duration;

use crate::alert::{HandlerName, Priority};

/// What one route wants done about an alert. Fixed when the alert is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The route's name.
    pub route: Arc<str>,
    /// In the order in which they enrich, then act.
    pub handlers: Vec<HandlerName>,
    /// How urgent.
    pub priority: Priority,
    /// A re-send of an event that ran longer ago than this runs again, as a reminder.
    pub repeat_after: Duration,
}
