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
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const CALLS_MAX: u32 = 5;
    const READS: &'static str = "Prometheus";

    fn describe() -> Description {
        let summary = "Says what a node is short of, since when, and which pods use most of it.";
        describe::<Self>(env!("CARGO_PKG_VERSION"), summary)
            .alerts([
                "NodeMemoryHighUtilization",
                "NodeCPUHighUsage",
                "NodeSystemSaturation",
                "NodeDiskIOSaturation",
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

handler_kit::answers!(Saturation);
