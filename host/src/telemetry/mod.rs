//! What the server tells about itself: log lines and metrics.

pub mod log;
mod metrics;

pub(crate) use metrics::{Cut, Refusal};
pub use metrics::{Metrics, WebhookResult};
