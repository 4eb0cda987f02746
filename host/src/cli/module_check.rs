//! Checks a module that was built, as a server would, before it replaces one that works.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use handler_build::Summary;

use super::modules::{self, CacheUse};
use super::process;
use crate::runtime::{Folder, Loader, Origin};

/// The sandbox in which modules are checked.
pub(super) struct ModuleCheck {
    loader: Arc<Loader>,
    threads: tokio::runtime::Runtime,
    out: PathBuf,
    bytes_max: u64,
    _cache: Option<tempfile::TempDir>,
}

impl ModuleCheck {
    /// Sets up a sandbox for the modules of the folder `out`. The configuration is used if it can be read, since the server that
    /// uses it shares its cache of compiled code.
    pub(super) fn new(file: Option<&Path>, out: &Path, cache: CacheUse) -> anyhow::Result<Self> {
        let config = modules::config_or_default(file)?;
        let (runtime, folder) = modules::sandbox(&config, cache)?;
        Ok(Self {
            loader: Arc::clone(runtime.loader()),
            threads: process::threads()?,
            out: out.to_owned(),
            bytes_max: config.sandbox.module_bytes_max,
            _cache: folder,
        })
    }

    /// Decides as a server would that serves the folder and finds the module as `file` in it.
    ///
    /// # Errors
    /// Why the module would be refused.
    pub(super) fn check(&self, file: &str, module: &[u8]) -> Result<Summary, String> {
        let origin = Origin::File {
            path: self.out.join(file),
        };
        // A folder that is not there yet has no other module.
        let others = Folder::candidates(&self.out, self.bytes_max).unwrap_or_default();
        let tried = self.loader.try_module(&origin, module.to_vec(), others);
        let module = self.threads.block_on(tried)?;
        let description = module.description();
        Ok(Summary {
            handler: description.name.to_string(),
            version: description.version.clone(),
            alerts: description.alerts.clone(),
            imports: module.imports().to_vec(),
            sha256: module.sha256().to_owned(),
        })
    }
}
