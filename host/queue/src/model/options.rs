//! What an operator may set for the queue.

use std::collections::HashMap;
use std::time::Duration;

use alert_manager_core::alert::HandlerName;

/// The settings of the queue. The keys are those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `webhook.queue_depth_max`: deliveries that are not settled, in all; past it alerts are refused. One handler gets half
    /// of it. 100,000 by default.
    pub queue_depth_max: usize,
    /// `retention.time`: how long a settled delivery is kept. 7 days by default.
    pub retention_time: Duration,
    /// `retention.size`: past this size of the store, in bytes, the oldest settled deliveries are deleted. 2 GiB by default.
    pub retention_bytes_max: u64,
    /// How long an alert may wait for its commit before its sender is asked to try again.
    pub commit_wait_max: Duration,
    /// When deliveries run as one.
    pub storm: StormOptions,
    /// What no operator sets.
    pub bounds: Bounds,
}

/// `storm`: when deliveries that are alike run as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StormOptions {
    /// `storm.over`: more than this many within [`Self::within`] are a storm; 0 is off. 20 by default.
    pub over: u32,
    /// `storm.within`. A minute by default.
    pub within: Duration,
}

impl Default for StormOptions {
    fn default() -> Self {
        Self {
            over: 20,
            within: Duration::from_secs(60),
        }
    }
}

/// Bounds of the queue that no operator sets. Each has one value, the default; a test of a bound takes a smaller one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Deliveries whose labels are tested for one part of a list: each alert is parsed, at some 5 µs.
    pub labels_tested_max: usize,
    /// Deliveries that one request may send again: each takes about 100 bytes meanwhile.
    pub retried_max: u32,
    /// Reports of what transactions settled that may wait to be taken. What comes beyond is counted.
    pub settled_reports_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            labels_tested_max: 100_000,
            retried_max: 100_000,
            settled_reports_max: 64,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_depth_max: 100_000,
            retention_time: Duration::from_secs(7 * 24 * 60 * 60),
            retention_bytes_max: 2 << 30,
            commit_wait_max: Duration::from_secs(10),
            storm: StormOptions::default(),
            bounds: Bounds::default(),
        }
    }
}

/// How many invocations of each handler may run at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Those that have a setting of their own.
    pub by_handler: HashMap<HandlerName, u32>,
    /// All others.
    pub default: u32,
}

impl Caps {
    /// Returns the same cap for every handler.
    #[must_use]
    pub fn all(default: u32) -> Self {
        Self {
            by_handler: HashMap::new(),
            default,
        }
    }

    pub(crate) fn of(&self, handler: &HandlerName) -> u32 {
        self.by_handler
            .get(handler)
            .copied()
            .unwrap_or(self.default)
    }
}
