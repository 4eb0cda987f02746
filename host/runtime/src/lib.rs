//! Runs handlers: WebAssembly components, each call in a store of its own, with what was granted and no more.

mod bindings;
mod calls;
mod limits;
mod modules;
mod outbound;
mod sandbox;
mod services;
mod slack;
mod types;
mod wasmtime_words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use modules::cache::Cache;
use modules::compiler::Compilation;
use sandbox::engine::Sandbox;
use services::{Known, Services};

use alert_manager_core::policy::HttpGrant;

pub use calls::recorder::GUEST_FIELDS;
pub use limits::bounds::Bounds;
pub use limits::quota::{LimitHit, LimitKey, LimitName, Limits, Unit};
pub use modules::cache::CacheError;
pub use modules::catalog::Pins;
pub use modules::compiler::{COMPILE_COMMAND, Compiler, EXIT_DAMAGED, compile_module};
pub use modules::folder::{Folder, FolderError};
pub use modules::load_error::LoadError;
pub use modules::registry::Registry;
pub use modules::serving::{ModuleInfo, Served, Serving};
pub use modules::source::{Candidate, Content, ModuleSource, Origin, SourceEvent};
pub use outbound::credential::{Credential, CredentialKind};
pub use outbound::egress::{HttpClient, Roots, Route, SendError, without_url};
pub use outbound::proxy::{NoProxy, Proxy, ProxyAddress, ProxyUrlError};
pub use sandbox::engine::{EngineError, open_page_map};
pub use sandbox::module::Module;
pub use services::{PreviewSink, ServiceOptions};
pub use slack::holds::{Hold, Holds};
pub use slack::preview::render_kept;
pub use slack::settings::{Rate as SlackRate, Settings as SlackSettings};
pub use slack::{Bot, ChannelState, SlackReport, SlackTrouble};
pub use types::*;

/// What runs the guests, and its version.
pub const ENGINE: &str = concat!("wasmtime ", env!("ALERT_MANAGER_WASMTIME"));

/// What the fuzz targets of `tests/integration/fuzz` reach inside; no part of what this library offers.
#[doc(hidden)]
pub mod fuzzing {
    use super::bindings::types;
    use super::sandbox::convert::{block, enrichment_from};
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

/// How the runtime is set up. What changes on a reload is in [`ServiceOptions`].
pub struct Options {
    /// A folder of the server's own for precompiled modules; made with mode 0700. What is in it is
    /// run as machine code, so nobody else may write to it.
    pub cache_dir: PathBuf,
    /// Where modules are compiled.
    pub compiler: Compiler,
    /// What the sandbox may use as a whole.
    pub bounds: Bounds,
    /// Slack, credentials, preview.
    pub services: ServiceOptions,
}

/// Why the runtime cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine cannot be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The folder of precompiled modules cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The client for Slack cannot be made.
    #[error("the client for Slack cannot be made: {0}")]
    Slack(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Loads modules and calls their hooks.
pub struct Runtime {
    sandbox: Sandbox,
    cache: Cache,
    services: ArcSwap<Services>,
    known: Known,
    compilation: Compilation,
}

impl Runtime {
    /// Starts the engine.
    ///
    /// # Errors
    /// Where the machine has no room for the pool, or the cache's folder cannot be used.
    pub fn new(options: Options) -> Result<Arc<Self>, RuntimeError> {
        let sandbox = Sandbox::new(options.bounds)?;
        install_crypto();
        let cache = Cache::open(
            options.cache_dir,
            &sandbox.engine,
            options.bounds.cache_bytes_max,
        )?;
        let known = Known::default();
        let services = Services::new(options.services, known.clone())
            .map_err(|error| RuntimeError::Slack(error.into()))?;
        known.holds.reconfigure(&services.slack.settings);
        Ok(Arc::new(Self {
            sandbox,
            cache,
            services: ArcSwap::from_pointee(services),
            known,
            compilation: Compilation::new(options.compiler),
        }))
    }

    /// Returns what of Slack is held until the operator mends it. It outlives reloads.
    #[must_use]
    pub fn holds(&self) -> &Arc<Holds> {
        &self.known.holds
    }

    /// Swaps Slack, credentials and preview; invocations under way keep what they began with.
    ///
    /// # Errors
    /// Where the client for Slack cannot be made; the old settings stay.
    pub fn reconfigure(&self, options: ServiceOptions) -> Result<(), RuntimeError> {
        let services = Services::new(options, self.known.clone())
            .map_err(|error| RuntimeError::Slack(error.into()))?;
        let services = Arc::new(services);
        self.services.store(Arc::clone(&services));
        self.known.holds.reconfigure(&services.slack.settings);
        Ok(())
    }

    /// Asks Slack who the token is and what the channels are; None in preview, where nothing is posted. Never takes long.
    pub async fn ask_slack(&self) -> Option<SlackReport> {
        let services = self.services.load_full();
        if services.slack.settings.preview {
            return None;
        }
        Some(services.slack.ask_all().await)
    }

    /// Connects to what `grant` covers, as a request under it would, and asks for nothing but an answer: `HEAD`, without
    /// credentials. None where only a wildcard says which host that is.
    ///
    /// # Errors
    /// Says why there is no connection.
    pub async fn reach(
        &self,
        grant: &HttpGrant,
        ca_file: Option<&Path>,
    ) -> Option<Result<(), String>> {
        let url = grant.url()?;
        let proxy = self.services.load().proxy.clone();
        let reached = async {
            outbound::egress::judge_literal(grant, &url)
                .map_err(|refusal| refusal.reason().to_owned())?;
            let client = outbound::egress::Clients::default()
                .get(grant, ca_file, &url, proxy.as_ref())
                .map_err(|error| error.to_string())?;
            let request = client.request(reqwest::Method::HEAD, url);
            let request = request.timeout(limits::HTTP_CONNECT_MAX);
            match client.send(request).await {
                Ok(_) => Ok(()),
                Err(error) => Err(match outbound::egress::refusal_in(&error) {
                    Some(refusal) => refusal.reason().to_owned(),
                    None => outbound::egress::root_cause(&error),
                }),
            }
        };
        Some(reached.await)
    }
}

/// Chooses the cryptography of every TLS client in this process; the first choice stays.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
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
