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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use alert_manager_core::alert::{Fingerprint, HandlerName, Priority};

    use super::*;
    use crate::model::clock::from_millis;
    use crate::model::{Cause, Memory, OtherRoutes, Parking};

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

    fn delivery(state: State, first_died_at: Option<i64>, reason: Option<Reason>) -> Delivery {
        Delivery {
            id: DeliveryId::from_raw(1),
            fingerprint: String::new(),
            alertname: "A".into(),
            status: "firing".into(),
            priority: Priority::Normal,
            state,
            route: "a".into(),
            handlers: Vec::new(),
            attempts: 1,
            received_at: from_millis(0),
            settled_at: (state == State::Dead).then(|| from_millis(5)),
            first_died_at: first_died_at.map(from_millis),
            reason,
            last_error: None,
            coalesced_into: None,
            storm: None,
            timer: None,
        }
    }

    #[test]
    fn a_notice_is_current_as_long_as_its_delivery_is_the_dead_letter_that_it_reports() {
        let failed = Some(Reason::Failed);
        // The notice began to fire at 3, or, if no first death is known, when the delivery was settled, at 5.
        for (state, first_died_at, reason, starts_at, expected) in [
            (State::Dead, Some(3), failed, 3, true),
            (State::Dead, Some(3), failed, 5, false),
            (State::Dead, None, failed, 5, true),
            (State::Dead, None, failed, 3, false),
            (State::Dead, Some(3), Some(Reason::Cancelled), 3, false),
            (State::Done, Some(3), Some(Reason::Handled), 3, false),
            (State::Queued, Some(3), None, 3, true),
            (State::Running, Some(3), None, 3, true),
            (State::Retrying, Some(3), None, 3, true),
            (State::Retrying, Some(4), None, 3, false),
            (State::Queued, None, None, 3, false),
        ] {
            let subject = delivery(state, first_died_at, reason);
            assert_eq!(
                is_current(&subject, from_millis(starts_at)),
                expected,
                "{subject:?}, notice of {starts_at}"
            );
        }
    }

    fn row(route: &str, handlers: &[&str]) -> Row {
        Row {
            id: DeliveryId::from_raw(1),
            state: State::Dead,
            leases: 1,
            deaths: 0,
            suspected: 0,
            after_crash: false,
            resent: false,
            priority: Priority::Normal,
            fingerprint: Some(Fingerprint(1)),
            since: from_millis(0),
            not_before: None,
            route: route.into(),
            other_routes: OtherRoutes::None,
            waits_for: Vec::new(),
            pipeline: handlers.iter().map(|name| HandlerName::new(name)).collect(),
            next_handler: None,
            reason: Some(Reason::Failed),
            settled_at: Some(from_millis(0)),
            parking: Parking::No,
            storm_key: None,
            storm: None,
            representative: None,
            event: None,
            cause: Cause::Alert,
        }
    }

    #[test]
    fn the_ways_left_are_those_that_were_not_taken_with_the_same_handlers() {
        let ran = |route: &str, row: Option<Row>| {
            let mut memory = Memory::default();
            memory.ran(route, DeliveryId::from_raw(1), from_millis(0));
            (memory.run_on(route).unwrap(), row)
        };
        for (what, runs, expected) in [
            ("nothing ran", vec![], &["a", "b"][..]),
            ("a ran", vec![ran("a", Some(row("a", &["report"])))], &["b"]),
            (
                "a ran with one more handler",
                vec![ran("a", Some(row("a", &["enrich", "report"])))],
                &["b"],
            ),
            (
                "a ran with another handler",
                vec![ran("a", Some(row("a", &["other"])))],
                &["a", "b"],
            ),
            (
                "retention removed what ran on a",
                vec![ran("a", None)],
                &["b"],
            ),
            (
                "another route ran",
                vec![ran("c", Some(row("c", &["report"])))],
                &["a", "b"],
            ),
            (
                "both ran",
                vec![ran("a", None), ran("b", Some(row("b", &["report"])))],
                &[],
            ),
        ] {
            let left = ways_left(vec![way("a", false), way("b", true)], &runs);
            let left: Vec<&str> = left.iter().map(|way| &*way.route).collect();
            assert_eq!(left, expected, "{what}");
        }
    }
}
