//! What handlers have used of their limits.

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::StepKind;

/// What the last runs of a hook have used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The hook.
    pub step: Lenient<StepKind>,
    /// How many runs this is about: the last 500.
    pub runs: u64,
    /// The time from instantiation to the result, in microseconds; `limits.wall` bounds it.
    pub wall_us: Spread,
    /// The CPU time, in microseconds; `limits.cpu` bounds it.
    pub cpu_us: Spread,
    /// The peak of the memory, in bytes; `limits.memory` bounds it.
    pub memory_bytes: Spread,
}

/// How amounts are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them are not larger.
    pub p50: u64,
    /// 99 of 100 are not larger.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}
