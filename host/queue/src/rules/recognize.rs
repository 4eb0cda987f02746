//! Decides which event an alert is: its start, its occurrence, and whether it is new, known or stale.
//!
//! A firing after its resolved begins the next occurrence. An alert without a `startsAt` belongs to the fingerprint's open firing.
//! A resolved with a `startsAt` that no firing has ends the open firing, if there is exactly one. Otherwise it is an event of its
//! own, since it is not known which firing it ends.

use std::time::Duration;

use alert_manager_core::alert::{Alert, Event, Occurrence, Status, Timestamp};

use crate::model::clock::from_nanos;
use crate::model::{Kept, Known, Memory};

/// A firing that has not run is stale if it comes within this time after its resolved was accepted: the resolved has overtaken it.
/// A later one is a new firing: Alertmanager sends an alert that fires again after `group_interval`, 5 minutes by default.
pub(crate) const STALE_WITHIN: Duration = Duration::from_secs(5 * 60);

/// The event of an alert.
#[derive(Debug)]
pub(crate) struct Recognized {
    pub(crate) event: Event,
    pub(crate) news: News,
    /// The `startsAt` that the sender gave, if it differs from that of the event and is to be remembered.
    pub(crate) sent: Option<Timestamp>,
}

/// Whether an event is known.
#[derive(Debug)]
pub(crate) enum News {
    /// It is new.
    New,
    /// It was accepted before, and has these runs.
    Known(Memory),
    /// It is a firing that this resolved has overtaken.
    Stale(Event),
}

/// The start of the event that an alert belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// The `startsAt` of the alert.
    ToItsOwn,
    /// This one: the alert was sent before, and ended the firing that began then.
    To(Timestamp),
    /// That of the fingerprint's open firing, if there is exactly one. Otherwise that of the alert.
    ToOpen,
}

/// Returns the event with the alert's own `startsAt`, and the first occurrence.
pub(crate) fn named(alert: &Alert) -> Event {
    Event {
        occurrence: Occurrence::FIRST,
        ..alert.event()
    }
}

/// Decides which start an alert with a `startsAt` belongs to. `known` is what is remembered of that `startsAt`.
pub(crate) fn belongs(named: Event, known: &Known) -> Belongs {
    if named.status == Status::Firing || known.firing.is_some() {
        return Belongs::ToItsOwn;
    }
    match &known.resolved {
        None => Belongs::ToOpen,
        Some(Kept {
            ends: Some(ends), ..
        }) => Belongs::To(from_nanos(*ends)),
        Some(_) => Belongs::ToItsOwn,
    }
}

/// Returns the start of the open firing, if there is exactly one.
pub(crate) fn only_one(open: &[Event]) -> Option<Timestamp> {
    match open {
        [open] => Some(open.starts_at),
        _ => None,
    }
}

/// Decides the occurrence of an event, and whether it is known, by what is remembered of its start. `sent` is the `startsAt` that
/// the sender gave, if it differs.
pub(crate) fn judge(
    event: Event,
    known: &Known,
    sent: Option<Timestamp>,
    now: Timestamp,
) -> Recognized {
    let current = Event {
        occurrence: known.occurrence.unwrap_or(Occurrence::FIRST),
        ..event
    };
    // A resolved with this `startsAt` that ended another firing does not belong to this one.
    let resolved = known.resolved.as_ref();
    let resolved = resolved.filter(|resolved| resolved.ends.is_none());
    let (event, kept) = match (event.status, &known.firing, resolved) {
        (Status::Resolved, _, resolved) => (current, resolved),
        (Status::Firing, firing, None) => (current, firing.as_ref()),
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
        news: kept.map_or(News::New, |kept| News::Known(kept.memory.clone())),
        sent,
    }
}

/// Returns true if `at_ms` is less than [`STALE_WITHIN`] before or after now. A time in the future means that the system's clock was
/// set back, which must not make firings stale for longer than that.
fn is_within(at_ms: i64, now: Timestamp) -> bool {
    let away_ms = now.as_millisecond().abs_diff(at_ms);
    u128::from(away_ms) < STALE_WITHIN.as_millis()
}

#[cfg(test)]
mod tests {
    use alert_manager_core::alert::Fingerprint;

    use super::*;
    use crate::model::clock::from_millis;

    const HOUR_MS: i64 = 3_600_000;

    fn event(status: Status) -> Event {
        Event {
            fingerprint: Fingerprint(1),
            starts_at: from_millis(HOUR_MS),
            status,
            occurrence: Occurrence::FIRST,
        }
    }

    fn known(firing: Option<i64>, resolved: Option<i64>) -> Known {
        let mut known = Known::default();
        for (status, accepted_ms) in [(Status::Firing, firing), (Status::Resolved, resolved)] {
            if let Some(accepted_ms) = accepted_ms {
                let kept = || Kept::seen_first(from_millis(accepted_ms));
                known.add(Occurrence::FIRST, status, kept);
            }
        }
        known
    }

    #[test]
    fn an_alert_is_judged_by_what_is_known_of_its_start() {
        use Status::{Firing, Resolved};
        let minute = 60_000;
        for (status, firing, resolved, expected, occurrence) in [
            (Firing, None, None, "new", 1),
            (Firing, Some(0), None, "known", 1),
            (Firing, None, Some(0), "stale", 1),
            (Firing, None, Some(-5 * minute), "new", 2),
            (Firing, Some(-1), Some(0), "new", 2),
            (Resolved, None, None, "new", 1),
            (Resolved, Some(0), None, "new", 1),
            (Resolved, Some(-1), Some(0), "known", 1),
        ] {
            let known = known(
                firing.map(|at| HOUR_MS + at),
                resolved.map(|at| HOUR_MS + at),
            );
            let judged = judge(event(status), &known, None, from_millis(HOUR_MS));
            let news = match judged.news {
                News::New => "new",
                News::Known(_) => "known",
                News::Stale(_) => "stale",
            };
            let at = format!("{status:?} after {firing:?} and {resolved:?}");
            assert_eq!(news, expected, "{at}");
            assert_eq!(judged.event.occurrence.as_raw(), occurrence, "{at}");
        }
    }

    #[test]
    fn a_resolved_belongs_to_what_it_has_ended_before() {
        let resolved = event(Status::Resolved);
        let of = |known: &Known| belongs(resolved, known);
        assert_eq!(of(&known(None, None)), Belongs::ToOpen);
        assert_eq!(of(&known(Some(0), None)), Belongs::ToItsOwn);
        assert_eq!(of(&known(None, Some(0))), Belongs::ToItsOwn);
        let mut ended = known(None, Some(0));
        if let Some(kept) = &mut ended.resolved {
            kept.ends = Some(7);
        }
        assert_eq!(of(&ended), Belongs::To(from_nanos(7)));
        assert_eq!(belongs(event(Status::Firing), &ended), Belongs::ToItsOwn);
        let open = [event(Status::Firing), event(Status::Firing)];
        assert_eq!(only_one(&open), None);
        assert_eq!(only_one(&open[..1]), Some(open[0].starts_at));
    }
}
