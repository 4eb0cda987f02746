//! Loads the modules of a folder for the commands that need no running server.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use super::{print, process, serve};
use crate::app;
use crate::config::{Config, Overrides, Secrets};
use crate::description::Description;
use crate::runtime::{Module, ModuleInfo, Options, Registry, Runtime};

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
    process::threads()?.block_on(async {
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

/// Returns the configuration, or the default one if it cannot be read, for a command that needs of it only the bounds of the
/// sandbox and the cache that a server with this configuration has.
pub(super) fn config_or_default(file: Option<&Path>) -> anyhow::Result<Config> {
    let without_secrets = Overrides {
        secrets: Secrets::LeftAlone,
        ..Overrides::default()
    };
    Config::load(file, &without_secrets, &|name| std::env::var(name).ok())
        .or_else(|_| Config::load(None, &without_secrets, &|_| None))
        .map_err(|problems| anyhow!("{problems}"))
}

/// Reads the file of a module. Of one that is larger than `bytes_max`, only so much is read that the loader refuses it.
pub(super) fn read(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    if path.is_dir() {
        bail!(
            "{0} is a folder: name one module, a .wasm file. `alert-manager build {0}` makes it from a handler project, and `alert-manager check` is for a folder of modules",
            path.display()
        );
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

/// Loads a module from its bytes.
///
/// # Errors
/// Why a server would refuse it.
pub(super) async fn load_one(
    runtime: &Runtime,
    path: &Path,
    bytes: Vec<u8>,
) -> anyhow::Result<Module> {
    let loaded = runtime.loader().load(bytes).await;
    loaded.map_err(|why| refused(path, &why.to_string()))
}

/// Returns the error for a module that a server would refuse.
pub(super) fn refused(path: &Path, why: &str) -> anyhow::Error {
    anyhow!("{} is refused: {}", path.display(), print::plain(why))
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
