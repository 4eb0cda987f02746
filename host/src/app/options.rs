//! What the queue and the runtime are given of the configuration.

use std::path::PathBuf;

use crate::config::{Config, Store};
use crate::description::Description;
use crate::queue;
use crate::runtime::{self, Compiler, Pins, PreviewSink, ServiceOptions};

/// Returns how many invocations of each handler may run at one time.
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

/// Returns how the sandbox is set up.
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

/// Returns the folder of compiled modules, beside the store: only the server may write there, since what is in it is executed.
fn cache_dir(config: &Config) -> PathBuf {
    let Store::Sqlite(store) = &config.store;
    let mut name = store.clone().into_os_string();
    name.push(".cache");
    name.into()
}

/// Returns what the runtime takes anew at each reload.
pub(super) fn service_options(
    config: &Config,
    ref_key: [u8; 32],
    preview: PreviewSink,
) -> ServiceOptions {
    ServiceOptions {
        slack: config.slack.clone(),
        proxy: config.proxy.clone(),
        credentials: config.credentials.clone(),
        message_ref_key: ref_key,
        preview,
    }
}

/// Returns the hashes that modules must have.
#[must_use]
pub fn pins(config: &Config) -> Pins {
    config
        .handlers
        .names()
        .filter_map(|name| Some((name.clone(), config.handlers.of(name).sha256?)))
        .collect()
}
