//! Loads the modules of a folder for the commands that need no running server.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::Config;
use crate::runtime::{ModuleInfo, Registry, Runtime};

/// Returns every module of the configured folder as a server would find it, refused ones too. A folder that
/// is not there is empty: a configuration can be checked before anything is deployed.
pub(super) fn load(config: &Config) -> anyhow::Result<Vec<ModuleInfo>> {
    if !Path::new(&config.handlers_dir).is_dir() {
        return Ok(Vec::new());
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(async {
            let runtime = Runtime::new(crate::app::runtime_options(
                config,
                [0; 32],
                Arc::new(|_: &str| ()),
            ))?;
            let registry = Registry::watch(
                runtime,
                config.handlers_dir.clone(),
                crate::app::pins(config),
            )?;
            registry.first_scan().await;
            Ok(registry.list())
        })
}
