//! Says how full a node's filesystem is, when it will be full, and which pods use it.

mod questions;
#[cfg(test)]
mod tests;
mod verdicts;

use handler_kit::prelude::*;

/// Answers the alerts of `node_exporter` about filesystems.
#[derive(Debug)]
pub struct Disk;

impl Answer for Disk {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const CALLS_MAX: u32 = 6;
    const READS: &'static str = "Prometheus";

    fn describe() -> Description {
        let summary =
            "Says how full a node's filesystem is, when it will be full and which pods use it.";
        describe::<Self>(env!("CARGO_PKG_VERSION"), summary)
            .alerts([
                "NodeFilesystemSpaceFillingUp",
                "NodeFilesystemAlmostOutOfSpace",
                "NodeFilesystemFilesFillingUp",
                "NodeFilesystemAlmostOutOfFiles",
            ])
            .settings(handler_kit::prometheus::SETTINGS)
    }

    fn firing(look: &Look<'_>) -> Report {
        questions::firing(look)
    }

    fn resolved(look: &Look<'_>) -> End {
        questions::end(look)
    }
}

handler_kit::answers!(Disk);
