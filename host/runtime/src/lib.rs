//! Runs handlers, which are WebAssembly components. Each call of a hook has its own store, and reaches only what was
//! granted.

mod bindings;
mod calls;
mod facts;
mod grant_uses;
mod hooks;
mod invoke;
mod limits;
mod modules;
mod outbound;
mod runtime;
mod sandbox;
mod services;
mod slack;
mod text;
mod trace;
mod types;
mod unescape;
mod wasmtime_words;

use text::hex;

pub use calls::held_back::HeldBack;
pub use calls::http::recorded_body;
pub use grant_uses::{GrantKind, GrantUse, GrantUses};
pub use hooks::returned::checked_enrichment;
pub use limits::bounds::Bounds;
pub use limits::quota::{LimitHit, LimitName, Limits};
pub use limits::table::{LimitKey, Unit};
pub use modules::cache::CacheError;
pub use modules::catalog::{Pins, Terms};
pub use modules::compiler::{
    COMPILE_COMMAND, COMPILE_FAST, CompileError, Compiler, EXIT_DAMAGED, compile_modules,
};
pub use modules::folder::{Folder, FolderError};
pub use modules::load_error::LoadError;
pub use modules::loader::Loader;
pub use modules::module::Module;
pub use modules::registry::Registry;
pub use modules::serving::{ModuleInfo, Served, Serving};
pub use modules::source::{Candidate, Content, ModuleSource, Origin, SourceEvent};
pub use outbound::credential::{Credential, CredentialKind};
pub use outbound::egress::{
    HttpAnswer, HttpAnswers, HttpClient, Roots, Route, SendError, install_crypto, without_url,
};
pub use outbound::proxy::{NoProxy, Proxy, ProxyAddress, ProxyUrlError};
pub use runtime::{Options, Runtime, RuntimeError};
pub use sandbox::engine::{Effort, EngineError, open_page_map};
pub use services::ServiceOptions;
pub use slack::breaker::SlackBreaker;
pub use slack::handle::PreviewSink;
pub use slack::hold::SlackHold;
pub use slack::preview::render_kept;
pub use slack::settings::{Rate as SlackRate, Settings as SlackSettings};
pub use slack::{Bot, ChannelState, SlackReport, TokenProblem};
pub use trace::log::GUEST_FIELDS;
pub use trace::{Answered, Call, CallCount, LogLine, Trace};
pub use types::*;

/// The name and version of the WebAssembly engine.
pub const ENGINE: &str = concat!("wasmtime ", env!("ALERT_MANAGER_WASMTIME"));
