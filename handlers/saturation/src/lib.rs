//! Says what a node is short of, since when, and which pods use most of it, over their request or not.

mod questions;
mod resource;
#[cfg(test)]
mod tests;
mod verdicts;

use handler_kit::prelude::*;

/// Answers the alerts of `node_exporter` about memory, CPU, load and disk I/O.
#[derive(Debug)]
pub struct Saturation;

impl Answer for Saturation {
    const SUMMARY: &'static str =
        "Says what a node is short of, since when, and which pods use most of it.";
    const ALERTS: &'static [&'static str] = &[
        "NodeMemoryHighUtilization",
        "NodeCPUHighUsage",
        "NodeSystemSaturation",
        "NodeDiskIOSaturation",
    ];
    const READS: Reads = Reads::Prometheus;
    const CALLS_MAX: u32 = 5;

    fn firing(look: &Look<'_>) -> Report {
        questions::firing(look)
    }

    fn resolved(look: &Look<'_>) -> End {
        questions::end(look)
    }
}

handler_kit::answers!(Saturation);
