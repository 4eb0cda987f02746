//! What is remembered of an event, and how that changes.

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Occurrence, Status, Timestamp};

use super::clock::nanos;
use super::memory::Memory;

/// How many of a fingerprint's firings are looked at for one that is open.
pub(crate) const OPEN_AMONG: u8 = 100;

/// All that is kept of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) memory: Memory,
    /// When it was first accepted, in milliseconds since 1970.
    pub(crate) accepted_ms: i64,
    pub(crate) last_seen_ms: i64,
    pub(crate) duplicates: u64,
    /// Of a resolved under the start that its sender gave: the start of the firing that it ended, in nanoseconds since 1970.
    pub(crate) ends: Option<i64>,
}

impl Kept {
    /// Returns what is kept of an event that comes for the first time.
    pub(crate) fn seen_first(now: Timestamp) -> Self {
        Self {
            accepted_ms: now.as_millisecond(),
            last_seen_ms: now.as_millisecond(),
            ..Self::default()
        }
    }
}

/// What is known of a start: its current occurrence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Absent if nothing is known.
    pub(crate) occurrence: Option<Occurrence>,
    pub(crate) firing: Option<Kept>,
    pub(crate) resolved: Option<Kept>,
}

impl Known {
    /// Adds what is kept of an event, unless that of a later occurrence, or newer, is here already.
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

    /// Returns what is kept of an event, if it is of the current occurrence.
    pub(crate) fn kept_mut(&mut self, event: Event) -> Option<&mut Kept> {
        if self.occurrence != Some(event.occurrence) {
            return None;
        }
        match event.status {
            Status::Firing => self.firing.as_mut(),
            Status::Resolved => self.resolved.as_mut(),
        }
    }

    /// Returns the memory of the current occurrence's firing.
    pub(crate) fn firing_memory(&self) -> Memory {
        let firing = self.firing.as_ref();
        firing.map(|kept| kept.memory.clone()).unwrap_or_default()
    }
}

/// A fingerprint and a start, whatever the occurrence and the status.
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

/// Returns the event under which a resolved is found again that was sent with another start than its event's.
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

/// What is to be remembered of an event.
#[derive(Clone, Debug)]
pub(crate) enum Remember {
    /// It was not known; `first` is the first delivery of it, or of the event that it is another name of.
    New { kept: Kept, first: DeliveryId },
    /// It is known, and was sent again.
    Again {
        at: Timestamp,
        /// What has changed of its runs.
        memory: Option<Memory>,
        /// True if it did not run for that.
        is_duplicate: bool,
    },
}

impl Remember {
    /// Changes what is kept of a known event. What was not known is put there as a whole.
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
