//! The runtime: puts the sandbox, the loader of modules and the services of host calls together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::calls;
use crate::grant_uses::GrantUses;
use crate::limits;
use crate::limits::bounds::Bounds;
use crate::modules::cache::{Cache, CacheError};
use crate::modules::compiler::Compiler;
use crate::modules::loader::Loader;
use crate::outbound::egress;
use crate::sandbox::engine::{EngineError, Sandbox};
use crate::services::{Lasting, ServiceOptions, Services};
use crate::slack::SlackReport;
use crate::slack::breaker::SlackBreaker;
use alert_manager_core::policy::HttpGrant;

/// The settings of the runtime. A reload replaces only [`ServiceOptions`].
pub struct Options {
    /// The folder of precompiled modules, created with mode 0700. Its files are run as machine code, so only this server may
    /// write to it.
    pub cache_dir: PathBuf,
    /// How modules are compiled.
    pub compiler: Compiler,
    /// The bounds of the sandbox as a whole.
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
    pub(crate) sandbox: Arc<Sandbox>,
    loader: Arc<Loader>,
    services: ArcSwap<Services>,
    lasting: Lasting,
}

impl Runtime {
    /// Starts the engine.
    ///
    /// # Errors
    /// If the machine has no room for the pool, or the cache's folder cannot be used.
    pub fn new(options: Options) -> Result<Arc<Self>, RuntimeError> {
        let sandbox = Arc::new(Sandbox::new(options.bounds)?);
        let linker = calls::linker(&sandbox).map_err(EngineError)?;
        egress::install_crypto();
        let bytes_max = options.bounds.cache_bytes_max;
        let effort = options.compiler.effort();
        let cache = Cache::open(options.cache_dir, &sandbox.engine, effort, bytes_max)?;
        let lasting = Lasting::default();
        let services = Services::new(options.services, lasting.clone())
            .map_err(|error| RuntimeError::Slack(error.into()))?;
        lasting.slack_breaker.reconfigure(services.slack.settings());
        Ok(Arc::new(Self {
            loader: Arc::new(Loader::new(
                Arc::clone(&sandbox),
                linker,
                cache,
                options.compiler,
            )),
            sandbox,
            services: ArcSwap::from_pointee(services),
            lasting,
        }))
    }

    /// Returns the loader of modules.
    #[must_use]
    pub fn loader(&self) -> &Arc<Loader> {
        &self.loader
    }

    /// Returns the circuit breaker of Slack, which survives reloads.
    #[must_use]
    pub fn slack_breaker(&self) -> &Arc<SlackBreaker> {
        &self.lasting.slack_breaker
    }

    /// Returns when grants were used, over all reloads.
    #[must_use]
    pub fn grant_uses(&self) -> &Arc<GrantUses> {
        &self.lasting.grant_uses
    }

    /// Returns the current services.
    pub(crate) fn services(&self) -> Arc<Services> {
        self.services.load_full()
    }

    /// Replaces the services. Invocations that have begun keep the old ones.
    ///
    /// # Errors
    /// If the client for Slack cannot be made; the old settings stay.
    pub fn reconfigure(&self, options: ServiceOptions) -> Result<(), RuntimeError> {
        let services = Services::new(options, self.lasting.clone())
            .map_err(|error| RuntimeError::Slack(error.into()))?;
        let services = Arc::new(services);
        self.services.store(Arc::clone(&services));
        self.lasting
            .slack_breaker
            .reconfigure(services.slack.settings());
        Ok(())
    }

    /// Checks Slack's token and channels, at most 10 s for each call; `None` in preview.
    pub async fn check_slack(&self) -> Option<SlackReport> {
        let services = self.services.load_full();
        let settings = services.slack.settings();
        if settings.preview || settings.token.is_none() {
            return None;
        }
        Some(services.slack.check().await)
    }

    /// Sends `HEAD` without credentials to the origin of `grant`, over the same route as a handler's request. Returns `None`
    /// if the grant has no single host, but a wildcard. The inner error says why there is no answer.
    pub async fn reach(
        &self,
        grant: &HttpGrant,
        ca_file: Option<&Path>,
    ) -> Option<Result<(), String>> {
        let url = grant.url()?;
        let proxy = self.services.load().proxy.clone();
        let reached = async {
            egress::judge_literal(grant, &url).map_err(|refusal| refusal.reason().to_owned())?;
            let client = egress::Clients::default()
                .get(grant, ca_file, &url, proxy.as_ref())
                .map_err(|error| error.to_string())?;
            let request = client.request(reqwest::Method::HEAD, url);
            let request = request.timeout(limits::HTTP_CONNECT_MAX);
            match client.send(request).await {
                Ok(_) => Ok(()),
                Err(error) => Err(match egress::refusal_in(&error) {
                    Some(refusal) => refusal.reason().to_owned(),
                    None => egress::root_cause(&error),
                }),
            }
        };
        Some(reached.await)
    }
}
