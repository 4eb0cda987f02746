//! Says how full a volume is, how fast it fills and whether it can grow, or why a volume cannot be used.

mod questions;
#[cfg(test)]
mod tests;
mod verdicts;

use handler_kit::prelude::*;

/// Answers the alerts about persistent volumes.
#[derive(Debug)]
pub struct Volume;

impl Answer for Volume {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const CALLS_MAX: u32 = 10;
    const READS: &'static str = "Kubernetes and Prometheus";

    fn describe() -> Description {
        let summary =
            "Says how full a volume is, when it will be full, whether it can grow and who uses it.";
        describe::<Self>(env!("CARGO_PKG_VERSION"), summary)
            .alerts([
                "KubePersistentVolumeFillingUp",
                "KubePersistentVolumeInodesFillingUp",
                "KubePersistentVolumeErrors",
            ])
            .settings(handler_kit::KUBERNETES_AND_PROMETHEUS)
    }

    fn firing(look: &Look<'_>) -> Report {
        match look.subject().kind() {
            Some("persistentvolume") => questions::of_volume(look),
            _ => questions::of_claim(look),
        }
    }

    fn resolved(look: &Look<'_>) -> End {
        match look.subject().kind() {
            Some("persistentvolume") => questions::end_of_volume(look),
            _ => questions::end_of_claim(look),
        }
    }
}

handler_kit::answers!(Volume);
