//! Alerts in: what senders post, told apart and turned into alerts of ours.

mod endpoint;
mod outliving;
mod payload;
mod rate;
mod room;
mod signature;

pub(crate) use endpoint::{endpoints, submission};
pub use payload::{BadAlert, Parsed, ParsedAlert, PayloadError, parse};
pub(crate) use rate::SenderRates;
pub(crate) use room::Room;
