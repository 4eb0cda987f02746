//! The settings of the queue.

use std::collections::HashMap;
use std::time::Duration;

use alert_manager_core::alert::HandlerName;

/// The settings of the queue, with their keys in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `webhook.queue_depth_max`: at how many unsettled deliveries alerts are refused. One handler may have half of them. 100,000
    /// by default.
    pub queue_depth_max: usize,
    /// `retention.time`: how long a settled delivery is kept. 7 days by default.
    pub retention_time: Duration,
    /// `retention.size`: the size of the store, in bytes, above which the oldest settled deliveries are deleted. 2 GiB by default.
    pub retention_bytes_max: u64,
    /// How long a request waits for its commit before its sender is asked to try again.
    pub commit_wait_max: Duration,
    /// When deliveries run as one.
    pub storm: StormOptions,
    /// Bounds that have no key.
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

/// Bounds of the queue that an operator cannot set. Only tests use other values than the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many deliveries have their labels tested for one page of a list. Each alert is parsed, which takes about 5 µs.
    pub labels_tested_max: usize,
    /// How long one page of a list is looked for. If no index has what is asked for, the page says how far back it looked.
    pub scan_max: Duration,
    /// How many deliveries one request may retry. Each takes about 100 bytes of memory until the request is answered.
    pub retried_max: u32,
    /// How many [`Settled`](super::Settled) reports may wait to be received. Further ones are dropped and counted.
    pub settled_reports_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            labels_tested_max: 100_000,
            scan_max: Duration::from_millis(50),
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

/// The concurrency limit of each handler: how many of its invocations may run at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Handlers with a limit of their own.
    pub by_handler: HashMap<HandlerName, u32>,
    /// The limit of all others.
    pub default: u32,
}

impl Caps {
    /// Returns the same limit for every handler.
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
