//! What the earlier occurrences of an alert are, whatever store they are read from.

use alert_manager_core::alert::{Alert, DeliveryId, Timestamp};
use alert_manager_core::journal::{Earlier, PAST_LISTED_MAX, Past, PastOccurrence};

use crate::model::clock::{from_nanos, nanos};
use crate::model::{ID_COUNTER_BITS, State};

use super::labels::Same;

/// How many of the newest deliveries of an alertname, and of its rows of history, one question reads at most: a storm of one
/// alertname asks many questions, and no time limit of a step ends a read.
pub(super) const ROWS_READ_MAX: u32 = 10_000;

/// By how much the clock of a sender may be ahead: an alert may have been accepted that long before it began.
const CLOCK_AHEAD_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// Returns the lowest identifier that a delivery may have whose alert began at this time or later.
pub(super) fn first_id(since: Timestamp) -> i64 {
    let accepted_from = since.as_millisecond().saturating_sub(CLOCK_AHEAD_MS_MAX);
    accepted_from.max(0) << ID_COUNTER_BITS
}

/// An occurrence of an alert with one name: its start in nanoseconds since 1970, its fingerprint, and which of those with the same
/// start it is.
pub(super) type Which = (i64, i64, i64);

/// A row of an occurrence.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) which: Which,
    pub(super) delivery: DeliveryId,
    pub(super) ends_at: Option<Timestamp>,
    /// As they are stored ([`super::labels`]).
    pub(super) labels: &'a [u8],
}

/// Gathers the occurrences that an alert asks for, from rows in descending order of the occurrences.
#[derive(Debug)]
pub(super) struct Gathered {
    own: Which,
    same: Vec<Same>,
    last: Option<Which>,
    past: Past,
}

impl Gathered {
    pub(super) fn of(alert: &Alert, asked: &Earlier) -> Self {
        let own = alert.event();
        let same = asked.same.iter().map(|name| Same::of(alert, name));
        Self {
            own: (
                nanos(own.starts_at),
                own.fingerprint.0.cast_signed(),
                own.occurrence.as_raw().into(),
            ),
            same: same.collect(),
            last: None,
            past: Past::default(),
        }
    }

    /// Adds a row. `state` is asked for only if it is listed.
    pub(super) fn add<E>(
        &mut self,
        found: Found<'_>,
        state: impl FnOnce() -> Result<State, E>,
    ) -> Result<(), E> {
        let Found { which, .. } = found;
        if which == self.own || !self.same.iter().all(|same| same.holds(found.labels)) {
            return Ok(());
        }
        let past = &mut self.past;
        // On several routes, and with its reminders, it is one occurrence.
        if self.last == Some(which) {
            if past.count as usize == past.occurrences.len()
                && let Some(listed) = past.occurrences.last_mut()
            {
                listed.ends_at = listed.ends_at.or(found.ends_at);
            }
            return Ok(());
        }
        self.last = Some(which);
        past.count = past.count.saturating_add(1);
        if past.occurrences.len() < PAST_LISTED_MAX {
            past.occurrences.push(PastOccurrence {
                delivery: found.delivery,
                starts_at: from_nanos(which.0),
                ends_at: found.ends_at,
                state: state()?.as_str().to_owned(),
            });
        }
        Ok(())
    }

    pub(super) fn past(self) -> Past {
        self.past
    }
}
