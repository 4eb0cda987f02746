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
    const SUMMARY: &'static str =
        "Says how full a volume is, when it will be full, whether it can grow and who uses it.";
    const ALERTS: &'static [&'static str] = &[
        "KubePersistentVolumeFillingUp",
        "KubePersistentVolumeInodesFillingUp",
        "KubePersistentVolumeErrors",
    ];
    const READS: Reads = Reads::KubernetesAndPrometheus;
    const CALLS_MAX: u32 = 10;

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
