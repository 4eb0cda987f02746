//! What a server without the term has accepted, for the one that has it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{HandlerName, Priority};
use alert_manager_core::plan::Plan;

use super::parcel::{NewAlert, Refused};

/// An alert, or a part of a body that is not one.
#[derive(Debug)]
pub(crate) enum Arrived {
    Alert(NewAlert),
    Refused(Refused),
}

/// A [`Plan`], as it is stored until the server that has the term decides about the alert.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredPlan {
    route: String,
    handlers: Vec<HandlerName>,
    priority: Priority,
    repeat_after_ms: u64,
    storm: Option<String>,
}

impl From<&Plan> for StoredPlan {
    fn from(plan: &Plan) -> Self {
        Self {
            route: plan.route.to_string(),
            handlers: plan.handlers.clone(),
            priority: plan.priority,
            repeat_after_ms: u64::try_from(plan.repeat_after.as_millis()).unwrap_or(u64::MAX),
            storm: plan.storm.as_deref().map(str::to_owned),
        }
    }
}

impl From<StoredPlan> for Plan {
    fn from(stored: StoredPlan) -> Self {
        Self {
            route: stored.route.into(),
            handlers: stored.handlers,
            priority: stored.priority,
            repeat_after: Duration::from_millis(stored.repeat_after_ms),
            storm: stored.storm.map(Into::into),
        }
    }
}
