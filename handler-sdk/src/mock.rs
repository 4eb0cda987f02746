//! A mock host in memory, for a handler's tests.
//!
//! ```
//! use handler_sdk::mock::Host;
//! use handler_sdk::prelude::*;
//!
//! struct OnCall;
//!
//! impl Handler for OnCall {
//!     fn describe() -> Description {
//!         Description::new("on-call", "0.1.0", "Says who is on call.").alerts(["*"])
//!     }
//!
//!     fn enrich(cx: &Cx, _: &Alert, _: &Enrichment) -> Result<Enrichment, Failure> {
//!         let who = cx.http().get("https://rota.example.com/now").send()?.error_for_status()?.text();
//!         Ok(Enrichment::new().with_fact("on-call", who))
//!     }
//!
//!     fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
//!         let who = found.fact("on-call").unwrap_or("nobody known");
//!         cx.slack().post(Message::new("alerts", format!("{}: {who}", alert.name)))?;
//!         Ok(Facts::new())
//!     }
//! }
//!
//! let host = Host::new().http_get("https://rota.example.com/now", 200, "ada");
//! host.run::<OnCall>(&Alert::new("Down"));
//! assert_eq!(host.posts()[0].text, "Down: ada");
//!
//! // A request without a script is denied, like one that is not granted; the notification is still posted.
//! let host = Host::new();
//! host.run::<OnCall>(&Alert::new("Down"));
//! assert_eq!(host.posts()[0].text, "Down: nobody known");
//! ```
//!
//! The mock rejects what the real host rejects with its default limits: bad URLs and headers, bodies, keys and values
//! that are too large, more calls than a step may make, references to messages that were never posted. With
//! [`Host::attempt`] a run is a retry that is answered from the record. Unlike the real host, the mock panics at a
//! message that Slack would reject for its blocks or its length. It does not apply limits on the bytes of a whole step,
//! of the record, or of what a handler returns.

// tests/integration/conformance.rs of the server compares its results with those of the real host.

mod alert;
mod checks;
mod declared;
mod found;
mod host;
mod imports;
mod past;
mod replay;
mod reply;
mod sent;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

pub use alert::alert_from_json;
pub use found::Storm;
pub use host::{Host, Run};
pub use reply::Reply;
pub use sent::{LogLine, OpenTimer, Post, Reaction, Request, Update, Upload};
pub use snapshot::assert_snapshot;
