//! What becomes of deliveries that were under lease when the server died.
//!
//! A death counts against a delivery that was under lease alone. Of several, each is suspected, and is to run alone
//! (`schedule/alone.rs`).

use alert_manager_core::alert::Timestamp;

use crate::model::{CutOff, Left, Row};

/// Deaths of the server under a delivery that ran alone that end it.
const DEATHS_MAX: u32 = 3;

/// What is said of such a delivery ([`Reason::Died`]).
const DIED: &str = "the server died three times while it ran this alone, and a call that was under way may have \
                    happened; check the log, then retry it with `alert-manager retry`; a re-send of the alert does not \
                    retry it";

/// Decides what becomes of each delivery that was under lease, and how far that lease had come.
pub(crate) fn cut_off(under_lease: &[(Row, Left)], now: Timestamp) -> Vec<CutOff> {
    let is_alone = under_lease.len() == 1;
    let decide = |(row, left): &(Row, Left)| {
        let had_begun = *left == Left::UnderWay;
        let is_blamed = is_alone && had_begun;
        let is_dead = is_blamed && row.deaths + 1 >= DEATHS_MAX;
        CutOff {
            id: row.id,
            is_blamed,
            had_begun,
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
    use crate::model::{Beside, Parking, State};

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
            beside: Beside::Nothing,
            waits_for: Vec::new(),
            pipeline: vec![HandlerName::new("a")],
            next_handler: None,
            reason: None,
            settled_at: None,
            parking: Parking::No,
            storm_key: None,
            storm: None,
            representative: None,
        }
    }

    #[test]
    fn a_death_counts_only_against_what_ran_alone() {
        use Left::{Unbegun, UnderWay};
        for (under_lease, blamed, dead) in [
            (vec![(row(1, 0), UnderWay)], 1, 0),
            (vec![(row(1, 2), UnderWay)], 1, 1),
            (vec![(row(1, 2), Unbegun)], 0, 0),
            (vec![(row(1, 2), UnderWay), (row(2, 2), UnderWay)], 0, 0),
            (vec![(row(1, 2), UnderWay), (row(2, 2), Unbegun)], 0, 0),
        ] {
            let cut_off = cut_off(&under_lease, from_millis(7));
            let count = |is: fn(&&CutOff) -> bool| cut_off.iter().filter(is).count();
            assert_eq!(count(|cut| cut.is_blamed), blamed, "{under_lease:?}");
            assert_eq!(count(|cut| cut.died.is_some()), dead, "{under_lease:?}");
            for (cut, (mut row, left)) in cut_off.iter().zip(under_lease) {
                cut.apply(&mut row);
                assert_eq!(row.after_crash, left == UnderWay);
                assert_eq!(row.is_open(), cut.died.is_none());
                assert_eq!(row.suspected, u32::from(cut.died.is_none()));
            }
        }
    }
}
