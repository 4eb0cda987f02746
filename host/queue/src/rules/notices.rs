//! Decides which way a notice or alarm takes, and whether a notice is up to date.

use alert_manager_core::alert::{Alert, DeliveryId, Timestamp};

use crate::model::{Delivery, Reason, Row, Run, SUBJECT, State, Way};

/// Returns the delivery that a notice is about.
pub(crate) fn subject_of(alert: &Alert) -> Option<DeliveryId> {
    alert.labels.get(SUBJECT)?.parse().ok()
}

/// Returns true if a notice that began to fire at `starts_at` is up to date: its delivery is dead, or was revived by a re-send and
/// is not settled. Such a delivery would not be reported if it died again.
pub(crate) fn is_current(subject: &Delivery, starts_at: Timestamp) -> bool {
    match subject.state {
        State::Done => false,
        State::Dead => {
            let died_at = subject.first_died_at.or(subject.settled_at);
            died_at == Some(starts_at) && subject.reason != Some(Reason::Cancelled)
        }
        State::Queued | State::Running | State::Retrying => {
            subject.first_died_at == Some(starts_at)
        }
    }
}

/// Returns the ways that an alert has not taken; `runs` are those of its event. A way counts as taken only if all of its present
/// handlers have run, or if retention has removed the delivery.
pub(crate) fn ways_left(mut ways: Vec<Way>, runs: &[(Run, Option<Row>)]) -> Vec<Way> {
    ways.retain(|way| {
        let run = runs.iter().find(|(run, _)| run.is_on(&way.route));
        let is_taken = run.is_some_and(|(_, row)| {
            row.as_ref().is_none_or(|row| {
                let mut handlers = way.handlers.iter();
                handlers.all(|handler| row.pipeline.contains(handler))
            })
        });
        !is_taken
    });
    ways
}

/// Returns the index of the way that an alert takes: the first whose handlers have room, among those that are not blocked. If all
/// are blocked, among all. Nothing if no handlers have room.
pub(crate) fn choose(ways: &[Way], has_room: impl Fn(&Way) -> bool) -> Option<usize> {
    let any_free = ways.iter().any(|way| !way.is_blocked);
    let may_take = |way: &Way| way.is_blocked != any_free && has_room(way);
    ways.iter().position(may_take)
}

#[cfg(test)]
mod tests {
    use alert_manager_core::alert::HandlerName;

    use super::*;

    fn way(route: &str, is_blocked: bool) -> Way {
        Way {
            route: route.into(),
            handlers: vec![HandlerName::new("report")],
            is_blocked,
        }
    }

    #[test]
    fn a_blocked_way_is_taken_only_if_all_are() {
        let ways = |blocked: [bool; 3]| {
            [
                way("a", blocked[0]),
                way("b", blocked[1]),
                way("c", blocked[2]),
            ]
        };
        let all = |_: &Way| true;
        assert_eq!(choose(&ways([false, false, false]), all), Some(0));
        assert_eq!(choose(&ways([true, false, false]), all), Some(1));
        assert_eq!(choose(&ways([true, true, true]), all), Some(0));
        let not_a = |way: &Way| &*way.route != "a";
        assert_eq!(choose(&ways([false, true, false]), not_a), Some(2));
        assert_eq!(choose(&ways([false, true, true]), not_a), None);
        assert_eq!(choose(&[], all), None);
    }
}
