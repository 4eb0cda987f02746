//! Log lines and metrics of the server.

pub mod log;
mod metrics;
mod refusals;

pub(crate) use metrics::{Cut, Refusal};
pub use metrics::{Label, METRICS, Metric, Metrics, WebhookResult};
pub(crate) use refusals::{Refusals, Refused, shown};
