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
    const SUMMARY: &'static str =
        "Says how full a node's filesystem is, when it will be full and which pods use it.";
    const ALERTS: &'static [&'static str] = &[
        "NodeFilesystemSpaceFillingUp",
        "NodeFilesystemAlmostOutOfSpace",
        "NodeFilesystemFilesFillingUp",
        "NodeFilesystemAlmostOutOfFiles",
    ];
    const READS: Reads = Reads::Prometheus;
    const CALLS_MAX: u32 = 6;

    fn firing(look: &Look<'_>) -> Report {
        questions::firing(look)
    }

    fn resolved(look: &Look<'_>) -> End {
        questions::end(look)
    }
}

handler_kit::answers!(Disk);
