//! The webhook: parses alerts of all senders and passes them to the queue.

mod endpoint;
mod intake;
mod payload;
mod rate;
mod room;
mod settings;
mod signature;

pub(crate) use endpoint::{PATHS, endpoints};
pub use payload::{Bad, BadAlert, Parsed, ParsedAlert, PayloadError, parse};
pub(crate) use rate::SenderRates;
pub(crate) use room::Room;
pub(crate) use settings::{Hmac, SenderRate, Settings};
