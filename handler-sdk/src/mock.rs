//! A host made of memory, for a handler's own tests.
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
//! // What was not scripted is denied, as what was not granted is: the notification goes out all the same.
//! let host = Host::new();
//! host.run::<OnCall>(&Alert::new("Down"));
//! assert_eq!(host.posts()[0].text, "Down: nobody known");
//! ```
//!
//! The mock refuses what the real host refuses, with its default limits: bad URLs and headers, bodies, keys and values that
//! are too large, more calls than a step may make, references to messages that were never posted. [`Host::attempt`] makes a
//! run a retry that is answered from the record. Stricter than the real host, it panics at a message that Slack would refuse
//! for its blocks or its length. It does not know limits of bytes over a whole step, of what is recorded, and of what a
//! handler returns.

// What it answers is held to the real host's answers by tests/integration/conformance.rs of the server.

mod alert;
mod checks;
mod host;
mod imports;
mod replay;
mod reply;
mod sent;
mod snapshot;

pub use alert::alert_from_json;
pub use host::{Host, Run};
pub use reply::Reply;
pub use sent::{LogLine, Post, Reaction, Request, Update};
pub use snapshot::assert_snapshot;

pub(crate) use imports::Imports;
