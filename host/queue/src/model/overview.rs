//! How everything stands.

use super::counts::Counts;
use super::waiting::{GateStatus, Open};

/// How everything stands: each delivery is counted once, as it was within the same few milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// How many deliveries are in which state.
    pub counts: Counts,
    /// What those wait for that are not settled.
    pub open: Open,
    /// The gates that were asked for, or closed, since the start, in the order of their names.
    pub gates: Vec<GateStatus>,
    /// What another server decides: then all of the above is about what this one does, which is nothing.
    pub elsewhere: Option<Elsewhere>,
}

/// The deliveries that another server decides on, as the store had them within the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Those that wait, by themselves, for what only the other server knows; with what it has not taken yet.
    pub queued: usize,
    /// Those that run.
    pub running: usize,
    /// Those that wait for the time of their next attempt.
    pub retrying: usize,
    /// Those in whose place another one waits or runs.
    pub members: usize,
    /// Dead letters.
    pub dead: u64,
    /// The newest delivery, and when the last ones ended: what changes if nothing of the above does.
    pub latest: [Option<i64>; 3],
}

impl Elsewhere {
    /// Returns how many are not settled.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.queued + self.running + self.retrying + self.members
    }
}
