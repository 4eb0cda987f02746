//! One key: how many came lately, whether it is in a storm, and what of it may run as one.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use alert_manager_core::alert::DeliveryId;

use crate::model::clock::Ticks;
use crate::model::{QUIET, StormKey, StormOptions};

/// What may run as one now, and what of it does.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// The representative of the generation that has not ended. One at a time.
    pub(super) running: Option<DeliveryId>,
    /// Those that may be part of the next.
    pub(super) eligible: BTreeSet<DeliveryId>,
}

impl Pool {
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.eligible.is_empty()
    }
}

/// A key: how many came lately, and what of it may run as one.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) key: StormKey,
    /// When the last of it came, one more than make no storm.
    arrivals: VecDeque<Ticks>,
    /// When the last came while it was in a storm.
    pub(super) last_in_storm: Option<Ticks>,
    /// The storm that is open.
    pub(super) storm: Option<DeliveryId>,
    pub(super) pool: Pool,
    /// How many in the schedule have this key.
    pub(super) items: usize,
}

impl Key {
    pub(super) fn new(key: StormKey) -> Self {
        Self {
            key,
            arrivals: VecDeque::new(),
            last_in_storm: None,
            storm: None,
            pool: Pool::default(),
            items: 0,
        }
    }

    /// Returns true if what waits of it runs as one. What came during the storm does so however long it had to wait.
    pub(super) fn is_in_storm(&self, now: Ticks) -> bool {
        let is_recent = |last: Ticks| now - last <= ticks(QUIET);
        self.last_in_storm
            .is_some_and(|last| is_recent(last) || self.pool.eligible.len() > 1)
    }

    pub(super) fn arrive(&mut self, at: Ticks, options: StormOptions) {
        let is_over = |last: Ticks| at - last > ticks(QUIET);
        if self.last_in_storm.is_some_and(is_over) && self.pool.is_idle() {
            self.last_in_storm = None;
        }
        let most = options.over as usize + 1;
        self.arrivals.push_back(at);
        while self.arrivals.len() > most {
            self.arrivals.pop_front();
        }
        let is_many = self.arrivals.len() == most
            && self
                .arrivals
                .front()
                .is_some_and(|first| at - first <= ticks(options.within));
        if is_many || self.last_in_storm.is_some() {
            self.last_in_storm = self.last_in_storm.max(Some(at));
        }
    }

    pub(super) fn is_forgotten(&self, now: Ticks, within: Duration) -> bool {
        let last = self.arrivals.back();
        self.items == 0
            && self.storm.is_none()
            && self.pool.is_idle()
            && self
                .last_in_storm
                .is_none_or(|last| now - last > ticks(QUIET))
            && last.is_none_or(|last| now - last > ticks(within))
    }
}

pub(super) fn ticks(of: Duration) -> Ticks {
    Ticks::try_from(of.as_millis()).unwrap_or(Ticks::MAX)
}
