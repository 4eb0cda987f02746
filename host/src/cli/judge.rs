//! Checks a module that was built, as a server would, before it replaces one that works.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use memchr::memmem;

use super::modules::{self, CacheUse};
use crate::config::{Config, Overrides};
use crate::runtime::Runtime;

/// The sandbox in which modules are checked.
pub(super) struct Judge {
    runtime: Arc<Runtime>,
    threads: tokio::runtime::Runtime,
    out: PathBuf,
    _cache: Option<tempfile::TempDir>,
}

impl Judge {
    /// Sets up a sandbox for the modules of the folder `out`. The configuration is used if it can be read, since the server that
    /// uses it shares its cache of compiled code.
    pub(super) fn new(file: Option<&Path>, out: &Path, cache: CacheUse) -> anyhow::Result<Self> {
        let none = Overrides::default();
        let config = Config::load(file, &none, &|name| std::env::var(name).ok())
            .or_else(|_| Config::load(None, &none, &|_| None))
            .map_err(|problems| anyhow!("{problems}"))?;
        let (runtime, folder) = modules::sandbox(&config, cache)?;
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start")?;
        Ok(Self {
            runtime,
            threads,
            out: out.to_owned(),
            _cache: folder,
        })
    }

    /// Returns an error if a server would refuse the module when it is `file` in the folder.
    pub(super) fn check(&self, file: &str, module: &[u8]) -> Result<(), String> {
        let name = self.name_of(module)?;
        match self.owner_of(&name, file) {
            Some(other) => Err(format!(
                "the name {name} is already used by {other} in {}: change the name in describe(), or remove that file",
                self.out.display()
            )),
            None => Ok(()),
        }
    }

    fn name_of(&self, module: &[u8]) -> Result<String, String> {
        let loaded = self.threads.block_on(self.runtime.load(module.to_vec()));
        loaded
            .map(|module| module.name().to_string())
            .map_err(|error| error.to_string())
    }

    /// Returns the other file of the folder that has this name. Only files that contain the name are compiled.
    fn owner_of(&self, name: &str, file: &str) -> Option<String> {
        let files = std::fs::read_dir(&self.out).ok()?.filter_map(Result::ok);
        files
            .filter(|other| other.path().extension().is_some_and(|end| end == "wasm"))
            .filter(|other| other.file_name() != file)
            .find(|other| {
                std::fs::read(other.path()).is_ok_and(|module| {
                    memmem::find(&module, name.as_bytes()).is_some()
                        && self.name_of(&module).as_deref() == Ok(name)
                })
            })
            .map(|other| other.file_name().to_string_lossy().into_owned())
    }
}
