//! The plan for an alert on one route.

use std::sync::Arc;
use std::time::Duration;

use crate::alert::{HandlerName, Priority};

/// What one route does with an alert. Fixed when the alert is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The route's name.
    pub route: Arc<str>,
    /// The handlers, in the order in which they enrich and then act.
    pub handlers: Vec<HandlerName>,
    /// The priority of the delivery.
    pub priority: Priority,
    /// How long after its last run a repeated event runs again, as a reminder.
    pub repeat_after: Duration,
    /// The values of the labels by which a storm is recognized (`storm.by`). Absent if it runs for each alert: storms are off, or
    /// an actor of the pipeline does not say that one message may stand for many.
    pub storm: Option<Arc<str>>,
}
