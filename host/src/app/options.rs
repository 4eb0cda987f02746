//! Derives the options of the queue and the runtime from the configuration.

use std::path::PathBuf;

use crate::config::Config;
use crate::description::Description;
use crate::queue;
use crate::runtime::{
    self, Compiler, Folder, FolderError, ModuleSource, Pins, PreviewSink, ServiceOptions,
};

/// Returns the concurrency limit of each handler.
pub(super) fn caps(config: &Config, modules: &[Description]) -> queue::Caps {
    queue::Caps {
        by_handler: modules
            .iter()
            .map(|module| &module.name)
            .chain(config.handlers.names())
            .map(|name| {
                (
                    name.clone(),
                    config.handlers.of(name).limits.concurrency_max,
                )
            })
            .collect(),
        default: runtime::Limits::default().concurrency_max,
    }
}

/// Returns where modules come from: each source is one line here.
///
/// # Errors
/// If the folder of handlers cannot be read.
pub fn module_sources(config: &Config) -> Result<Vec<Box<dyn ModuleSource>>, FolderError> {
    let (dir, bytes_max) = (config.handlers_dir.clone(), config.sandbox.module_bytes_max);
    Ok(vec![Box::new(Folder::open(dir, bytes_max)?)])
}

/// Returns the options of the sandbox.
#[must_use]
pub fn runtime_options(
    config: &Config,
    ref_key: [u8; 32],
    preview: PreviewSink,
    compiler: Compiler,
) -> runtime::Options {
    runtime::Options {
        cache_dir: cache_dir(config),
        compiler,
        bounds: config.sandbox,
        services: service_options(config, ref_key, preview),
    }
}

/// Returns the folder of compiled modules, in the store's folder: only the server may write there, since its content is
/// executed.
fn cache_dir(config: &Config) -> PathBuf {
    config.store.local_path("cache")
}

/// Returns the settings of the runtime that a reload changes.
#[must_use]
pub fn service_options(config: &Config, ref_key: [u8; 32], preview: PreviewSink) -> ServiceOptions {
    ServiceOptions {
        slack: config.slack.clone(),
        proxy: config.proxy.clone(),
        credentials: config.credentials.clone(),
        message_ref_key: ref_key,
        preview,
        answers: None,
    }
}

/// Returns the pinned digests of modules.
#[must_use]
pub fn pins(config: &Config) -> Pins {
    config
        .handlers
        .names()
        .filter_map(|name| Some((name.clone(), config.handlers.of(name).sha256?)))
        .collect()
}
