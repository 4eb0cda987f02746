//! Loads the modules of a folder for the commands that need no running server.

use std::sync::Arc;

use anyhow::Context as _;

use super::serve;
use crate::app;
use crate::config::Config;
use crate::description::Description;
use crate::runtime::{ModuleInfo, Options, Registry, Runtime};

/// The modules of a folder.
#[derive(Default)]
pub(super) struct Found {
    /// Every file, including refused ones.
    pub(super) files: Vec<ModuleInfo>,
    /// The descriptions of the modules that would serve.
    pub(super) descriptions: Vec<Description>,
}

/// Loads the configured folder as a server would. A missing folder counts as empty, so that a configuration can be checked
/// before anything is deployed.
pub(super) fn load(config: &Config) -> anyhow::Result<Found> {
    if !config.handlers_dir.is_dir() {
        return Ok(Found::default());
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(async {
            let (runtime, _folder) = sandbox(config, CacheUse::IfThere)?;
            let registry = Registry::open(
                Arc::clone(runtime.loader()),
                app::module_sources(config)?,
                app::pins(config),
            );
            // Compiling has its own time limit, which on a busy machine is longer than that of a rescan.
            registry.ready().await;
            // A rescan waits for files that seem to be still written.
            registry.rescan().await;
            let serving = registry.serving();
            Ok(Found {
                files: serving.listed().to_vec(),
                descriptions: serving.descriptions(),
            })
        })
}

/// Whether compiled code is stored in the server's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheUse {
    /// Only if the cache exists, since a check must change nothing on the machine.
    IfThere,
    /// The cache is created for the server of `dev`, which is about to use it. Like that server's, its code is compiled in
    /// little time.
    Dev,
}

/// Compiles with the server's cache if this user may use it, otherwise with a temporary one.
pub(super) fn sandbox(
    config: &Config,
    cache: CacheUse,
) -> anyhow::Result<(Arc<Runtime>, Option<tempfile::TempDir>)> {
    let compiler = serve::compiler()?;
    let options =
        |compiler| app::runtime_options(config, [0; 32], Arc::new(|_: &str| ()), compiler);
    let shared = options(match cache {
        CacheUse::IfThere => compiler.clone(),
        CacheUse::Dev => compiler.clone().fast(),
    });
    let is_there = shared.cache_dir.is_dir()
        && rustix::fs::access(&shared.cache_dir, rustix::fs::Access::WRITE_OK).is_ok();
    if (is_there || cache == CacheUse::Dev)
        && let Ok(runtime) = Runtime::new(shared)
    {
        return Ok((runtime, None));
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let runtime = Runtime::new(Options {
        cache_dir: folder.path().join("cache"),
        // No alert runs this code.
        ..options(compiler.fast())
    })?;
    Ok((runtime, Some(folder)))
}
