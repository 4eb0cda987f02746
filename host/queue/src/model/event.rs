//! What is remembered of an event, and how that changes.

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Occurrence, Status, Timestamp};

use super::clock::nanos;
use super::memory::Memory;

/// How many starts of a fingerprint are searched for an open firing: the latest ones.
pub(crate) const OPEN_AMONG: u8 = 100;

/// What is remembered of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) memory: Memory,
    /// When it was first accepted, in milliseconds since 1970.
    pub(crate) accepted_ms: i64,
    pub(crate) last_seen_ms: i64,
    pub(crate) duplicates: u64,
    /// If this is a resolved under the `startsAt` that its sender gave, which differs from that of the event: the `startsAt` of the
    /// firing that it ended, in nanoseconds since 1970.
    pub(crate) ends: Option<i64>,
}

impl Kept {
    /// Returns what is remembered of a new event.
    pub(crate) fn seen_first(now: Timestamp) -> Self {
        Self {
            accepted_ms: now.as_millisecond(),
            last_seen_ms: now.as_millisecond(),
            ..Self::default()
        }
    }
}

/// What is remembered of the current occurrence of a start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Absent if nothing is remembered.
    pub(crate) occurrence: Option<Occurrence>,
    pub(crate) firing: Option<Kept>,
    pub(crate) resolved: Option<Kept>,
}

impl Known {
    /// Adds what is remembered of an event. An earlier occurrence is replaced; a later one, and what was added before, stays.
    pub(crate) fn add(
        &mut self,
        occurrence: Occurrence,
        status: Status,
        kept: impl FnOnce() -> Kept,
    ) {
        if self.occurrence < Some(occurrence) {
            *self = Self {
                occurrence: Some(occurrence),
                ..Self::default()
            };
        }
        if self.occurrence == Some(occurrence) {
            match status {
                Status::Firing => self.firing.get_or_insert_with(kept),
                Status::Resolved => self.resolved.get_or_insert_with(kept),
            };
        }
    }

    /// Returns what is remembered of an event, if it is of the current occurrence.
    pub(crate) fn kept_mut(&mut self, event: Event) -> Option<&mut Kept> {
        if self.occurrence != Some(event.occurrence) {
            return None;
        }
        match event.status {
            Status::Firing => self.firing.as_mut(),
            Status::Resolved => self.resolved.as_mut(),
        }
    }

    /// Returns the runs of the current occurrence's firing.
    pub(crate) fn firing_memory(&self) -> Memory {
        let firing = self.firing.as_ref();
        firing.map(|kept| kept.memory.clone()).unwrap_or_default()
    }
}

/// A fingerprint and a `startsAt`: an event without its occurrence and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Start {
    pub(crate) fingerprint: Fingerprint,
    /// In nanoseconds since 1970.
    pub(crate) at: i64,
}

impl From<Event> for Start {
    fn from(event: Event) -> Self {
        Self {
            fingerprint: event.fingerprint,
            at: nanos(event.starts_at),
        }
    }
}

/// Returns the event under which a resolved is also stored if its sender gave another `startsAt` (`sent`) than that of `event`: a
/// re-send is found by it.
pub(crate) fn alias(event: Event, sent: Timestamp) -> Event {
    Event {
        starts_at: sent,
        occurrence: Occurrence::FIRST,
        ..event
    }
}

/// A change to what is remembered of an event.
#[derive(Clone, Debug)]
pub(crate) struct EventChange {
    pub(crate) event: Event,
    pub(crate) what: Remember,
}

/// How what is remembered of an event changes.
#[derive(Clone, Debug)]
pub(crate) enum Remember {
    /// It was not known. `first` is the first delivery of it, or of the event that it is an [`alias`] of.
    New { kept: Kept, first: DeliveryId },
    /// It was sent again.
    Again {
        at: Timestamp,
        /// Its runs, if they have changed.
        memory: Option<Memory>,
        /// True if it did not run again.
        is_duplicate: bool,
    },
}

impl Remember {
    /// Applies the change.
    pub(crate) fn change(&self, kept: &mut Kept) {
        match self {
            Self::New { kept: new, .. } => *kept = new.clone(),
            Self::Again {
                at,
                memory,
                is_duplicate,
            } => {
                if let Some(memory) = memory {
                    kept.memory = memory.clone();
                }
                kept.last_seen_ms = at.as_millisecond();
                kept.duplicates += u64::from(*is_duplicate);
            }
        }
    }
}
