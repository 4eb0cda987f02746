//! Loads the modules of a folder for the commands that need no running server.

use std::sync::Arc;

use anyhow::Context as _;

use super::serve;
use crate::app;
use crate::config::Config;
use crate::description::Description;
use crate::runtime::{ModuleInfo, Options, Registry, Runtime};

/// What a folder holds.
#[derive(Default)]
pub(super) struct Found {
    /// Every file, refused ones too.
    pub(super) files: Vec<ModuleInfo>,
    /// What those that would serve say of themselves.
    pub(super) descriptions: Vec<Description>,
}

/// Looks at the configured folder as a server would. One that is not there is empty: a configuration can be
/// checked before anything is deployed.
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
            let registry = Registry::open(runtime, app::module_sources(config)?, app::pins(config));
            // Compiling has a bound of its own, which on a busy machine is longer than that of a rescan.
            registry.ready().await;
            // Not only scanned: a file that looks half copied is given its time, and judged.
            registry.rescan().await;
            let serving = registry.serving();
            Ok(Found {
                files: serving.listed().to_vec(),
                descriptions: serving.descriptions(),
            })
        })
}

/// Whether compiled code goes into the server's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheUse {
    /// If there is one: a check changes nothing on the machine.
    IfThere,
    /// It is made: a server is about to run from it.
    Make,
}

/// Compiles with the server's cache if this user may, else into a folder of its own that goes with the command.
pub(super) fn sandbox(
    config: &Config,
    cache: CacheUse,
) -> anyhow::Result<(Arc<Runtime>, Option<tempfile::TempDir>)> {
    let compiler = serve::compiler()?;
    let options =
        || app::runtime_options(config, [0; 32], Arc::new(|_: &str| ()), compiler.clone());
    let shared = options();
    let is_there = shared.cache_dir.is_dir()
        && rustix::fs::access(&shared.cache_dir, rustix::fs::Access::WRITE_OK).is_ok();
    if (is_there || cache == CacheUse::Make)
        && let Ok(runtime) = Runtime::new(shared)
    {
        return Ok((runtime, None));
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let runtime = Runtime::new(Options {
        cache_dir: folder.path().join("cache"),
        ..options()
    })?;
    Ok((runtime, Some(folder)))
}
