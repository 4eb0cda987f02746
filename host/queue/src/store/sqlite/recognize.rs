//! Decides which event an alert is: its start, its occurrence, and whether it is new, known or stale.

use std::time::Duration;

use rusqlite::Connection;

use crate::model::clock::from_nanos;
use alert_manager_core::alert::{Alert, Event, Occurrence, Status, Timestamp};

use super::events::Events;
use super::gathered::Known;
use super::memory::Memory;

/// A firing that has not run and comes this soon after its resolved was accepted was overtaken by it. Later, it fires:
/// Alertmanager sends what fires again after `group_interval`, 5 minutes by default.
pub(super) const STALE_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Which event an alert is.
#[derive(Debug)]
pub(super) struct Recognized {
    pub(super) event: Event,
    pub(super) news: News,
    /// The start that the sender gave, if the event has another and the sender's is to be remembered.
    pub(super) sent: Option<Timestamp>,
}

/// What is known of an event.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing.
    New,
    /// It was accepted before.
    Known(Memory),
    /// It is a firing that its resolved, the event that is named here, has overtaken.
    Stale(Event),
}

impl Events {
    /// Decides which event an alert is.
    ///
    /// A firing after its resolved begins the next occurrence. An alert without a start belongs to the fingerprint's open
    /// firing. A resolved whose start is nobody's ends the open firing, if exactly one is open; otherwise it is an event of
    /// its own, since which one it ends cannot be known.
    pub(super) fn recognize(
        &self,
        conn: &Connection,
        alert: &Alert,
        starts_at_missing: bool,
        now: Timestamp,
    ) -> rusqlite::Result<Recognized> {
        let named = Event {
            occurrence: Occurrence::FIRST,
            ..alert.event()
        };
        let of = |event: Event, known: Known, sent| judge(event, known, now, sent);
        if starts_at_missing {
            let open = self.open_firings(conn, named.fingerprint, 1)?;
            let event = Event {
                starts_at: open.first().map_or(named.starts_at, |open| open.starts_at),
                ..named
            };
            return Ok(of(event, self.look_up(conn, event)?, None));
        }
        let known = self.look_up(conn, named)?;
        if named.status == Status::Firing || known.firing.is_some() {
            return Ok(of(named, known, None));
        }
        let starts_at = match &known.resolved {
            Some(resolved) => resolved.ends.map(from_nanos),
            None => match self.open_firings(conn, named.fingerprint, 2)?.as_slice() {
                [open] => Some(open.starts_at),
                _ => None,
            },
        };
        let Some(starts_at) = starts_at else {
            return Ok(of(named, known, None));
        };
        let event = Event { starts_at, ..named };
        let known = self.look_up(conn, event)?;
        Ok(of(event, known, Some(named.starts_at)))
    }
}

/// Decides by what is known of the start of `event` alone.
fn judge(event: Event, known: Known, now: Timestamp, sent: Option<Timestamp>) -> Recognized {
    let current = Event {
        occurrence: known.occurrence.unwrap_or(Occurrence::FIRST),
        ..event
    };
    // A resolved that was sent under this start and ended another firing is none of this one.
    let resolved = known.resolved.filter(|resolved| resolved.ends.is_none());
    let (event, kept) = match (event.status, known.firing, resolved) {
        (Status::Resolved, _, resolved) => (current, resolved),
        (Status::Firing, firing, None) => (current, firing),
        (Status::Firing, None, Some(resolved)) if is_within(resolved.accepted_ms, now) => {
            let resolved = Event {
                status: Status::Resolved,
                ..current
            };
            return Recognized {
                event: current,
                news: News::Stale(resolved),
                sent,
            };
        }
        (Status::Firing, _, Some(_)) => {
            let next = Event {
                occurrence: current.occurrence.next(),
                ..current
            };
            (next, None)
        }
    };
    Recognized {
        event,
        news: kept.map_or(News::New, |kept| News::Known(kept.memory)),
        sent,
    }
}

/// Returns true if `at_ms` is less than [`STALE_WITHIN`] away from now, on either side: a clock that was set back must not
/// make firings stale for longer than that.
fn is_within(at_ms: i64, now: Timestamp) -> bool {
    let away_ms = now.as_millisecond().abs_diff(at_ms);
    u128::from(away_ms) < STALE_WITHIN.as_millis()
}
