//! An SDK to write handlers for Alert Manager in Rust.
//!
//! A handler is a small WebAssembly component. [`Handler::enrich`] finds out what a person needs to know
//! about an alert, and [`Handler::act`] responds to it. Both reach the outside only through the context, [`Cx`]:
//! HTTP, Slack, a key-value store, history, timers, settings and a log, each as far as the operator has granted it.
//!
//! # A handler
//!
//! ```toml
//! # Cargo.toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! handler-sdk = "0.1"
//! ```
//!
//! ```
//! // src/lib.rs
//! use handler_sdk::prelude::*;
//!
//! const CHANNEL: Setting = Setting::channel("channel", "the Slack channel").default("alerts");
//!
//! struct DiskFull;
//!
//! impl Handler for DiskFull {
//!     fn describe() -> Description {
//!         Description::new("disk-full", env!("CARGO_PKG_VERSION"), "Says which disk fills up.")
//!             .alerts(["NodeFilesystemSpaceFillingUp"])
//!             .settings([&CHANNEL])
//!             .act_only()
//!     }
//!
//!     fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
//!         let disk = alert.label("mountpoint").unwrap_or("a disk");
//!         let node = alert.label("instance").unwrap_or("an unknown node");
//!         let blocks = Blocks::new()
//!             .header(format!("{disk} on {node} fills up"))
//!             .section(alert.summary().unwrap_or("The alert says no more."))
//!             .enrichment(found);
//!         let channel = cx.setting(&CHANNEL).unwrap_or_default();
//!         cx.slack().post(Message::new(channel, format!("{disk} on {node} fills up")).blocks(blocks))?;
//!         Ok(Facts::new().with("disk", disk))
//!     }
//! }
//!
//! handler_sdk::export!(DiskFull);
//!
//! // Tests run natively, against a mock host in memory.
//! # if true {
//! let host = handler_sdk::mock::Host::new().config("channel", "storage");
//! let alert = Alert::new("NodeFilesystemSpaceFillingUp").with_label("mountpoint", "/var");
//! let run = host.run::<DiskFull>(&alert);
//! assert_eq!(run.facts().get("disk"), Some("/var"));
//! assert_eq!(host.posts()[0].channel, "storage");
//! assert_eq!(host.posts()[0].text, "/var on an unknown node fills up");
//! # }
//! ```
//!
//! `alert-manager build` compiles it to a component. The server loads the component as soon as it is copied into the
//! handlers' folder. Its stack has 256 KiB; a project that needs more sets
//! `rustflags = ["-Clink-arg=-zstack-size=1048576"]` for `[target.wasm32-wasip2]` in its `.cargo/config.toml`.
//!
//! # Settings
//!
//! A [`Setting`] is a constant. [`Description::settings`] declares it to the host, [`Cx::setting`] reads it with its
//! default, and `alert-manager check` verifies the operator's `config` against it.
//!
//! # Errors
//!
//! `?` turns the errors of HTTP, Slack, kv, history and timers into the matching [`Failure`]: transient errors are retried, a rate
//! limit after its wait, and permanent errors are dead-lettered and reported to a person. A handler that needs another
//! outcome matches on the error first.
//!
//! # Messages for people
//!
//! [`layout`] builds messages that look alike for all handlers and stay within size limits; [`incident`] posts one message
//! for each incident, updates it and replies in its thread; [`subject`] finds out what an alert is about, whichever exporter
//! its metric comes from; [`severity`] maps the usual severity names to levels.
//!
//! # Storms
//!
//! A handler that declares [`Description::storm_one`] runs once for many alerts of a storm, which [`Enrichment::storm`]
//! describes.
//!
//! # Earlier alerts, and later ones
//!
//! [`Cx::history`] finds out how often the alert has fired before. [`Cx::timer`] calls `act` again later, for example to escalate
//! what nobody has fixed.
//!
//! # What a component imports
//!
//! A component imports only the parts of [`Cx`] that its code calls. A handler that never calls [`Cx::http`] does not
//! import HTTP, and needs no grant for it.
#![warn(missing_docs)]

// The generated code and the exported macro refer to this crate by its own name.
extern crate self as handler_sdk;

pub mod alert;
pub mod context;
pub mod enrichment;
pub mod failure;
pub mod handler;
pub mod history;
pub mod http;
pub mod incident;
pub mod kv;
pub mod layout;
pub mod log;
pub mod mask;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
pub mod settings;
pub mod severity;
pub mod slack;
pub mod storm;
pub mod subject;
pub mod time;
pub mod timer;

/// The bindings that wit-bindgen generates from `wit/handler.wit`. They are checked in, so that building a handler does
/// not require building the generator. A test compares them with the contract; `UPDATE_SNAPSHOTS=1` regenerates them.
///
/// Authors do not use this module: the SDK re-exports its types, and the context calls its functions.
#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    clippy::all,
    clippy::unwrap_used,
    clippy::doc_markdown,
    clippy::uninlined_format_args,
    clippy::semicolon_if_nothing_returned,
    clippy::allow_attributes_without_reason,
    reason = "generated by wit-bindgen"
)]
pub mod bindings;
mod imports;

pub use alert::{Alert, Status};
pub use context::{Call, Cx};
pub use enrichment::{Block, Enrichment, Facts};
pub use failure::Failure;
pub use handler::{Description, Handler};
pub use settings::Setting;
pub use severity::Severity;
pub use time::Timestamp;

/// The JSON library that [`http::Response::json`] and [`http::RequestBuilder::json`] use.
pub use serde_json;

/// The items that most handlers need: `use handler_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::slack::{Blocks, Message, MessageRef, Mrkdwn};
    pub use crate::{
        Alert, Block, Cx, Description, Enrichment, Facts, Failure, Handler, Setting, Status,
        Timestamp,
    };
}

/// Exports a [`Handler`] as the component's hooks. Each handler calls it once: `handler_sdk::export!(MyHandler);`.
///
/// On targets other than wasm it only checks that the type implements [`Handler`], so that the same crate links
/// natively and its tests run against [`mock::Host`].
#[macro_export]
macro_rules! export {
    ($handler:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::__private::Adapter<$handler>;
    $crate::__private::export_hooks!(Exported with_types_in $crate::__private::bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Description = <$handler as $crate::Handler>::describe;
    };
}

#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    #[cfg(target_family = "wasm")]
    pub use crate::bindings::export_hooks;
    #[cfg(target_family = "wasm")]
    pub use crate::handler::Adapter;
    pub use wit_bindgen;
}
