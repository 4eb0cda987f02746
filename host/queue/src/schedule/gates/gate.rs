//! One gate: its token bucket, until when it is closed, and who waits at it.

use std::collections::{BTreeMap, BTreeSet};

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::gate::GateRate;

use crate::model::ByPriority;
use crate::model::clock::Ticks;

use super::Alike;
use crate::schedule::bucket::Bucket;
use crate::schedule::turn::Turns;

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) label: String,
    pub(super) rate: Option<GateRate>,
    pub(super) bucket: Option<Bucket>,
    pub(super) closed_until: Ticks,
    pub(super) turns: Turns,
    /// Groups for which it is not the first gate.
    pub(super) groups: BTreeSet<Alike>,
    /// What waits at it.
    pub(super) waiting: ByPriority,
    /// The last update of this message that each delivery has asked for.
    pub(super) updates: BTreeMap<DeliveryId, Update>,
    /// The number of the latest that was sent.
    pub(super) latest_sent: u64,
}

/// An update of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    /// In which order they were asked for, among all updates.
    pub(super) number: u64,
    pub(super) standing: Standing,
    /// True if it is stored that a later one was sent.
    pub(super) is_outdated: bool,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits, or is about to.
    Waits,
    /// It was sent, under this lease.
    Sent(u32),
    /// Under this lease it was said that it need not be made.
    Superseded(u32),
}

impl Update {
    /// Returns true if it was asked for under this lease, and answered.
    pub(super) fn is_answered_under(self, lease: u32) -> bool {
        match self.standing {
            Standing::Waits => false,
            Standing::Sent(under) | Standing::Superseded(under) => under == lease,
        }
    }
}

impl Gate {
    pub(super) fn new(label: String) -> Self {
        Self {
            label,
            rate: None,
            bucket: None,
            closed_until: Ticks::MIN,
            turns: Turns::default(),
            groups: BTreeSet::new(),
            waiting: ByPriority::default(),
            updates: BTreeMap::new(),
            latest_sent: 0,
        }
    }

    /// Returns when it is open and has a token: `now` if that is so.
    pub(super) fn opens_at(&self, now: Ticks) -> Ticks {
        let open_at = self.closed_until.max(now);
        match &self.bucket {
            Some(bucket) => bucket.next_at(open_at),
            None => open_at,
        }
    }

    pub(super) fn set_rate(&mut self, rate: Option<GateRate>, now: Ticks) {
        self.rate = rate;
        self.bucket = rate.map(Bucket::new);
        if self.closed_until > now {
            self.close(self.closed_until);
        }
    }

    pub(super) fn close(&mut self, until: Ticks) {
        self.closed_until = self.closed_until.max(until);
        if let Some(bucket) = &mut self.bucket {
            bucket.empty_until(until);
        }
    }

    pub(super) fn is_idle(&self, now: Ticks) -> bool {
        self.closed_until <= now && self.waiting.total() == 0 && self.updates.is_empty()
    }
}
