//! Alerts in: what senders post, told apart and turned into alerts of ours.

mod endpoint;
mod payload;

pub(crate) use endpoint::endpoints;
pub use payload::{BadAlert, Parsed, ParsedAlert, PayloadError, parse};
