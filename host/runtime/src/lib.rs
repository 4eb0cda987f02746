//! Runs handlers: WebAssembly components, each call in a store of its own, with what was granted and no more.

mod bindings;
mod calls;
mod hooks;
mod invoke;
mod limits;
mod modules;
mod outbound;
mod runtime;
mod sandbox;
mod services;
mod slack;
mod spelling;
mod text;
mod trace;
mod types;
mod wasmtime_words;

pub use limits::bounds::Bounds;
pub use limits::quota::{LimitHit, LimitName, Limits};
pub use limits::table::{LimitKey, Unit};
pub use modules::cache::CacheError;
pub use modules::compiler::{COMPILE_COMMAND, Compiler, EXIT_DAMAGED, compile_module};
pub use modules::folder::FolderError;
pub use modules::loader::{LoadError, Module};
pub use modules::registry::{ModuleInfo, Pins, Registry, Serving};
pub use outbound::credential::{Credential, CredentialKind};
pub use outbound::egress::{HttpClient, Roots, Route, SendError, without_url};
pub use outbound::proxy::{NoProxy, Proxy, ProxyAddress, ProxyUrlError};
pub use runtime::{Options, Runtime, RuntimeError, install_crypto};
pub use sandbox::engine::{EngineError, open_page_map};
pub use services::ServiceOptions;
pub use slack::holds::{Hold, Holds};
pub use slack::preview::render_kept;
pub use slack::send::PreviewSink;
pub use slack::settings::{Rate as SlackRate, Settings as SlackSettings};
pub use slack::{Bot, ChannelState, SlackReport, SlackTrouble};
pub use trace::recorder::GUEST_FIELDS;
pub use trace::{Answered, Call, CallCount, LogLine, Trace};
pub use types::*;

/// What runs the guests, and its version.
pub const ENGINE: &str = concat!("wasmtime ", env!("ALERT_MANAGER_WASMTIME"));

/// What the fuzz targets of `tests/integration/fuzz` reach inside; no part of what this library offers.
#[doc(hidden)]
pub mod fuzzing {
    use super::bindings::types;
    use super::hooks::given::block;
    use super::hooks::returned::enrichment_from;
    use super::{Limits, StepFailure};
    use alert_manager_core::alert::{Block, Enrichment};

    /// Takes facts and blocks as a guest would return them.
    ///
    /// # Errors
    /// As for a guest.
    pub fn returned(
        facts: Vec<(String, String)>,
        blocks: Vec<Block>,
    ) -> Result<Enrichment, StepFailure> {
        let blocks = blocks.iter().map(block).collect();
        let given = types::Enrichment { facts, blocks };
        enrichment_from(given, &Limits::default())
    }
}

/// Writes bytes as lower case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
