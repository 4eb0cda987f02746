//! What the server tells about itself: log lines and metrics.

pub mod log;
mod metrics;

pub use metrics::{BreakerGauge, Metrics, WebhookResult};
pub(crate) use metrics::{Cut, Refusal};
