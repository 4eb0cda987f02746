//! Decides which event an alert is: its start, its occurrence, and whether it is new, known or stale.
//!
//! A firing after its resolved begins the next occurrence. An alert without a start belongs to the fingerprint's open firing. A
//! resolved whose start is nobody's ends the open firing, if exactly one is open; otherwise it is an event of its own, since which
//! one it ends cannot be known.

use std::time::Duration;

use alert_manager_core::alert::{Alert, Event, Occurrence, Status, Timestamp};

use crate::model::clock::from_nanos;
use crate::model::{Kept, Known, Memory};

/// A firing that has not run and comes this soon after its resolved was accepted was overtaken by it. Later, it fires:
/// Alertmanager sends what fires again after `group_interval`, 5 minutes by default.
pub(crate) const STALE_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Which event an alert is.
#[derive(Debug)]
pub(crate) struct Recognized {
    pub(crate) event: Event,
    pub(crate) news: News,
    /// The start that the sender gave, if the event has another and the sender's is to be remembered.
    pub(crate) sent: Option<Timestamp>,
}

/// What is known of an event.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing.
    New,
    /// It was accepted before.
    Known(Memory),
    /// It is a firing that its resolved, the event that is named here, has overtaken.
    Stale(Event),
}

/// Whose start an alert belongs to, as far as what is known of its own says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// To its own.
    ToItsOwn,
    /// To this one, which it has ended before.
    To(Timestamp),
    /// To that of the fingerprint's open firing, if exactly one is open.
    ToOpen,
}

/// Returns the event that an alert names, with its first occurrence.
pub(crate) fn named(alert: &Alert) -> Event {
    Event {
        occurrence: Occurrence::FIRST,
        ..alert.event()
    }
}

/// Decides whose start an alert with a start belongs to; `known` is what is known of its own.
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

/// Returns the start of the one firing that is open, if it is one.
pub(crate) fn only_one(open: &[Event]) -> Option<Timestamp> {
    match open {
        [open] => Some(open.starts_at),
        _ => None,
    }
}

/// Decides by what is known of the start of `event`. `sent` is the start that the sender gave, if it is another.
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
    // A resolved that was sent under this start and ended another firing is none of this one.
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

/// Returns true if `at_ms` is less than [`STALE_WITHIN`] away from now, on either side: a clock that was set back must not
/// make firings stale for longer than that.
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
