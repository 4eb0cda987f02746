//! Decides what a crash of the server means for the deliveries that were under lease.
//!
//! If only one was, the death counts against it. If there were several, each of them is suspected, and runs alone first
//! (`schedule/alone.rs`).

use alert_manager_core::alert::Timestamp;

use crate::model::{Abandoned, CrashOutcome, Row};

/// A delivery is dead once the server has died this often while it ran alone.
const DEATHS_MAX: u32 = 3;

/// The `last_error` of such a delivery, whose reason is [`Reason::Died`](crate::model::Reason::Died).
const DIED: &str = "the server died three times while it ran this alone, and a call that was under way may have \
                    happened; check the log, then retry it with `alert-manager retry`; a re-send of the alert does not \
                    retry it";

/// Returns the outcome for each delivery that was under lease.
pub(crate) fn outcomes(under_lease: &[(Row, Abandoned)], now: Timestamp) -> Vec<CrashOutcome> {
    let is_alone = under_lease.len() == 1;
    let decide = |(row, abandoned): &(Row, Abandoned)| {
        let was_started = *abandoned == Abandoned::Started;
        let is_blamed = is_alone && was_started;
        let is_dead = is_blamed && row.deaths + 1 >= DEATHS_MAX;
        CrashOutcome {
            id: row.id,
            is_blamed,
            was_started,
            died: is_dead.then_some((now, DIED)),
        }
    };
    under_lease.iter().map(decide).collect()
}

#[cfg(test)]
mod tests {
    use alert_manager_core::alert::{DeliveryId, HandlerName, Priority};

    use super::*;
    use crate::model::clock::from_millis;
    use crate::model::{Cause, OtherRoutes, Parking, State};

    fn row(id: i64, deaths: u32) -> Row {
        Row {
            id: DeliveryId::from_raw(id),
            state: State::Running,
            leases: 1,
            deaths,
            suspected: 0,
            after_crash: false,
            resent: false,
            priority: Priority::Normal,
            fingerprint: None,
            since: from_millis(0),
            not_before: None,
            route: "route".into(),
            other_routes: OtherRoutes::None,
            waits_for: Vec::new(),
            pipeline: vec![HandlerName::new("a")],
            next_handler: None,
            reason: None,
            settled_at: None,
            parking: Parking::No,
            storm_key: None,
            storm: None,
            representative: None,
            event: None,
            cause: Cause::Alert,
        }
    }

    #[test]
    fn a_death_counts_only_against_what_ran_alone() {
        use Abandoned::{NotStarted, Started};
        for (under_lease, blamed, dead) in [
            (vec![(row(1, 0), Started)], 1, 0),
            (vec![(row(1, 2), Started)], 1, 1),
            (vec![(row(1, 2), NotStarted)], 0, 0),
            (vec![(row(1, 2), Started), (row(2, 2), Started)], 0, 0),
            (vec![(row(1, 2), Started), (row(2, 2), NotStarted)], 0, 0),
        ] {
            let outcomes = outcomes(&under_lease, from_millis(7));
            let count = |is: fn(&&CrashOutcome) -> bool| outcomes.iter().filter(is).count();
            assert_eq!(
                count(|outcome| outcome.is_blamed),
                blamed,
                "{under_lease:?}"
            );
            assert_eq!(
                count(|outcome| outcome.died.is_some()),
                dead,
                "{under_lease:?}"
            );
            for (outcome, (mut row, abandoned)) in outcomes.iter().zip(under_lease) {
                outcome.apply(&mut row);
                assert_eq!(row.after_crash, abandoned == Started);
                assert_eq!(row.is_open(), outcome.died.is_none());
                assert_eq!(row.suspected, u32::from(outcome.died.is_none()));
            }
        }
    }
}
