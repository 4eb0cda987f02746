//! What the server reports about itself: log lines and metrics.

pub mod log;
mod metrics;
mod refusals;

pub(crate) use metrics::{Cut, Refusal};
pub use metrics::{Label, METRICS, Metric, Metrics, WebhookResult};
pub(crate) use refusals::{Refusals, Refused, shown};
